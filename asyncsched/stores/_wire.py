"""Owns how requests become script arguments, and how replies become values. No I/O.

Every reply is read strictly: one that is not exactly as the scripts' heads say decides nothing, so nothing
runs on it. Milliseconds and microseconds appear here and in the scripts only.
"""

from __future__ import annotations

from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from asyncsched._grants import MOST_SLOTS, ClaimAnswer, ClaimKind, LockType, Renewal, Verdict
from asyncsched.stores._keys import slot_suffix, suffix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.stores._keys import Keys

CHUNK = 200
"""Most jobs or leases in one script call. A script keeps everybody else waiting: 200 claims take about 2 ms."""

AHEAD_US = 10_000
"""How far ahead of the server's time a tick may lie: nodes ask for some before they are due. A node whose clock is
wrong is told to wait instead."""

NOBODY = "-"
"""The sender of news whom everybody hears."""

_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_RENEWALS = {"h": Renewal.HELD, "u": Renewal.UNWANTED, "s": Renewal.SUPERSEDED, "l": Renewal.LOST}

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


def claim_call(
    keys: Keys, requests: Sequence[ClaimRequest], deadline_us: int, channel: str = "", sender: str = NOBODY
) -> Call:
    """Return the call of ``claim.lua`` for one chunk; what it decides is told on ``channel``, if any, by ``sender``."""
    names: list[str] = []
    argv: list[str | int] = [deadline_us, AHEAD_US, channel, sender]
    runs = _Runs(argv)
    terms: object = None
    add, state_and_locks = runs.add, keys.state_and_locks
    for request in requests:
        of_this = _terms_of(request)
        if of_this != terms:
            terms = of_this
            suffixes = _begin_claims(runs, request)
        add(request.owner)
        names += state_and_locks(request.job, suffixes)
    runs.end()
    return names, argv


_terms_of = attrgetter(
    "kind", "tick_us", "one_server", "no_overlap", "lock_ttl", "retain_for", "remembered_us", "max_attempts",
    "max_runs", "waits", "cancels", "slots",
)  # fmt: skip
"""What is said once for all jobs that follow each other and have it in common: nearly everything, of ticks that are due
together."""


class _Runs:
    """Arguments in runs: how many items there are, what they have in common, and then what each has of its own."""

    def __init__(self, argv: list[str | int]) -> None:
        self._argv = argv
        self._count_at = self._own_at = 0
        self.add = argv.append

    def begin(self, *common: str | int) -> None:
        """Begin a run."""
        self.end()
        self._count_at = len(self._argv)
        self._argv += (0, *common)
        self._own_at = len(self._argv)

    def end(self) -> None:
        """End the run that was begun last."""
        if self._own_at:
            self._argv[self._count_at] = len(self._argv) - self._own_at


def _begin_claims(runs: _Runs, request: ClaimRequest) -> Sequence[str]:
    """Begin a run of claims like ``request``; return what the names of their locks end with."""
    flags = _flags(request)
    runs.begin(
        flags,
        request.tick_us,
        milliseconds(request.lock_ttl),
        milliseconds(request.retain_for),
        request.remembered_us,
        request.max_attempts,
        request.max_runs,
    )
    suffixes: list[str] = []
    if "R" in flags:
        suffixes += (suffix(LockType.TICK), suffix(LockType.SERVER))
    if "S" in flags:
        suffixes.append(suffix(LockType.START))
    if "A" in flags:
        suffixes += (suffix(LockType.OPEN), suffix(LockType.RUN, request.tick_us))
    if "O" in flags:
        suffixes += map(slot_suffix, range(request.slots))
    return suffixes


def _flags(request: ClaimRequest) -> str:
    """Return what ``claim.lua`` is to do, as its head says."""
    kind, on_one_server = _KINDS[request.kind]
    flags = kind + (on_one_server if request.one_server else "") + ("A" if request.max_attempts else "")
    if not request.no_overlap:
        return flags
    flags += "O" if request.slots == 1 else f"O{request.slots}"
    return flags + ("W" if request.waits else "") + ("C" if request.cancels else "")


