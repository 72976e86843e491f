"""What a scheduler keeps until a board collects it: little, bounded, and nothing of the runs themselves."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched import ConfigurationError, MemoryStore, Scheduler, StoreUnavailableError, _recorder
from asyncsched._catalogue import AGAIN_AFTER
from asyncsched._record_texts import definitions_of, ending_of
from asyncsched._records import BoardText, Posting
from asyncsched.console import Console
from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncsched.protocols import Reporter


class Shelf:
    """A board that collects when a test says so, and may lose what it has collected."""

    def __init__(self) -> None:
        self.reporters: list[Reporter] = []
        self.notes: dict[str, str | None] = {}
        self.fails = False

    def attach(self, reporter: Reporter) -> Callable[[], Awaitable[None]]:
        self.reporters.append(reporter)

        async def detach() -> None:
            self.reporters.remove(reporter)

        return detach

    def collect(self, *, is_kept: bool = True) -> Posting:
        (reporter,) = self.reporters
        posting = reporter.collect()
        if is_kept:
            reporter.posted(())
        return posting

    async def set_note(self, job: str, text: str | None) -> None:
        if self.fails:
            raise StoreUnavailableError("the note is not taken")
        self.notes[job] = text

    async def read(self) -> BoardText:
        raise NotImplementedError


class FarStore(MemoryStore):
    """A store as one outside of this process: it is refreshed."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.shelf = Shelf()

    @property
    def refresh_interval(self) -> float | None:
        return 1.0

    @property
    def board(self) -> Any:
        return self.shelf


async def noop() -> None: ...


@asynccontextmanager
async def running(clock: FakeClock, jobs: int = 1, **options: Any) -> AsyncIterator[tuple[Scheduler, Shelf]]:
    store = FarStore(clock)
    scheduler = Scheduler(store, clock=clock, node="n", **options)
    for at in range(jobs):
        scheduler.add_job(f"job{at}", noop).per_seconds(1)
    async with scheduler:
        await clock.advance(0)
        yield scheduler, store.shelf


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def count(endings: dict[str, Sequence[str]] | Any) -> int:
    return sum(map(len, endings.values()))


async def test_what_is_lost_on_the_way_is_collected_again(clock: FakeClock) -> None:
    async with running(clock) as (_, shelf):
        await clock.advance(2)
        first = shelf.collect(is_kept=False)
        await clock.advance(1)
        second = shelf.collect()
        assert second.endings["job0"][:2] == first.endings["job0"]
        assert len(second.endings["job0"]) == 3
        assert (first.catalogue, first.fire_times["job0"] < second.fire_times["job0"]) == (second.catalogue, True)
        third = shelf.collect()
        assert (third.endings, third.successes, third.fire_times, third.catalogue) == ({}, {}, {}, None)
        assert third.report == second.report, "the same text, as long as nothing has changed"


async def test_a_posting_has_a_bound_and_every_job_its_turn(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recorder, "MOST_AT_ONCE", 10)
    monkeypatch.setattr(_recorder, "MOST_FIRE_TIMES", 4)
    monkeypatch.setattr(_recorder, "MOST_LOOKED_AT", 12)
    async with running(clock, jobs=30) as (_, shelf):
        await clock.advance(1)
        ended, told = set[str](), set[str]()
        for turn in range(8):
            posting = shelf.collect()
            assert count(posting.endings) == (10 if turn < 3 else 0)
            assert len(posting.fire_times) == (4 if turn < 7 else 2)
            ended |= set(posting.endings)
            told |= set(posting.fire_times)
        assert (len(ended), len(told)) == (30, 30)


async def test_no_more_jobs_are_looked_at_than_a_posting_may(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recorder, "MOST_LOOKED_AT", 12)
    async with running(clock, jobs=30) as (_, shelf):
        assert [len(shelf.collect().fire_times) for _ in range(4)] == [12, 12, 6, 0]


