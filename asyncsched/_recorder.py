"""Owns what a running scheduler has to say of itself to those who watch the cluster, until a board has written it down.

Most of what it is told nobody will ever read, so it keeps little, and makes texts only when a board collects them. It
knows neither where the board keeps them nor who reads them; it decides nothing.
"""

from __future__ import annotations

import os
import platform
import socket
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING

from asyncsched import _record_texts as texts
from asyncsched._catalogue import Catalogue
from asyncsched._grants import ClaimKind
from asyncsched._instants import from_us
from asyncsched._job_state import MISSED
from asyncsched._records import MOST_ACTIVE, ActiveRun, NodeRecord, Posting
from asyncsched._run import Outcome, SkipReason
from asyncsched._store_health import skew_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from asyncsched._engine import Engine
    from asyncsched._job_state import JobState, Kept
    from asyncsched._logs import SafeLogger
    from asyncsched._run import Run
    from asyncsched.protocols import Clock, Store

MOST_JOBS = 10_000
"""Jobs of which something is recorded: the first that a scheduler has."""
MOST_KEPT = 20_000
"""Endings that wait for a board, of all jobs; the newest ones of each job, at least ``LEAST_KEPT``."""
LEAST_KEPT = 2
MOST_AT_ONCE = 1_000
"""Endings in one posting to a store that is not in this process; the others follow with the next ones. They are made at
a stretch, some 5 ms, in which the event loop stands still."""
MOST_FIRE_TIMES = 500
"""The same of fire times."""
MOST_LOOKED_AT = 2_000
"""Jobs at which one posting looks for new ones."""
LEFT_TO_OTHERS_US = 5_000_000
"""Microseconds for which it is left to the node that had a job's newest tick to tell the next one."""
RESTS = (SkipReason.PAUSED, SkipReason.MAINTENANCE)
_SUCCEEDED = Outcome.SUCCEEDED


