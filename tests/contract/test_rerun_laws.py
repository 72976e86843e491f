"""What holds of reruns whatever happens: random histories of one cluster, checked claim by claim.

Unlike the model's, these histories are possible ones: each claim has an owner of its own, as an engine gives it, and no
record is lost or expires.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, FakeRedisBackend, MemoryBackend, rerun, survey, tick, trigger
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Lease, Verdict

if TYPE_CHECKING:
    from asyncsched._grants import LockType

SECOND = 1_000_000
JOBS = st.sampled_from(["x", "y"])
TICKS = st.integers(0, 4)
NEWEST = st.integers(0, 7)
PASSING = st.sampled_from([0.503, 1.007, 2.013])

STEP = st.one_of(
    st.tuples(st.just("tick"), st.tuples(JOBS, TICKS)),
    st.tuples(st.just("rerun"), st.tuples(JOBS, TICKS)),
    st.tuples(st.just("rerun"), st.tuples(JOBS, TICKS)),
    st.tuples(st.just("trigger"), JOBS),
    st.tuples(st.just("survey"), JOBS),
    st.tuples(st.just("repeat"), NEWEST),
    st.tuples(st.just("renew"), NEWEST),
    st.tuples(st.just("release"), st.tuples(NEWEST, st.booleans(), st.booleans())),
    st.tuples(st.just("pause"), st.tuples(JOBS, st.booleans())),
    st.tuples(st.just("pass"), PASSING),
)
HISTORIES = st.fixed_dictionaries(
    {
        "max_attempts": st.integers(2, 3),
        "no_overlap": st.booleans(),
        "lock_ttl": st.sampled_from([1.0, 3.0]),
        "steps": st.lists(STEP, min_size=6, max_size=40),
    }
)


class History:
    """A cluster's claims, and what must hold of the answers."""

    def __init__(self, backend: Any, max_attempts: int, no_overlap: bool, lock_ttl: float) -> None:
        self.backend = backend
        self.store = backend.store()
        self.start_us = backend.now_us() - 10 * SECOND
        self.options: dict[str, Any] = {"no_overlap": no_overlap, "lock_ttl": lock_ttl, "max_attempts": max_attempts}
        self.asked: list[ClaimRequest] = []
        self.grants: list[tuple[ClaimRequest, Lease]] = []
        self.granted: dict[tuple[str, int, int], tuple[str, int]] = {}
        """For each job, tick and attempt: who has it, and with which fence."""
        self.fences: dict[str, int] = {}
        self.finished: set[tuple[str, int]] = set()
        self.owners = 0

    async def step(self, name: str, value: Any) -> None:
        await getattr(self, f"do_{name}")(value)

    def _owner(self) -> str:
        self.owners += 1
        return f"n1:{self.owners}"

    async def do_tick(self, drawn: tuple[str, int]) -> None:
        await self._claim(tick(self.start_us + drawn[1], self._owner(), drawn[0], **self.options))

    async def do_rerun(self, drawn: tuple[str, int]) -> None:
        await self._claim(rerun(self.start_us + drawn[1], self._owner(), drawn[0], **self.options))

    async def do_trigger(self, job: str) -> None:
        await self._claim(trigger(self._owner(), job, no_overlap=self.options["no_overlap"]))

    async def do_survey(self, job: str) -> None:
        before = await self._keys()
        await self.store.claim([survey(job)])
        assert await self._keys() == before

    async def do_repeat(self, index: int) -> None:
        if self.asked:
            await self._claim(self.asked[-1 - index % len(self.asked)])

    async def do_renew(self, index: int) -> None:
        if self.grants:
            await self.store.renew([self.grants[-1 - index % len(self.grants)][1]])

    async def do_release(self, drawn: tuple[int, bool, bool]) -> None:
        index, finished, knows_fence = drawn
        if not self.grants:
            return
        request, lease = self.grants[-1 - index % len(self.grants)]
        before = await self._keys()
        await self.store.release([replace(lease, finished=finished, fence=lease.fence if knows_fence else 0)])
        after = await self._keys()
        assert all(owner == lease.owner for key, owner in before.items() if key not in after), "another's key"
        newest = max((a for job, us, a in self.granted if (job, us) == (request.job, request.tick_us)), default=0)
        if finished and self.granted.get((request.job, request.tick_us, newest), ("",))[0] == request.owner:
            self.finished.add((request.job, request.tick_us))

    async def do_pause(self, drawn: tuple[str, bool]) -> None:
        await self.store.set_paused(*drawn)

    async def do_pass(self, seconds: float) -> None:
        await self.backend.pass_time(seconds)

    async def _claim(self, request: ClaimRequest) -> None:
        (answer,) = await self.store.claim([request])
        self.asked.append(request)
        self._check_open(request, answer)
        if answer.verdict is Verdict.WON:
            self._check_grant(request, answer)
            self.grants.append((request, Lease(*_lease_of(request, answer))))

    def _check_open(self, request: ClaimRequest, answer: ClaimAnswer) -> None:
        assert not {(request.job, tick_us) for tick_us in answer.open_us} & self.finished
        assert answer.attempt <= max(1, request.max_attempts)

    def _check_grant(self, request: ClaimRequest, answer: ClaimAnswer) -> None:
        key = (request.job, request.tick_us, answer.attempt)
        if request.kind is not ClaimKind.TRIGGER:
            known = self.granted.setdefault(key, (request.owner, answer.fence))
            assert known == (request.owner, answer.fence), "granted to two"
            assert key[:2] not in self.finished, "granted after it had finished"
            assert (answer.attempt == 1) is (request.kind is ClaimKind.TICK)
            if answer.attempt > 1:
                assert (request.job, request.tick_us, answer.attempt - 1) in self.granted
        repeated = any(lease.owner == request.owner for _, lease in self.grants)
        if not repeated:
            assert answer.fence > self.fences.get(request.job, 0), "fences rise"
        self.fences[request.job] = max(answer.fence, self.fences.get(request.job, 0))

    async def _keys(self) -> dict[Any, str]:
        """Return the owner of every lock that is held now."""
        if isinstance(self.backend, MemoryBackend):
            found = {}
            for name, job in self.backend.shared._jobs.items():
                job.expire(self.backend.clock.monotonic())
                found.update({(name, lock): held.owner for lock, held in job.locks.items()})
            return found
        names = [name for name in await self.backend.raw.keys("*") if await self.backend.raw.type(name) == b"string"]
        return {name: (await self.backend.raw.get(name)).decode().split("|")[0] for name in names}


def _lease_of(request: ClaimRequest, answer: ClaimAnswer) -> tuple[str, str, int, tuple[LockType, ...], float, int]:
    locks: tuple[LockType, ...] = {ClaimKind.TICK: (SERVER, RUN), ClaimKind.RERUN: (RUN,)}.get(request.kind, ())
    locks += (OVERLAP,) if request.no_overlap else ()
    return request.job, request.owner, answer.fence, locks, request.lock_ttl, request.tick_us


async def play(backend: Any, history: dict[str, Any]) -> None:
    told = History(backend, history["max_attempts"], history["no_overlap"], history["lock_ttl"])
    for name, value in history["steps"]:
        await told.step(name, value)
    await backend.close()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORIES)
def test_of_the_store_in_memory(history: dict[str, Any]) -> None:
    asyncio.run(play(MemoryBackend(), history))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORIES)
def test_of_the_scripts(history: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        asyncio.run(play(FakeRedisBackend(monkeypatch), history))
