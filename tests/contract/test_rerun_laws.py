"""What holds of reruns whatever happens: random histories of one cluster, checked claim by claim.

Unlike the model's, these histories are possible ones: each claim has an owner of its own, as an engine gives it, and no
record is lost or expires.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, FakeRedisBackend, MemoryBackend, SqliteBackend, rerun, survey, tick, trigger
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Lease, Verdict

if TYPE_CHECKING:
    from asyncsched._grants import LockType

SECOND = 1_000_000
JOBS = ["x", "x", "x", "x", "y"]
WHICH = [0, 0, 0, 1, 1, 2, 5]
"""Which of the earlier ones, from the newest."""

STEPS: list[tuple[str, Any]] = [
    *[("tick", job) for job in JOBS],
    *[("rerun", which) for which in WHICH * 2],
    ("trigger", "x"),
    ("survey", "x"),
    *[("repeat", which) for which in WHICH[2:]],
    *[("renew", which) for which in WHICH[2:]],
    *[("release", (which, finished, fence)) for which in WHICH[2:] for finished, fence in [(0, 1), (1, 1), (0, 0)]],
    ("pause", ("x", True)),
    *[("pause", ("x", False))] * 4,
    *[("pass", seconds) for seconds in [0.503, 1.007, *[3.013] * 6]],
]
HISTORIES = st.fixed_dictionaries(
    {
        "max_attempts": st.integers(2, 3),
        "no_overlap": st.booleans(),
        "lock_ttl": st.sampled_from([1.0, 3.0]),
        "steps": st.lists(st.sampled_from(STEPS), min_size=20, max_size=60),
    }
)


class History:
    """A cluster's claims, and what must hold of the answers."""

    def __init__(self, backend: Any, max_attempts: int, no_overlap: bool, lock_ttl: float) -> None:
        self.backend = backend
        self.store = backend.store()
        self.newest_us = backend.now_us() - 10 * SECOND
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

    async def do_tick(self, job: str) -> None:
        self.newest_us += 1
        await self._claim(tick(self.newest_us, self._owner(), job, **self.options))

    async def do_rerun(self, index: int) -> None:
        ticks = list(dict.fromkeys((job, tick_us) for job, tick_us, _ in self.granted))
        if ticks:
            job, tick_us = ticks[-1 - index % len(ticks)]
            before = await self._keys()
            answer = await self._claim(rerun(tick_us, self._owner(), job, **self.options))
            if answer.verdict is Verdict.WON:
                assert self._run_key(job, tick_us) not in before, "granted while another had its lease"

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

    async def do_release(self, drawn: tuple[int, int, int]) -> None:
        index, finished, knows_fence = drawn
        if not self.grants:
            return
        request, lease = self.grants[-1 - index % len(self.grants)]
        before, open_before = await self._keys(), await self._open(request.job)
        await self.store.release([replace(lease, finished=bool(finished), fence=lease.fence if knows_fence else 0)])
        after = await self._keys()
        assert all(owner == lease.owner for key, owner in before.items() if key not in after), "another's key"
        if finished and self._is_newest_attempt(request):
            self.finished.add((request.job, request.tick_us))
        else:
            assert await self._open(request.job) == open_before, "closed by another attempt"

    async def _open(self, job: str) -> tuple[int, ...]:
        (answer,) = await self.store.claim([survey(job)])
        return answer.open_us

    def _is_newest_attempt(self, request: ClaimRequest) -> bool:
        attempts = [
            (attempt, owner)
            for (job, tick_us, attempt), (owner, _) in self.granted.items()
            if (job, tick_us) == (request.job, request.tick_us)
        ]
        return bool(attempts) and max(attempts)[1] == request.owner

    async def do_pause(self, drawn: tuple[str, bool]) -> None:
        await self.store.set_paused(*drawn)

    async def do_pass(self, seconds: float) -> None:
        await self.backend.pass_time(seconds)

    def _run_key(self, job: str, tick_us: int) -> Any:
        if isinstance(self.backend, MemoryBackend):
            return (job, tick_us)
        if isinstance(self.backend, SqliteBackend):
            return (job, f"run:{tick_us}")
        return f"schedule:jobLock:{job}:run:{tick_us}".encode()

    async def _claim(self, request: ClaimRequest) -> ClaimAnswer:
        (answer,) = await self.store.claim([request])
        self.asked.append(request)
        self._check_open(request, answer)
        if answer.verdict is Verdict.WON:
            self._check_grant(request, answer)
            self.grants.append((request, Lease(*_lease_of(request, answer))))
        return answer

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
            for name in self.backend.shared._jobs:
                locks = self.backend.shared._job(name).locks
                found.update({(name, lock): held.owner for lock, held in locks.items()})
            return found
        if isinstance(self.backend, SqliteBackend):
            if not self.backend.path.exists():
                return {}
            alive = f"until_us > {round(self.backend.clock.monotonic() * 1e6)}"
            rows = self.backend.execute(f"SELECT job, lock, owner FROM locks WHERE {alive}")
            return {(job, lock): owner for job, lock, owner in rows}
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


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORIES)
def test_of_the_store_in_a_file(history: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(SqliteBackend(Path(folder)), history))