async def test_the_next_fire_time_is_told_by_the_node_that_had_the_last_one(clock: FakeClock) -> None:
    async with running(clock) as (scheduler, shelf):
        scheduler.add_job("rare", noop).every(60)
        await clock.advance(61)
        told = shelf.collect().fire_times
        recorder = scheduler._ledger.recorder
        assert recorder is not None

        for _ in range(3):  # another node has the ticks
            await clock.advance(1)
            state = recorder._states["job0"]
            state.elsewhere_us = state.last_us
            assert shelf.collect().fire_times == {}
        await clock.advance(1)
        assert shelf.collect().fire_times == {"job0": told["job0"] + 4_000_000}

        while shelf.collect().fire_times.keys() != {"job0", "rare"}:
            told |= {"rare": recorder._states["rare"].next_us or 0}
            await clock.advance(1)
        recorder._told["rare"] = told["rare"] - 60_000_000  # the node that had it has died before it told the next
        rare = recorder._states["rare"]
        rare.elsewhere_us = rare.last_us
        missing = []
        for _ in range(7):
            missing.append("rare" not in shelf.collect().fire_times)
            await clock.advance(1)
        assert missing.index(False) in (4, 5)
        assert missing[-1], "it is told once"


async def test_of_many_jobs_less_is_kept_of_each(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recorder, "MOST_KEPT", 100)
    monkeypatch.setattr(_recorder, "MOST_JOBS", 40)
    async with running(clock, jobs=50, history=64) as (scheduler, _):
        await clock.advance(100)
        kept = [state.kept for state in scheduler._engine.states.values()]  # type: ignore[union-attr]
        assert sum(each is not None for each in kept) == 40
        assert {len(each) for each in kept if each is not None} == {2}


@pytest.mark.parametrize(("history", "expected"), [(3, 3), (7, 7), (200, 50)])
async def test_no_more_is_kept_than_the_history_has(clock: FakeClock, history: int, expected: int) -> None:
    async with running(clock, history=history) as (_, shelf):
        await clock.advance(50)
        posting = shelf.collect()
        assert len(posting.endings["job0"]) == expected
        endings = [ending_of("job0", text) for text in posting.endings["job0"]]
        assert [ending.at for ending in endings if ending] == sorted(ending.at for ending in endings if ending)
        assert endings[-1] is not None
        assert round(endings[-1].at.timestamp() * 1e6) == posting.successes["job0"], "the newest ones are kept"
        assert posting.history == history


async def test_nothing_is_made_without_history(clock: FakeClock) -> None:
    async with running(clock, history=0) as (scheduler, shelf):
        await clock.advance(5)
        engine = scheduler._engine
        assert engine is not None
        assert all(state.kept is None for state in engine.states.values())
        assert scheduler._ledger.recorder is None
        assert shelf.reporters == []


async def test_a_store_without_a_board_has_no_recorder_and_no_console(clock: FakeClock) -> None:
    class Plain(MemoryStore):
        board = None  # type: ignore[assignment]

    store = Plain(clock)
    async with Scheduler(store, clock=clock) as scheduler:
        scheduler.add_job("job", noop).per_seconds(1)
        await clock.advance(3)
        assert scheduler._ledger.recorder is None
        await scheduler.pause("job", why="a pause needs no board")
        assert store.is_paused("job")
        with pytest.raises(ConfigurationError, match="has no board, so its cluster has no state to be seen"):
            scheduler.console()


async def test_nothing_of_a_run_outlives_it(clock: FakeClock) -> None:
    class Big(Exception):
        pass

    errors: list[weakref.ref[Big]] = []

    async def fail() -> None:
        error = Big("x" * 600)
        errors.append(weakref.ref(error))
        raise error

    silent = logging.Logger("silent", logging.CRITICAL)  # records that tests keep would keep the errors
    async with running(clock, logger=silent) as (scheduler, shelf):
        scheduler.add_job("bad", fail).per_seconds(1)
        await clock.advance(3)
        gc.collect()
        assert errors
        assert all(error() is None for error in errors)
        (text, *_) = shelf.collect().endings["bad"]
        assert len(text) < 1000


async def test_ids_are_told_if_they_were_made(clock: FakeClock) -> None:
    async def asks(ctx: Any) -> None:
        ctx.trace_id  # noqa: B018 - asking is what makes it

    async with running(clock, trace_id=lambda: "mine") as (scheduler, shelf):
        scheduler.add_job("asks", asks).per_seconds(1)
        scheduler.add_job("guarded", noop).per_seconds(1).on_one_server()
        await clock.advance(1)
        endings = {job: ending_of(job, texts[0]) for job, texts in shelf.collect().endings.items()}
    ids = {job: (bool(ending.run_id), ending.trace_id) for job, ending in endings.items() if ending}
    assert ids == {"job0": (False, ""), "asks": (False, "mine"), "guarded": (True, "")}


