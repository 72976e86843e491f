"""The watch over the event loop: when it beats, what counts as a block, and what the thread tells meanwhile.

The thread looks every few milliseconds of real time at the fake clock; what it tells is waited for, never timed.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from _scripted import Parts, Work, no_overlap, turns

from asyncsched._grants import ClaimKind, Lease, LockType
from asyncsched._loop_watch import BEATS, LONGEST_BEAT, PART_OF_TTL, LoopWatch
from asyncsched._run import enter_run, run_in
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from asyncsched._run import Run


class Told:
    """The ledger's place: what the watch tells, in order."""

    def __init__(self) -> None:
        self.blocking: list[tuple[str | None, float, str]] = []
        self.blocked: list[tuple[str | None, float]] = []
        self.is_blocking = threading.Event()

    def loop_blocking(self, job: str | None, seconds: float, where: str) -> None:
        self.blocking.append((job, seconds, where))
        self.is_blocking.set()

    def loop_blocked(self, job: str | None, seconds: float) -> None:
        self.blocked.append((job, round(seconds, 6)))


class Watched:
    """A watch, and the leases that it is told of."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told = Told()
        self.ttls: list[float] = []
        self.beats: list[float] = []
        self.job: str | None = "j"
        self.asked_for: list[asyncio.Task[object] | None] = []
        self.watch = LoopWatch(self.clock, self._shortest, self._job_of, self.told)  # type: ignore[arg-type]

    def _shortest(self) -> float | None:
        self.beats.append(self.clock.monotonic())
        return min(self.ttls, default=None)

    def _job_of(self, task: asyncio.Task[object] | None) -> str | None:
        self.asked_for.append(task)
        return self.job

    def hold(self, ttl: float) -> None:
        self.ttls.append(ttl)
        self.watch.watch(ttl)

    def block(self, seconds: float) -> None:
        """Let time pass of which the loop does not know: no timer is called."""
        self.clock.elapsed += seconds

    async def block_until_told(self, seconds: float) -> None:
        """The same, until the thread has said so."""
        self.told.is_blocking.clear()
        self.block(seconds)
        assert self.told.is_blocking.wait(10), "the thread told nothing"
        await self.clock.advance(0)

    @property
    def is_watched(self) -> bool:
        return self.watch._limit != float("inf")


@pytest.fixture
async def watched() -> Iterator[Watched]:  # type: ignore[misc]
    made = Watched()
    yield made
    made.watch.close()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "asyncsched-loop-watch"]


class TestBeat:
    @pytest.mark.parametrize("ttl", [1.0, 3.0, 30.0, 600.0])
    async def test_it_beats_several_times_within_the_time_that_counts(self, watched: Watched, ttl: float) -> None:
        watched.hold(ttl)
        await watched.clock.advance(5.001)
        interval = min(ttl / PART_OF_TTL / BEATS, LONGEST_BEAT)

        assert watched.beats == pytest.approx([interval * number for number in range(1, round(5 / interval) + 1)])
        assert watched.told.blocked == watched.told.blocking == []

    async def test_nobody_beats_before_the_first_lease(self, watched: Watched) -> None:
        await watched.clock.advance(100)

        assert watched.beats == []
        assert watched.clock.next_due() is None

    async def test_it_stops_when_nothing_is_held(self, watched: Watched) -> None:
        watched.hold(3.0)
        await watched.clock.advance(1)
        watched.ttls.clear()
        await watched.clock.advance(100)

        assert watched.beats[-1] == pytest.approx(1.1)
        assert not watched.is_watched
        assert watched.clock.next_due() is None

    async def test_and_goes_on_with_the_next_lease(self, watched: Watched) -> None:
        watched.hold(3.0)
        watched.ttls.clear()
        await watched.clock.advance(100)
        watched.hold(3.0)
        await watched.clock.advance(0.35)

        assert watched.beats[2:] == pytest.approx([100.1, 100.2, 100.3])
        assert watched.told.blocked == [], "the time without a lease is no block"

    async def test_short_leases_that_follow_each_other_are_watched_as_one(self, watched: Watched) -> None:
        watched.hold(3.0)
        await watched.clock.advance(0.05)
        for _ in range(5):
            watched.ttls.clear()
            await watched.clock.advance(0.1)
            assert watched.is_watched
            watched.watch.watch(3.0)
        await watched.clock.advance(0.2)
        assert not watched.is_watched

    async def test_a_longer_lease_changes_nothing(self, watched: Watched) -> None:
        watched.hold(3.0)
        before = watched.clock.drive.asked
        watched.hold(600.0)
        watched.hold(3.0)

        assert watched.clock.drive.asked == before
        assert watched.watch._limit == 1.0

    async def test_it_follows_the_shortest_lease(self, watched: Watched) -> None:
        watched.hold(600.0)
        watched.hold(3.0)
        await watched.clock.advance(0.15)
        assert watched.beats == pytest.approx([0.1])
        assert watched.watch._limit == 1.0
        watched.ttls.remove(3.0)
        await watched.clock.advance(21)

        assert watched.beats[1:] == pytest.approx([0.2, 5.2, 10.2, 15.2, 20.2])
        assert watched.watch._limit == 200.0


class TestBlock:
    @pytest.mark.parametrize(
        ("silent_for", "told"), [(0.5, []), (1.0, []), (1.001, [("j", 1.001)]), (50.0, [("j", 50.0)])]
    )
    async def test_a_third_of_the_lease_is_the_limit(
        self, watched: Watched, silent_for: float, told: list[tuple[str | None, float]]
    ) -> None:
        watched.hold(3.0)
        if told:
            await watched.block_until_told(silent_for)
        else:
            watched.block(silent_for)
            await watched.clock.advance(0)

        assert watched.told.blocked == told
        assert len(watched.told.blocking) == len(told)

    async def test_what_is_told_while_it_lasts(self, watched: Watched) -> None:
        watched.hold(3.0)
        await watched.block_until_told(2.5)
        ((job, seconds, where),) = watched.told.blocking

        assert (job, seconds) == ("j", 2.5)
        assert where.rpartition(":")[0].endswith(".py")
        assert where.rpartition(":")[2].isdigit()
        assert watched.asked_for == [asyncio.current_task()]

    async def test_each_block_is_told_once(self, watched: Watched) -> None:
        watched.hold(3.0)
        await watched.block_until_told(2.0)
        for _ in range(3):
            watched.watch._wake.set()
            await asyncio.sleep(0.01)
        assert len(watched.told.blocking) == len(watched.told.blocked) == 1
        watched.job = None
        await watched.block_until_told(3.0)

        assert [job for job, _, _ in watched.told.blocking] == ["j", None]
        assert watched.told.blocked == [("j", 2.0), (None, 3.0)]

    async def test_a_block_goes_on_to_be_told_once(self, watched: Watched) -> None:
        watched.hold(3.0)
        watched.block(2.0)
        assert watched.told.is_blocking.wait(10)
        for _ in range(3):
            watched.block(5.0)
            watched.watch._wake.set()
            await asyncio.sleep(0.01)
        await watched.clock.advance(0)

        assert len(watched.told.blocking) == 1
        assert watched.told.blocked == [("j", 17.0)]

    async def test_what_the_thread_did_not_see_has_no_job(self, watched: Watched) -> None:
        watched.watch._thread = threading.current_thread()  # so it starts none
        watched.hold(3.0)
        watched.block(2.0)
        await watched.clock.advance(0)
        watched.watch._thread = None

        assert watched.told.blocked == [(None, 2.0)]

    async def test_a_stack_that_is_gone_is_nowhere(self, watched: Watched) -> None:
        watched.watch._loop_thread = -1

        assert watched.watch._where() == ""


class TestThread:
    async def test_it_is_started_by_the_first_lease_and_only_once(self, watched: Watched) -> None:
        before = len(threads())
        for ttl in (600.0, 30.0, 3.0):
            watched.hold(ttl)
            assert len(threads()) == before + 1
        assert threads()[-1].daemon

    async def test_none_is_left_after_the_end(self, watched: Watched) -> None:
        before = len(threads())
        watched.hold(3.0)
        await watched.clock.advance(1)
        watched.watch.close()

        assert len(threads()) == before
        assert watched.clock.next_due() is None
        watched.block(100)
        watched.watch.close()
        assert watched.told.blocking == []

    async def test_none_is_started_after_the_end(self, watched: Watched) -> None:
        before = len(threads())
        watched.watch.close()
        watched.hold(3.0)

        assert len(threads()) == before
        assert not watched.is_watched

    async def test_it_waits_while_nothing_is_held(self, watched: Watched) -> None:
        watched.hold(3.0)
        watched.ttls.clear()
        await watched.clock.advance(1)
        watched.block(100)
        watched.watch._wake.set()
        await asyncio.sleep(0.01)

        assert watched.told.blocking == []


class TestJobOf:
    """What the thread can know of a task."""

    async def test_the_task_of_a_run(self, parts: Parts) -> None:
        run = parts.start(parts.state(Work(holds=True)))
        await turns()

        assert parts.executor.job_of(run.task) == "j"

    async def test_another_task_and_none(self, parts: Parts) -> None:
        parts.start(parts.state(Work(holds=True)))
        await turns()

        assert parts.executor.job_of(asyncio.current_task()) is None
        assert parts.executor.job_of(None) is None

    async def test_no_task_while_runs_are_between_two_steps(self, parts: Parts) -> None:
        run = parts.start(parts.state(Work(holds=True)))
        task, run.task = run.task, None

        assert parts.executor.job_of(None) is None
        run.task = task

    async def test_runs_that_change_meanwhile(self, parts: Parts) -> None:
        class Changing(dict):  # type: ignore[type-arg]
            def __iter__(self) -> Iterator[Run]:
                raise RuntimeError("dictionary changed size during iteration")

        parts.executor.active = Changing()

        assert parts.executor.job_of(asyncio.current_task()) is None
        parts.executor.active = {}

    async def test_a_task_that_a_handler_has_started(self, parts: Parts) -> None:
        found: list[str | None] = []

        async def child() -> None:
            found.append(parts.executor.job_of(asyncio.current_task()))

        async def handler() -> None:
            await asyncio.create_task(child())

        await parts.start(parts.state(handler)).wait()
        knows_contexts: Callable[..., object] | None = getattr(asyncio.Task, "get_context", None)
        assert found == ["j" if knows_contexts else None]

    async def test_a_task_whose_context_can_be_read(self, parts: Parts) -> None:

        run = parts.executor.new_run(parts.state(Work(), no_overlap), ClaimKind.TICK, 0)
        context = contextvars.copy_context()
        context.run(enter_run, run)

        class Task:
            def get_context(self) -> contextvars.Context:
                return context

        assert run_in(Task()) is run  # type: ignore[arg-type]
        assert parts.executor.job_of(Task()) == "j"  # type: ignore[arg-type]


async def test_the_shortest_of_the_held_leases(parts: Parts) -> None:
    assert parts.keeper.shortest_ttl() is None
    told: list[float] = []
    parts.keeper.on_held = told.append
    held = [
        parts.keeper.hold(Lease("j", f"n1:{ttl}", 1, (LockType.OVERLAP,), ttl), 0.0, lambda _: None)
        for ttl in (60.0, 3.0, 600.0)
    ]
    assert told == [60.0, 3.0, 600.0]
    assert parts.keeper.shortest_ttl() == 3.0
    parts.keeper.drop(held[1])
    assert parts.keeper.shortest_ttl() == 60.0
    parts.keeper.close()
    assert parts.keeper.shortest_ttl() is None
