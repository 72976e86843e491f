"""Owns what is known of the store's health: each outage is said once when it begins and once when it ends."""

from __future__ import annotations

from collections.abc import Callable

from asyncsched.exceptions import StoreUnavailableError
from asyncsched.protocols import Clock, Timer

QUIET = 5.0
"""Seconds after which a failure of one kind of operation no longer counts, when another kind is answered: a job that
claims once a day must not keep an outage on until its next claim."""


class Outage:
    """Tells the begin and the end of an outage, whoever notices them first and however often.

    It lasts while any kind of operation that failed has not been answered since: a store that answers a refresh and
    refuses every claim is one outage, not one a second.
    """

    def __init__(
        self, clock: Clock, on_lost: Callable[[StoreUnavailableError], None], on_recovered: Callable[[float], None]
    ) -> None:
        self._clock = clock
        self._on_lost = on_lost
        self._on_recovered = on_recovered
        self._since = 0.0
        self._answered_at = 0.0
        self._failed_at: dict[str, float] = {}
        self._timer: Timer | None = None

    @property
    def is_on(self) -> bool:
        """Whether the store was last seen not to answer."""
        return bool(self._failed_at)

    @property
    def lasts_for(self) -> float | None:
        """Seconds since the store was first seen not to answer; ``None``: it answers."""
        return self._clock.monotonic() - self._since if self.is_on else None

    def noticed(self, operation: str, error: StoreUnavailableError) -> None:
        """Say that the store did not answer an operation of this kind."""
        was_on, now = self.is_on, self._clock.monotonic()
        if not was_on:
            self._since = now  # before it is on: another thread may ask
        self._failed_at[operation] = now
        if not was_on:
            self._on_lost(error)

    def noticed_in_part(self, operation: str, why: str) -> None:
        """Say that the store did not answer a part of an operation of this kind.

        Which part that was is not known here, and the next operation may well concern others: so no answer ends it.
        It counts until it was not repeated for ``QUIET`` seconds.
        """
        self.noticed(f"{operation}, in part", StoreUnavailableError(why))

    def ended(self, operation: str) -> None:
        """Say that the store has answered an operation of this kind."""
        if self._failed_at:
            self._answered_at = self._clock.monotonic()
            self._failed_at.pop(operation, None)
            self._look()

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Forget the failures that an answer of another kind has followed, and that were not repeated for long."""
        self.close()
        now = self._clock.monotonic()
        self._failed_at = {
            operation: at for operation, at in self._failed_at.items() if now < at + QUIET or self._answered_at < at
        }
        if self._failed_at:
            self._timer = self._clock.call_later(QUIET, self._look)
        else:
            self._on_recovered(now - self._since)
