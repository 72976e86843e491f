"""Jobs that run each missed tick, in order and once: after an outage of the cluster or the store, or a stall."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from _fleet import Fleet

from asyncsched import events

if TYPE_CHECKING:
    from asyncsched import Job
    from asyncsched.testing import FakeClock


def catching_up(job: Job, within: float = 86_400, **options: Any) -> Job:
    return job.per_seconds(60).on_one_server().catch_up(within, mode="all", **options)


def minutes(first: int, last: int) -> list[float]:
    return [60.0 * minute for minute in range(first, last + 1)]


def ticks(fleet: Fleet) -> list[float]:
    return [begun.tick for begun in fleet.begun]


def missed(fleet: Fleet) -> list[tuple[int, float, float]]:
    since = fleet.started_at
    return [
        (event.count, event.first.timestamp() - since, event.last.timestamp() - since)
        for event in fleet.told(events.TicksMissed)
    ]


def assert_in_order(fleet: Fleet, expected: list[float]) -> None:
    """Each of the ticks ran once, and grants rose with them."""
    by_fence = sorted(fleet.begun, key=lambda begun: begun.fence)
    assert [begun.tick for begun in by_fence] == expected
    assert len({begun.fence for begun in by_fence}) == len(by_fence)


async def down_until(fleet: Fleet, at: float, *, how: str = "stop") -> None:
    """Run the ticks at 60 and 120 s, and then no node until ``at``."""
    await fleet.until(130)
    for node in fleet.nodes:
        await getattr(node, how)()
    await fleet.until(at)


async def start_all(fleet: Fleet) -> None:
    for node in fleet.nodes:
        await node.start()


@pytest.mark.parametrize("how", ["stop", "crash"])
@pytest.mark.parametrize("skews", [(0, 0, 0), (-5, 0, 5), (0.05, -0.05, 0), (-70, 90, 4000)])
@pytest.mark.parametrize("lasting", [0.001, 7])
async def test_each_tick_runs_once_in_order_after_the_cluster_was_down_for_hours(
    clock: FakeClock, how: str, skews: tuple[float, ...], lasting: float
) -> None:
    fleet = Fleet(clock, 3, lambda job: catching_up(job, most=1000), skew=skews, lasting=lasting)
    async with fleet:
        await down_until(fleet, 4 * 3600 + 59, how=how)
        await start_all(fleet)
        await fleet.until(6 * 3600 + 30)
        assert_in_order(fleet, minutes(1, 360))
    assert missed(fleet) == []


async def test_one_after_another_on_one_node_and_live_ticks_at_the_end(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    async with fleet:
        await down_until(fleet, 430)
        fleet.lasting = 20
        await start_all(fleet)
        await fleet.until(700)
        begun = [(begun.tick, round(begun.at)) for begun in fleet.begun[2:]]
        assert begun == [
            (180, 430), (240, 450), (300, 470), (360, 490), (420, 510), (480, 530), (540, 540), (600, 600), (660, 660),
        ]  # fmt: skip


async def test_the_oldest_of_too_many_are_missed(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: catching_up(job, most=5))
    async with fleet:
        await down_until(fleet, 3610)
        await start_all(fleet)
        await fleet.until(3630)
        assert ticks(fleet) == [60, 120, *minutes(56, 60)]
        assert missed(fleet) == [(53, 180, 3300)]
        assert fleet.nodes[0].scheduler.snapshot().counters["missed"] == 53


@pytest.mark.parametrize("expression", ["* * * * *", "*/1 * * * *"])
async def test_a_long_stretch_of_ticks_that_are_walked_over(clock: FakeClock, expression: str) -> None:
    fleet = Fleet(clock, 1, lambda job: job.cron(expression).on_one_server().catch_up(7 * 86_400, mode="all"))
    async with fleet:
        await down_until(fleet, 2 * 86_400 + 10)
        await start_all(fleet)
        await fleet.until(2 * 86_400 + 50)
        assert ticks(fleet) == [60, 120, *minutes(2781, 2880)]
        assert sum(count for count, _, _ in missed(fleet)) == 2880 - 102
        spans = [(first, last) for _, first, last in missed(fleet)]
        assert spans[0][0] == 180
        assert spans[-1][1] == 60 * 2780


@pytest.mark.parametrize(("within", "first"), [(49, 61), (50, 60), (110, 59), (169.5, 59), (600, 51)])
async def test_none_that_is_too_old_runs(clock: FakeClock, within: float, first: int) -> None:
    fleet = Fleet(clock, 1, lambda job: catching_up(job, within))
    async with fleet:
        await down_until(fleet, 3650)
        await start_all(fleet)
        await fleet.until(3670)
        assert ticks(fleet) == [60, 120, *minutes(first, 61)]


async def test_a_stop_in_the_middle_loses_nothing_and_repeats_nothing(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up, shutdown_timeout=60)
    async with fleet:
        await down_until(fleet, 3610)
        fleet.lasting = 10
        await start_all(fleet)
        await fleet.until(3675)
        for node in fleet.nodes:
            await node.stop()
        assert 10 < len(fleet.begun) < 60
        await fleet.until(3730)
        fleet.lasting = 0.001
        await start_all(fleet)
        await fleet.until(3900)
        assert_in_order(fleet, minutes(1, 65))


async def test_what_stands_in_line_at_a_stop_has_an_account(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up, shutdown_timeout=60)
    (node,) = fleet.nodes
    async with fleet:
        await down_until(fleet, 610)
        fleet.lasting = 100
        await start_all(fleet)
        await fleet.until(670)
        await node.stop()
        assert ticks(fleet) == [60, 120, 180]
        assert fleet.book(node).skips("a") == ["shutting_down"] * 8


async def test_a_crash_in_the_middle_costs_the_tick_at_work_alone(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up)
    async with fleet:
        await down_until(fleet, 1210)
        fleet.lasting = 10
        await start_all(fleet)
        await fleet.until(1235)
        await fleet.nodes[0].crash()
        await fleet.until(1500)
        assert_in_order(fleet, minutes(1, 25))


async def test_with_reruns_not_even_that(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: catching_up(job).rerun_on_crash().lock_ttl(30))
    async with fleet:
        await down_until(fleet, 1210)
        fleet.lasting = 10
        await start_all(fleet)
        await fleet.until(1235)
        await fleet.nodes[0].crash()
        await fleet.until(1500)
        assert sorted(set(fleet.done)) == minutes(1, 24)
        assert [begun.attempt for begun in fleet.begun].count(2) == 1


async def test_a_stalled_process_runs_each_tick(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(130)
        node.freeze()
        await fleet.until(1330)
        await node.thaw()
        await fleet.until(1400)
        assert_in_order(fleet, minutes(1, 23))
        assert missed(fleet) == []


async def test_a_stalled_node_finds_elsewhere_what_others_ran(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, catching_up)
    async with fleet:
        await fleet.until(130)
        fleet.nodes[0].freeze()
        await fleet.until(1330)
        await fleet.nodes[0].thaw()
        await fleet.until(1400)
        assert_in_order(fleet, minutes(1, 23))
        assert missed(fleet) == []


async def test_ticks_wait_for_a_store_that_is_away(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up)
    async with fleet:
        await fleet.until(130)
        for node in fleet.nodes:
            node.partition()
        await fleet.until(1330)
        for node in fleet.nodes:
            node.heal()
        await fleet.until(1400)
        assert_in_order(fleet, minutes(1, 23))


async def test_a_store_that_is_away_at_the_start(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up)
    async with fleet:
        await down_until(fleet, 610)
        for node in fleet.nodes:
            node.partition()
        await start_all(fleet)
        await fleet.until(910)
        assert ticks(fleet) == [60, 120]
        for node in fleet.nodes:
            node.heal()
        await fleet.until(970)
        assert_in_order(fleet, minutes(1, 16))


async def test_a_tick_waits_no_longer_than_it_may_be_late(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: catching_up(job, 300))
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(130)
        node.partition()
        await fleet.until(1330)
        node.heal()
        await fleet.until(1400)
        assert ticks(fleet) == [60, 120, *minutes(18, 23)]
        counters = node.scheduler.snapshot().counters
        assert counters["store_unavailable"] + counters.get("missed", 0) == 15


async def test_a_job_that_the_store_has_not_seen_has_missed_nothing(clock: FakeClock) -> None:
    fleet = Fleet(clock, 3, catching_up)
    await fleet.until(1000)
    async with fleet:
        assert ticks(fleet) == []
        await fleet.until(1030)
        assert ticks(fleet) == [1020]


async def test_a_paused_job_catches_up_with_nothing(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await down_until(fleet, 310)
        await fleet.store.set_paused("a", True)
        await node.start()
        await fleet.until(315)
        assert fleet.book(node).skips("a") == ["paused"] * 3
        await node.scheduler.resume("a")
        await fleet.until(370)
        assert ticks(fleet) == [60, 120, 360]


@pytest.mark.parametrize("nodes", [1, 3])
async def test_with_queue_one_none_is_lost_and_none_overlaps(clock: FakeClock, nodes: int) -> None:
    fleet = Fleet(clock, nodes, lambda job: catching_up(job).without_overlapping("queue_one"))
    async with fleet:
        await down_until(fleet, 1210)
        fleet.lasting = 25
        await start_all(fleet)
        await fleet.until(3000)
        assert ticks(fleet) == minutes(1, 50)
        starts = [begun.at for begun in fleet.begun[2:]]
        assert all(later - earlier >= 25 for earlier, later in itertools.pairwise(starts))


async def test_a_triggered_run_is_waited_for(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: catching_up(job).without_overlapping("queue_one"), lasting=200)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(30)
        await node.scheduler.trigger("a")
        await fleet.until(235)
        fleet.lasting = 0.001
        await fleet.until(500)
        assert ticks(fleet)[1:] == minutes(1, 8)


async def test_a_random_delay_is_part_of_the_run(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: catching_up(job).random_delay(5, 5))
    async with fleet:
        await down_until(fleet, 310)
        await start_all(fleet)
        await fleet.until(350)
        assert [round(begun.at) for begun in fleet.begun[2:]] == [315, 320, 325]


async def test_no_more_than_its_runs(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: catching_up(job).max_runs(5))
    async with fleet:
        await down_until(fleet, 1000)
        await start_all(fleet)
        await fleet.until(1100)
        assert_in_order(fleet, minutes(1, 5))


async def test_a_removed_job_catches_up_no_more(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await down_until(fleet, 610)
        fleet.lasting = 10
        await node.start()
        await fleet.until(615)
        node.scheduler.remove_job("a")
        await fleet.until(700)
        assert ticks(fleet) == [60, 120, 180]
        catching_up(node.scheduler.add_job("a", fleet.work))
        await fleet.until(900)
        assert_in_order(fleet, minutes(1, 15))


async def test_a_job_that_is_removed_before_the_store_has_said_what_was_missed(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        await down_until(fleet, 610)
        node.partition()
        await node.start()
        await fleet.until(790)
        node.scheduler.remove_job("a")
        assert fleet.book(node).skips("a") == ["shutting_down"] * 3
        node.heal()
        await fleet.until(900)
        assert ticks(fleet) == [60, 120]


async def test_a_trigger_that_fails_for_the_past_costs_the_missed_ticks_alone(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful:
        """It knows no fire times before ``since``."""

        since = clock.now()

        def next_fire_time(self, after: datetime) -> datetime | None:
            if after < self.since:
                raise LookupError("that is long ago")
            return after.replace(second=0, microsecond=0) + timedelta(minutes=1)

    trigger = Forgetful()
    fleet = Fleet(clock, 1, lambda job: job.schedule(trigger).on_one_server().catch_up(3600, mode="all"))
    async with fleet:
        await down_until(fleet, 610)
        trigger.since = clock.now()
        await start_all(fleet)
        await fleet.until(800)
        assert ticks(fleet) == [60, 120, 660, 720, 780]
        assert "job=a does not catch up: its trigger failed" in caplog.text


async def test_jobs_beside_it_take_their_own_way(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, catching_up)
    (node,) = fleet.nodes
    async with fleet:
        other = node.scheduler.add_job("b", fleet.work).per_seconds(60).on_one_server().catch_up(3600)
        await fleet.until(130)
        node.freeze()
        await fleet.until(610)
        await node.thaw()
        await fleet.until(620)
        assert [begun.tick for begun in fleet.begun] == [60, 60, 120, 120, 600, *minutes(3, 10)]
        assert fleet.told(events.TicksMissed)[0].job == other.name


async def test_a_clock_that_runs_a_day_ahead_for_a_while(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, catching_up)
    async with fleet:
        await fleet.until(130)
        fleet.nodes[0].skew = 86_400
        await fleet.until(400)
        fleet.nodes[0].skew = 0
        await fleet.until(800)
        assert_in_order(fleet, minutes(1, 13))
