"""Owns the JSON of what a cluster keeps of itself for people: how each word is written, and how it is read.

Whoever can write to the store can write anything there, so what does not read as it should is left out. Knows nothing
of where the texts are kept.
"""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asyncsched._instants import from_us, to_us
from asyncsched._records import (
    LONGEST_ENDING,
    LONGEST_ERROR,
    MOST_ACTIVE,
    ActiveRun,
    Definition,
    Ending,
    NodeRecord,
    Note,
    Order,
    OrderAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_WORDS = 1_000
"""Characters of what people say in a note or an order, and of a schedule or a policy that is read."""
LONGEST_WHY = 200
"""The same in an ending."""
LONGEST_ID = 100
"""Of run and trace ids, and of who does something."""
SKEW_0 = ("skew", 0.0)
LONGEST_REPORT = 1_000_000
LONGEST_CATALOGUE = 20_000_000
_UNREADABLE = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


def clean(text: str, most: int) -> str:
    """Return ``text`` as it can be written and shown: no longer than ``most``, and without control characters."""
    text = text[:most]
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def said_of(error: BaseException) -> str:
    """Return type and message of an error, as far as it can tell them."""
    try:
        message = str(error)
    except Exception:  # it is somebody else's
        message = "its message cannot be shown"
    name = type(error).__name__
    return clean(f"{name}: {message}" if message else name, LONGEST_ERROR)


def written(what: dict[str, Any]) -> str:
    """Return the JSON of ``what``, without what is empty; a skew of 0 is not."""
    kept = {name: value for name, value in what.items() if value not in ("", 0, None, []) or (name, value) == SKEW_0}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)


def quoted(text: str) -> str:
    """Return ``text`` as JSON."""
    return json.dumps(text, ensure_ascii=False)


