"""Owns one simulated node's way to the store that it shares with the others, and all that can go wrong on it."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncsched._clock import sleep
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.testing._board_link import LinkedBoard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncsched.protocols import Attendance, Store
    from asyncsched.testing._dial import Dial


class LinkedAttendance:
    """A node's place among the others, who are there still when the way to them is cut."""

    def __init__(self, link: StoreLink, attendance: Attendance) -> None:
        self._link = link
        self._attendance = attendance

    def __getattr__(self, name: str) -> Any:
        return getattr(self._attendance, name)

    @property
    def hears(self) -> bool:
        """Whether this node hears: it knows when it is cut off, and asks for each tick then."""
        return self._link.hears and self._attendance.hears


class StoreLink:
    """A ``Store`` that passes on what it is asked, as far as the way is open.

    Everything that a store may have beyond what stands here is passed on too: what waits can be cut off, like all else.

    Args:
        store: where it leads to.
        dial: the node's clock.
        like: a link whose faults this one has, too.

    Attributes:
        is_cut: nothing arrives.
        is_dead: nothing will ever arrive: its node has vanished.
        loses_answers: what is asked arrives and is decided, but the answer never comes back.
        latency: seconds from a question to its answer; it is decided in the middle.
    """

    def __init__(self, store: Store, dial: Dial, like: StoreLink | None = None) -> None:
        self._store = store
        self._dial = dial
        self._paused: dict[str, bool] = {}
        self._is_awaited: dict[str, bool] = {}
        self.is_dead = False
        self.is_cut: bool = like is not None and like.is_cut
        self.loses_answers: bool = like is not None and like.loses_answers
        self.latency: float = 0.0 if like is None else like.latency

    @property
    def is_open(self) -> bool:
        """Whether what is asked arrives."""
        return not (self.is_cut or self.is_dead)

    @property
    def is_awake(self) -> bool:
        """Whether the node can be asked."""
        return self.is_open and not self._dial.is_frozen

    @property
    def hears(self) -> bool:
        """Whether news come through."""
        return self.is_open and not self.loses_answers

    def __getattr__(self, name: str) -> Any:
        """Return what the store has by this name, with the faults of the way if it is waited for."""
        value = getattr(self._store, name)
        if name == "board":
            return LinkedBoard(self, value)
        if name == "attend":
            return lambda of, heard: LinkedAttendance(self, value(of, self._when_hearing(heard)))
        if name not in self._is_awaited:
            self._is_awaited[name] = inspect.iscoroutinefunction(value)
        return partial(self.ask, name, value) if self._is_awaited[name] else value

    async def ask(self, name: str, method: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
        """Ask, with the faults of the way."""
        await self._travel()
        if not self.is_open:
            raise StoreUnavailableError(f"{name}: cut off from the store")
        answer = await method(*args, **more)
        await self._travel()
        if self.loses_answers or not self.is_open:
            raise StoreUnavailableError(f"{name}: cut off from the store before its answer came")
        return answer

    async def _travel(self) -> None:
        if self.latency or self._dial.is_frozen:  # whoever is frozen neither asks nor hears
            await sleep(self._dial, self.latency / 2)

    def is_paused(self, job: str) -> bool:
        """Return whether the job is paused, as far as this node has heard."""
        if self.is_open:
            self._paused[job] = self._store.is_paused(job)
        return self._paused.get(job, False)

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Pass on what is heard of ticks that are handed over, unless the way is cut; to a frozen node afterwards."""

        return self._store.listen(self._when_hearing(callback))

    def _when_hearing(self, callback: Callable[[str, int], None]) -> Callable[[str, int], None]:
        def hear(job: str, tick_us: int) -> None:
            if self._dial.is_frozen:
                self._dial.call_later(0, lambda: callback(job, tick_us))
            elif self.hears:
                callback(job, tick_us)

        return hear

    async def close(self) -> None:
        """Do nothing: the store is the cluster's."""