_KINDS = {
    ClaimKind.TICK: ("T", "R"),
    ClaimKind.START: ("", "S"),
    ClaimKind.TRIGGER: ("", ""),
    ClaimKind.RERUN: ("X", ""),
    ClaimKind.SURVEY: ("Q", "R"),
}


def claim_answers(reply: object, requests: Sequence[ClaimRequest]) -> tuple[int, list[ClaimAnswer]]:
    """Return the server's time (microseconds since the epoch) and an answer for each of ``requests``.

    Raises:
        UnexpectedReplyError: the reply is not one of ``claim.lua``.
    """
    if not isinstance(reply, list | tuple) or len(reply) < 2:
        raise UnexpectedReplyError(f"{reply!r:.80} is no answer to claims")
    now_us, letters = integer(reply[0]), _letters(reply[1], len(requests))
    if len(reply) != 2 + 4 * letters.count("?"):
        raise UnexpectedReplyError(f"{reply!r:.80} is no answer to {len(requests)} claims")
    won = taken = _LATE
    rest = iter(reply[2:])
    answers = []
    for letter, request in zip(letters, requests, strict=True):
        if letter == "w":
            newest_us = request.tick_us if request.one_server and request.kind is ClaimKind.TICK else 0
            if won is _LATE or won.newest_us != newest_us:  # else one value serves all
                won = ClaimAnswer(Verdict.WON, fence=now_us, newest_us=newest_us)
            answers.append(won)
        elif letter == "e":
            if taken is _LATE or taken.newest_us != request.tick_us:
                taken = ClaimAnswer(Verdict.ELSEWHERE, newest_us=request.tick_us)
            answers.append(taken)
        elif letter == "?":
            answers.append(_answer(*islice(rest, 4)))
        elif letter == "l":
            answers.append(_LATE)
        else:
            raise UnexpectedReplyError(f"{letter!r} is no letter of an answer to claims")
    return now_us, answers


_LATE = ClaimAnswer(Verdict.LATE)


def _answer(name: object, value: object, newest: object, extra: object) -> ClaimAnswer:
    verdict = _VERDICTS.get(text(name))
    newest_us = integer(newest)
    attempt, open_us, slot = _attempts(extra)
    if verdict is None:
        raise UnexpectedReplyError(f"{name!r} is no verdict")
    if verdict is Verdict.WON:
        return ClaimAnswer(verdict, integer(value), newest_us, attempt=attempt, open_us=open_us, slot=slot)
    if verdict in _WAITING:
        wait = integer(value) / 1e6
        return ClaimAnswer(verdict, wait=wait, newest_us=newest_us, attempt=attempt, open_us=open_us)
    if verdict is Verdict.CORRUPT:
        return ClaimAnswer(verdict, detail=f"the {text(value)} key holds something foreign")
    detail = _DETAILS.get(verdict, "")
    return ClaimAnswer(verdict, newest_us=newest_us, detail=detail, attempt=attempt, open_us=open_us)


def _attempts(extra: object) -> tuple[int, tuple[int, ...], int]:
    """Return how often the tick was granted, the open ticks in order, and the slot that the grant has."""
    if type(extra) is int and 0 <= extra < MOST_SLOTS:  # of a job that is not run again
        return 1, (), extra
    try:
        attempt, *open_us = map(int, text(extra).split())
    except ValueError:
        raise UnexpectedReplyError(f"{extra!r:.80} is no list of open ticks") from None
    return attempt, tuple(sorted(open_us)), 0


_WAITING = {Verdict.EARLY, Verdict.ELSEWHERE, Verdict.OVERLAP}


_DETAILS = {
    Verdict.LOST_RECORD: "the store has lost the record of earlier ticks, or the lease of this claim's grant",
}


