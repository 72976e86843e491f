"""Owns the question what became of each tick: for the cluster as a whole, and on each node.

    ran                   some node ran it
    overlap, lock_lost,   some node says so: it had won the tick, or used it up
    cancelled
    store_unavailable,    some node says so, and nobody else had it
    shutting_down, missed
    overtaken             all nodes that lived when it came due were late, and one that was born later ran a newer one
    lost_with_its_node    a node that was killed may have won it, and nothing else explains it
    UNEXPLAINED           a fault of the library, or of this harness

Every node that comes late to a tick says ``elsewhere``. If it says that before the next tick was due, somebody must
have decided this very one, as no newer one could have been: then it is no explanation that some node has *missed* it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from _history import History
from _jobs import JobSpec
from _records import Booking

RAN, OVERTAKEN, CRASH, UNEXPLAINED = "ran", "overtaken", "lost_with_its_node", "UNEXPLAINED"
DECIDED = ("overlap", "lock_lost", "cancelled", "failed", "paused")
UNDECIDED = ("store_unavailable", "shutting_down")
EARLY = 0.011
"""Seconds before its fire time from which a tick may be claimed: 10 ms by Redis' clock."""
CLAIM_PATIENCE = 4.0
"""Seconds, beyond the next tick, for which a node may have been trying to claim a tick when it was killed: the faults
of Redis last no longer."""
NEWBORN = 0.5
"""Seconds after a node's birth in which its first tick may still lie ahead of one that is due: its own clock may be
ahead, and it has not heard from Redis yet."""
SETTLE, UNSETTLE = 6.0, 9.0
"""Seconds after a node's start, and before its end, in which its own account is not looked at: its clock may be wrong
by some seconds, and it may be frozen."""


@dataclass
class Account:
    """What became of the ticks."""

    fates: Counter[str] = field(default_factory=Counter)
    """Of the ticks that exactly one node runs."""
    given_up: list[tuple[str, int]] = field(default_factory=list)
    """Job and tick of those that were skipped as ``store_unavailable``, in order."""
    unexplained: list[str] = field(default_factory=list)
    booked: int = 0
    """Ticks on nodes that were looked at."""
    unbooked: list[str] = field(default_factory=list)
    """Ticks on nodes of which the node never said what became of them."""
    booked_twice: list[str] = field(default_factory=list)
    given_up_ahead: int = 0
    """Ticks that a node gave up before they were due, because its clock was ahead and it had never heard the store's.
    Those that are still to come when it hears it come due again, by the store's clock; then only that counts."""


def account(history: History) -> Account:
    """Say of each tick in the window what became of it."""
    result = Account()
    said, ran = _said(history), {(run.job, run.tick_us) for run in history.runs}
    for spec in history.jobs:
        if not spec.on_one_server:
            continue
        for tick_us in spec.ticks_us(history.since, history.until):
            words = said.get((spec.name, tick_us), [])
            fate = RAN if (spec.name, tick_us) in ran else _fate(history, spec, tick_us, words)
            result.fates[fate] += 1
            if fate == "store_unavailable":
                result.given_up.append((spec.name, tick_us))
            if fate == UNEXPLAINED:
                result.unexplained.append(f"{spec.name} tick={tick_us} {_shown(words)}")
    _account_of_nodes(history, result)
    return result


def _said(history: History) -> dict[tuple[str, int], list[Booking]]:
    said = defaultdict(list)
    for booking in _bookings(history):
        said[booking.job, booking.tick_us].append(booking)
    return said


def _bookings(history: History) -> Iterator[Booking]:
    """Yield what nodes said of ticks, with each missed one by itself."""
    yield from history.records.bookings
    specs = history.specs()
    for missed in history.records.missed:
        for tick_us in specs[missed.job].ticks_us(missed.first_us / 1e6, missed.last_us / 1e6):
            yield Booking(missed.node, missed.job, tick_us, "missed", missed.at)


