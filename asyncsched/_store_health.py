"""Owns what one node knows of its store's health: whether it answers, how the clocks differ, what is unsafe about it.

Each of these is said once when it begins, and once when it ends.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from asyncsched._lazy import LazyModule
from asyncsched._outage import Outage
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched import events
    from asyncsched._accounting import Ledger
    from asyncsched._events import EventBus
    from asyncsched._logs import SafeLogger
    from asyncsched.protocols import Clock, Store, Timer
else:
    events = LazyModule("asyncsched.events")

AHEAD_TOLERANCE = 0.004
"""Seconds by which a node's clock may be ahead of the store's before guarded jobs wait for that."""
LARGEST_SKEW = 1.0
"""Seconds by which a node's clock may differ from the store's before it is said."""
FORGIVEN_SKEW = 0.5
"""Seconds below which a difference that was said is over: a skew about the limit is said once, not each second."""
LEAD = 0.004
"""Seconds before guarded jobs are claimed next at which a refresh goes that is nearly due: so what is paused, and who
is there, is known as of now, and what both need is in the processor's caches by then."""
EARLY_SHARE = 0.1
"""Share of its interval by which a refresh comes early for that."""
FEW_NODES = 10
"""Nodes up to which they do so: of more, all together would keep the store busy when the tick comes."""


class StoreHealth:
    """Refreshes what the store tells, and says what is wrong with it."""

    def __init__(self, store: Store, clock: Clock, ledger: Ledger, logger: SafeLogger, bus: EventBus) -> None:
        self._store = store
        self._clock = clock
        self._ledger = ledger
        self._logger = logger
        self._bus = bus
        self._skew_was_said = False
        self._due = asyncio.Event()
        self._call: Timer | None = None
        self._early_from = self._due_at = float("inf")
        self.outage = Outage(clock, self._lost, self._recovered)
        self.has_looked = asyncio.Event()
        """Whether the store was asked once what is paused, if it has to be asked at all."""
        if store.refresh_interval is None:
            self.has_looked.set()

    async def refreshing(self, interval: float, on_refreshed: Callable[[], None]) -> None:
        """Refresh the store every ``interval`` seconds, for ever."""
        while True:
            try:
                unsafe = await self._store.refresh()
            except StoreUnavailableError as error:
                self.outage.noticed("refresh", error)
            else:
                self.outage.ended("refresh")
                for what in unsafe:
                    self._logger.warning("the store is not safe: %s", what)
                self._look_at_skew()
                on_refreshed()  # the store's clock may have been learnt, or corrected
            self.has_looked.set()
            await self._rest(interval)

    async def _rest(self, interval: float) -> None:
        """Wait until the next refresh."""
        self._due.clear()
        now = self._clock.monotonic()
        self._early_from, self._due_at = now + (1 - EARLY_SHARE) * interval, now + interval
        self._call = self._clock.call_later(interval, self._due.set)
        try:
            await self._due.wait()
        finally:
            self._early_from = float("inf")
            self._call.cancel()

    def expect(self, at_us: int, nodes: int) -> None:
        """Hear when guarded jobs are claimed next, by this node's clock; and how many nodes are there, 0: not known."""
        if not 0 < nodes <= FEW_NODES:
            return
        now = self._clock.monotonic()
        at = now + at_us / 1e6 - self._clock.time() - LEAD
        if self._early_from <= at < self._due_at and self._call is not None:
            self._call.cancel()
            self._due_at, self._call = at, self._clock.call_later(at - now, self._due.set)

    def _look_at_skew(self) -> None:
        skew = skew_of(self._clock, self._store) or 0.0
        if abs(skew) > LARGEST_SKEW and not self._skew_was_said:
            self._skew_was_said = True
            self._logger.warning(
                "this node's clock is %.1f s %s the store's: guarded jobs follow the store's; the others run at the "
                "wrong time",
                abs(skew),
                "ahead of" if skew > 0 else "behind",
            )
            if self._bus.is_heard and self._bus.wants(events.ClockSkewed):
                self._bus.emit(events.ClockSkewed(at=self._ledger.now(), node=self._ledger.node, skew=skew))
        elif abs(skew) < FORGIVEN_SKEW:
            self._skew_was_said = False

    def _lost(self, error: StoreUnavailableError) -> None:
        self._logger.error(
            "the store does not answer: %s; guarded jobs that need it are skipped, the others run on, until it does",
            error,
        )
        if self._bus.is_heard and self._bus.wants(events.StoreLost):
            self._bus.emit(events.StoreLost(at=self._ledger.now(), node=self._ledger.node, error=str(error)))

    def _recovered(self, outage_for: float) -> None:
        self._logger.warning("the store answers again after %.1f s", outage_for)
        if self._bus.is_heard and self._bus.wants(events.StoreRecovered):
            self._bus.emit(events.StoreRecovered(at=self._ledger.now(), node=self._ledger.node, outage_for=outage_for))


def skew_of(clock: Clock, store: Store) -> float | None:
    """Return by how many seconds a node's wall clock is ahead of the store's (negative: behind), if that is known."""
    store_time = store.time()
    return None if store_time is None else clock.time() - store_time


def lag_us(clock: Clock, store: Store) -> int:
    """Return how many microseconds after its fire time, by this node's clock, a tick of a guarded job is due: what that
    clock is ahead of the store's, less what is tolerated; 0 if it is not ahead."""
    skew = skew_of(clock, store)
    return 0 if skew is None else max(0, math.ceil((skew - AHEAD_TOLERANCE) * 1e6))