class Fields:
    """One JSON object that somebody has written. Each method raises one of ``_UNREADABLE`` for what is not as it
    should be; what is missing is empty."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise TypeError("it is no object")
        self._values: dict[str, Any] = value

    @classmethod
    def read(cls, text: str, longest: int = 2 * LONGEST_ENDING) -> Fields:
        """Return the fields of a JSON text."""
        if len(text) > longest:
            raise ValueError("it is too long")
        return cls(json.loads(text))

    def text(self, name: str, most: int = LONGEST_WORDS) -> str:
        """Return a text, cleaned."""
        value = self._values.get(name, "")
        if not isinstance(value, str):
            raise TypeError(name)
        return clean(value, most)

    def number(self, name: str) -> float:
        """Return a number; 0 if it is missing."""
        value = self._values.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise TypeError(name)
        return float(value)

    def whole(self, name: str, missing: int = 0) -> int:
        """Return a whole number, 0 or more."""
        value = self._values.get(name, missing)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise TypeError(name)
        return value

    def instant(self, name: str) -> datetime:
        """Return an instant, which must be there."""
        return from_us(self.whole(name, -1))

    def instant_or_none(self, name: str) -> datetime | None:
        """Return an instant; ``None`` if it is missing."""
        return self.instant(name) if self._values.get(name) else None

    def list_of(self, name: str) -> list[Any]:
        """Return a list."""
        value = self._values.get(name, [])
        if not isinstance(value, list):
            raise TypeError(name)
        return value

    def has(self, name: str) -> bool:
        """Return whether something is there."""
        return name in self._values


# Endings


def ending_text(at_us: int, node: str, outcome: str, fire_us: int, **more: str | float) -> str:
    """Return how a tick ended. ``more``: ``kind`` unless it is a tick, ``reason``, ``last_us``, ``count``,
    ``started_us``, ``duration``, ``run_id``, ``trace_id``, ``attempt``, ``fence``, ``error``, ``by``, ``why``."""
    text = written({"at": at_us, "node": node, "outcome": outcome, "fire_us": fire_us, **more})
    if len(text) > LONGEST_ENDING:
        more["error"] = str(more.get("error", ""))[: LONGEST_ERROR // 5]
        text = written({"at": at_us, "node": node, "outcome": outcome, "fire_us": fire_us, **more})
    return text


def success_text(
    node: str,
    fire_us: int,
    started_us: int,
    duration: float,
    run_id: str = "",
    trace_id: str = "",
    attempt: int = 1,
    fence: int = 0,
) -> tuple[int, str]:
    """Return when a tick's run ended well, and the text of that. Most texts are such, so it is made at once. ``node``:
    its name as ``quoted`` gives it; ``run_id``: hexadecimal digits, or empty."""
    at_us = started_us + round(duration * 1e6)
    more = f',"run_id":"{run_id}"' if run_id else ""
    if trace_id:
        more += f',"trace_id":{quoted(clean(trace_id, LONGEST_ID))}'
    if attempt > 1:
        more += f',"attempt":{attempt}'
    if fence:
        more += f',"fence":{fence}'
    return at_us, (
        f'{{"at":{at_us},"node":{node},"outcome":"succeeded","fire_us":{fire_us},"started_us":{started_us},'
        f'"duration":{duration:.6f}{more}}}'
    )


def ending_of(job: str, text: str) -> Ending | None:
    """Return how a tick of ``job`` ended; ``None``: that is no ending."""
    try:
        fields = Fields.read(text)
        return Ending(
            job=job,
            node=fields.text("node"),
            at=fields.instant("at"),
            kind=fields.text("kind", LONGEST_ID) or "tick",
            outcome=fields.text("outcome", LONGEST_ID),
            reason=fields.text("reason", LONGEST_ID),
            fire_time=fields.instant("fire_us"),
            last_fire_time=fields.instant_or_none("last_us"),
            count=fields.whole("count", 1),
            started_at=fields.instant_or_none("started_us"),
            duration=fields.number("duration"),
            run_id=fields.text("run_id", LONGEST_ID),
            trace_id=fields.text("trace_id", LONGEST_ID),
            attempt=fields.whole("attempt", 1),
            fence=fields.whole("fence"),
            error=fields.text("error", LONGEST_ERROR),
            by=fields.text("by", LONGEST_ID),
            why=fields.text("why", LONGEST_WHY),
        )
    except _UNREADABLE:
        return None


# Jobs and nodes


def definition_text(definition: Definition) -> str:
    """Return a job as its node has declared it, as one entry of a catalogue."""
    return written(
        {
            "job": definition.job,
            "digest": definition.digest,
            "schedule": clean(definition.schedule, LONGEST_WORDS),
            "policies": [clean(policy, LONGEST_WORDS) for policy in definition.policies],
            "timezone": clean(definition.timezone, LONGEST_ID),
            "lock_ttl": definition.lock_ttl,
            "misfire_grace": -1 if definition.misfire_grace is None else definition.misfire_grace,
        }
    )


def definitions_of(catalogue: str) -> tuple[Definition, ...]:
    """Return the definitions in a catalogue, which is a JSON list of them, by name; what is none is left out."""
    try:
        entries = json.loads(catalogue) if len(catalogue) <= LONGEST_CATALOGUE else None
    except _UNREADABLE:
        return ()
    found = map(_definition_of, entries if isinstance(entries, list) else ())
    return tuple(sorted((each for each in found if each is not None), key=lambda each: each.job))


def _definition_of(entry: object) -> Definition | None:
    try:
        fields = Fields(entry)
        grace = fields.number("misfire_grace")
        definition = Definition(
            job=fields.text("job"),
            digest=fields.text("digest", LONGEST_ID),
            schedule=fields.text("schedule"),
            policies=tuple(clean(str(policy), LONGEST_WORDS) for policy in fields.list_of("policies")),
            timezone=fields.text("timezone", LONGEST_ID),
            lock_ttl=fields.number("lock_ttl"),
            misfire_grace=None if grace < 0 else grace,
        )
    except _UNREADABLE:
        return None
    return definition if definition.job else None


def active_run_fields(run: ActiveRun) -> dict[str, Any]:
    """Return a run in progress, as one entry of a report."""
    return {
        "job": run.job,
        "run_id": run.run_id,
        "trace_id": clean(run.trace_id, LONGEST_ID),
        "kind": run.kind,
        "fire_us": to_us(run.fire_time),
        "started_us": 0 if run.started_at is None else to_us(run.started_at),
        "attempt": run.attempt,
        "fence": run.fence,
        "progress": clean(run.progress, LONGEST_ID),
    }


def report_text(record: NodeRecord, catalogue: str) -> str:
    """Return a node as it is; ``catalogue`` is the digest of its jobs' definitions. When it was seen is not in it."""
    return written(
        {
            "host": clean(record.host, LONGEST_ID),
            "pid": record.pid,
            "version": record.version,
            "python": record.python,
            "environment": clean(record.environment, LONGEST_ID),
            "state": record.state,
            "started_us": to_us(record.started_at),
            "skew": record.clock_skew,
            "catalogue": catalogue,
            "active": [active_run_fields(run) for run in record.active],
        }
    )


