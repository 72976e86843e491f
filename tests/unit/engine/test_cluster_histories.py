"""Random histories of a cluster: whatever the clocks, the store and the nodes do, a tick never runs twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import Any

from _engine_doubles import ScriptedStore, Skewed, answer_lost, down, ghost
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncsched import RunContext, Scheduler, events
from asyncsched._clock import sleep
from asyncsched.testing import FakeClock

NODES = 3
PERIOD = 10
SPELLS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([0.4, 7, 10, 33])),
        st.tuples(st.just("stall"), st.sampled_from([12, 95])),
        st.tuples(st.just("step"), st.integers(0, NODES - 1), st.sampled_from([0.3, 45, 3600, -0.3, -45, -3600])),
        st.tuples(st.just("down"), st.integers(1, 30)),
        st.tuples(st.just("answer lost"), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.integers(0, NODES - 1)),
        st.tuples(st.just("trigger"), st.integers(0, NODES - 1)),
        st.tuples(st.just("wipe")),
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.just("order"), st.booleans(), st.integers(0, 5)),
    ),
    max_size=14,
)


class History:
    """Three nodes through a list of spells."""

    def __init__(self, flags: tuple[bool, bool], duration: float, skews: tuple[float, ...]) -> None:
        self.clock = FakeClock()
        self.store = ScriptedStore(self.clock)
        self.duration = duration
        self.starts: Counter[tuple[str, datetime]] = Counter()
        self.accounted: Counter[tuple[str, datetime]] = Counter()
        self.fences: list[int] = []
        self.going = self.most = 0
        self.wiped = False
        self.ghosts: list[Any] = []
        self.clocks = [Skewed(self.clock, skew) for skew in skews]
        self.nodes = [
            Scheduler(self.store, clock=clock, node=f"node{number}", shutdown_timeout=5)
            for number, clock in enumerate(self.clocks)
        ]
        for node in self.nodes:
            job = node.add_job("a", self.handler).per_seconds(PERIOD)
            if flags[0]:
                job.on_one_server()
            if flags[1]:
                job.without_overlapping()
            node.subscribe(self._book, events.RunEnded, events.TickSkipped)

    async def handler(self, ctx: RunContext) -> None:
        if ctx.kind == "tick":  # type: ignore[attr-defined]
            self.starts[ctx.node, ctx.fire_time] += 1
        self.fences.append(ctx.fence)
        self.going += 1
        self.most = max(self.most, self.going)
        try:
            await sleep(self.clock, self.duration)
        finally:
            self.going -= 1

    def _book(self, event: Any) -> None:
        if event.fire_time.timestamp() % PERIOD == 0:
            self.accounted[event.node, event.fire_time] += 1

    async def live(self, spells: list[tuple[Any, ...]]) -> None:
        for node in self.nodes:
            await node.__aenter__()
        for spell in spells:
            await self._spell(*spell)
            await self.clock.advance(2.7)
        for method in ("claim", "renew", "release"):
            self.store.forget_script(method)
        await self._leave(*self.nodes)

    async def _leave(self, *nodes: Scheduler) -> None:
        leaving = asyncio.gather(*(node.__aexit__(None, None, None) for node in nodes))
        while not leaving.done():
            await self.clock.advance(0.5)
        await leaving

    async def _disturb_order(self, spreads_news: bool, count: int) -> None:
        """Have so many nodes in each order that never ask, and perhaps let nobody hear what is decided."""
        self.store.spreads_news = spreads_news
        for each in self.ghosts:
            await each.leave()
        groups = {each.name().partition("|")[0] for each in self.store.memory._attendances}
        self.ghosts = [ghost(self.store.memory, group, number) for group in groups for number in range(count)]

    async def _spell(self, what: str, *how: Any) -> None:
        if what == "pass":
            await self.clock.advance(how[0])
        elif what == "stall":
            self.clock.elapsed += how[0]
        elif what == "step":
            self.clocks[how[0]].skew += how[1]
        elif what == "down":
            for method, count in (("claim", how[0]), ("renew", how[0] // 4), ("release", how[0] // 4)):
                self.store.on(method, *[down] * count)
        elif what == "answer lost":
            self.store.on("claim", *[answer_lost] * how[0])
        elif what == "restart":
            await self._leave(self.nodes[how[0]])
            await self.nodes[how[0]].__aenter__()
        elif what == "trigger":
            await self.clock.advance(0.013)  # off the grid: an event does not tell a triggered run from a tick
            asked = asyncio.ensure_future(self.nodes[how[0]].trigger("a"))
            while not asked.done():
                await self.clock.advance(0.3)
        elif what == "order":
            await self._disturb_order(*how)
        elif what == "wipe":
            self.wiped = True
            self.store.memory._jobs.clear()
        else:
            with suppress(KeyError):
                await self.store.set_paused("a", how[0])


@settings(max_examples=100, deadline=None)
@given(
    spells=SPELLS,
    flags=st.tuples(st.booleans(), st.booleans()),
    duration=st.sampled_from([0.001, 3, 25]),
    skews=st.tuples(*[st.sampled_from([0.0, 0.04, 2.0, -2.0, 86_400.0, -86_400.0])] * NODES),
)
@example(  # a claim that failed, was heard to be decided elsewhere, and is asked again of a store without records
    spells=[("pass", 0.4), ("down", 1), ("step", 0, 0.3), ("down", 22), ("step", 0, 0.3), ("wipe",)],
    flags=(True, False),
    duration=0.001,
    skews=(0.0, 0.0, 0.0),
)
def test_whatever_happens_to_a_cluster(
    spells: list[tuple[Any, ...]], flags: tuple[bool, bool], duration: float, skews: tuple[float, ...]
) -> None:
    history = History(flags, duration, skews)
    asyncio.run(history.live(spells))

    restarted = any(spell[0] == "restart" for spell in spells)
    one_server, no_overlap = flags
    if one_server:
        cluster = Counter(tick for _, tick in history.starts.elements())
        if not (history.wiped and restarted):  # a new life remembers nothing of what an emptied store has lost
            assert set(cluster.values()) <= {1}
    elif not restarted:
        assert set(history.starts.values()) <= {1}
    if not restarted:
        assert set(history.accounted.values()) <= {1}
    if no_overlap and not history.wiped:
        assert history.most <= 1
    if any(flags) and not (one_server and not no_overlap):
        assert history.fences == sorted(history.fences)
    assert history.going == 0
    assert history.store.locks("a") == set()
    assert [node.snapshot().active for node in history.nodes] == [()] * NODES