def _fate(history: History, spec: JobSpec, tick_us: int, said: Sequence[Booking]) -> str:
    """Return what became of a tick that nobody ran."""
    words = {booking.word for booking in said}
    for word in (*DECIDED, *UNDECIDED):
        if word in words:
            return word
    next_at = tick_us / 1e6 + spec.interval - EARLY
    was_decided = any(booking.word == "elsewhere" and booking.at < next_at for booking in said)
    if "missed" in words and not was_decided:
        return "missed"
    if _was_overtaken(history, spec, tick_us, said):
        return OVERTAKEN
    return CRASH if _may_have_died_with(history, spec, tick_us, said) else UNEXPLAINED


def _was_overtaken(history: History, spec: JobSpec, tick_us: int, said: Sequence[Booking]) -> bool:
    """Return whether a newborn node, which owes no account of the tick, was granted a newer one before anybody asked
    for this one. (A fence is never lower than Redis' time at the grant, in microseconds. Of a grant whose run never
    began, only the tick is known.)"""
    asked_at = min((booking.at for booking in said if booking.word == "elsewhere"), default=0.0)
    nodes = {
        run.node
        for run in history.runs
        if run.job == spec.name and run.tick_us > tick_us and run.attempt == 1 and run.fence / 1e6 <= asked_at
    } | {
        each.node
        for each in history.records.bookings
        if each.job == spec.name and each.word in DECIDED and tick_us < each.tick_us <= (asked_at + EARLY) * 1e6
    }
    return any(
        tick_us / 1e6 < history.records.lives[node].born + NEWBORN
        and not any(run.node == node and run.job == spec.name and run.tick_us <= tick_us for run in history.runs)
        and node not in {booking.node for booking in said}
        for node in nodes
    )


def _may_have_died_with(history: History, spec: JobSpec, tick_us: int, said: Sequence[Booking]) -> bool:
    """Return whether a node that was killed may have won the tick: it lived, and did not say otherwise."""
    accounted = {booking.node for booking in said}
    due_at = tick_us / 1e6 - EARLY
    return any(
        due_at <= died_at <= due_at + spec.interval + CLAIM_PATIENCE
        and node not in accounted
        and history.records.lives[node].born <= due_at + spec.interval
        for node, died_at in history.deaths.items()
    )


def _account_of_nodes(history: History, result: Account) -> None:
    """Look for ticks that a node passed over in silence, or spoke of twice."""
    booked: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    ahead: dict[tuple[str, str], set[int]] = defaultdict(set)
    first_answers = _first_answers(history)
    for booking in _bookings(history):
        if _is_ahead(booking, first_answers):
            ahead[booking.node, booking.job].add(booking.tick_us)
            result.given_up_ahead += 1
        elif booking.attempt == 1:  # a run again is booked beside what the node said of the tick before
            booked[booking.node, booking.job][booking.tick_us] += 1
    for life in history.records.lives.values():
        ended_at = min(history.deaths.get(life.node, history.until), history.stops.get(life.node, history.until))
        for spec in history.jobs:
            times, given_up = booked[life.node, spec.name], ahead[life.node, spec.name]
            ticks = list(spec.ticks_us(life.born + SETTLE, ended_at - UNSETTLE))
            silent = [tick for tick in ticks if tick not in times and tick not in given_up]
            twice = [tick for tick, number in times.items() if number > 1]
            result.booked += len(ticks)
            result.unbooked += [f"{life.node} {spec.name} tick={tick}" for tick in silent]
            result.booked_twice += [f"{life.node} {spec.name} tick={tick}" for tick in twice]


def _first_answers(history: History) -> dict[str, float]:
    """Return when each node first booked a tick as Redis had decided it: before, it may not know Redis' time."""
    specs, first = history.specs(), dict[str, float]()
    for booking in history.records.bookings:
        if specs[booking.job].is_guarded and booking.word not in UNDECIDED:
            first[booking.node] = min(booking.at, first.get(booking.node, booking.at))
    return first


def _is_ahead(booking: Booking, first_answers: dict[str, float]) -> bool:
    """Return whether a node gave a tick up that had not come, by a clock that it could not know to be wrong."""
    has_heard = booking.at > first_answers.get(booking.node, float("inf"))
    return booking.word in ("store_unavailable", "missed") and not has_heard and booking.at < booking.tick_us / 1e6


def _shown(said: Sequence[Booking]) -> str:
    return " ".join(f"{booking.node}:{booking.word}@{booking.at:.3f}" for booking in said) or "nobody says anything"
