"""Owns pausing with a note: who has paused a job, or begun the maintenance, and why. The pause counts, the note is
beside it: where there is nowhere to keep it, nothing fails."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from asyncsched.exceptions import ConfigurationError, StoreUnavailableError

if TYPE_CHECKING:
    from asyncsched.protocols import Clock, Store


async def set_paused(store: Store, clock: Clock, job: str, paused: bool, *, by: str, why: str) -> None:
    """Pause or resume a job, or ``*``, and note who has done so, and why.

    Raises:
        StoreUnavailableError: the store did not take the pause.
    """
    await store.set_paused(job, paused)
    board = getattr(store, "board", None)
    if board is None:
        return
    from asyncsched._record_texts import note_text

    now = store.time()
    at_us = round((clock.time() if now is None else now) * 1e6)
    with suppress(StoreUnavailableError):
        await board.set_note(job, note_text(by, why, at_us) if paused else None)


def checked_words(value: object, *, what: str) -> str:
    """Return what somebody says, or who it is.

    Raises:
        ConfigurationError: it is no string.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{what}: {value!r} is not a string")
    return value
