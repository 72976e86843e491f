"""Owns what this node is asked to do from outside: a run now, the end of a run. Each order is carried out by one node,
once, or not at all.

    heard ──concerns this node──▶ taken ──▶ carried out ──▶ answered
                                    └─ another node was first: nothing
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING

from asyncsched._clock import sleep
from asyncsched._record_texts import answer_text, order_of, said_of
from asyncsched._records import OrderAnswer
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncsched._engine import Engine
    from asyncsched._logs import SafeLogger
    from asyncsched._records import Order
    from asyncsched._run import Run
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Board, Clock, Store

REMEMBERED_FOR = 120.0
"""Seconds for which an order is known again: no store keeps one as long."""
ANSWER_TRIES = 3
"""How often an answer is written, a second apart, to a store that does not take it."""


class Orders:
    """Carries out orders on one running scheduler."""

    def __init__(
        self, engine: Engine, board: Board, store: Store, clock: Clock, logger: SafeLogger, beside: SideTasks
    ) -> None:
        self._engine = engine
        self._board = board
        self._store = store
        self._clock = clock
        self._logger = logger
        self._beside = beside
        self._context = copy_context()
        self._known: dict[str, float] = {}
        """When each order was first heard, on the monotonic clock."""

    def heard(self, orders: Sequence[str]) -> None:
        """Begin with the open orders that this node can carry out. Those that it knows already are no news."""
        now = self._clock.monotonic()
        for order_id in [order_id for order_id, at in self._known.items() if now - at > REMEMBERED_FOR]:
            del self._known[order_id]
        for order in map(order_of, orders):
            if order is not None and order.order_id not in self._known and self._concerns(order):
                self._known[order.order_id] = now
                # in the scheduler's own context: who places an order in this process has another
                self._context.copy().run(self._beside.start, self._carry_out(order))

    def _concerns(self, order: Order) -> bool:
        if self._engine.is_stopping or order.node not in ("", self._engine.node) or self._is_over(order):
            return False
        if order.kind == "trigger":
            return order.job in self._engine.states
        return self._run_of(order) is not None

    def _is_over(self, order: Order) -> bool:
        now = self._store.time()
        return (self._clock.time() if now is None else now) * 1e6 > order.until_us

    def _run_of(self, order: Order) -> Run | None:
        return next((run for run in self._engine.executor.active if run.ids[0] == order.run_id), None)

    async def _carry_out(self, order: Order) -> None:
        try:
            if not await self._board.take_order(order.order_id):
                return
        except StoreUnavailableError:
            self._known.pop(order.order_id, None)  # if it stands there still, nobody has it: then it is heard again
            return
        try:
            answer = await self._answer(order)
        except Exception as error:
            self._logger.exception("an order of %s failed", order.by)
            answer = self._said("failed", detail=said_of(error))
        text = answer_text(answer)
        for _ in range(ANSWER_TRIES):
            with suppress(StoreUnavailableError):
                await self._board.answer_order(order.order_id, text)
                return
            await sleep(self._clock, 1.0)

    async def _answer(self, order: Order) -> OrderAnswer:
        if order.kind == "trigger":
            return await self._trigger(order)
        run = self._run_of(order)
        if run is None:
            return self._said("failed", order.run_id, "the run has ended meanwhile")
        if not self._engine.executor.call_off(run, order.by, order.why):
            return self._said("cancelling", order.run_id, "it was being ended already")
        return self._said("cancelling", order.run_id)

    async def _trigger(self, order: Order) -> OrderAnswer:
        if self._engine.is_stopping or order.job not in self._engine.states:
            return self._said("failed", detail="the node has stopped meanwhile, or has the job no more")
        why = f": {order.why}" if order.why else ""
        self._logger.info("job=%s is triggered by order of %s%s", order.job, order.by, why)
        run = await self._engine.trigger(order.job, order.by or "somebody", order.why)
        if run.skip_reason is not None:
            return self._said("skipped", detail=run.skip_reason.value)
        return self._said("started", run.run_id)

    def _said(self, outcome: str, run_id: str = "", detail: str = "") -> OrderAnswer:
        return OrderAnswer(node=self._engine.node, run_id=run_id, outcome=outcome, detail=detail)
