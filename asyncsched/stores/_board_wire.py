"""Owns how a posting becomes Redis commands, and how what a board holds is read from replies. No I/O.

A posting is cut into pieces, each of which one command writes: what one of them wrote is through, whatever becomes of
the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from redis.crc import key_slot

from asyncsched.stores import _board_text as _text
from asyncsched.stores import _wire

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from asyncsched._records import Posting
    from asyncsched.stores._keys import Keys
    from asyncsched.stores._scripts import Script
    from asyncsched.stores._server import Command

MOST_FIELDS = 500
"""Jobs in one command: such a one takes about half a millisecond."""
MOST_TEXTS, MOST_CHARACTERS = 200, 100_000
"""Endings in one script call, and the characters of all of them together, but for the last one: about a millisecond."""
MOST_POSTED = 1_000_000
"""Characters of endings, and 16 for each job, that go with one refresh: it must not be late for them."""
TENDED_FOR = 30.0
"""Seconds in which a history is looked after once, however often its job runs: what is too old in it is dropped, and
when it expires is put off. It may be late by that, and lasts longer by that."""

Endings = Mapping[str, Sequence[str]]
_Chunk = tuple[Sequence[tuple[str, Sequence[str]]], int]
"""Endings for one script call, and the characters of all of them."""
_Value = TypeVar("_Value")


class Aside(NamedTuple):
    """A command, and the key that it belongs to, of which nothing but the board is in need."""

    place: str
    words: Command


@dataclass(slots=True)
class Piece:
    """A part of a posting, and the command that writes it."""

    order: Aside
    size: int = 0
    catalogue: tuple[str, str] | None = None
    fire_times: Mapping[str, int] = field(default_factory=dict)
    successes: Mapping[str, int] = field(default_factory=dict)
    endings: Sequence[tuple[str, Sequence[str]]] = ()


def report(keys: Keys, posting: Posting, digest: str, now: float) -> Aside:
    """Return what writes the node's report: when, which definitions it goes with, and its text."""
    return Aside(keys.reports, ("HSET", keys.reports, posting.node, f"{now:.3f} {digest or '-'} {posting.report}"))


def withdrawals(keys: Keys, nodes: Sequence[str]) -> list[Aside]:
    """Return what removes nodes' reports."""
    some = nodes[:MOST_FIELDS]
    return [Aside(keys.reports, ("HDEL", keys.reports, *some))] if some else []


def pieces(
    keys: Keys, posting: Posting, script: Script, tended: Container[str] = (), *, with_text: bool, now: float
) -> Iterator[Piece]:
    """Cut the rest of a posting into pieces, the most telling first.

    Args:
        keys: the keys.
        posting: what is to be written.
        script: ``record.lua``.
        tended: jobs whose histories were looked after less than ``TENDED_FOR`` ago.
        with_text: whether the server may not know it.
        now: the server's time.
    """
    if posting.catalogue is not None and len(posting.catalogue[1]) <= _text.LONGEST_CATALOGUE:
        key = keys.catalogue(posting.catalogue[0])
        words: Command = ("SET", key, posting.catalogue[1], "PX", _wire.milliseconds(_text.REPORT_KEPT))
        yield Piece(Aside(key, words), catalogue=posting.catalogue)
    for group in _groups(posting.successes):
        words = ("ZADD", keys.successes, "GT", *_scored(group))
        yield Piece(Aside(keys.successes, words), 16 * len(group), successes=group)
    due, never = posting.fire_times, {}
    if min(due.values(), default=1) <= 0:
        never = {job: at for job, at in due.items() if at <= 0}
        due = {job: at for job, at in due.items() if at > 0}
    for group in _groups(due):
        words = ("ZADD", keys.fire_times, *_scored(group))
        yield Piece(Aside(keys.fire_times, words), 16 * len(group), fire_times=group)
    for group in _groups(never):
        words = ("ZREM", keys.fire_times, *group)
        yield Piece(Aside(keys.fire_times, words), 16 * len(group), fire_times=group)
    if posting.history > 0:
        for calls in _by_slot(keys, posting.endings):
            for chunk in _chunks(calls):
                yield _recording(keys, posting, chunk, script, tended, with_text=with_text, now=now)


