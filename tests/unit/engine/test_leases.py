"""What is held is renewed in time, trusted no longer than its key lives, and given back whatever happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import (
    Book,
    Gate,
    ScriptedStore,
    Work,
    answering,
    counted,
    down,
    quick,
    running,
    steps,
)

from asyncsched import Outcome, RunContext, Scheduler, events
from asyncsched._clock import sleep
from asyncsched._grants import LockType, Renewal
from asyncsched._lease import renewal_interval, trust_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


@pytest.mark.parametrize(("ttl", "interval"), [(1, 1 / 3), (3, 1), (30, 10), (60, 20), (600, 20), (1e6, 20)])
def test_the_renewal_interval(ttl: float, interval: float) -> None:
    assert renewal_interval(ttl) == interval


@pytest.mark.parametrize(("ttl", "trusted"), [(1, 0.8), (5, 4), (10, 8), (30, 28), (200, 198), (600, 594), (1000, 990)])
def test_the_trust_window(ttl: float, trusted: float) -> None:
    assert trust_window(ttl) == pytest.approx(trusted)
    assert renewal_interval(ttl) * 2 < trust_window(ttl)  # a renewal may fail once


def held(scheduler: Scheduler, ttl: float, work: Any) -> None:
    """Register a job of which a run holds a lease of ``ttl`` seconds from second 100 on."""
    scheduler.add_job("a", work).per_seconds(100).without_overlapping().lock_ttl(ttl)


async def test_a_lease_is_renewed_while_the_run_goes_on(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    held(scheduler, 3, work)
    async with running(scheduler, clock):
        await clock.advance(199.5)
        assert 95 <= len(store.requests("renew")) <= 100
        assert store.locks("a") == {LockType.OVERLAP}
        work.finish()
        await clock.advance(0.1)
        assert store.locks("a") == set()
        renewed = len(store.requests("renew"))
        scheduler.remove_job("a")
        await clock.advance(50)
        assert len(store.requests("renew")) == renewed
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_once_nothing_is_held_nobody_waits_to_renew_it(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    held(scheduler, 3, quick)
    async with running(scheduler, clock):
        await clock.advance(105)
        assert clock.next_due() == 200, "the next tick"
        await clock.advance(100)
        assert clock.next_due() == 300
    assert store.requests("renew") == []
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}


async def test_all_leases_that_are_due_are_renewed_in_one_call(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    for number in range(20):
        scheduler.add_job(f"job{number}", work).per_minutes(10).without_overlapping().lock_ttl(60)
    async with running(scheduler, clock):
        await clock.advance(661)
        assert [len(leases) for leases in store.requests("renew")] == [20, 20, 20]
        work.finish()


async def test_a_lost_key_cancels_the_run(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    held(scheduler, 600, work)
    async with running(scheduler, clock):
        await clock.advance(101)
        store.lose("a")
        await clock.advance(20)
        assert work.cancelled == 1
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
    (event,) = book.of(events.LeaseLost)
    assert (event.job, event.why) == ("a", "its key is gone or another's")
    assert [ended.outcome for ended in book.of(events.RunEnded)] == [Outcome.LOCK_LOST]
    assert "lost its lease" in caplog.text


async def test_a_lease_of_another_is_not_touched(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work()
    held(scheduler, 600, work)
    async with running(scheduler, clock):
        await clock.advance(101)
        store.take("a", LockType.OVERLAP)
        await clock.advance(20)
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
        assert store.locks("a") == {LockType.OVERLAP}
    assert store.locks("a") == {LockType.OVERLAP}


@pytest.mark.parametrize("ttl", [1, 10, 600])
async def test_trust_ends_before_the_key_does(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, ttl: float
) -> None:
    work = Work()
    held(scheduler, ttl, work)
    store.on("renew", *[down] * 2000)
    async with running(scheduler, clock):
        await clock.advance(100)
        scheduler.get_job("a")
        granted_at = clock.monotonic()
        await clock.advance(trust_window(ttl) - 0.01)
        assert work.cancelled == 0
        await clock.advance(0.02)
        assert work.cancelled == 1
        assert clock.monotonic() - granted_at < ttl
        scheduler.remove_job("a")
        store.forget_script("renew")
        await clock.advance(5)
    assert [event.why for event in book.of(events.LeaseLost)] == ["it could not be renewed in time"]
    assert counted(scheduler)[Outcome.LOCK_LOST] == 1


async def test_trust_counts_from_when_the_claim_was_sent(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    gate = Gate(decided_first=True)
    store.on("claim", gate)
    store.on("renew", *[down] * 2000)
    held(scheduler, 50, work)
    async with running(scheduler, clock):
        await clock.advance(100)
        await clock.advance(30)  # the store has decided, its answer takes half a minute
        gate.open()
        await clock.advance(trust_window(50) - 30 - 0.01)
        assert (len(work.contexts), work.cancelled) == (1, 0)
        await clock.advance(0.02)
        assert work.cancelled == 1
        scheduler.remove_job("a")


async def test_an_answer_after_the_trust_window_starts_nothing(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    gate = Gate(decided_first=True)
    store.on("claim", gate)
    held(scheduler, 5, work)
    async with running(scheduler, clock):
        await clock.advance(106)
        gate.open()
        await clock.advance(1)
        assert work.contexts == []
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}


async def test_trust_counts_from_when_the_renewal_was_sent(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    gate = Gate(decided_first=True)
    store.on("renew", gate, *[down] * 2000)
    held(scheduler, 30, work)
    async with running(scheduler, clock):
        await clock.advance(110)
        assert gate.entered
        await clock.advance(15)
        gate.open()  # sent at 110, answered at 125: good until 110 + 28
        await clock.advance(12.9)
        assert work.cancelled == 0
        await clock.advance(0.2)
        assert work.cancelled == 1
        scheduler.remove_job("a")


async def test_trust_ends_while_a_renewal_is_on_its_way(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    gate = Gate()
    store.on("renew", gate)
    held(scheduler, 30, work)
    async with running(scheduler, clock):
        await clock.advance(128.1)
        assert work.cancelled == 1
        gate.open()  # an answer now revives nothing
        await clock.advance(10)
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
        assert len(store.requests("renew")) == 1
    assert store.locks("a") == set()


async def test_renewals_are_tried_again_through_an_outage(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    work = Work()
    held(scheduler, 60, work)
    store.on("renew", *[down] * 30)
    async with running(scheduler, clock):
        await clock.advance(190)
        assert work.cancelled == 0
        work.finish()
        await clock.advance(1)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert len(book.of(events.StoreLost)) == len(book.of(events.StoreRecovered)) == 1


async def test_a_server_lease_that_a_newer_tick_took_is_let_go(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    scheduler.add_job("a", work).per_seconds(5).on_one_server().lock_ttl(3)
    async with running(scheduler, clock):
        await clock.advance(9)
        assert len(work.contexts) == 1
        await clock.advance(14)  # four runs side by side, each tick its own
        assert len(work.contexts) == 4
        assert work.cancelled == 0
        in_last_renewal = store.requests("renew")[-1]
        assert [lease.fence for lease in in_last_renewal] == [work.contexts[-1].fence]
        work.finish()
        await clock.advance(1)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 4}


async def test_superseded_by_word_of_the_store(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    work = Work()
    store.on("renew", answering(Renewal.SUPERSEDED))
    scheduler.add_job("a", work).per_seconds(100).on_one_server().lock_ttl(30)
    async with running(scheduler, clock):
        await clock.advance(190)
        assert len(store.requests("renew")) == 1
        assert work.cancelled == 0
        work.finish()


async def test_a_run_that_ends_while_its_renewal_is_on_its_way(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    gate = Gate()
    store.on("renew", gate)
    held(scheduler, 30, work)
    async with running(scheduler, clock):
        await clock.advance(110)
        work.finish()
        await clock.advance(1)
        assert store.locks("a") == set()
        gate.open()
        await clock.advance(30)
        assert store.locks("a") == set()
        assert len(store.requests("renew")) == 1
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_a_release_is_tried_until_the_store_answers(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    held(scheduler, 600, quick)
    store.on("release", *[down] * 20)
    async with running(scheduler, clock):
        await clock.advance(101)
        assert store.locks("a") == {LockType.OVERLAP}
        await clock.advance(60)
        assert store.locks("a") == set()
        assert len(store.requests("release")) == 21


async def test_a_release_is_forgotten_once_the_key_has_ended(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    held(scheduler, 5, quick)
    store.on("release", *[down] * 2000)
    async with running(scheduler, clock):
        await clock.advance(110)
        tries = len(store.requests("release"))
        assert scheduler._engine.keeper.pending_releases == 0  # type: ignore[union-attr]
        await clock.advance(80)
        assert len(store.requests("release")) == tries
        store.forget_script("release")


async def test_releases_go_together(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    for number in range(30):
        scheduler.add_job(f"job{number}", quick).per_seconds(10).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(11)
        assert sum(len(leases) for leases in store.requests("release")) == 30
        assert len(store.requests("release")) <= 2


async def test_a_lease_lost_in_the_random_delay_starts_nothing(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    work = Work()
    scheduler.add_job("a", work).per_minutes(10).without_overlapping().random_delay(100, 100)
    async with running(scheduler, clock):
        await clock.advance(601)
        store.lose("a")
        await clock.advance(120)
        assert work.contexts == []
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}
    assert book.of(events.RunStarted) == []


async def test_a_deaf_run_that_lost_its_lease_keeps_the_local_lock_and_is_booked_as_lost(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work(deaf=True)
    held(scheduler, 600, work)
    async with running(scheduler, clock):
        await clock.advance(101)
        store.lose("a")
        await clock.advance(150)
        assert (len(work.contexts), work.cancelled) == (1, 1)  # second 200: still in progress here
        work.finish()
        await clock.advance(100)
        assert counted(scheduler) == {"overlap": 1, Outcome.LOCK_LOST: 1, Outcome.SUCCEEDED: 1}


async def test_a_suspend_longer_than_the_lease_is_noticed_before_anything_else(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    done: list[str] = []

    async def write_later(ctx: RunContext) -> None:
        await sleep(clock, 50)
        done.append("written")

    scheduler.add_job("a", write_later).per_hours(1).without_overlapping().lock_ttl(30)
    async with running(scheduler, clock):
        await clock.advance(3601)
        clock.elapsed += 500  # the machine slept: all timers are over at once
        await clock.advance(0)
        await clock.advance(1)
        assert done == []
        assert counted(scheduler) == {Outcome.LOCK_LOST: 1}


async def test_nothing_grows_over_many_leases(
    make: Callable[..., Scheduler], store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler = make()
    scheduler.add_job("a", quick).per_seconds(1).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await steps(clock, 1000, 100)
        engine = scheduler._engine
        assert engine is not None
        assert len(engine.keeper._held) == 0
        assert engine.keeper._to_renew == []
        assert engine.keeper.pending_releases == 0
        assert len(clock._monotonics._heap) < 100
        assert len(clock._walls._heap) < 100
        assert engine.claimer._undecided == set()
        assert engine.states["a"].claims is None


@pytest.mark.parametrize(("blocked_for", "outcome"), [(1.0, Outcome.SUCCEEDED), (700.0, Outcome.LOCK_LOST)])
async def test_a_handler_that_returns_after_its_lease_has_ended_has_lost_it(
    scheduler: Scheduler, clock: FakeClock, blocked_for: float, outcome: Outcome
) -> None:
    """As after SIGCONT: the handler's end comes up before anything that looks at the lease does."""

    async def block() -> None:
        clock.elapsed += blocked_for

    scheduler.add_job("a", block).per_hours(1).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        run = await scheduler.trigger("a")
        assert await run.wait() is outcome
        await clock.settle()


@pytest.mark.parametrize(("phase", "goes_along"), [(0.015, True), (0.5, False)])
async def test_leases_go_back_with_claims_that_are_near_but_not_at_a_stop(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, phase: float, goes_along: bool
) -> None:
    along: list[tuple[Any, ...]] = []

    async def release_along(leases: Any, within: float) -> Any:
        along.append((leases, within))
        return await store.release(leases)

    store.release_along = release_along  # type: ignore[attr-defined]
    last = Work()
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    scheduler.add_job("b", last).per_seconds(10).phase(phase).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10.01)
        assert len(store.requests("release")) == 1
        assert len(along) == goes_along
        await clock.advance(9.98)  # 10 ms before the next claim, which a stop does not wait for
        along.clear()
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.settle()
        assert store.locks("b") == {LockType.SERVER}
        last.finish()
        await stopping
    assert store.locks("b") == set()
    assert along == []