class Recorder:
    """The ``Reporter`` of one running scheduler.

    Args:
        engine: what is reported of.
        environment: the scheduler's; empty: none.
        version: of asyncsched.
        history: endings that are kept of each job, at least 1.
        history_for: seconds for which they are kept.
        on_orders: is told of the orders that are open.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        clock: Clock,
        logger: SafeLogger,
        *,
        environment: str,
        version: str,
        history: int,
        history_for: float,
        on_orders: Callable[[Sequence[str]], None],
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._logger = logger
        self._environment = environment
        self._version = version
        self._history = history
        self._history_for = history_for
        self._on_orders = on_orders
        self._is_near = store.refresh_interval is None
        self._started_us = self._now_us()
        self._quoted_node = texts.quoted(engine.node)
        self._host = socket.gethostname()
        self._catalogue = Catalogue(clock)
        self._states: dict[str, JobState] = {}
        self._leaving: dict[JobState, None] = {}
        """Jobs that were removed, and whose last endings are still to come, or to be collected."""
        self._share = history
        self._outgoing: dict[str, list[str]] = {}
        """Endings that a board has collected and not written down yet, as far as is known."""
        self._successes: dict[str, int] = {}
        self._told: dict[str, int] = {}
        """Fire times that are written down."""
        self._telling: dict[str, int] = {}
        self._reported: tuple[object, str] = None, ""
        """What the last report tells, and its text."""
        self._has_dropped = False
        self._resting: dict[str, tuple[SkipReason, int]] = {}
        """Jobs whose newest ending is a skip for which they rest, and how many good ends they had then."""
        self._take_from = self._look_from = 0
        """Where among the jobs the next posting begins, so that each has its turn if there are too many."""

    # What the engine tells

    def adopt(self, state: JobState) -> None:
        """Record what becomes of a job, unless there are too many."""
        if len(self._states) >= MOST_JOBS:
            return
        self._states[state.name] = state
        state.kept = deque(maxlen=self._share)
        self._catalogue.add(state)
        if self._share > LEAST_KEPT and self._share * len(self._states) > MOST_KEPT:
            self._share = max(LEAST_KEPT, self._share // 2)
            for each in self._states.values():
                each.kept = deque(each.kept or (), maxlen=self._share)

    def retire(self, state: JobState) -> None:
        """Report a job no more; how its runs in progress end is recorded still."""
        self._resting.pop(state.name, None)
        if self._states.pop(state.name, None) is not None:
            self._catalogue.remove(state.name)
            self._told.pop(state.name, None)
            self._leaving[state] = None

    def ended(self, state: JobState, run: Run) -> None:
        """Record the end of a run that did not simply do its tick and succeed: of those, the ledger keeps a tuple."""
        self._resting.pop(state.name, None)
        self._keep(state, self._all_of(run))

    def skipped(
        self, state: JobState, fire_us: int, reason: SkipReason, kind: ClaimKind, run: Run | None = None
    ) -> None:
        """Record that a tick, or what was asked for, did not run here; ``run``: the one that it would have been."""
        if state.kept is not None and not (kind is ClaimKind.TICK and self._rests(state, reason)):
            what: dict[str, str | float] = {} if run is None else self._ids_of(run)
            what |= {"at_us": self._now_us(), "outcome": Outcome.SKIPPED.value, "reason": reason.value}
            self._keep(state, {**what, "fire_us": fire_us, **_kind(kind)})

    def _rests(self, state: JobState, reason: SkipReason) -> bool:
        """Return whether a skipped tick is one more in a row for which the job rests. Only the first one is recorded: a
        job that is paused for long must not lose its history to that."""
        rests = (reason, state.succeeded)
        if reason not in RESTS or self._resting.get(state.name) == rests:
            return reason in RESTS
        self._resting[state.name] = rests
        return False

    def missed(self, state: JobState, count: int, first_us: int, last_us: int) -> None:
        """Record ticks that were noticed too late."""
        if state.kept is not None:
            what: dict[str, str | float] = {"at_us": self._now_us(), "outcome": MISSED}
            self._keep(state, {**what, "fire_us": first_us, "last_us": last_us, "count": count})

    def _keep(self, state: JobState, what: Kept) -> None:
        if state.kept is not None:
            state.kept.append(what)

    def _all_of(self, run: Run) -> dict[str, str | float]:
        assert run.outcome is not None
        what = self._ids_of(run) | {"at_us": self._now_us(), "outcome": run.outcome.value, "fire_us": run.fire_us}
        what |= {"started_us": run.started_us, "duration": round(run.duration, 6), **_kind(run.kind)}
        what |= {"attempt": run.attempt if run.attempt > 1 else 0, "fence": run.fence}
        if run.errors:
            what["error"] = texts.said_of(run.errors[-1])
        return what

    def _ids_of(self, run: Run) -> dict[str, str | float]:
        run_id, trace_id = run.ids
        return {"run_id": run_id, "trace_id": texts.clean(trace_id, texts.LONGEST_ID), **_ordered(run)}

    def _say_dropped(self) -> None:
        """Say, once, that a job ends more often than the store is told of, so that some endings are not seen."""
        if not self._has_dropped:
            self._has_dropped = True
            self._logger.debug("not all endings are written down: there are more of them than the store is told of")

    # What a board collects

    def collect(self) -> Posting:
        """Return what is to be written down now."""
        self._take_endings()
        self._take_fire_times()
        self._catalogue.complete(None if self._is_near else self._catalogue.PORTION)
        return Posting(
            node=self._engine.node,
            report=self._report(),
            catalogue=self._catalogue.due(),
            fire_times=dict(self._telling),
            endings=dict(self._outgoing),
            successes=dict(self._successes),
            history=self._history,
            history_for=self._history_for,
        )

    def posted(self, orders: Sequence[str]) -> None:
        """Hear that it is written down, and which orders are open."""
        self._outgoing, self._successes = {}, {}
        if self._catalogue.posted():  # the store may have lost the fire times with it: all of them are told again
            self._told.clear()
        self._told |= self._telling
        self._telling = {}
        if orders:
            self._on_orders(orders)

    def forgotten(self) -> None:
        """Hear that the store has lost what was written down."""
        self._catalogue.forgotten()
        self._told.clear()

    def _take_endings(self) -> None:
        jobs = [*self._leaving, *self._states.values()]
        outgoing = self._outgoing
        left = len(jobs) * MOST_KEPT if self._is_near else MOST_AT_ONCE - sum(map(len, outgoing.values()))
        for state in _from(jobs, self._take_from):
            if left <= 0:
                break
            self._take_from += 1
            if not (kept := state.kept):
                continue
            made = self._texts(state.name, kept)
            before = outgoing.get(state.name)
            outgoing[state.name] = made if before is None else before + made  # a posting may have the old list
            left -= len(made)
            if len(made) == kept.maxlen and not self._is_near:
                self._say_dropped()
            kept.clear()
        if self._leaving:
            self._leaving = {state: None for state in self._leaving if state.active or state.kept}

    def _texts(self, job: str, kept: Iterable[Kept]) -> list[str]:
        node, made = self._quoted_node, []
        for what in kept:
            if isinstance(what, tuple):
                self._successes[job], text = texts.success_text(node, *what)
            else:
                if what["outcome"] == _SUCCEEDED:
                    self._successes[job] = int(what["at_us"])
                text = texts.ending_text(node=self._engine.node, **what)  # type: ignore[arg-type]
            made.append(text)
        return made

    def _take_fire_times(self) -> None:
        told, telling, states = self._told, self._telling, list(self._states.values())
        most, looked_at = (len(states),) * 2 if self._is_near else (MOST_FIRE_TIMES, MOST_LOOKED_AT)
        left_from_us = self._now_us() - (0 if self._is_near else LEFT_TO_OTHERS_US)
        for state in islice(_from(states, self._look_from), looked_at):
            at_us, told_us = state.next_us or 0, told.get(state.name)
            is_left = told_us is not None and state.elsewhere_us == state.last_us > left_from_us
            if told_us != at_us and not is_left:
                if len(telling) >= most and state.name not in telling:
                    break
                telling[state.name] = at_us
            self._look_from += 1

    def _report(self) -> str:
        engine = self._engine
        skew = skew_of(self._clock, self._store)
        skew = None if skew is None else round(skew, 1) + 0.0
        active = tuple(map(self._active, islice(engine.executor.active, MOST_ACTIVE)))
        facts = (engine.is_stopping, skew, active, self._catalogue.digest)
        if facts != self._reported[0]:
            self._reported = facts, self._report_text(*facts)
        return self._reported[1]

    def _report_text(self, is_stopping: bool, skew: float | None, active: tuple[ActiveRun, ...], digest: str) -> str:
        record = NodeRecord(
            node=self._engine.node,
            host=self._host,
            pid=os.getpid(),
            version=self._version,
            python=platform.python_version(),
            environment=self._environment,
            state="draining" if is_stopping else "running",
            started_at=from_us(self._started_us),
            seen_at=from_us(self._started_us),
            clock_skew=skew,
            jobs=(),
            active=active,
        )
        return texts.report_text(record, digest)

    def _active(self, run: Run) -> ActiveRun:
        return ActiveRun(
            job=run.job,
            node=run.node,
            run_id=run.run_id,
            trace_id=run.ids[1],
            kind=run.kind.value,
            fire_time=from_us(run.fire_us),
            started_at=from_us(run.started_us) if run.started_us else None,
            attempt=run.attempt,
            fence=run.fence,
            progress=_progress_of(run),
        )

    def _now_us(self) -> int:
        return round(self._clock.time() * 1e6)


def _from(states: Sequence[JobState], turn: int) -> Iterable[JobState]:
    """Return all of them, once around, another one first with each turn."""
    begin_at = turn % len(states) if states else 0
    return chain(islice(states, begin_at, None), islice(states, begin_at))


def _kind(kind: ClaimKind) -> Mapping[str, str]:
    return {} if kind is ClaimKind.TICK else {"kind": kind.value}


def _ordered(run: Run) -> dict[str, str]:
    """Return who has ordered the run, or its end, and why."""
    by, why = ("", "") if run.side is None else (run.side.by, run.side.why)
    return {"by": texts.clean(by, texts.LONGEST_ID), "why": texts.clean(why, texts.LONGEST_WHY)}


def _progress_of(run: Run) -> str:
    progress = None if run.side is None else run.side.progress
    if progress is None:
        return ""
    of = "" if progress.total is None else f" of {progress.total:g}"
    return f"{progress.done:g}{of} {progress.message}".strip()