def upkeep(keys: Keys, now: float) -> list[Aside]:
    """Return what deletes what nobody posts any more. The first asks for all reports, so that old ones can be found."""
    return [
        Aside(keys.reports, ("HGETALL", keys.reports)),
        Aside(keys.reports, ("PEXPIRE", keys.reports, _wire.milliseconds(_text.REPORT_KEPT))),
        *_ageing(keys.fire_times, now, _text.FIRE_TIME_KEPT),
        *_ageing(keys.successes, now, _text.SUCCESS_KEPT),
    ]


def _ageing(key: str, now: float, kept: float) -> list[Aside]:
    oldest_us = f"{(now - kept) * 1e6:.0f}"
    return [
        Aside(key, ("ZREMRANGEBYSCORE", key, "-inf", f"({oldest_us}")),
        Aside(key, ("PEXPIRE", key, _wire.milliseconds(_text.SUCCESS_KEPT))),
    ]


def rest_of(posting: Posting, left: Iterable[Piece]) -> Posting | None:
    """Return the posting of those pieces that are not written; ``None``: all of them are."""
    catalogue: tuple[str, str] | None = None
    fire_times: dict[str, int] = {}
    successes: dict[str, int] = {}
    endings: defaultdict[str, list[str]] = defaultdict(list)
    pieces = list(left)
    if not pieces:
        return None
    for piece in pieces:
        catalogue = catalogue or piece.catalogue
        fire_times.update(piece.fire_times)
        successes.update(piece.successes)
        for job, texts in piece.endings:
            endings[job] += texts
    return replace(posting, catalogue=catalogue, fire_times=fire_times, successes=successes, endings=dict(endings))


def _recording(
    keys: Keys, posting: Posting, chunk: _Chunk, script: Script, tended: Container[str], *, with_text: bool, now: float
) -> Piece:
    endings, size = chunk
    to_tend = [entry for entry in endings if entry[0] not in tended]
    if 0 < len(to_tend) < len(endings):
        endings = [*to_tend, *(entry for entry in endings if entry[0] in tended)]
    names = keys.histories([job for job, _ in endings])
    oldest_us = max(0, round((now - posting.history_for) * 1e6))
    argv: list[str | int] = [posting.history, oldest_us, _wire.milliseconds(posting.history_for + TENDED_FOR)]
    argv.append(len(to_tend))
    for _, texts in endings:
        argv.append(len(texts))
        argv += texts
    head = ("EVAL", script.text) if with_text else ("EVALSHA", script.sha)
    return Piece(Aside(names[0], (*head, len(names), *names, *argv)), size, endings=endings)


def _by_slot(keys: Keys, endings: Endings) -> Iterable[list[tuple[str, Sequence[str]]]]:
    """Sort by what one script call may write: on a Cluster, keys of one slot."""
    if not keys.in_braces:
        return [[(job, texts) for job, texts in endings.items() if texts]]
    by_slot: defaultdict[int, list[tuple[str, Sequence[str]]]] = defaultdict(list)
    for job, texts in endings.items():
        if texts:
            by_slot[key_slot(keys.history(job).encode())].append((job, texts))
    return by_slot.values()


def _chunks(endings: Iterable[tuple[str, Sequence[str]]]) -> Iterator[_Chunk]:
    """Cut endings into what one script call writes, in order."""
    chunk: list[tuple[str, Sequence[str]]] = []
    count = size = 0
    for entry in endings:
        job, texts = entry
        more = sum(map(len, texts))
        if count + len(texts) <= MOST_TEXTS and size + more <= MOST_CHARACTERS:
            chunk.append(entry)
            count, size = count + len(texts), size + more
            continue
        for text in texts:
            if count == MOST_TEXTS or size >= MOST_CHARACTERS:
                yield chunk, size
                chunk, count, size = [], 0, 0
            if not chunk or chunk[-1][0] != job:
                chunk.append((job, part := []))
            part.append(text)
            count, size = count + 1, size + len(text)
    if chunk:
        yield chunk, size


