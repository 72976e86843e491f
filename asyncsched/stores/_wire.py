"""Owns how requests become script arguments, and how replies become values. No I/O.

Every reply is read strictly: one that is not exactly as the scripts' heads say decides nothing, so nothing
runs on it. Milliseconds and microseconds appear here and in the scripts only.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Renewal, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.stores._keys import Keys

CHUNK = 200
"""Most jobs or leases in one script call. A script keeps everybody else waiting: 200 claims take about 4 ms."""

AHEAD_US = 5_000
"""How far ahead of the server's time a tick may lie. It covers what clocks and timers differ by on good
nodes; a node whose clock is wrong is told to wait instead."""

_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_RENEWALS = {renewal.value: renewal for renewal in Renewal}

Call = tuple[list[str], list[str | int]]
"""KEYS and ARGV of one script call."""

_Item = TypeVar("_Item")


class UnexpectedReplyError(Exception):
    """A reply that no script of ours gives."""


def chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Cut ``items`` into runs of at most ``CHUNK``, in order."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds, at least 1: an expiry of 0 would delete the key."""
    return max(1, round(seconds * 1_000))


def claim_call(keys: Keys, requests: Sequence[ClaimRequest], deadline_us: int, channel: str = "") -> Call:
    """Return the call of ``claim.lua`` for one chunk; what it decides is told on ``channel``, if any."""
    names: list[str] = []
    argv: list[str | int] = [deadline_us, AHEAD_US]
    for request in requests:
        flags = _flags(request)
        names += _claimed_keys(keys, request, flags)
        argv += (
            flags,
            request.owner,
            request.tick_us,
            milliseconds(request.lock_ttl),
            milliseconds(request.retain_for),
            request.remembered_us,
            request.max_attempts,
        )
    argv.append(channel)
    return names, argv


def _flags(request: ClaimRequest) -> str:
    """Return what ``claim.lua`` is to do, as its head says."""
    kind, on_one_server = _KINDS[request.kind]
    flags = kind + (on_one_server if request.one_server else "") + ("A" if request.max_attempts else "")
    return flags + "O" if request.no_overlap else flags


_KINDS = {
    ClaimKind.TICK: ("T", "R"),
    ClaimKind.START: ("", "S"),
    ClaimKind.TRIGGER: ("", ""),
    ClaimKind.RERUN: ("X", ""),
    ClaimKind.SURVEY: ("Q", "R"),
}


def _claimed_keys(keys: Keys, request: ClaimRequest, flags: str) -> list[str]:
    job = request.job
    names = [keys.state(job)]
    if "R" in flags:
        names += (keys.lock(job, LockType.TICK), keys.lock(job, LockType.SERVER))
    if "S" in flags:
        names.append(keys.lock(job, LockType.START))
    if "A" in flags:
        names += (keys.lock(job, LockType.OPEN), keys.run(job, request.tick_us))
    if "O" in flags:
        names.append(keys.lock(job, LockType.OVERLAP))
    return names


def claim_answers(reply: object, count: int) -> tuple[int, list[ClaimAnswer]]:
    """Return the server's time (microseconds since the epoch) and ``count`` answers.

    Raises:
        UnexpectedReplyError: the reply is not one of ``claim.lua``.
    """
    items = _list(reply, 1 + 4 * count)
    rest = iter(items)
    now_us = integer(next(rest))
    return now_us, [_answer(*islice(rest, 4)) for _ in range(count)]


def _answer(name: object, value: object, newest: object, extra: object) -> ClaimAnswer:
    verdict = _VERDICTS.get(text(name))
    newest_us = integer(newest)
    attempt, open_us = _attempts(extra)
    if verdict is None:
        raise UnexpectedReplyError(f"{name!r} is no verdict")
    if verdict is Verdict.WON:
        return ClaimAnswer(verdict, fence=integer(value), newest_us=newest_us, attempt=attempt, open_us=open_us)
    if verdict in _WAITING:
        wait = integer(value) / 1e6
        return ClaimAnswer(verdict, wait=wait, newest_us=newest_us, attempt=attempt, open_us=open_us)
    if verdict is Verdict.CORRUPT:
        return ClaimAnswer(verdict, detail=f"the {text(value)} key holds something foreign")
    detail = _DETAILS.get(verdict, "")
    return ClaimAnswer(verdict, newest_us=newest_us, detail=detail, attempt=attempt, open_us=open_us)


