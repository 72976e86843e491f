"""Every tick ends as exactly one of ran, skipped and missed, whatever happens to it: random histories."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from _engine_doubles import ScriptedStore, Skewed, answer_lost, down
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncsched import RunContext, Scheduler, events
from asyncsched._clock import sleep
from asyncsched._grants import ClaimAnswer, Verdict
from asyncsched.testing import FakeClock

PERIOD = 10
START = datetime(2026, 1, 1, tzinfo=UTC)

SPELLS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.sampled_from([1, 7, 10, 33])),
        st.tuples(st.just("stall"), st.sampled_from([0.5, 12, 95])),
        st.tuples(st.just("step"), st.sampled_from([0.3, 45, -3, -45])),
        st.tuples(st.just("down"), st.integers(1, 40)),
        st.tuples(st.just("answer lost"), st.integers(1, 3)),
        st.tuples(st.just("early"), st.sampled_from([0.2])),
        st.tuples(st.just("late"), st.just(0)),
        st.tuples(st.just("lose"), st.just(0)),
        st.tuples(st.just("wipe"), st.just(0)),
        st.tuples(st.just("pause"), st.booleans()),
    ),
    max_size=12,
)


class History:
    """One scheduler through a list of spells."""

    def __init__(self, flags: tuple[bool, bool], duration: float, grace: float | None, delay: float) -> None:
        self.clock = FakeClock()
        self.store = ScriptedStore(self.clock)
        self.scheduler = Scheduler(self.store, clock=Skewed(self.clock, 0.0), node="here", shutdown_timeout=5)
        self.ends: Counter[datetime] = Counter()
        self.starts: Counter[datetime] = Counter()
        self.grants: list[tuple[datetime, int]] = []
        self.going, self.most = 0, 0
        self._duration = duration
        job = self.scheduler.add_job("a", self._handler).per_seconds(PERIOD).misfire_grace(grace)
        job.random_delay(0, delay)
        if flags[0]:
            job.on_one_server()
        if flags[1]:
            job.without_overlapping()
        self.scheduler.subscribe(self._book)

    async def _handler(self, ctx: RunContext) -> None:
        self.starts[ctx.fire_time] += 1
        self.grants.append((ctx.fire_time, ctx.fence))
        self.going += 1
        self.most = max(self.most, self.going)
        try:
            if self._duration:
                await sleep(self.clock, self._duration)
        finally:
            self.going -= 1

    def _book(self, event: Any) -> None:
        if isinstance(event, events.RunEnded | events.TickSkipped):
            self.ends[event.fire_time] += 1
        elif isinstance(event, events.TicksMissed):
            assert (event.last - event.first) == timedelta(seconds=PERIOD) * (event.count - 1)
            for number in range(event.count):
                self.ends[event.first + timedelta(seconds=PERIOD) * number] += 1

    async def live(self, spells: list[tuple[str, Any]]) -> None:
        await self.scheduler.__aenter__()
        await self.clock.settle()
        for what, how in spells:
            await self._spell(what, how)
            await self.clock.advance(3)
        for method in ("claim", "renew", "release"):
            self.store.forget_script(method)
        leaving = asyncio.ensure_future(self.scheduler.__aexit__(None, None, None))
        while not leaving.done():
            await self.clock.advance(0.5)
        await leaving

    def _unless_won(self, answer: ClaimAnswer) -> Any:
        """Answer so, except to a repeat of what has won already: no store takes a grant back."""

        async def act(method: Any, items: Any) -> Any:
            won = self.store.memory._job("a").owned(items[0].owner)
            return await method(items) if won else [answer]

        return act

    async def _spell(self, what: str, how: Any) -> None:
        if what == "pass":
            await self.clock.advance(how)
        elif what == "stall":
            self.clock.elapsed += how
            await self.clock.advance(0)
        elif what == "step":
            self.clock.shift(how)
        elif what == "down":
            self.store.on("claim", *[down] * how)
            self.store.on("renew", *[down] * (how // 4))
            self.store.on("release", *[down] * (how // 4))
        elif what == "answer lost":
            self.store.on("claim", *[answer_lost] * how)
        elif what == "early":
            self.store.on("claim", self._unless_won(ClaimAnswer(Verdict.EARLY, wait=how)))
        elif what == "late":
            self.store.on("claim", self._unless_won(ClaimAnswer(Verdict.LATE)))
        elif what == "lose":
            self.store.lose("a")
        elif what == "wipe":
            self.store.memory._jobs.clear()
        else:
            await self.store.set_paused("a", how)


@settings(max_examples=120, deadline=None)
@given(
    spells=SPELLS,
    flags=st.tuples(st.booleans(), st.booleans()),
    duration=st.sampled_from([0, 0.001, 15, 60]),
    grace=st.sampled_from([None, 3600, 5]),
    delay=st.sampled_from([0, 4]),
)
def test_each_tick_is_accounted_for_exactly_once(
    spells: list[tuple[str, Any]], flags: tuple[bool, bool], duration: float, grace: float | None, delay: float
) -> None:
    history = History(flags, duration, grace, delay)
    asyncio.run(history.live(spells))

    assert set(history.ends.values()) <= {1}
    assert set(history.starts.values()) <= {1}
    ticks = sorted(history.ends)
    if ticks:  # no gap: from the first to the last, each multiple of the period
        whole = (ticks[-1] - ticks[0]) // timedelta(seconds=PERIOD) + 1
        assert len(ticks) == whole
        first = START + timedelta(seconds=PERIOD)
        assert ticks[0] == first or (ticks[0] < first and any(what == "step" and how < 0 for what, how in spells))
    assert sum(history.scheduler.snapshot().counters.values()) == len(ticks)
    if flags[1]:
        assert history.most <= 1
    if any(flags):
        fences = [fence for _, fence in sorted(history.grants)]  # random delays may turn the order of the starts
        assert fences == sorted(set(fences))
    assert history.going == 0
    assert history.store.locks("a") == set()
    assert history.scheduler.snapshot().active == ()
