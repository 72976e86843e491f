"""Owns in which order the nodes of a cluster ask for a tick, so that most need not ask at all.

    due ──first in order, or nobody is heard──────────────────────▶ ask
     │
     └─others─▶ wait ──heard that it was decided──────────────────▶ elsewhere
                  └────its turn comes, or a newer tick is due─────▶ ask

For each tick the nodes stand in another order. The first asks at once, the others wait to hear what came of it, each a
little longer than the one before. Nothing rests on the order, nor on hearing: who runs a tick is decided by its claim
alone. Nodes whose views differ ask once too often, or a little later; one that hears nothing asks for each tick.

Most ticks on most nodes only wait and hear. So nothing is made for them, neither a run nor a claim, before they are
asked for.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from functools import partial
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from asyncsched._clock import sleep
from asyncsched._grants import ClaimKind
from asyncsched._job_state import JobState
from asyncsched._run import SkipReason
from asyncsched._store_health import skew_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncsched._accounting import Ledger
    from asyncsched._claim import Claim
    from asyncsched.protocols import Attendance, Clock, Store, Timer

ASKED_AHEAD_US = 7_000
"""Microseconds before its tick at which a job is claimed that may be: a store refuses from 10 ms on."""
STEP = 0.02
"""Seconds between the turns of the first nodes in order: long enough to hear of a claim that nothing held up."""
SUCCESSORS = 3
"""Nodes that follow the first one step by step."""
LAST_FROM, LAST = 0.1, 0.15
"""Seconds after a tick between which all further nodes have their turns, evenly spread."""
FURTHEST_AHEAD_US = 1_000_000
"""Microseconds ahead of the store's time from which a tick cannot have been decided, whatever the news say."""
FIRST_RETRY, LONGEST_RETRY = 1.0, 30.0
"""Seconds after which a node tries again to hear; each is drawn from the upper half of its range."""
LATE = "late"
"""The group of nodes whose clock is behind: in nobody's order."""

_ODD, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1


def wait_of(rank: int, nodes: int) -> float:
    """Return how many seconds after a tick a node has its turn: ``rank`` stand before it, of ``nodes`` in all."""
    if rank <= SUCCESSORS:
        return rank * STEP
    return LAST_FROM + (LAST - LAST_FROM) * (rank - SUCCESSORS) / (nodes - 1 - SUCCESSORS)


def first_of(job: str, tick_us: int, nodes: int) -> int:
    """Return the place of the node that asks first, the same on every node; over many ticks each comes as often."""
    return ((crc32(job.encode()) + _mark_of(tick_us)) * _ODD & _MASK) * nodes >> 64


def _mark_of(tick_us: int) -> int:
    """Return what a tick adds to the order. (Not its instant: of jobs of every second, one node would be first for many
    ticks in a row.)"""
    return crc32(b"%d" % tick_us)


class Asker(Protocol):
    """What carries out what becomes of a tick that had to wait."""

    def ask(self, state: JobState, tick_us: int, late_by: float) -> None:
        """Ask for a tick whose turn has come."""
        ...

    def told(self, claim: Claim) -> None:
        """Take in that more is remembered of the job whose claim is under way."""
        ...


class Wait:
    """Ticks of one instant that wait for the same turn of this node."""

    __slots__ = ("late_by", "left", "since", "states", "tick_us", "timer")

    timer: Timer

    def __init__(self, states: Sequence[JobState], tick_us: int, late_by: float, since: float) -> None:
        self.states = states
        self.tick_us = tick_us
        self.late_by = late_by
        """Seconds by which they were noticed late, at ``since``."""
        self.since = since
        """Monotonic seconds."""
        self.left = len(states)
        """How many of them wait still."""