async def test_a_removed_job_is_forgotten_after_its_last_ending(clock: FakeClock) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)
        await gate.wait()

    gate = asyncio.Event()
    async with running(clock) as (scheduler, shelf):
        scheduler.add_job("slow", slow).per_seconds(1).without_overlapping()
        await clock.advance(1)
        scheduler.remove_job("slow")
        shelf.collect()
        gate.set()
        await clock.advance(1)
        posting = shelf.collect()
        assert len(posting.endings["slow"]) == 1
        assert "slow" not in posting.fire_times
        recorder = scheduler._ledger.recorder
        assert recorder is not None
        assert "slow" not in recorder._states
        assert not recorder._leaving


async def test_a_store_that_has_lost_its_data_is_told_all_of_it_again(clock: FakeClock) -> None:
    async with running(clock, jobs=3) as (_, shelf):
        first = shelf.collect()
        assert shelf.collect().catalogue is None
        (reporter,) = shelf.reporters
        reporter.forgotten()
        again = shelf.collect()
        assert (again.catalogue, again.fire_times) == (first.catalogue, first.fire_times)


async def test_the_catalogue_is_told_again_when_it_changes_and_every_five_minutes(clock: FakeClock) -> None:
    async with running(clock) as (scheduler, shelf):
        scheduler.add_job("rare", noop).per_hours(1)
        await clock.advance(0)
        first = shelf.collect().catalogue
        assert first is not None
        assert [definition.job for definition in definitions_of(first[1])] == ["job0", "rare"]
        assert shelf.collect().catalogue is None
        scheduler.add_job("more", noop).per_hours(1)
        await clock.advance(0)
        second = shelf.collect().catalogue
        assert second is not None
        assert second[0] != first[0]
        scheduler.remove_job("more")
        assert shelf.collect().catalogue == first
        shelf.collect()
        await clock.advance(1)
        assert set(shelf.collect().fire_times) == {"job0"}
        await clock.advance(AGAIN_AFTER)
        assert shelf.collect().catalogue == first
        assert set(shelf.collect().fire_times) == {"rare"}, "the store may have lost what has not changed, too"
        assert shelf.collect().fire_times == {}


async def test_definitions_of_many_jobs_are_made_in_portions(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncsched._catalogue.Catalogue.PORTION", 10)
    async with running(clock, jobs=25) as (_, shelf):
        postings = [shelf.collect() for _ in range(4)]
    assert [posting.catalogue is not None for posting in postings] == [False, False, True, False]
    assert postings[2].catalogue is not None
    assert len(definitions_of(postings[2].catalogue[1])) == 25


async def test_equal_declarations_have_equal_digests_in_every_process(clock: FakeClock) -> None:
    class Mine:
        def next_fire_time(self, after: Any) -> Any:
            return None

    digests = set()
    for _ in range(2):
        async with running(clock) as (scheduler, shelf):
            scheduler.add_job("mine", noop).schedule(Mine())
            await clock.advance(0)
            catalogue = shelf.collect().catalogue
            assert catalogue is not None
            digests.add(catalogue[0])
            definition = {each.job: each for each in definitions_of(catalogue[1])}["mine"]
            assert " at 0x" not in definition.schedule
    assert len(digests) == 1


async def test_a_note_that_is_not_taken_fails_no_pause(clock: FakeClock) -> None:
    async with running(clock) as (scheduler, shelf):
        shelf.fails = True
        await scheduler.pause("job0", why="x")
        assert scheduler._store.is_paused("job0")


@pytest.mark.parametrize("history", [-1, 10_001, True, "200", 1.0, None])
def test_a_history_has_bounds(history: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"history: .* is not a whole number from 0 to 10000"):
        Scheduler(history=history)
    with pytest.raises(ConfigurationError, match="history_for: 59 is below the least value, 60 s"):
        Scheduler(history_for=59)


async def test_a_scheduler_that_starts_again_reports_again() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    scheduler = Scheduler(store, clock=clock, node="n")
    scheduler.add_job("job", noop).per_seconds(1)
    console = Console(store, clock=clock)
    for _ in range(2):
        async with scheduler:
            await clock.advance(2)
            assert [node.node for node in (await console.state()).nodes] == ["n"]
        assert (await console.state()).nodes == ()
    assert len(await console.history("job")) == 4, "the last endings were written down on the way out"


async def test_what_is_kept_ends_with_its_time() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    console = Console(store, clock=clock)
    async with Scheduler(store, clock=clock, history_for=60) as scheduler:
        scheduler.add_job("job", noop).per_seconds(10)
        for _ in range(12):
            await clock.advance(10)
            endings = await console.history("job")
    assert len(endings) in (6, 7)
