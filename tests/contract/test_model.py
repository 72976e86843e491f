"""All stores decide like the one in memory: the same random sequences, under the same clock, step by step."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, START, FakeRedisBackend, SqliteBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Lease
from asyncsched.stores.memory import MemoryStore

if TYPE_CHECKING:
    from asyncsched.protocols import Store

TICKS_AHEAD_US = st.sampled_from([-3_000_000, -2_000_000, -1_000_000, 0, 9_000, 11_000, 1_000_000])
OWNERS = st.sampled_from(["n1:a", "n1:b", "n2:a", "n2:b"])
JOBS = st.sampled_from(["x", "y"])

A_MILLISECOND = 0.001_001
"""Seconds: what Redis knows of the time that is left."""

PASSING = [0.503, 1.007, 2.013, 5.017]
"""Seconds. Their sums never meet an expiry to the millisecond, where Redis itself leaves open who comes first."""

KINDS = [
    *[ClaimKind.TICK] * 3,
    *[ClaimKind.RERUN] * 2,
    ClaimKind.START,
    ClaimKind.TRIGGER,
    ClaimKind.SURVEY,
]
WITH_A_TICK = {ClaimKind.TICK, ClaimKind.RERUN}

CLAIM = st.fixed_dictionaries(
    {
        "job": JOBS,
        "kind": st.sampled_from(KINDS),
        "owner": OWNERS,
        "ahead_us": TICKS_AHEAD_US,
        "one_server": st.booleans(),
        "no_overlap": st.booleans(),
        "lock_ttl": st.sampled_from([1.0, 3.0]),
        "retain_for": st.sampled_from([2.0, 10.0]),
        "remembered_us": st.sampled_from([None, None, -2_000_000, -1_000_000, 0]),
        "max_attempts": st.sampled_from([0, 2, 3]),
        "max_runs": st.sampled_from([0, 0, 1, 3]),
        "waits": st.booleans(),
        "cancels": st.booleans(),
        "slots": st.sampled_from([1, 1, 2, 3]),
    }
)
LEASE = st.tuples(
    st.integers(0, 11),
    st.sampled_from(
        [
            (SERVER,),
            (OVERLAP,),
            (SERVER, OVERLAP),
            (START, OVERLAP),
            (RUN,),
            (SERVER, RUN),
            (RUN, OVERLAP),
            (SERVER, RUN, OVERLAP),
        ]
    ),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, None, None, (), (2,), (0, 1, 2)]),
)
STEP = st.one_of(
    st.tuples(st.just("claim"), st.lists(CLAIM, min_size=1, max_size=3)),
    st.tuples(st.just("repeat"), st.integers(0, 11)),
    st.tuples(st.just("renew"), st.lists(LEASE, min_size=1, max_size=3)),
    st.tuples(st.just("release"), st.lists(LEASE, min_size=1, max_size=2)),
    st.tuples(st.just("pause"), st.tuples(JOBS, st.booleans())),
    st.tuples(st.just("pass"), st.sampled_from(PASSING)),
    st.tuples(st.just("lose"), st.none()),
)


class Both:
    """A store in memory and another one that are asked the same, and must answer the same."""

    def __init__(self, backend: FakeRedisBackend | SqliteBackend) -> None:
        self.backend = backend
        self.memory = MemoryStore(clock=backend.clock)
        self.other: Store = backend.store()
        self.start_us = backend.now_us()
        self.claims: list[ClaimRequest] = []
        self.grants: list[Lease] = []
        self.heard: dict[str, set[tuple[str, int]]] = {"memory": set(), "other": set()}
        for name, store in (("memory", self.memory), ("other", self.other)):
            store.listen(lambda job, tick_us, name=name: self.heard[name].add((job, tick_us)))

    async def step(self, name: str, value: Any) -> None:
        await getattr(self, name)(value)

    async def claim(self, drawn: list[dict[str, Any]]) -> None:
        now = self.backend.now_us()
        await self._claim([_request(now - now % 1_000_000, dict(each)) for each in drawn])

    async def repeat(self, index: int) -> None:
        if self.claims:
            await self._claim([self.claims[-1 - index % len(self.claims)]])

    async def _claim(self, requests: list[ClaimRequest]) -> None:
        expected = await self.memory.claim(requests)
        answers = await self.other.claim(requests)
        for request, answer, wanted in zip(requests, answers, expected, strict=True):
            assert _comparable(answer) == _comparable(wanted), request
            assert abs(answer.wait - wanted.wait) <= A_MILLISECOND, request
        self.claims += requests
        self.grants += [
            Lease(request.job, request.owner, answer.fence, (), request.lock_ttl, request.tick_us, slots=(answer.slot,))
            for request, answer in zip(requests, answers, strict=True)
        ]

    def _leases(self, drawn: list[tuple[int, tuple[Any, ...], bool, bool, Any]]) -> list[Lease]:
        if not self.grants:
            return []
        chosen = [(self.grants[-1 - index % len(self.grants)], *drawn_for_it) for index, *drawn_for_it in drawn]
        return [
            replace(
                grant,
                locks=locks,
                finished=finished,
                cancellable=cancellable,
                slots=grant.slots if slots is None else slots,
            )
            for grant, locks, finished, cancellable, slots in chosen
        ]

    async def renew(self, drawn: Any) -> None:
        leases = [replace(lease, slots=lease.slots[:1]) for lease in self._leases(drawn)]
        assert list(await self.other.renew(leases)) == list(await self.memory.renew(leases))

    async def release(self, drawn: Any) -> None:
        leases = self._leases(drawn)
        assert list(await self.other.release(leases)) == list(await self.memory.release(leases))
        await self.other.refresh()
        assert self.heard["other"] >= self.heard["memory"], "Redis may tell of more: nothing rests on what it tells"

    async def pause(self, drawn: tuple[str, bool]) -> None:
        for store in (self.memory, self.other):
            await store.set_paused(*drawn)
            await store.refresh()
        assert [self.memory.is_paused(job) for job in "xy"] == [self.other.is_paused(job) for job in "xy"]

    async def lose(self, _: None) -> None:
        paused = [job for job in "xy" if self.memory.is_paused(job)]
        await self.backend.lose_everything()
        self.memory._jobs.clear()
        for job in paused:
            await self.other.set_paused(job, True)

    async def check(self) -> None:
        """Compare what the last claims would get now: it shows every difference that is left behind."""
        await self._claim(self.claims[-6:])


def _request(now: int, drawn: dict[str, Any]) -> ClaimRequest:
    ahead = drawn.pop("ahead_us")
    remembered = drawn.pop("remembered_us")
    if drawn["waits"] or drawn["cancels"] or _max_attempts(drawn):
        drawn["slots"] = 1
    return ClaimRequest(
        tick_us=now + ahead if drawn["kind"] in WITH_A_TICK else 0,
        remembered_us=0 if remembered is None else now + remembered,
        max_attempts=_max_attempts(drawn),
        **{name: value for name, value in drawn.items() if name != "max_attempts"},
    )


def _max_attempts(drawn: dict[str, Any]) -> int:
    """Return it as an engine would: a rerun has some, an immediate or triggered run has none."""
    if drawn["kind"] in (ClaimKind.START, ClaimKind.TRIGGER):
        return 0
    return drawn["max_attempts"] or (2 if drawn["kind"] is ClaimKind.RERUN else 0)


def _comparable(answer: ClaimAnswer) -> tuple[Any, ...]:
    counted = (answer.fence, answer.newest_us, answer.attempt, answer.open_us, answer.slot)
    return (answer.verdict, *counted, answer.wait > 0)


async def play(backend: FakeRedisBackend | SqliteBackend, steps: list[tuple[str, Any]]) -> None:
    both = Both(backend)
    for name, value in steps:
        if name == "pass":
            await backend.pass_time(value)
        else:
            await both.step(name, value)
    await both.check()
    await backend.close()


often = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@often
@given(steps=st.lists(STEP, min_size=4, max_size=25))
def test_redis_and_memory_decide_alike(steps: list[tuple[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(play(FakeRedisBackend(monkeypatch), steps))


@often
@given(steps=st.lists(STEP, min_size=4, max_size=25))
def test_sqlite_and_memory_decide_alike(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(SqliteBackend(Path(folder)), steps))
