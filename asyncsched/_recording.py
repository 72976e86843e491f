"""Owns whether a scheduler reports to the board of its store, and for how long: from each start to its end. Loads what
that needs only if it does."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from asyncsched._durations import Duration, seconds
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncsched._accounting import Ledger
    from asyncsched._engine import Engine
    from asyncsched._logs import SafeLogger
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Clock, Store

MOST_HISTORY = 10_000
HISTORY_FOR = timedelta(days=30)


class Recording:
    """What one scheduler wants to be known of itself.

    Raises:
        ConfigurationError: a value breaks its rule.
    """

    def __init__(self, history: object, history_for: Duration, environment: str) -> None:
        if isinstance(history, bool) or not isinstance(history, int) or not 0 <= history <= MOST_HISTORY:
            raise ConfigurationError(f"history: {history!r} is not a whole number from 0 to {MOST_HISTORY}")
        self._history = history
        self._history_for = seconds(history_for, what="history_for", at_least=60)
        self._environment = environment
        self._detach: dict[Engine, Callable[[], Awaitable[None]]] = {}

    def start(
        self, engine: Engine, store: Store, clock: Clock, logger: SafeLogger, ledger: Ledger, beside: SideTasks
    ) -> None:
        """Report of an engine that starts, if that is wanted and the store has a board."""
        board = getattr(store, "board", None)
        if not self._history or board is None:
            ledger.recorder = None
            return
        from asyncsched._orders import Orders
        from asyncsched._recorder import Recorder

        orders = Orders(engine, board, store, clock, logger, beside)
        ledger.recorder = recorder = Recorder(
            engine,
            store,
            clock,
            logger,
            environment=self._environment,
            version=sys.modules["asyncsched"].__version__,
            history=self._history,
            history_for=self._history_for,
            on_orders=orders.heard,
        )
        self._detach[engine] = board.attach(recorder)

    async def stop(self, engine: Engine) -> None:
        """Report of it no more."""
        detach = self._detach.pop(engine, None)
        if detach is not None:
            await detach()
