"""Jobs that run although the store is away, on every node that finds it so, and under their guards when it is back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from _fleet import Fleet
from _life_doubles import locks

from asyncsched import events

if TYPE_CHECKING:
    from asyncsched import Job
    from asyncsched.testing import FakeClock


def anyway(job: Job, seconds: float = 60) -> Job:
    return job.per_seconds(seconds).on_one_server().when_store_unavailable("run")


def cut_off(fleet: Fleet) -> None:
    for node in fleet.nodes:
        node.partition()


def back(fleet: Fleet) -> None:
    for node in fleet.nodes:
        node.heal()


async def test_each_node_that_finds_the_store_away_runs_the_tick(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    fleet = Fleet(clock, 3, anyway)
    async with fleet:
        await fleet.until(70)
        cut_off(fleet)
        await fleet.until(130)
        assert sorted((begun.tick, begun.node, begun.fence > 0) for begun in fleet.begun[1:]) == [
            (120, "n0", False),
            (120, "n1", False),
            (120, "n2", False),
        ]
        assert all(123 <= begun.at <= 124.1 for begun in fleet.begun[1:])
        assert sum("runs without its guards" in record.getMessage() for record in caplog.records) == 3
        back(fleet)
        await fleet.until(190)
        assert len(fleet.runs(180)) == 1
        assert fleet.runs(180)[0].fence > fleet.begun[0].fence
    assert locks(fleet.store) == {}


async def test_the_others_let_a_node_alone_run_what_only_it_cannot_ask_for(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, anyway)
    async with fleet:
        await fleet.until(70)
        fleet.nodes[0].partition()
        await fleet.until(130)
        assert sorted((begun.tick, begun.node, begun.fence > 0) for begun in fleet.begun[1:]) == [
            (120, "n0", False),
            (120, "n1", True),
        ]


@pytest.mark.parametrize("seconds", [1, 2, 10])
async def test_every_tick_of_an_outage_runs(clock: FakeClock, seconds: float) -> None:
    fleet = Fleet(clock, 1, lambda job: anyway(job, seconds))
    async with fleet:
        await fleet.until(20.5)
        cut_off(fleet)
        await fleet.until(64.5)
        back(fleet)
        await fleet.until(80.5)
    expected = [float(tick) for tick in range(seconds, 81, seconds)]
    assert [begun.tick for begun in fleet.begun] == expected
    assert {begun.tick for begun in fleet.begun if not begun.fence} >= set(range(30, 60, 10))


async def test_a_run_still_excludes_the_next_on_its_node(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: anyway(job, 10).without_overlapping(), lasting=25)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(5)
        cut_off(fleet)
        await fleet.until(100)
        assert len(fleet.begun) >= 3
        assert {begun.fence for begun in fleet.begun} == {0}
        assert "overlap" in fleet.book(node).skips("a")
    fleet.never_overlapped("a")


async def test_a_claim_that_won_unheard_is_given_back_in_silence(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, lambda job: anyway(job).without_overlapping(), lasting=30)
    (node,) = fleet.nodes
    async with fleet:
        await fleet.until(55)
        node.partition(answers_only=True)
        await fleet.until(70)
        assert [(begun.tick, begun.fence) for begun in fleet.begun] == [(60, 0)]
        assert locks(fleet.store) == {}
        assert fleet.book(node).of(events.LateGrantReleased) == []


async def test_what_runs_anyway_is_not_run_again_afterwards(clock: FakeClock) -> None:
    fleet = Fleet(clock, 2, lambda job: anyway(job, 600).rerun_on_crash().lock_ttl(30), lasting=20)
    async with fleet:
        await fleet.until(595)
        for node in fleet.nodes:
            node.partition(answers_only=True)  # one of them wins, and none hears of it
        await fleet.until(610)
        back(fleet)
        await fleet.until(1190)
        assert sorted((begun.tick, begun.node) for begun in fleet.begun) == [(600, "n0"), (600, "n1")]
        assert fleet.store._job("a").open == {}


async def test_a_stop_during_an_outage_runs_nothing(clock: FakeClock) -> None:
    fleet = Fleet(clock, 1, anyway)
    async with fleet:
        cut_off(fleet)
        await fleet.until(61)
        await fleet.nodes[0].stop()
        assert fleet.begun == []
        assert fleet.book(fleet.nodes[0]).skips("a") == ["shutting_down"]
