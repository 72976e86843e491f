"""Owns in which order the nodes of a cluster ask for a tick, so that most need not ask at all.

    due ──first in order, or nobody is heard──────────────────────▶ ask
     │
     └─others─▶ wait ──heard that it was decided──▶ elsewhere
                  └────its turn comes, nothing heard──▶ ask

For each tick the nodes stand in another order. The first asks at once, the others wait to hear what came of it, each a
little longer than the one before. Nothing rests on the order, nor on hearing: who runs a tick is decided by its claim
alone. Nodes whose views differ ask once too often, or a little later; one that hears nothing asks for each tick.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import TYPE_CHECKING
from zlib import crc32

from asyncsched._claim import remember, retention
from asyncsched._clock import sleep
from asyncsched._store_health import skew_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from asyncsched._claim import Claim
    from asyncsched._job_state import JobState
    from asyncsched.protocols import Attendance, Clock, Store

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
    return ((crc32(job.encode()) + tick_us) * _ODD & _MASK) * nodes >> 64


class Turns:
    """One node's turns: it is there, knows who else is, and hears what was decided.

    Only nodes with the same ``on_one_server`` jobs stand in one order: one that lacks a job would never ask for it.

    Args:
        store: where the nodes meet, if it is one where they can.
        clock: the node's clock.
        node: the node's name.
        states: the node's jobs.
    """

    def __init__(self, store: Store, clock: Clock, node: str, states: Mapping[str, JobState]) -> None:
        self._store = store
        self._clock = clock
        self._node = f"{node}|{secrets.token_hex(4)}"
        self._states = states
        self._jobs = 0
        self._attendance: Attendance | None = None
        self._skew: float | None = None
        """As of the last time at which the others were told of this node, as they are once a second."""
        self._seen: object = None
        self._place, self._peers = 0, 1
        self._wanted = asyncio.Event()
        self.settle: Callable[[Claim], None]
        """Skips a claim of a tick that another node has."""

    def adopt(self, state: JobState) -> None:
        """Take part in the ticks of a job."""
        if takes_turns(state):
            self._jobs = self._jobs + _mark(state) & _MASK
            if self._attendance is None:
                attend = getattr(self._store, "attend", None)
                self._attendance = None if attend is None else attend(self._name, self.heard)
            if self._attendance is not None:
                self._wanted.set()

    def retire(self, state: JobState) -> None:
        """Take part in them no more."""
        if takes_turns(state):
            self._jobs = self._jobs - _mark(state) & _MASK

    def _name(self) -> str:
        """Return what this node goes by among the others: its group, and its own name."""
        self._skew = skew_of(self._clock, self._store)
        return f"{LATE if self._skew is not None and self._skew < -STEP else f'{self._jobs:x}'}|{self._node}"

    def wait(self, claim: Claim) -> float:
        """Return for how many seconds this node waits until it asks; 0: it does not."""
        attendance, state = self._attendance, claim.state
        if attendance is None or not (claim.is_tick and takes_turns(state) and attendance.hears):
            return 0.0
        if state.overlap_lock is not None and state.overlap_lock.locked():
            return 0.0  # it will not ask at all
        if attendance.nodes is not self._seen:
            self._look_round(attendance)
        wait = wait_of(
            (self._place - first_of(state.job.name, claim.run.fire_us, self._peers)) % self._peers, self._peers
        )
        if not wait or self._skew is None:
            return 0.0
        # counted from the tick by the clock that all nodes follow: who comes late has waited already
        left = min(wait, claim.run.fire_us / 1e6 + wait - self._clock.time() + self._skew)
        is_over = claim.give_up_at is not None and self._clock.monotonic() + left >= claim.give_up_at
        return 0.0 if left <= 0.0 or is_over else left

    def _look_round(self, attendance: Attendance) -> None:
        """Find this node's place among those of its group: alone, if it is not there yet."""
        self._seen = attendance.nodes
        name = self._name()
        group = name.partition("|")[0] + "|"
        peers = [each for each in attendance.nodes if each.startswith(group)]
        self._place, self._peers = (peers.index(name), len(peers)) if name in peers else (0, 1)

    def heard(self, job: str, tick_us: int) -> None:
        """Take in that a tick of a job was decided, as an answer to a claim of it would tell."""
        state = self._states.get(job)
        if state is None or self._skew is None:
            return
        now = self._clock.time()
        if tick_us > (now - self._skew) * 1e6 + FURTHEST_AHEAD_US:
            return
        gap_us = 0 if state.next_us is None else state.next_us - tick_us
        remember(state, tick_us, retention(state.settings, gap_us), now)
        claim = state.claims[0] if state.claims else None
        if claim is not None and claim.timer is not None and claim.is_elsewhere:
            self.settle(claim)

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


def _mark(state: JobState) -> int:
    return crc32(state.job.name.encode()) * _ODD
