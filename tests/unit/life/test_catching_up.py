"""Ticks that came due while no node lived: which one a start runs, once in the cluster, and which it leaves alone."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from _fleet import Fleet

if TYPE_CHECKING:
    from asyncsched import Job
    from asyncsched.testing import FakeClock


def every_minute(job: Job) -> Job:
    return job.per_seconds(60).on_one_server()


def catching_up(job: Job, within: float = 600) -> Job:
    return every_minute(job).catch_up(within)


async def down_until(fleet: Fleet, at: float, *, how: str = "stop") -> None:
    """Run the ticks at 60 and 120 s, and then no node until ``at``."""
    await fleet.until(130)
    for node in fleet.nodes:
        await getattr(node, how)()
    await fleet.until(at)


async def start_all(fleet: Fleet) -> None:
    for node in fleet.nodes:
        await node.start()


def ticks(fleet: Fleet) -> list[float]:
    return [begun.tick for begun in fleet.begun]


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_the_newest_missed_tick_runs_once_at_the_next_start(clock: FakeClock, how: str) -> None:
    fleet = Fleet(clock, 3, catching_up)
    async with fleet:
        await down_until(fleet, 400, how=how)
        await start_all(fleet)

        assert ticks(fleet) == [60, 120, 360]
        caught_up = fleet.begun[-1]
        assert (caught_up.attempt, caught_up.at) == (1, 400)
        assert caught_up.fence > fleet.begun[1].fence
        await fleet.until(550)
        assert ticks(fleet) == [60, 120, 360, 420, 480, 540]


async def test_without_that_policy_nothing_is_caught_up_with(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, every_minute)
    async with fleet:
        await down_until(fleet, 400)
        await start_all(fleet)
        await fleet.until(430)
        assert ticks(fleet) == [60, 120, 420]


async def test_all_nodes_at_once(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, catching_up)
    async with fleet:
        await down_until(fleet, 400)
        await asyncio.gather(*(node.start() for node in fleet.nodes))
        assert ticks(fleet) == [60, 120, 360]


@pytest.mark.parametrize(("within", "caught_up"), [(40, [360]), (39, []), (0, [])])
async def test_not_if_it_is_too_old(clock: FakeClock, within: float, caught_up: list[float]) -> None:
    fleet = Fleet(clock, 2, lambda job: catching_up(job, within))
    async with fleet:
        await down_until(fleet, 400)
        await start_all(fleet)
        assert ticks(fleet) == [60, 120, *caught_up]


async def test_a_restart_between_two_ticks_has_missed_none(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up)
    async with fleet:
        await down_until(fleet, 179)
        await start_all(fleet)
        assert ticks(fleet) == [60, 120]


async def test_a_job_that_the_store_has_not_seen_has_missed_nothing(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, catching_up)
    await fleet.until(1000)
    async with fleet:
        assert ticks(fleet) == []
        await fleet.until(1030)
        assert ticks(fleet) == [1020]


async def test_not_twice_when_the_cluster_is_restarted_again(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, catching_up)
    async with fleet:
        await down_until(fleet, 400)
        for _ in range(3):
            await start_all(fleet)
            await clock.advance(3)
            for node in fleet.nodes:
                await node.stop()
        assert ticks(fleet) == [60, 120, 360]


async def test_a_node_that_joins_a_living_cluster_has_missed_nothing(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up, starts=1)
    async with fleet:
        await fleet.until(130)
        await fleet.nodes[1].start()
        await fleet.until(170)
        assert ticks(fleet) == [60, 120]
        assert dict(fleet.nodes[1].scheduler.snapshot().counters) == {}


async def test_a_store_that_is_away_at_the_start_is_asked_later(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await down_until(fleet, 400)
        node.partition()
        await node.start()
        await fleet.until(410.5)
        assert ticks(fleet) == [60, 120]
        node.heal()
        await fleet.until(412)
        assert ticks(fleet) == [60, 120, 360]


async def test_a_newer_tick_leaves_nothing_to_catch_up_with(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await down_until(fleet, 400)
        node.partition()
        await node.start()
        await fleet.until(421)  # one has come due since the start
        node.heal()
        await fleet.until(425)
        assert ticks(fleet) == [60, 120, 420]


async def test_a_job_may_be_added_to_a_scheduler_that_runs(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(130)
        node.scheduler.remove_job("a")
        await fleet.until(400)
        catching_up(node.scheduler.add_job("a", fleet.work))
        await clock.settle()
        assert ticks(fleet) == [60, 120, 360]


async def test_a_pause_holds_at_the_start_too(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await node.scheduler.pause("a")
        await fleet.until(65)
        await node.scheduler.resume("a")
        await down_until(fleet, 300)
        await fleet.store.set_paused("a", True)
        await node.start()
        assert fleet.book(node).skips("a")[-1] == "paused"
        assert ticks(fleet) == [120]


async def test_a_run_in_progress_uses_the_tick_up(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: catching_up(job).without_overlapping(), starts=1)
    async with fleet:
        await fleet.until(70)
        await fleet.nodes[0].crash()
        fleet.lasting = 100
        await fleet.until(400)
        await fleet.nodes[0].start()
        assert ticks(fleet) == [60, 360]
        await fleet.nodes[1].start()
        await fleet.until(490)
        assert ticks(fleet) == [60, 360]
        assert "elsewhere" not in fleet.book(fleet.nodes[1]).skips("a"), "360 was decided when it came"


async def test_one_off_instants_are_caught_up_with(clock: FakeClock) -> None:
    at: list[datetime] = [clock.now() + timedelta(seconds=seconds) for seconds in (10, 200, 300)]
    fleet = Fleet(clock, 2, lambda job: job.at(*at).on_one_server().catch_up(3600))
    async with fleet:
        await down_until(fleet, 400)
        await start_all(fleet)
        assert ticks(fleet) == [10, 300]


async def test_with_reruns_an_interrupted_tick_runs_beside_the_missed_one(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: catching_up(job).rerun_on_crash().lock_ttl(30), lasting=20, starts=1)
    async with fleet:
        await fleet.until(65)
        await fleet.nodes[0].crash()
        await fleet.until(400)
        await fleet.nodes[1].start()
        await clock.advance(1)
        assert sorted((begun.tick, begun.attempt) for begun in fleet.begun) == [(60, 1), (60, 2), (360, 1)]
        await clock.advance(18)
        assert len(fleet.begun) == 3
