"""Three nodes whose clocks disagree, on one real Redis, with runs far shorter than the skew."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from asyncsched import RunContext, Scheduler, SkipReason, events
from asyncsched._clock import PendingCall, SystemClock

pytestmark = [pytest.mark.redis, pytest.mark.processes]

PERIOD = 0.1
SECONDS = 6.0


class SkewedClock(SystemClock):
    """A machine whose wall clock is wrong by ``skew`` seconds."""

    def __init__(self, skew: float) -> None:
        super().__init__()
        self._skew = skew

    def time(self) -> float:
        return super().time() + self._skew

    def call_at(self, when: float, callback: object) -> PendingCall:
        return super().call_at(when, callback)  # type: ignore[arg-type]


class Cluster:
    """Nodes with a guarded job each; every run leaves its tick, fence and node."""

    def __init__(self, url: str, skews: list[float]) -> None:
        self.runs: list[tuple[datetime, int, str]] = []
        self.passed_over: set[datetime] = set()
        self.in_progress = 0
        self.most_in_progress = 0
        self.nodes = [self._node(url, f"node{number}", skew) for number, skew in enumerate(skews)]

    def _node(self, url: str, name: str, skew: float) -> Scheduler:
        scheduler = Scheduler(url, node=name, clock=SkewedClock(skew))
        scheduler.add_job("quick", self._quick).per_seconds(PERIOD).on_one_server()
        scheduler.add_job("alone", self._alone).per_seconds(PERIOD).without_overlapping()
        scheduler.subscribe(self._missed, events.TicksMissed)
        scheduler.subscribe(self._skipped, events.TickSkipped)
        return scheduler

    def _missed(self, event: events.TicksMissed) -> None:
        if event.job == "quick":
            self.passed_over |= {event.first + timedelta(seconds=PERIOD) * number for number in range(event.count)}

    def _skipped(self, event: events.TickSkipped) -> None:
        if event.job == "quick" and event.reason is not SkipReason.ELSEWHERE:
            self.passed_over.add(event.fire_time)

    async def _quick(self, ctx: RunContext) -> None:
        self.runs.append((ctx.fire_time, ctx.fence, ctx.node))
        await asyncio.sleep(0.001)

    async def _alone(self) -> None:
        self.in_progress += 1
        self.most_in_progress = max(self.most_in_progress, self.in_progress)
        await asyncio.sleep(0.25)
        self.in_progress -= 1

    async def run_for(self, seconds: float) -> None:
        async with asyncio.timeout(seconds + 20):
            for node in self.nodes:
                await node.__aenter__()
            await asyncio.sleep(seconds)
            for node in self.nodes:
                await node.stop()


@pytest.mark.parametrize("skews", [[0.0, 2.0, -2.0], [86_400.0, 0.0, -86_400.0]], ids=["two seconds", "a day"])
async def test_no_tick_runs_twice_and_none_is_lost(redis_url: str, skews: list[float]) -> None:
    cluster = Cluster(redis_url, skews)
    started_at = datetime.now(UTC)
    await cluster.run_for(SECONDS)

    ticks = Counter(tick for tick, _, _ in cluster.runs)
    assert [tick for tick, times in ticks.items() if times > 1] == []
    # a node that is behind may claim ticks of its own past, as long as nobody has claimed a newer one
    ordered = sorted(tick for tick in ticks if tick >= started_at)
    lost = {
        tick + timedelta(seconds=PERIOD) * number
        for tick, later in pairwise(ordered)
        for number in range(1, round((later - tick) / timedelta(seconds=PERIOD)))
    }
    assert lost <= cluster.passed_over  # on a machine that stalls for longer than a period, and never in silence
    assert len(ordered) >= (SECONDS - 2) / PERIOD / 2
    fences = [fence for _, fence, _ in sorted(cluster.runs)]
    assert fences == sorted(set(fences))
    assert cluster.most_in_progress == 1


async def test_a_single_node_a_day_ahead_runs_at_the_time_of_the_store(redis_url: str) -> None:
    cluster = Cluster(redis_url, [86_400.0])
    await cluster.run_for(2.5)
    ticks = [tick for tick, _, _ in cluster.runs]
    assert len(ticks) == len(set(ticks)) >= 10
    now = datetime.now(ticks[0].tzinfo)
    assert all(abs(now - tick) < timedelta(seconds=30) for tick in ticks)