def _attempts(extra: object) -> tuple[int, tuple[int, ...]]:
    """Return how often the tick was granted, and the open ticks in order."""
    if type(extra) is int and extra == 0:  # of a job that is not run again
        return 1, ()
    try:
        attempt, *open_us = map(int, text(extra).split())
    except ValueError:
        raise UnexpectedReplyError(f"{extra!r:.80} is no list of open ticks") from None
    return attempt, tuple(sorted(open_us))


_WAITING = {Verdict.EARLY, Verdict.ELSEWHERE, Verdict.OVERLAP}


_DETAILS = {
    Verdict.LOST_RECORD: "the store has lost the record of earlier ticks, or the lease of this claim's grant",
}


def renew_call(keys: Keys, leases: Sequence[Lease]) -> Call:
    """Return the call of ``renew.lua`` for one chunk."""
    names: list[str] = []
    argv: list[str | int] = []
    for lease in leases:
        flags = ""
        if LockType.OVERLAP in lease.locks:
            flags = "O"
            names.append(keys.lock(lease.job, LockType.OVERLAP))
        if LockType.RUN in lease.locks:
            flags += "A"
            names.append(keys.run(lease.job, lease.tick_us))
        if LockType.SERVER in lease.locks:
            flags += "R"
            names += (keys.lock(lease.job, LockType.SERVER), keys.lock(lease.job, LockType.TICK))
        argv += (flags, f"{lease.owner}|{lease.fence}", lease.fence, milliseconds(lease.lock_ttl))
    return names, argv


def renewals(reply: object, count: int) -> list[Renewal]:
    """Return what became of ``count`` leases.

    Raises:
        UnexpectedReplyError: the reply is not one of ``renew.lua``.
    """
    found = [_RENEWALS.get(text(item)) for item in _list(reply, count)]
    known = [renewal for renewal in found if renewal is not None]
    if len(known) != count:
        raise UnexpectedReplyError(f"{reply!r:.80} is no list of renewals")
    return known


def release_call(keys: Keys, leases: Sequence[Lease]) -> Call:
    """Return the call of ``release.lua`` for one chunk."""
    names: list[str] = []
    argv: list[str | int] = []
    for lease in leases:
        locks = [_lock_key(keys, lease, lock) for lock in lease.locks if lock is not LockType.TICK]
        names += locks
        finished = lease.finished and LockType.RUN in lease.locks
        if finished:
            names.append(keys.lock(lease.job, LockType.OPEN))
        argv += (lease.owner, len(locks), lease.tick_us if finished else "")
    return names, argv


def _lock_key(keys: Keys, lease: Lease, lock: LockType) -> str:
    return keys.run(lease.job, lease.tick_us) if lock is LockType.RUN else keys.lock(lease.job, lock)


def releases(reply: object, count: int) -> list[bool]:
    """Return, for each of ``count`` leases, whether anything of it was freed.

    Raises:
        UnexpectedReplyError: the reply is not one of ``release.lua``.
    """
    return [integer(item) > 0 for item in _list(reply, count)]


def server_time_us(reply: object) -> int:
    """Return the answer of ``TIME`` in microseconds since the epoch, whether or not the client parsed it."""
    second, micro = _list(reply, 2)
    try:
        return int(text(second)) * 1_000_000 + int(text(micro))
    except ValueError:
        raise UnexpectedReplyError(f"{reply!r:.80} is no time") from None


def names(reply: object) -> frozenset[str]:
    """Return the members that ``SMEMBERS`` answered, whatever container the client gives them in."""
    if not isinstance(reply, set | frozenset | list | tuple):
        raise UnexpectedReplyError(f"{reply!r:.80} is no set")
    return frozenset(map(text, reply))


def text(item: object) -> str:
    """Return a string of the server: the client may hand it out as ``str``, ``bytes`` or a parsed ``int``."""
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    if isinstance(item, str | int):
        return str(item)
    raise UnexpectedReplyError(f"{item!r:.80} is no string")


def _list(reply: object, length: int) -> Sequence[object]:
    if not isinstance(reply, list | tuple) or len(reply) != length:
        raise UnexpectedReplyError(f"{reply!r:.80} is no list of {length}")
    return reply


def integer(item: object) -> int:
    """Return an integer of the server.

    Raises:
        UnexpectedReplyError: it is something else.
    """
    if type(item) is not int:
        raise UnexpectedReplyError(f"{item!r:.80} is no integer")
    return item
