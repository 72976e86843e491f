"""A board that does not answer, or answers late: an order is carried out once, or not at all; nothing else fails."""

from __future__ import annotations

import asyncio
import getpass
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import MemoryStore, Scheduler, SchedulerError, StoreUnavailableError
from asyncsched._record_texts import order_text
from asyncsched._records import Order, Posting
from asyncsched.console import Console
from asyncsched.stores._memory_board import DAY, KEPT_FOR, MemoryBoard
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence


class Flaky(MemoryBoard):
    """Some of its calls fail, as often as a test says."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.failures: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()

    async def take_order(self, order_id: str) -> bool:
        self._fail("take")
        return await super().take_order(order_id)

    async def answer_order(self, order_id: str, text: str) -> None:
        self._fail("answer")
        await super().answer_order(order_id, text)

    def _fail(self, what: str) -> None:
        self.asked[what] += 1
        if self.failures[what]:
            self.failures[what] -= 1
            raise StoreUnavailableError(f"{what}: no answer")


class FlakyStore(MemoryStore):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.flaky = Flaky(clock, self._jobs, self._paused)

    @property
    def board(self) -> Any:
        return self.flaky


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> FlakyStore:
    return FlakyStore(clock)


@pytest.fixture
def ran() -> list[int]:
    return []


@pytest.fixture
def scheduler(store: FlakyStore, clock: FakeClock, ran: list[int]) -> Scheduler:
    scheduler = Scheduler(store, clock=clock, node="n")
    scheduler.add_job("job", lambda: ran.append(1)).per_hours(1)
    return scheduler


@pytest.fixture
def console(store: FlakyStore, clock: FakeClock) -> Console:
    return Console(store, by="ada", clock=clock)


async def test_an_order_that_cannot_be_taken_is_heard_again(
    scheduler: Scheduler, store: FlakyStore, console: Console, clock: FakeClock, ran: list[int]
) -> None:
    async with scheduler:
        store.flaky.failures["take"] = 1
        asking = asyncio.ensure_future(console.trigger("job", within=10))
        await clock.advance(1)
        assert ran == []
        await console.state()
        assert (await clock.run_until(asking)).outcome == "started"
        await clock.advance(1)
    assert ran == [1]


async def test_an_answer_is_written_again(
    scheduler: Scheduler, store: FlakyStore, console: Console, clock: FakeClock, ran: list[int]
) -> None:
    async with scheduler:
        store.flaky.failures["answer"] = 2
        assert (await clock.run_until(console.trigger("job", within=10))).outcome == "started"
        assert store.flaky.asked["answer"] == 3
    assert ran == [1]


async def test_an_order_that_is_taken_and_not_answered_is_said_to_be(
    scheduler: Scheduler, store: FlakyStore, console: Console, clock: FakeClock, ran: list[int]
) -> None:
    async with scheduler:
        store.flaky.failures["answer"] = 100
        with pytest.raises(SchedulerError, match="a node has taken it, and has not said what became of it"):
            await clock.run_until(console.trigger("job", within=2))
        assert store.flaky.asked["answer"] == 3
    assert ran == [1], "once"


async def test_a_late_answer_is_waited_for(
    scheduler: Scheduler, store: FlakyStore, console: Console, clock: FakeClock
) -> None:
    async with scheduler:
        store.flaky.failures["answer"] = 2
        assert (await clock.run_until(console.trigger("job", within=1))).outcome == "started"


async def test_an_order_that_fails_is_answered(
    scheduler: Scheduler, console: Console, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise ValueError("a fault")

    async with scheduler:
        monkeypatch.setattr(scheduler._engine, "trigger", fail)
        answer = await clock.run_until(console.trigger("job"))
    assert (answer.outcome, answer.detail) == ("failed", "ValueError: a fault")


@pytest.mark.parametrize("kind", ["trigger", "cancel"])
async def test_what_has_gone_when_it_is_taken_fails(
    kind: str, store: FlakyStore, console: Console, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)
        await done.wait()

    done = asyncio.Event()
    scheduler = Scheduler(store, clock=clock)
    scheduler.add_job("job", slow).immediate()
    take = store.flaky.take_order

    async def take_late(order_id: str) -> bool:
        if kind == "trigger":
            scheduler.remove_job("job")
        done.set()
        await clock.advance(0)
        return await take(order_id)

    async with scheduler:
        await clock.advance(0)
        (run,) = (await console.state()).active
        monkeypatch.setattr(store.flaky, "take_order", take_late)
        answer = await clock.run_until(console.trigger("job") if kind == "trigger" else console.cancel(run.run_id))
    assert answer.outcome == "failed"
    assert "meanwhile" in answer.detail


async def test_orders_and_answers_are_kept_for_a_minute(store: FlakyStore, clock: FakeClock) -> None:
    board = store.board
    await board.place_order("a", "text")
    await board.answer_order("b", "done")
    await clock.advance(KEPT_FOR - 1)
    assert await board.answer_to("b") == "done"
    await clock.advance(1)
    assert await board.answer_to("b") is None
    assert not await board.take_order("a")


async def test_an_order_is_taken_by_exactly_one(store: FlakyStore) -> None:
    await store.board.place_order("a", "text")
    taken = await asyncio.gather(*(store.board.take_order("a") for _ in range(5)))
    assert sum(taken) == 1


async def test_an_order_that_was_carried_out_and_is_placed_again_is_no_news(
    scheduler: Scheduler, store: FlakyStore, clock: FakeClock, ran: list[int]
) -> None:
    def order(until: float) -> str:
        until_us = round((clock.time() + until) * 1e6)
        return order_text(
            Order(order_id="a", kind="trigger", job="job", node="", run_id="", by="", why="", until_us=until_us)
        )

    async with scheduler:
        for _ in range(3):
            await store.board.place_order("a", order(10))
            await clock.advance(30)
        assert ran == [1]
        await clock.advance(60)
        await store.board.place_order("a", order(10))
        await clock.advance(1)
        assert ran == [1, 1], "two minutes later it is forgotten, as it is by every store"


async def test_a_console_tells_itself_and_closes_what_is_its_own(
    store: FlakyStore, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    async def close() -> None:
        closed.append(1)

    monkeypatch.setattr(store, "close", close)
    async with console:
        assert repr(console) == "<Console store=<MemoryStore jobs=0 paused=0> by='ada'>"
    assert closed == [], "it is somebody else's"
    monkeypatch.setattr("asyncsched.console.make_store", lambda *_, **__: store)
    async with Console("redis://localhost"):
        pass
    assert closed == [1]


def test_a_user_without_a_name_is_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert "by='somebody@" in repr(Console(MemoryStore()))


async def test_what_strangers_have_written_on_a_board_is_left_out(
    scheduler: Scheduler, store: FlakyStore, console: Console, clock: FakeClock
) -> None:
    async with scheduler:
        await clock.advance(1)
        await console.state()
        board = store.flaky
        board._reports["bad"] = ("{", clock.monotonic())
        board._reports["worse"] = ('{"started_us":-1}', clock.monotonic())
        board._catalogues["x"] = ("[1, {}]", clock.monotonic())
        board._fire_times["job"] = 2**70
        board._endings["job"] = deque(['{"at":1,nothing'])
        state = await console.state()
        assert [node.node for node in state.nodes] == ["n"]
        assert (state.jobs[0].next_fire_time, state.jobs[0].last) == (None, None)
        board._answers["a"] = ("nonsense", clock.monotonic() + 60)
        assert await console._answer_to("a", 0) is None


async def test_a_board_forgets_what_is_a_day_old_and_leaves_of_nodes_twice(store: FlakyStore, clock: FakeClock) -> None:
    board = store.flaky
    board._reports["gone"] = ("{}", clock.monotonic())
    board._catalogues["old"] = ("[]", clock.monotonic())
    await clock.advance(DAY + 1)
    text = await board.read()
    assert (text.reports, text.catalogues) == ({}, {})

    class Mute:
        def collect(self) -> Posting:
            raise StoreUnavailableError("cut off")

        def posted(self, orders: Sequence[str]) -> None:
            raise AssertionError("nothing was collected")

        def forgotten(self) -> None:
            raise AssertionError("nothing was lost")

    detach = board.attach(Mute())
    await board.read()
    await detach()
    await detach()
    assert board._reporters == []
