"""The law of accounting: whatever happens, each fire time that came due is one run, one skip or one miss."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from _life_doubles import Book, Link, SkewedClock, locks
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched import MemoryStore, Scheduler
from asyncsched._clock import sleep
from asyncsched.testing import FakeClock

START = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
"""Half a second off every grid; all that the histories do takes whole seconds, so nothing happens *at* a tick."""


@dataclass(frozen=True)
class Plan:
    """One job."""

    seconds: int
    one_server: bool
    overlap: str
    delay: tuple[int, int] | None
    work: str
    grace: int | None
    most: int = 0
    """Not 0: each missed tick runs, so many at most."""

    @property
    def is_guarded(self) -> bool:
        return self.one_server or self.overlap != ""


plans = st.builds(
    Plan,
    seconds=st.sampled_from([5, 7, 30, 60]),
    one_server=st.booleans(),
    overlap=st.sampled_from(["", "", "skip", "skip", "queue_one", "cancel_running"]),
    delay=st.sampled_from([None, None, (0, 4), (20, 20)]),
    work=st.sampled_from(["good", "bad", "exits", "long", "hangs", "cancels itself"]),
    grace=st.sampled_from([None, 0, 10, 3600]),
)
operations = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([1, 4, 13, 61, 200])),
    st.tuples(st.just("shift"), st.sampled_from([-100, -9, -1, 1, 9, 100, 5000])),
    st.tuples(
        st.sampled_from(["down", "mute", "up", "restart", "pause", "resume", "trigger", "rest", "work"]),
        st.integers(0, 2),
    ),
)


each_missed = st.builds(
    Plan,
    seconds=st.sampled_from([5, 7, 30, 60]),
    one_server=st.just(True),
    overlap=st.sampled_from(["", "queue_one"]),
    delay=st.sampled_from([None, None, (0, 4), (20, 20)]),
    work=st.sampled_from(["good", "bad", "exits", "long", "hangs", "cancels itself"]),
    grace=st.sampled_from([10, 3600]),
    most=st.sampled_from([1, 3, 100, 1000]),
)
lasting = operations.filter(lambda step: step[0] != "restart")  # after which a skipped tick comes due once more


class History:
    """A scheduler that lives through operations, and the count of what came due meanwhile."""

    def __init__(self, jobs: list[Plan], skew: int) -> None:
        self.clock = FakeClock(START)
        self.skew = skew
        self.memory = MemoryStore(self.clock)
        self.link = Link(self.memory)
        self.scheduler = Scheduler(self.link, clock=SkewedClock(self.clock, skew), shutdown_timeout=5, node="n")
        self.book = Book(self.scheduler)
        self.jobs = {f"j{i}": plan for i, plan in enumerate(jobs)}
        self.due: Counter[str] = Counter()
        self.triggered: Counter[str] = Counter()
        self.began_at = self.newest_at = 0.0
        self.was_cut = False
        for name, plan in self.jobs.items():
            self._add(name, plan)

    def _add(self, name: str, plan: Plan) -> None:
        job = self.scheduler.add_job(name, self._handler(plan.work)).per_seconds(plan.seconds)
        if plan.most:
            job.catch_up(plan.grace or 60, mode="all", most=plan.most)
        else:
            job.misfire_grace(plan.grace)
        if plan.one_server or plan.overlap == "cancel_running":
            job.on_one_server()
        if plan.overlap:
            job.without_overlapping(plan.overlap)
        if plan.delay:
            job.random_delay(*plan.delay)

    def _handler(self, work: str) -> Callable[[], Awaitable[None]]:
        async def handler() -> None:
            match work:
                case "bad":
                    raise ValueError("bad")
                case "exits":
                    raise SystemExit(3)
                case "long":
                    await sleep(self.clock, 17)
                case "hangs":
                    await asyncio.Event().wait()
                case "cancels itself":
                    raise asyncio.CancelledError

        return handler

    # What should have come due

    def note(self) -> None:
        """The scheduler has seen this instant."""
        self.newest_at = max(self.newest_at, self.clock.time())

    def settle_account(self) -> None:
        for name, plan in self.jobs.items():
            offset = min(self.skew, 0) if plan.is_guarded else self.skew  # guarded ones wait for the later clock
            first, last = (int(at + offset) // plan.seconds for at in (self.began_at, self.newest_at))
            self.due[name] += last - first

    # What happens

    async def start(self) -> None:
        await self.scheduler.__aenter__()
        await self.clock.advance(0)
        self.began_at = self.newest_at = self.clock.time()

    async def stop(self) -> None:
        # a tick that came due by a clock that was set back is neither booked nor lost until it is due again
        await self.clock.advance(max(0.0, self.newest_at - self.clock.time()))
        self.note()
        stopping = asyncio.ensure_future(self.scheduler.__aexit__(None, None, None))
        await self._pass_seconds(stopping)
        self.settle_account()

    async def _pass_seconds(self, awaitable: Awaitable[Any]) -> None:
        """Let whole seconds pass until it has ended: what comes due is reckoned in these."""
        task = asyncio.ensure_future(awaitable)
        await self.clock.settle()
        while not task.done():
            await self.clock.advance(1)
        await task

    async def do(self, what: str, value: Any) -> None:
        name = f"j{value}"
        match what:
            case "advance":
                await self.clock.advance(value)
            case "shift":
                self.clock.shift(value)
                await self.clock.advance(0)
            case "down" | "mute":
                getattr(self.link, what)()
                self.was_cut = True
            case "up":
                self.link.up()
            case "restart":
                await self.stop()
                await self.start()
            case "pause" | "resume" if name in self.jobs:
                await self.memory.set_paused(name, what == "pause")
            case "rest" | "work":
                await self.memory.set_paused("*", what == "rest")
            case "trigger" if name in self.jobs:
                self.triggered[name] += 1
                await self._pass_seconds(self.scheduler.trigger(name))
        self.note()
        assert self.scheduler.snapshot().state == "running"

    async def live(self, steps: list[tuple[str, Any]]) -> None:
        await self.start()
        for what, value in steps:
            await self.do(what, value)
        await self.stop()

    def check(self) -> None:
        booked: Counter[str] = Counter()
        for name in self.jobs:
            totals = self.book.totals(name)
            booked += totals
            assert totals.total() == self.due[name] + self.triggered[name], (name, totals)
        assert dict(booked) == dict(self.scheduler.snapshot().counters)
        started = {event.run_id for event in self.book.events if type(event).__name__ == "RunStarted"}
        ended = [event.run_id for event in self.book.events if type(event).__name__ == "RunEnded"]
        assert len(ended) == len(set(ended))
        assert started <= set(ended)
        if not self.was_cut:
            assert locks(self.memory) == {}


def lived(jobs: list[Plan], skew: int, steps: list[tuple[str, Any]]) -> History:
    history = History(jobs, skew)

    async def main() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        await history.live(steps)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert complaints == []

    asyncio.run(main())
    return history


@settings(max_examples=60, deadline=None, database=None)
@given(
    jobs=st.lists(plans, min_size=1, max_size=3),
    skew=st.sampled_from([0, 0, 3600, -7]),
    steps=st.lists(operations, max_size=12),
)
def test_each_fire_time_is_one_run_one_skip_or_one_miss(
    jobs: list[Plan], skew: int, steps: list[tuple[str, Any]]
) -> None:
    lived(jobs, skew, steps).check()


@settings(max_examples=40, deadline=None, database=None)
@given(
    jobs=st.lists(st.one_of(each_missed, each_missed, plans), min_size=1, max_size=3),
    skew=st.sampled_from([0, 0, 3600, -7]),
    steps=st.lists(lasting, max_size=12),
)
def test_the_same_where_each_missed_tick_is_run(jobs: list[Plan], skew: int, steps: list[tuple[str, Any]]) -> None:
    lived(jobs, skew, steps).check()


@pytest.mark.processes
@settings(max_examples=500, deadline=None, database=None)
@given(
    jobs=st.lists(plans, min_size=1, max_size=3),
    skew=st.sampled_from([0, 0, 3600, -7]),
    steps=st.lists(operations, max_size=25),
)
def test_the_same_at_length(jobs: list[Plan], skew: int, steps: list[tuple[str, Any]]) -> None:
    lived(jobs, skew, steps).check()


def test_both_clocks_step_back_while_the_first_tick_is_undecided() -> None:
    jobs = [Plan(5, False, "skip", None, "good", None)]
    lived(jobs, 0, [("advance", 4), ("down", 0), ("advance", 1), ("shift", -100), ("up", 0)]).check()


def test_a_triggered_run_does_not_wait_for_ever_behind_an_undecided_tick() -> None:
    jobs = [Plan(7, True, "skip", None, "good", 3600)]
    lived(jobs, 0, [("advance", 4), ("down", 0), ("advance", 4), ("shift", -200), ("trigger", 0)]).check()


@pytest.mark.parametrize("delay", [None, (4, 4)])
@pytest.mark.parametrize("most", [3, 100])
def test_both_clocks_step_back_while_missed_ticks_stand_in_line(delay: tuple[int, int] | None, most: int) -> None:
    jobs = [Plan(5, True, "", delay, "good", 3600, most)]
    lived(jobs, 0, [("shift", 100), ("shift", -100), ("advance", 200)]).check()


def test_the_law_can_see_a_tick_that_was_dropped() -> None:
    history = lived([Plan(5, True, "", None, "good", None)], 0, [("advance", 61)])
    history.check()
    history.book.events = history.book.events[:-3] + history.book.events[-1:]
    with pytest.raises(AssertionError):
        history.check()
