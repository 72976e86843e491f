"""Ticks whose node died, stopped or lost its lease in mid-run: who runs them again, when, and how often."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from _fleet import Fleet
from _life_doubles import locks

from asyncsched import events

if TYPE_CHECKING:
    from asyncsched import Job
    from asyncsched.testing import FakeClock


def again(job: Job, *, seconds: float = 60, attempts: int = 2, lock_ttl: float = 30) -> Job:
    return job.per_seconds(seconds).on_one_server().rerun_on_crash(attempts).lock_ttl(lock_ttl)


def alone(job: Job) -> Job:
    return again(job, seconds=10, lock_ttl=32).without_overlapping()


async def test_another_node_runs_it_again_after_the_leases_end(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, again, lasting=20)
    async with fleet:
        await fleet.until(65)
        dead = fleet.at_work()
        await dead.crash()
        await fleet.until(89.9)
        assert len(fleet.begun) == 1
        await fleet.until(119)

        first, second = fleet.runs(60)
        assert (first.node, first.attempt, second.attempt) == (dead.name, 1, 2)
        assert second.node != dead.name
        assert second.fence > first.fence
        assert second.at == pytest.approx(90.01, abs=0.005)
        assert fleet.done == [60]
        await fleet.until(1000)
        assert len(fleet.runs(60)) == 2
    assert locks(fleet.store) == {}
    assert fleet.store._job("a").open == {}


async def test_without_that_policy_its_tick_is_used_up(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, lambda job: job.per_seconds(60).on_one_server().lock_ttl(30), lasting=20)
    async with fleet:
        await fleet.until(65)
        await fleet.at_work().crash()
        await fleet.until(130)
        assert [begun.tick for begun in fleet.begun] == [60, 120]
        assert fleet.store._job("a").open == {}


async def test_a_run_that_had_finished_is_not_run_again(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, again, lasting=2)
    async with fleet:
        await fleet.until(61)
        dead = fleet.at_work()
        await fleet.until(63)
        await dead.crash()
        await fleet.until(1000)
        assert [begun.attempt for begun in fleet.begun] == [1] * 16
        assert len({begun.tick for begun in fleet.begun}) == 16


@pytest.mark.parametrize("raised", [ValueError, SystemExit])
async def test_a_run_that_failed_is_not_run_again(clock: FakeClock, raised: type[BaseException]) -> None:
    fleet = Fleet(clock, 2, again)

    async def fails(ctx: Any) -> None:
        await work(ctx)
        raise raised

    work, fleet.work = fleet.work, fails  # type: ignore[method-assign]
    for node in fleet.nodes:
        node.scheduler.remove_job("a")
        again(node.scheduler.add_job("a", fails))
    async with fleet:
        await fleet.until(119)
        assert [(begun.tick, begun.attempt) for begun in fleet.begun] == [(60, 1)]


async def test_a_run_goes_on_while_its_node_lives(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, lambda job: again(job, seconds=600), lasting=500)
    async with fleet:
        await fleet.until(1190)
        assert [(begun.tick, begun.attempt) for begun in fleet.begun] == [(600, 1)]
        assert fleet.done == [600]


async def test_no_tick_runs_more_often_than_it_may(clock: FakeClock) -> None:
    fleet = Fleet(clock, 5, lambda job: again(job, seconds=600, attempts=3), lasting=300)
    async with fleet:
        await fleet.until(605)
        for attempt in (1, 2, 3):
            assert fleet.begun[-1].attempt == attempt
            await fleet.at_work().crash()
            await fleet.until(605 + 40 * attempt)
        assert len({begun.node for begun in fleet.begun}) == 3
        (told,) = fleet.told(events.RerunsExhausted)
        assert (told.job, told.attempts, told.fire_time.timestamp() - fleet.started_at) == ("a", 3, 600)
        await fleet.until(1190)
        assert len(fleet.begun) == 3
        assert fleet.store._job("a").open == {}


async def test_a_clean_stop_hands_over_at_once(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, again, lasting=20)
    async with fleet:
        await fleet.until(65)
        stopped = fleet.at_work()
        await stopped.stop()
        await fleet.until(66)

        first, second = fleet.runs(60)
        assert (first.node, second.attempt) == (stopped.name, 2)
        assert second.node != stopped.name
        assert second.at == pytest.approx(65.01, abs=0.05)
        await fleet.until(119)
        assert fleet.done == [60]
        assert len(fleet.runs(60)) == 2


async def test_a_stop_that_waits_for_the_run_hands_nothing_over(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, again, lasting=20, shutdown_timeout=30)
    async with fleet:
        await fleet.until(65)
        await fleet.at_work().stop()
        await fleet.until(119)
        assert [(begun.tick, begun.attempt) for begun in fleet.begun] == [(60, 1)]
        assert fleet.done == [60]


async def test_a_run_in_its_delay_is_handed_over_too(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: again(job).random_delay(20, 20))
    async with fleet:
        await fleet.until(65)
        await next(node for node in fleet.nodes if node.is_at_work).stop()
        await fleet.until(119)
        (run,) = fleet.begun
        assert (run.tick, run.attempt) == (60, 2)
        assert run.at == pytest.approx(85.01, abs=0.05)


async def test_newer_ticks_wait_for_the_one_that_is_run_again(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, alone, lasting=25)
    async with fleet:
        await fleet.until(12)
        await fleet.at_work().crash()
        await fleet.until(80)

        assert [(begun.tick, begun.attempt) for begun in fleet.begun] == [(10, 1), (10, 2), (70, 1)]
        assert fleet.begun[1].at == pytest.approx(42.01, abs=0.005)  # the lease of 32 s, from the tick on
        survivors = [node for node in fleet.nodes if node.scheduler.snapshot().state == "running"]
        skips = [reason for node in survivors for reason in fleet.book(node).skips("a")]
        assert skips.count("overlap") >= 5  # 20 to 60
        assert [begun.fence for begun in fleet.begun] == sorted({begun.fence for begun in fleet.begun})
    fleet.never_overlapped("a")


@pytest.mark.parametrize("describe", [again, lambda job: again(job).without_overlapping()])
async def test_a_node_alone_that_lost_its_lease_runs_the_tick_again(clock: FakeClock, describe: Any) -> None:
    fleet = Fleet(clock, 1, describe, lasting=15)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(61)
        fleet.store._job("a").locks.clear()
        await fleet.until(119)

        assert fleet.book(node).outcomes("a") == ["lock_lost", "succeeded"]
        first, second = fleet.runs(60)
        assert (first.attempt, second.attempt) == (1, 2)
        assert second.fence > first.fence


async def test_a_node_that_was_cut_off_runs_it_again_when_it_is_back(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: again(job, seconds=600), lasting=100)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(605)
        node.partition()
        await fleet.until(700)
        assert fleet.book(node).outcomes("a") == ["lock_lost"]
        node.heal()
        await fleet.until(1190)
        assert fleet.book(node).outcomes("a") == ["lock_lost", "succeeded"]
        assert [begun.attempt for begun in fleet.begun] == [1, 2]
    fleet.never_overlapped("a")


async def test_what_a_cut_off_node_ran_is_run_by_another_and_never_at_once(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: again(job, seconds=600), lasting=100)
    async with fleet:
        await fleet.until(605)
        cut = fleet.at_work()
        cut.partition()
        await fleet.until(800)
        cut.heal()
        await fleet.until(1190)
        assert [(begun.node != cut.name, begun.attempt) for begun in fleet.begun] == [(False, 1), (True, 2)]
        assert fleet.book(cut).outcomes("a") == ["lock_lost"]
        assert fleet.done == [600]
    fleet.never_overlapped("a")


async def test_a_run_that_finished_while_the_store_was_away_is_not_run_again(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: again(job, seconds=600), lasting=10)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(605)
        node.partition()
        await fleet.until(800)  # far beyond the lease's end
        node.heal()
        await fleet.until(1190)
        assert [begun.attempt for begun in fleet.begun] == [1]
        assert fleet.store._job("a").open == {}


@pytest.mark.parametrize(("back_at", "run_at"), [(610, 630.01), (800, 800.01)])
async def test_after_the_whole_cluster_died_the_next_start_runs_it(
    clock: FakeClock, back_at: float, run_at: float
) -> None:
    fleet = Fleet(clock, 3, lambda job: again(job, seconds=600), lasting=20, starts=1)
    async with fleet:
        await fleet.until(605)
        await fleet.nodes[0].crash()
        await fleet.until(back_at)
        for node in fleet.nodes[1:]:
            await node.start()
        await fleet.until(1100)

        first, second = fleet.begun
        assert (first.node, first.attempt, second.attempt) == ("n0", 1, 2)
        assert second.node in ("n1", "n2")
        assert second.at == pytest.approx(run_at, abs=0.02)


async def test_it_is_too_old_after_its_misfire_grace(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: again(job, seconds=3600).misfire_grace(100), lasting=20, starts=1)
    async with fleet:
        await fleet.until(3605)
        await fleet.nodes[0].crash()
        await fleet.until(3600 + 100 + 2 * 30 + 1)
        await fleet.nodes[1].start()
        await fleet.until(7000)
        assert len(fleet.begun) == 1


async def test_a_paused_job_is_run_again_after_its_pause(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: again(job, seconds=600), lasting=100)
    async with fleet:
        await fleet.until(605)
        dead = fleet.at_work()
        await dead.crash()
        (other,) = (node for node in fleet.nodes if node is not dead)
        await other.scheduler.pause("a")
        await fleet.until(700)
        assert len(fleet.begun) == 1
        await other.scheduler.resume("a")
        await fleet.until(725)
        assert [begun.attempt for begun in fleet.begun] == [1, 2]


async def test_a_node_that_joins_later_hears_of_what_runs_and_takes_it_over(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: again(job, seconds=600), lasting=200, starts=1)
    async with fleet:
        await fleet.until(605)
        await fleet.nodes[1].start()
        await fleet.until(700)
        assert len(fleet.begun) == 1
        await fleet.nodes[0].stop()
        await fleet.until(701)
        assert [(begun.node, begun.attempt) for begun in fleet.begun] == [("n0", 1), ("n1", 2)]


async def test_each_tick_is_accounted_for_on_each_node_and_reruns_beside(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, again, lasting=20)
    async with fleet:
        await fleet.until(65)
        dead = fleet.at_work()
        await dead.crash()
        await fleet.until(119)
        (other,) = (node for node in fleet.nodes if node is not dead)
        assert dict(other.scheduler.snapshot().counters) == {"elsewhere": 1, "succeeded": 1}
        assert dict(dead.scheduler.snapshot().counters) == {"cancelled": 1}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("describe", "lasting"), [(again, 25), (alone, 7)])
async def test_whatever_dies_and_comes_back(clock: FakeClock, seed: int, describe: Any, lasting: float) -> None:
    """No tick is run by two at once, nor again after it was done, nor too often; and the fences rise."""
    dice = random.Random(seed)
    fleet = Fleet(clock, 3, lambda job: describe(job).misfire_grace(100_000), lasting=lasting)
    async with fleet:
        for _ in range(12):
            await clock.advance(dice.uniform(5, 70))
            node = dice.choice([each for each in fleet.nodes if each.is_at_work] or fleet.nodes)
            await (node.crash if dice.random() < 0.6 else node.stop)()
            await clock.advance(dice.uniform(0, 50))
            await node.start()
        await clock.advance(200)
    assert len(fleet.done) == len(set(fleet.done))
    assert [begun.fence for begun in fleet.begun] == sorted({begun.fence for begun in fleet.begun})
    for tick in {begun.tick for begun in fleet.begun}:
        attempts = [begun.attempt for begun in fleet.runs(tick)]
        assert attempts == list(range(1, len(attempts) + 1))
        assert len(attempts) <= 2
        assert tick in fleet.done or len(attempts) == 2 or tick >= fleet.now - 100
    assert any(begun.attempt == 2 for begun in fleet.begun)
    if describe is alone:
        fleet.never_overlapped("a")