def renew_call(keys: Keys, leases: Sequence[Lease]) -> Call:
    """Return the call of ``renew.lua`` for one chunk."""
    names: list[str] = []
    argv: list[str | int] = []
    runs = _Runs(argv)
    terms: object = None
    for lease in leases:
        of_this = _renewed_terms_of(lease)
        if of_this != terms:
            terms = of_this
            suffixes = _begin_renewals(runs, lease)
        runs.add(f"{lease.owner}|{lease.fence}")
        names += keys.locks(lease.job, suffixes)
        if _is_heard(lease):
            names.append(keys.state(lease.job))
    runs.end()
    return names, argv


_renewed_terms_of = attrgetter("locks", "lock_ttl", "tick_us", "cancellable", "slots")


def _begin_renewals(runs: _Runs, lease: Lease) -> Sequence[str]:
    flags = ""
    suffixes: list[str] = []
    if LockType.OVERLAP in lease.locks:
        flags = "ON" if lease.slots else "O"
        suffixes.append(slot_suffix(lease.slots[0] if lease.slots else 0))
    if LockType.RUN in lease.locks:
        flags += "A"
        suffixes.append(suffix(LockType.RUN, lease.tick_us))
    if LockType.SERVER in lease.locks:
        flags += "R"
        suffixes += (suffix(LockType.SERVER), suffix(LockType.TICK))
    if _is_heard(lease):
        flags += "C"
    runs.begin(flags, milliseconds(lease.lock_ttl))
    return suffixes


def _is_heard(lease: Lease) -> bool:
    return lease.cancellable and LockType.OVERLAP in lease.locks


def renewals(reply: object, leases: Sequence[Lease]) -> list[Renewal]:
    """Return what became of ``leases``.

    Raises:
        UnexpectedReplyError: the reply is not one of ``renew.lua``.
    """
    found = [_RENEWALS.get(letter) for letter in _letters(reply, len(leases))]
    known = [renewal for renewal in found if renewal is not None]
    if len(known) != len(leases):
        raise UnexpectedReplyError(f"{reply!r:.80} says something else than what becomes of renewals")
    return known


def release_call(keys: Keys, leases: Sequence[Lease]) -> Call:
    """Return the call of ``release.lua`` for one chunk."""
    names: list[str] = []
    argv: list[str | int] = []
    runs = _Runs(argv)
    terms: object = None
    for lease in leases:
        of_this = _released_terms_of(lease)
        if of_this != terms:
            terms = of_this
            suffixes = _begin_releases(runs, lease)
        runs.add(lease.owner)
        names += keys.locks(lease.job, suffixes)
    runs.end()
    return names, argv


_released_terms_of = attrgetter("locks", "tick_us", "finished", "slots")


def _begin_releases(runs: _Runs, lease: Lease) -> Sequence[str]:
    suffixes = [suffix(lock, lease.tick_us) for lock in lease.locks if lock is not LockType.TICK]
    if LockType.OVERLAP in lease.locks and lease.slots:
        suffixes.remove(suffix(LockType.OVERLAP))
        suffixes += map(slot_suffix, lease.slots)
    count = len(suffixes)
    finished = lease.finished and LockType.RUN in lease.locks
    if finished:
        suffixes.append(suffix(LockType.OPEN))
    runs.begin(count, lease.tick_us if finished else "")
    return suffixes


def releases(reply: object, leases: Sequence[Lease]) -> list[bool]:
    """Return, for each of ``leases``, whether anything of it was freed.

    Raises:
        UnexpectedReplyError: the reply is not one of ``release.lua``.
    """
    letters = _letters(reply, len(leases))
    if not (letters.isascii() and letters.isdigit()):
        raise UnexpectedReplyError(f"{reply!r:.80} is no list of what was freed")
    return [letter != "0" for letter in letters]


def _letters(reply: object, count: int) -> str:
    letters = text(reply) if isinstance(reply, bytes | str) else ""
    if len(letters) != count:
        raise UnexpectedReplyError(f"{reply!r:.80} does not answer {count} questions")
    return letters


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
