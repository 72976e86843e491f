"""Owns the answer to those who restart a service, or send it requests: a frozen value, made from any thread."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncsched._accounting import Ledger
    from asyncsched._engine import Engine
    from asyncsched.protocols import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a scheduler does at one instant."""

    live: bool
    """Whether a restart would not help: its engine has not failed, and its event loop turns."""
    ready: bool
    """Whether it does all its work: it is live, runs, and its store answers."""
    reasons: tuple[str, ...]
    """Why it is not ready, in words; empty if it is."""
    state: str
    """``idle``, ``running``, ``draining``."""
    loop_silent_for: float
    """Seconds for which the event loop should have turned and did not; 0 while it does."""
    loop_lag: float
    """Seconds of the longest delay of the event loop within the last minute, measured once a second from the first
    call on."""
    store_lost_at: datetime | None
    """When the store was first seen not to answer, UTC; ``None``: it answered when it was last asked."""


def health_of(
    state: str, engine: Engine | None, failure: BaseException | None, store: Store, ledger: Ledger, stale_after: float
) -> Health:
    """Return how a scheduler does now; ``engine`` is ``None`` while it is idle, ``failure`` what ended the last one."""
    reasons = []
    if failure is not None:
        reasons.append(f"the engine failed: {type(failure).__name__}: {failure}")
    if state == "idle":
        reasons.append("the scheduler does not run")
    elif state == "draining":
        reasons.append("the scheduler is stopping")
    silent_for = loop_lag = 0.0
    lost_at = None
    if engine is not None:
        engine.pulse.want()
        silent_for, loop_lag = engine.pulse.silent_for, engine.pulse.lag
        if silent_for > stale_after:
            reasons.append(f"the event loop has not turned for {silent_for:.1f} s")
        if (lost_for := engine.outage.lasts_for) is not None:
            lost_at = ledger.now() - timedelta(seconds=lost_for)
            reasons.append(f"the store has not answered for {lost_for:.1f} s")
        elif store.refresh_interval is not None and store.time() is None:
            reasons.append("the store has not answered yet")
    return Health(
        live=failure is None and silent_for <= stale_after,
        ready=not reasons,
        reasons=tuple(reasons),
        state=state,
        loop_silent_for=silent_for,
        loop_lag=loop_lag,
        store_lost_at=lost_at,
    )