class Turns:
    """One node's turns: it is there, knows who else is, and hears what was decided.

    Only nodes with the same ``on_one_server`` jobs stand in one order: one that lacks a job would never ask for it.

    Args:
        store: where the nodes meet, if it is one where they can.
        clock: the node's clock.
        node: the node's name.
        states: the node's jobs.
        ledger: is told of ticks that another node has.
    """

    def __init__(self, store: Store, clock: Clock, node: str, states: Mapping[str, JobState], ledger: Ledger) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._node = f"{node}|{secrets.token_hex(4)}"
        self._states = states
        self._jobs = 0
        self._group: int | str = ""
        self._full_name = ""
        self._attendance: Attendance | None = None
        self._skew: float | None = None
        """As of the last time at which the others were told of this node, as they are once a second."""
        self._seen: object = None
        self._place, self._peers = 0, 1
        self._wanted = asyncio.Event()
        self._taking: dict[JobState, int] = {}
        """The jobs at whose ticks the nodes take turns, each with what its name adds to their order."""
        self._waits: set[Wait] = set()
        self.asker: Asker

    @property
    def nodes(self) -> int:
        """How many nodes are there, this one included; 0: not known."""
        return 0 if self._attendance is None else len(self._attendance.nodes)

    def adopt(self, state: JobState) -> None:
        """Take part in the ticks of a job."""
        if takes_turns(state):
            mark = self._taking[state] = crc32(state.name.encode())
            self._jobs = self._jobs + mark * _ODD & _MASK
            if self._attendance is None:
                attend = getattr(self._store, "attend", None)
                self._attendance = None if attend is None else attend(self._name, self.heard)
            if self._attendance is not None:
                self._wanted.set()

    def retire(self, state: JobState) -> None:
        """Take part in them no more."""
        mark = self._taking.pop(state, None)
        if mark is not None:
            self._jobs = self._jobs - mark * _ODD & _MASK

    def _name(self) -> str:
        """Return what this node goes by among the others: its group, and its own name."""
        self._skew = skew_of(self._clock, self._store)
        group = LATE if self._skew is not None and self._skew < -STEP else self._jobs
        if group != self._group:
            self._group = group
            self._full_name = f"{group if group is LATE else f'{group:x}'}|{self._node}"
        return self._full_name

    def take(self, states: Sequence[JobState], tick_us: int, late_by: float) -> Sequence[JobState]:
        """Return those jobs for whose tick this node asks now. The others wait for its turn, or for news."""
        attendance = self._attendance
        if attendance is None or not attendance.hears:
            return states
        if attendance.nodes is not self._seen:
            self._look_round(attendance)
        if self._skew is None:
            return states
        place, peers, taking = self._place, self._peers, self._taking
        latest, tick_mark = late_by + LAST, _mark_of(tick_us)
        now, known = list[JobState](), list[JobState]()
        later: dict[int, list[JobState]] = {}
        for state in states:
            mark, grace, lock = taking.get(state), state.terms.grace, state.overlap_lock
            if (
                mark is None
                or state.claims
                or state.waiting is not None
                or (lock is not None and lock.locked())
                or (grace is not None and latest >= grace)
            ):  # behind an older one, where it would be too late afterwards, or where a run is in progress here
                now.append(state)
            elif tick_us <= state.remembered_us:
                known.append(state)
            elif rank := (place - (((mark + tick_mark) * _ODD & _MASK) * peers >> 64)) % peers:  # `first_of`
                later.setdefault(rank, []).append(state)
            else:
                now.append(state)
        for rank, group in later.items():
            self._wait(group, tick_us, wait_of(rank, peers), late_by)
        if known:
            self._skip(known, tick_us)
        return now

    def _wait(self, states: list[JobState], tick_us: int, wait: float, late_by: float) -> None:
        """Let ticks wait, counted from the tick by the clock that all nodes follow. A node that comes after its turn is
        busy, and so may the others be: it waits from now on, as asking for theirs, too, would make it later still."""
        assert self._skew is not None
        left = tick_us / 1e6 + wait - self._clock.time() + self._skew
        left = min(left, wait + ASKED_AHEAD_US / 1e6) if left > 0.0 else wait
        waiting = Wait(states, tick_us, late_by, self._clock.monotonic())
        waiting.timer = self._clock.call_later(left, partial(self._come, waiting))
        self._waits.add(waiting)
        for state in states:
            state.waiting = waiting

    def _come(self, waiting: Wait) -> None:
        """Ask in the event loop's next turn: what a busy node has to hear by now, it hears in this one."""
        asyncio.get_running_loop().call_soon(self._ask, waiting)

    def _ask(self, waiting: Wait) -> None:
        for state in waiting.states:
            if state.waiting is waiting:
                self.wait_no_longer(state)

    def wait_no_longer(self, state: JobState) -> None:
        """Ask for a job's tick that waits, if one does: as long as it is not known whose it is, nothing else of the job
        can be asked for."""
        waiting = state.waiting
        if waiting is not None:
            self._forget(state, waiting)
            self.asker.ask(state, waiting.tick_us, waiting.late_by + self._clock.monotonic() - waiting.since)

    def _forget(self, state: JobState, waiting: Wait) -> None:
        state.waiting = None
        waiting.left -= 1
        if not waiting.left:
            waiting.timer.cancel()
            self._waits.remove(waiting)

    def _skip(self, states: Sequence[JobState], tick_us: int) -> None:
        """Skip a tick that another node has."""
        for state in states:
            if state.decided_us < tick_us:
                state.decided_us = tick_us
        self._ledger.elsewhere(states, tick_us)

    def close(self) -> None:
        """Give up what waits."""
        for waiting in tuple(self._waits):
            for state in waiting.states:
                if state.waiting is waiting:
                    self._forget(state, waiting)
                    state.decided_us = max(state.decided_us, waiting.tick_us)
                    self._ledger.skipped(state, waiting.tick_us, SkipReason.SHUTTING_DOWN, ClaimKind.TICK)

    def _look_round(self, attendance: Attendance) -> None:
        """Find this node's place among those of its group: alone, if it is not there yet."""
        self._seen = attendance.nodes
        name = self._name()
        group = name.partition("|")[0] + "|"
        peers = [each for each in attendance.nodes if each.startswith(group)]
        self._place, self._peers = (peers.index(name), len(peers)) if name in peers else (0, 1)

    def heard(self, jobs: Sequence[str], tick_us: int) -> None:
        """Take in that a tick of some jobs was decided, as an answer to a claim of it would tell."""
        now = self._clock.time()
        if self._skew is None or tick_us > (now - self._skew) * 1e6 + FURTHEST_AHEAD_US:
            return
        find, waited = self._states.get, list[JobState]()
        for job in jobs:
            state = find(job)
            if state is None or tick_us <= state.remembered_us:
                continue
            gap_us = 0 if state.next_us is None else state.next_us - tick_us
            if not gap_us and state.last_us:  # it has not come due here yet
                gap_us = tick_us - state.last_us
            state.remembered_us, state.remembered_until = tick_us, now + state.terms.kept_for(gap_us)
            waiting = state.waiting
            if waiting is None:
                if state.claims:
                    self.asker.told(state.claims[0])
            elif waiting.tick_us == tick_us:
                self._forget(state, waiting)
                waited.append(state)
            elif waiting.tick_us < tick_us:
                self._forget(state, waiting)
                self._skip([state], waiting.tick_us)
        if waited:
            self._skip(waited, tick_us)

    async def hearing(self) -> None:
        """Hear what is decided, for ever."""
        await self._wanted.wait()
        retry = FIRST_RETRY
        while True:
            has_heard = self._attendance is not None and await self._attendance.hear()
            retry = FIRST_RETRY if has_heard else min(2 * retry, LONGEST_RETRY)
            await sleep(self._clock, random.uniform(retry / 2, retry))  # noqa: S311

    async def leave(self) -> None:
        """Take no more turns, and tell the others, who need not wait for this node."""
        attendance, self._attendance = self._attendance, None
        if attendance is not None:
            await attendance.leave()


def takes_turns(state: JobState) -> bool:
    """Return whether the nodes take turns at a job's ticks. One that is run again after a crash is asked for by each:
    what the answer says of open ticks, and when their leases end, must reach all."""
    job = state.job
    return job.is_on_one_server and job.trigger is not None and not job.max_attempts
