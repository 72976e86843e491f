"""Owns one simulated node's way to the board of the store that it shares with the others: who is cut off from the store
cannot be asked, either."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncsched._records import Posting
    from asyncsched.protocols import Board, Reporter
    from asyncsched.testing._store_link import StoreLink


class LinkedReporter:
    """What a node has to say, as far as it can be reached."""

    def __init__(self, link: StoreLink, reporter: Reporter) -> None:
        self._link = link
        self._reporter: Reporter | None = reporter

    def collect(self) -> Posting:
        """Return what the node has to say."""
        if self._reporter is None or not self._link.is_awake:
            raise StoreUnavailableError("the node is cut off from the store")
        return self._reporter.collect()

    def posted(self, orders: Sequence[str]) -> None:
        """Tell the node that it is written down, unless no answer comes back."""
        if self._reporter is not None and self._link.hears:
            self._reporter.posted(orders)

    def forgotten(self) -> None:
        """Tell the node that nothing is written down any more."""
        if self._reporter is not None and self._link.hears:
            self._reporter.forgotten()

    def end(self) -> None:
        """Forget the node: it has vanished, and the board goes on asking for it."""
        self._reporter = None


class LinkedBoard:
    """A ``Board`` that is asked by way of a link."""

    def __init__(self, link: StoreLink, board: Board) -> None:
        self._link = link
        self._board = board

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._board, name)
        return partial(self._link.ask, name, value) if inspect.iscoroutinefunction(value) else value

    def attach(self, reporter: Reporter) -> Callable[[], Awaitable[None]]:
        """Let the node be asked, as far as the way is open."""
        linked = LinkedReporter(self._link, reporter)
        detach = self._board.attach(linked)

        async def leave() -> None:
            if self._link.is_open:
                await detach()
            linked.end()

        return leave
