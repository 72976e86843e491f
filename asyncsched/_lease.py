"""Owns leases while they are held: renews them, ends trust in them in time, and releases them afterwards.

Knows nothing of runs: to it, a holder is a callback that is told when its lease is lost.

    hold() ──▶ held ──every interval──▶ renew ──held───────▶ held
                │                         │
                │                         ├──superseded────▶ free (a newer tick has the key; the run goes on)
                │                         └──lost──────────▶ lost: told at once
                ├──trust window over─────────────────────▶ lost: told at once
                └──drop()──▶ releasing ──store answers───▶ free
                                       └─lock_ttl over───▶ free (the key has ended by itself; but that a tick
                                                           has finished is told however long it takes)

Trust ends at ``sent_at + lock_ttl - margin`` on the monotonic clock, counted from before the request was sent: so it
is over here before the key is over there, however long the answer took. A renewal and a release may cross each other
on the way: renewing never creates a key and releasing names the owner, so either order ends with the key gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from asyncsched._grants import Lease, LockType, Renewal
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from asyncsched._outage import Outage
    from asyncsched.protocols import Clock, Store, Timer

LONGEST_INTERVAL = 20.0
"""Seconds between renewals at most: also the time in which a lost key can go unnoticed."""
EARLY_SHARE = 0.1
"""Share of its interval by which a lease is renewed early, to be renewed together with others: many leases of many ages
cost ten calls an interval, not one each."""
HEARING_INTERVAL = 1.0
"""Seconds between renewals at most of a lease whose holder may be asked to end: that is heard with a renewal."""
RETRY_INTERVAL = 1.0
"""Seconds between tries of a renewal that was not answered."""
LONGEST_LINGER = 0.02
"""Seconds for which a release waits for claims to go along with, if they are due by then."""
_SERVER_ALONE = (LockType.SERVER,)
_RUN = LockType.RUN  # to look up a member of an enum costs several times as much
RELEASE_BACKOFF = (0.1, 2.0)
"""First and longest pause, in seconds, between tries of a release."""


def renewal_interval(lock_ttl: float) -> float:
    """Return the seconds between two renewals of a lease."""
    return min(lock_ttl / 3, LONGEST_INTERVAL)


def trust_window(lock_ttl: float) -> float:
    """Return for how many seconds, from sending, a lease may be trusted.

    The margin to the key's own end, 1 % but at least 2 s, covers a clock that runs at another rate and the time to
    stop a handler; of a short lease it takes no more than a fifth.
    """
    return lock_ttl - min(max(2.0, lock_ttl / 100), lock_ttl / 5)


@lru_cache(maxsize=64)
def _windows(lock_ttl: float, cancellable: bool) -> tuple[float, float]:
    interval = renewal_interval(lock_ttl)
    return trust_window(lock_ttl), min(interval, HEARING_INTERVAL) if cancellable else interval


def _interval_of(lease: Lease) -> float:
    return _windows(lease.lock_ttl, lease.cancellable)[1]


def _finished(lease: Lease) -> Lease:  # by position: `replace` takes six times as long, and most runs end by themselves
    return Lease(
        lease.job,
        lease.owner,
        lease.fence,
        lease.locks,
        lease.lock_ttl,
        lease.tick_us,
        True,
        lease.cancellable,
        lease.slots,
    )


@dataclass(eq=False, slots=True)
class HeldLease:
    """A lease in our hands."""

    lease: Lease
    on_lost: Callable[[str], None]
    """Told once, with the reason, if the lease ends before it is dropped."""
    valid_until: float
    """Monotonic seconds."""
    renew_at: float
    """Monotonic seconds; infinite while a renewal is under way."""
    on_unwanted: Callable[[], None] | None = None
    """Told, perhaps more than once, that a newer tick asks the holder to end."""


class PendingRelease(NamedTuple):
    """A lease on its way back."""

    lease: Lease
    until: float
    """Monotonic seconds: nothing is left to release then."""
    on_freed: Callable[[], None] | None
    """Told if the store still had something to free."""


@dataclass(eq=False)
class LeaseKeeper:
    """Keeps all leases of one scheduler. ``renewing`` and ``releasing`` are coroutines beside the scheduler's loop."""

    store: Store
    clock: Clock
    outage: Outage
    on_held: Callable[[float], None] = lambda _: None
    """Told the ``lock_ttl`` of each lease from when it is held."""
    claims_in: Callable[[], float] = lambda: float("inf")
    """Says in how many seconds something is claimed next, as far as is known."""
    _are_waited_for: bool = False
    """Whether any lease was held that others may wait for: then none lingers, as such a one could come behind it."""
    _held: set[HeldLease] = field(default_factory=set)
    _timer: Timer | None = None
    _timer_at: float = float("inf")
    _to_renew: list[HeldLease] = field(default_factory=list)
    _renew_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _releases: list[PendingRelease] = field(default_factory=list)
    _release_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _released_from: float = 0.0
    _release_timer: Timer | None = None
    _unanswered: list[PendingRelease] = field(default_factory=list)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def hold(self, lease: Lease, sent_at: float, on_lost: Callable[[str], None]) -> HeldLease:
        """Take charge of a lease that was asked for at ``sent_at`` (monotonic seconds)."""
        trusted_for, interval = _windows(lease.lock_ttl, lease.cancellable)  # the second is always the shorter one
        held = HeldLease(lease, on_lost, sent_at + trusted_for, sent_at + interval)
        if lease.locks != _SERVER_ALONE:
            self._are_waited_for = True
        self._held.add(held)
        self.on_held(lease.lock_ttl)
        if held.renew_at < self._timer_at:
            self._look_by(held.renew_at)
        return held

    def check(self, held: HeldLease, now: float | None = None) -> None:
        """Lose the lease now if its trust window is over: after a wait, a look at the clock beats a timer's. ``now``:
        monotonic seconds, if they have just been read."""
        if held.valid_until <= (self.clock.monotonic() if now is None else now) and held in self._held:
            self._lose(held, "it could not be renewed in time")

    def drop(self, held: HeldLease, *, finished: bool = True) -> None:
        """Let go of a lease whose holder has ended, and release it in the store; ``finished``: by itself."""
        self._held.discard(held)
        if not self._held and self._timer is not None:  # in simulated time, a look at nothing is an instant of its own
            self._timer.cancel()
            self._timer, self._timer_at = None, float("inf")
        if finished and _RUN in held.lease.locks:
            # the key ends by itself, but nothing else tells that the tick has finished: it would be run again
            self._releases.append(PendingRelease(_finished(held.lease), float("inf"), None))
            self._release_wanted.set()
        else:
            self.give_back(held.lease)

    def give_back(self, lease: Lease, on_freed: Callable[[], None] | None = None) -> None:
        """Release a lease, however often the store must be asked until it answers, or the lease has ended."""
        if not self._releases:  # those that wait together count from the first one
            self._released_from = self.clock.monotonic()
        self._releases.append(PendingRelease(lease, self._released_from + lease.lock_ttl, on_freed))
        self._release_wanted.set()

    def shortest_ttl(self) -> float | None:
        """Return the ``lock_ttl`` of the shortest lease that is held; ``None``: none is."""
        return min((held.lease.lock_ttl for held in self._held), default=None)

    # Deciding: which leases are due, which are over

    def _look_by(self, at: float) -> None:
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self.clock.call_later(at - self.clock.monotonic(), self.look)

    def look(self) -> None:
        """Lose what may no longer be trusted, and send off what is due for renewal."""
        now = self.clock.monotonic()
        self._timer, self._timer_at = None, float("inf")
        for held in tuple(self._held):
            self.check(held, now)
        due = [held for held in self._held if held.renew_at - EARLY_SHARE * _interval_of(held.lease) <= now]
        for held in due:
            held.renew_at = float("inf")
        if due:
            self._to_renew += due
            self._renew_wanted.set()
        if self._held:
            self._look_by(min(min(held.renew_at, held.valid_until) for held in self._held))

    def _lose(self, held: HeldLease, why: str) -> None:
        self._held.discard(held)
        held.on_lost(why)

    # Acting: what the store is asked

    async def renewing(self) -> None:
        """Renew what is due, all of it in one call, for ever."""
        while True:
            await self._renew_wanted.wait()
            self._renew_wanted.clear()
            due, self._to_renew = [held for held in self._to_renew if held in self._held], []
            if due:
                await self._renew(due)

    async def _renew(self, due: list[HeldLease]) -> None:
        sent_at = self.clock.monotonic()
        try:
            answers = await self.store.renew([held.lease for held in due])
        except StoreUnavailableError as error:
            self.outage.noticed("renew", error)
            for held in due:
                self._renew_soon(held)
            return
        if Renewal.UNDECIDED in answers:
            self.outage.noticed_in_part("renew", "a part of it does not answer renewals")
        self.outage.ended("renew")
        for held, answer in zip(due, answers, strict=True):
            self._renewed(held, answer, sent_at)

    def _renewed(self, held: HeldLease, answer: Renewal, sent_at: float) -> None:
        if held not in self._held:
            return  # dropped while the renewal was under way
        if answer in (Renewal.HELD, Renewal.UNWANTED):
            trusted_for, interval = _windows(held.lease.lock_ttl, held.lease.cancellable)
            held.valid_until = sent_at + trusted_for
            self._renew_again(held, sent_at + interval)
            if answer is Renewal.UNWANTED and held.on_unwanted is not None:
                held.on_unwanted()
        elif answer is Renewal.SUPERSEDED:
            self._held.discard(held)
        elif answer is Renewal.UNDECIDED:
            self._renew_soon(held)
        else:
            self._lose(held, "its key is gone or another's")

    def _renew_soon(self, held: HeldLease) -> None:
        interval = renewal_interval(held.lease.lock_ttl)
        self._renew_again(held, self.clock.monotonic() + min(RETRY_INTERVAL, interval / 4))

    def _renew_again(self, held: HeldLease, at: float) -> None:
        held.renew_at = at
        self._look_by(min(at, held.valid_until))

    async def releasing(self) -> None:
        """Release what was dropped, all of it in one call, for ever.

        What was not answered is asked for again after longer and longer pauses. What comes meanwhile does not wait for
        that: another part of the store may answer it.
        """
        first, longest = RELEASE_BACKOFF
        pause = first
        while True:
            await self._release_wanted.wait()
            await self._release_ready()
            if not self._unanswered:
                pause = first
            elif self._release_timer is None:
                self._release_timer = self.clock.call_later(pause, self._release_again)
                pause = min(pause * 2, longest)

    def _release_again(self) -> None:
        self._release_timer = None
        self._releases += self._unanswered
        self._unanswered = []
        self._release_wanted.set()

    async def release_pending(self) -> bool:
        """Ask the store once to release all that is pending; return whether it answered, for all of it."""
        self._release_again()
        await self._release_ready()
        return self.pending_releases == 0

    async def _release_ready(self) -> None:
        self._release_wanted.clear()
        now = self.clock.monotonic()
        batch, self._releases = [pending for pending in self._releases if pending.until > now], []
        if not batch:
            return
        freed: Sequence[bool | None] = [None] * len(batch)
        try:
            freed = await self._release([pending.lease for pending in batch])
        except StoreUnavailableError as error:
            self.outage.noticed("release", error)
        else:
            if None in freed:
                self.outage.noticed_in_part("release", "a part of it does not answer releases")
            self.outage.ended("release")
        finally:  # whoever asks next asks for these too
            self._unanswered += [pending for pending, was_held in zip(batch, freed, strict=True) if was_held is None]
        for pending, was_held in zip(batch, freed, strict=True):
            if was_held and pending.on_freed is not None:
                pending.on_freed()

    async def _release(self, leases: Sequence[Lease]) -> Sequence[bool | None]:
        """Release leases, with the claims that go within a moment if that is no loss: a newer tick takes ``server``
        from a run that has it, and nobody waits for it."""
        along = getattr(self.store, "release_along", None)
        are_waited_for = self._are_waited_for or any(lease.locks != _SERVER_ALONE for lease in leases)
        if along is None or are_waited_for or self.claims_in() > LONGEST_LINGER:
            return await self.store.release(leases)
        freed: Sequence[bool | None] = await along(leases, LONGEST_LINGER)
        return freed

    def close(self) -> None:
        """Look no more: what is still held ends by itself, unless it is dropped before."""
        self._held.clear()
        for timer in (self._timer, self._release_timer):
            if timer is not None:
                timer.cancel()

    @property
    def pending_releases(self) -> int:
        """Leases that the store has not yet been heard to release."""
        return len(self._releases) + len(self._unanswered)