def node_of(node: str, text: str, seen_at: datetime) -> tuple[NodeRecord, str] | None:
    """Return a node as it has reported itself, without its jobs, and the digest of their catalogue; ``None``: that is
    no report."""
    try:
        fields = Fields.read(text, LONGEST_REPORT)
        active = (_active_run_of(node, each) for each in fields.list_of("active")[:MOST_ACTIVE])
        record = NodeRecord(
            node=clean(node, LONGEST_WORDS),
            host=fields.text("host", LONGEST_ID),
            pid=fields.whole("pid"),
            version=fields.text("version", LONGEST_ID),
            python=fields.text("python", LONGEST_ID),
            environment=fields.text("environment", LONGEST_ID),
            state=fields.text("state", LONGEST_ID),
            started_at=fields.instant("started_us"),
            seen_at=seen_at,
            clock_skew=fields.number("skew") if fields.has("skew") else None,
            jobs=(),
            active=tuple(run for run in active if run is not None),
        )
        return record, fields.text("catalogue", LONGEST_ID)
    except _UNREADABLE:
        return None


def _active_run_of(node: str, entry: object) -> ActiveRun | None:
    try:
        fields = Fields(entry)
        return ActiveRun(
            job=fields.text("job"),
            node=node,
            run_id=fields.text("run_id", LONGEST_ID),
            trace_id=fields.text("trace_id", LONGEST_ID),
            kind=fields.text("kind", LONGEST_ID),
            fire_time=fields.instant("fire_us"),
            started_at=fields.instant_or_none("started_us"),
            attempt=fields.whole("attempt", 1),
            fence=fields.whole("fence"),
            progress=fields.text("progress", LONGEST_ID),
        )
    except _UNREADABLE:
        return None


# Notes, orders and answers


def note_text(by: str, why: str, at_us: int) -> str:
    """Return who has paused something, and why."""
    return written({"by": clean(by, LONGEST_ID), "why": clean(why, LONGEST_WORDS), "at": at_us})


def note_of(text: str) -> Note | None:
    """Return who has paused something, and why; ``None``: that is no note."""
    try:
        fields = Fields.read(text)
        return Note(by=fields.text("by", LONGEST_ID), why=fields.text("why"), at=fields.instant("at"))
    except _UNREADABLE:
        return None


def order_text(order: Order) -> str:
    """Return an order."""
    return written(
        {
            "id": order.order_id,
            "kind": order.kind,
            "job": order.job,
            "node": order.node,
            "run_id": order.run_id,
            "by": clean(order.by, LONGEST_ID),
            "why": clean(order.why, LONGEST_WORDS),
            "until_us": order.until_us,
        }
    )


def order_of(text: str) -> Order | None:
    """Return an order; ``None``: that is none, or of a kind that only newer nodes know."""
    try:
        fields = Fields.read(text)
        order = Order(
            order_id=fields.text("id", LONGEST_ID),
            kind=fields.text("kind", LONGEST_ID),
            job=fields.text("job"),
            node=fields.text("node"),
            run_id=fields.text("run_id", LONGEST_ID),
            by=fields.text("by", LONGEST_ID),
            why=fields.text("why"),
            until_us=fields.whole("until_us"),
        )
    except _UNREADABLE:
        return None
    return order if order.order_id and order.kind in ("trigger", "cancel") else None


def answer_text(answer: OrderAnswer) -> str:
    """Return what became of an order."""
    return written(
        {
            "node": answer.node,
            "run_id": answer.run_id,
            "outcome": answer.outcome,
            "detail": clean(answer.detail, LONGEST_WORDS),
        }
    )


def answer_of(text: str) -> OrderAnswer | None:
    """Return what became of an order; ``None``: that is no answer."""
    try:
        fields = Fields.read(text)
        return OrderAnswer(
            node=fields.text("node"),
            run_id=fields.text("run_id", LONGEST_ID),
            outcome=fields.text("outcome", LONGEST_ID),
            detail=fields.text("detail"),
        )
    except _UNREADABLE:
        return None


def catalogue_text(entries: Sequence[str]) -> str:
    """Return the definitions of all jobs of a node; ``entries``: the JSON of each."""
    return f"[{','.join(entries)}]"