def _groups(values: Mapping[str, _Value]) -> Iterator[Mapping[str, _Value]]:
    if 0 < len(values) <= MOST_FIELDS:
        return iter((values,))
    items = list(values.items())
    return (dict(items[start : start + MOST_FIELDS]) for start in range(0, len(items), MOST_FIELDS))


def _scored(values: Mapping[str, int]) -> list[str | int]:
    return list(chain.from_iterable(zip(values.values(), values, strict=True)))


# What is read back


def pairs(reply: object) -> dict[str, str]:
    """Return the hash that ``HGETALL`` answered, in whatever form the client gives it; of anything else, nothing."""
    if isinstance(reply, Mapping):
        return {_string(name): _string(value) for name, value in reply.items()}
    words = list(map(_string, reply)) if isinstance(reply, list | tuple) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def _string(item: object) -> str:
    """Return a string of the server; of anything else an empty one, which is never one of ours."""
    return _wire.text(item) if isinstance(item, str | bytes | int) else ""


def strings(reply: object) -> list[str]:
    """Return the strings of a list; of anything else, nothing."""
    return list(map(_string, reply)) if isinstance(reply, list | tuple) else []


def instants(reply: object) -> dict[str, int]:
    """Return the jobs of a sorted set, each with its score in microseconds since the epoch."""
    entries = list(reply) if isinstance(reply, list | tuple) else []
    if entries and not isinstance(entries[0], list | tuple):
        entries = list(zip(entries[::2], entries[1::2], strict=False))
    found = {}
    for entry in entries:
        job, at_us = (_string(entry[0]), _instant(entry[1])) if len(entry) == 2 else ("", None)
        if at_us is not None and _text.is_name(job):
            found[job] = at_us
    return found


def _instant(score: object) -> int | None:
    try:
        value = score if isinstance(score, float) else float(_string(score))
    except ValueError:
        return None
    return round(value) if 0 < value <= _text.LATEST_US else None


class Report(NamedTuple):
    """A node's report as it stands."""

    at: float
    """Seconds since the epoch, by the server's clock."""
    digest: str
    text: str


def reports(reply: object) -> dict[str, Report]:
    """Return the reports by node, of too many the newest."""
    found = {node: read for node, text in pairs(reply).items() if _text.is_name(node) and (read := _report(text))}
    newest = sorted(found, key=lambda node: -found[node].at)[: _text.MOST_NODES]
    return {node: found[node] for node in sorted(newest)}


def stale_nodes(reply: object, before: float) -> list[str]:
    """Return the nodes that have not reported since an instant, and whatever else stands among them."""
    found = pairs(reply)
    return [node for node, text in found.items() if (read := _report(text)) is None or read.at < before]


def _report(text: str) -> Report | None:
    at, _, rest = text.partition(" ")
    digest, _, body = rest.partition(" ")
    instant = _seconds(at)
    if instant is None or not body or len(body) > _text.LONGEST_REPORT:
        return None
    return Report(instant, digest if _text.is_token(digest) and digest != "-" else "", body)


def order(text: str, until: float) -> str:
    """Return how an order stands on the board."""
    return f"{until:.3f} {text}"


def open_orders(reply: object, now: float) -> tuple[list[str], list[str]]:
    """Return the texts of the orders that are open, and the ids of those that are to be deleted: those that nobody
    took, and of too many the oldest."""
    by_end: list[tuple[float, str, str]] = []
    dead: list[str] = []
    for order_id, value in pairs(reply).items():
        until, _, text = value.partition(" ")
        instant = _seconds(until)
        if instant is None or not now < instant <= now + 2 * _text.ORDER_KEPT or len(text) > _text.LONGEST_REPORT:
            dead.append(order_id)
        else:
            by_end.append((instant, order_id, text))
    by_end.sort(reverse=True)
    kept, more = by_end[: _text.MOST_ORDERS], by_end[_text.MOST_ORDERS :]
    return [text for _, _, text in reversed(kept)], [*dead, *(order_id for _, order_id, _ in more)]


def _seconds(text: str) -> float | None:
    whole, _, part = text.partition(".")
    is_number = whole.isascii() and whole.isdigit() and (not part or (part.isascii() and part.isdigit()))
    return float(text) if is_number and len(text) <= 20 else None
