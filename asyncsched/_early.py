"""Owns grants that were asked for ahead of their tick, until it is due. Knows neither what a grant is good for, nor how
a run starts.

What is held is on its way, as if the answer had not arrived yet: a stop waits for it, and what is given up meanwhile
gives its lease back.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from asyncsched._clock import now_us, sleep
from asyncsched._grants import Verdict
from asyncsched._store_health import lag_us

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched._claim import Claim
    from asyncsched._grants import ClaimAnswer
    from asyncsched.protocols import Clock, Store

    Answered = tuple[Claim, ClaimAnswer]

LONGEST_HOLD_US = 10_000
"""Microseconds before its tick up to which a grant waits for that: further ahead, the clock was set back meanwhile."""
WON = Verdict.WON  # an enum's member is slow to look up


class EarlyGrants:
    """What one claimer holds back.

    Args:
        store, clock: say when a tick is due.
        take: takes in what is due, with the instant at which it was asked for (monotonic seconds).
    """

    def __init__(self, store: Store, clock: Clock, take: Callable[[Sequence[Answered], float], object]) -> None:
        self._store = store
        self._clock = clock
        self._take = take
        self._held: set[Claim] = set()

    def hold(self, answered: Sequence[Answered], sent_at: float) -> Sequence[Answered]:
        """Hold the grants whose tick is still to come, and return all the rest. (The answers have brought the store's
        time along: what this node's clock is ahead of it counts as of now.)"""
        due_us = now_us(self._clock) - lag_us(self._clock, self._store)
        last_us = due_us + LONGEST_HOLD_US
        rest: list[Answered] = []
        early: dict[int, list[Answered]] = {}
        for each in answered:
            claim, answer = each
            fire_us = claim.run.fire_us
            if due_us < fire_us <= last_us and answer.verdict is WON and claim.is_tick:
                early.setdefault(fire_us, []).append(each)
            else:
                rest.append(each)
        for fire_us, granted in early.items():
            for claim, _ in granted:
                claim.may_have_won = True  # so its lease goes back, if it is given up
                self._held.add(claim)
            self._clock.call_later((fire_us - due_us) / 1e6, partial(self._come_due, granted, sent_at))
        return rest

    def _come_due(self, granted: Sequence[Answered], sent_at: float) -> None:
        self._held.difference_update(claim for claim, _ in granted)
        self._take([each for each in granted if each[0] in (each[0].state.claims or ())], sent_at)

    async def wait(self) -> None:
        """Wait until nothing is held."""
        while self._held:
            await sleep(self._clock, LONGEST_HOLD_US / 1e6)
