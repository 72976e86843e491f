"""Doubles for the engine's neighbours: a store that answers as it is told, and the whole engine's parts around it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

from anyio import CapacityLimiter

from asyncsched import events
from asyncsched._accounting import Ledger
from asyncsched._catch_up import CatchUp
from asyncsched._claim import Claim
from asyncsched._claims import Claimer
from asyncsched._events import EventBus
from asyncsched._execution import Executor
from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Lease, Renewal, Verdict
from asyncsched._job import Job
from asyncsched._job_settings import JobSettings
from asyncsched._job_state import JobState
from asyncsched._lease import LeaseKeeper
from asyncsched._logs import SafeLogger
from asyncsched._outage import Outage
from asyncsched._recovery import Recovery
from asyncsched._run import Origin, Run
from asyncsched._turns import Turns
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.testing import FakeClock

AWAY = StoreUnavailableError("away")
WON = ClaimAnswer(Verdict.WON, fence=1)


class ScriptedStore:
    """Answers each call with the next entry of its script, or with success.

    An entry is an exception to raise, one answer for every item of the call, a list of answers, or a future whose
    result is one of these: the call is on its way until the test sets it.
    """

    refresh_interval: float | None = None

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.claims: list[Any] = []
        self.renewals: list[Any] = []
        self.releases: list[Any] = []
        self.claimed: list[list[ClaimRequest]] = []
        self.renewed: list[list[Lease]] = []
        self.released: list[list[Lease]] = []
        self.called_at: list[float] = []
        self.listeners: list[Callable[[str, int], None]] = []
        self.refreshes: list[Any] = []
        self.refreshed_at: list[float] = []
        self.wall: float | None = None
        self.behind: float | None = None
        """Seconds by which its clock is behind ours; ``None``: it shows ``wall``."""
        self.closed = 0

    async def _answer(self, script: list[Any], default: Any, count: int) -> list[Any]:
        self.called_at.append(self.clock.monotonic())
        answer = script.pop(0) if script else default
        if isinstance(answer, asyncio.Future):
            answer = await asyncio.shield(answer)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, list) else [answer] * count

    async def claim(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        self.claimed.append(list(requests))
        return await self._answer(self.claims, WON, len(requests))

    async def renew(self, leases: Sequence[Lease]) -> list[Renewal]:
        self.renewed.append(list(leases))
        return await self._answer(self.renewals, Renewal.HELD, len(leases))

    async def release(self, leases: Sequence[Lease]) -> list[bool]:
        self.released.append(list(leases))
        return await self._answer(self.releases, True, len(leases))

    async def refresh(self) -> Sequence[str]:
        self.refreshed_at.append(self.clock.monotonic())
        (unsafe,) = await self._answer(self.refreshes, [()], 1)
        return unsafe

    def time(self) -> float | None:
        return self.wall if self.behind is None else self.clock.time() - self.behind

    def is_paused(self, job: str) -> bool:
        return False

    async def set_paused(self, job: str, paused: bool) -> None:
        raise AssertionError("nobody pauses here")

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        self.listeners.append(callback)
        return lambda: self.listeners.remove(callback)

    async def close(self) -> None:
        self.closed += 1


class CaughtUp(CatchUp):
    """Notes the jobs and ticks that are to be caught up with."""

    def __init__(self, ticks: list[tuple[str, int]]) -> None:
        self._ticks = ticks
        self._lines = {}

    def newest(self, state: JobState, tick_us: int) -> None:
        self._ticks.append((state.job.name, tick_us))


class Parts:
    """An executor, a claimer and a lease keeper as an engine puts them together, without its loop."""

    def __init__(self) -> None:
        self.clock = FakeClock(waits_for_threads=False)  # tests decide when a thread ends
        self.store = ScriptedStore(self.clock)
        self.logger = SafeLogger(logging.getLogger("asyncsched.test"))
        self.bus = EventBus(self.logger)
        self.events: list[events.Event] = []
        self.bus.subscribe(self.events.append)
        self.ledger = Ledger(self.clock, self.logger, self.bus)
        self.ledger.node = "n1"
        self.submitted = 0
        self.outages: list[str] = []
        self.outage = Outage(
            self.clock, lambda _: self.outages.append("lost"), lambda _: self.outages.append("recovered")
        )
        self.keeper = LeaseKeeper(self.store, self.clock, self.outage)
        self.limiter = CapacityLimiter(4)
        self.origin = Origin(
            "n1",
            self.logger.logger,
            lambda _run: "t" * 32,
            self.ledger.reported,
            lambda: self.limiter,
            self.ledger.progressed,
            asyncio.get_running_loop(),
        )
        self.caught_up: list[tuple[str, int]] = []
        self.recovery = Recovery(
            self.store,
            self.clock,
            self.outage,
            self.logger,
            rerun=self._rerun,
            catch_up=CaughtUp(self.caught_up),
        )
        self.executor = Executor(self.clock, self.ledger, self.keeper, self.origin, self.recovery.left_open)
        self.put_back: list[JobState] = []
        self.finished: list[JobState] = []
        self.claimer = Claimer(
            self.store,
            self.clock,
            fire=lambda *_: None,
            executor=self.executor,
            keeper=self.keeper,
            ledger=self.ledger,
            outage=self.outage,
            recovery=self.recovery,
            turns=Turns(self.store, self.clock, "n1", {}, self.ledger),
            put_back=lambda state, _: self.put_back.append(state),
            finish=self.finished.append,
            on_room=lambda: None,
        )
        self.tasks = [
            asyncio.ensure_future(life)
            for life in (
                self.claimer.claiming(),
                self.keeper.renewing(),
                self.keeper.releasing(),
                self.recovery.surveying(),
            )
        ]

    def state_again(self, handler: object, *policies: Callable[[Job], object], **options: Any) -> JobState:
        """A job whose interrupted ticks are run again, at most twice."""
        return self.state(handler, one_server, lambda job: job.rerun_on_crash(2), *policies, **options)

    def adopted(self, *policies: Callable[[Job], object], **options: Any) -> JobState:
        """The same, in the recovery's care."""
        state = self.state_again(Work(), *policies, **options)
        self.recovery.adopt(state, self.now_us)
        return state

    def _rerun(self, state: JobState, fire_us: int) -> None:
        self.claimer.submit(state, self.executor.new_run(state, ClaimKind.TICK, fire_us), rerun=True)

    @property
    def now_us(self) -> int:
        return round(self.clock.time() * 1e6)

    @property
    def tally(self) -> dict[str, int]:
        return {str(what): number for what, number in Counter(self.ledger.tally).items()}

    def of_type(self, kind: type[events.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def state(
        self,
        handler: object,
        *policies: Callable[[Job], object],
        name: str = "j",
        lock_ttl: float = 60.0,
        grace: float | None = 3600.0,
    ) -> JobState:
        job = Job(name, handler).per_seconds(10)
        for policy in policies:
            policy(job)
        return JobState(job, job.freeze(JobSettings(timezone=UTC, lock_ttl=lock_ttl, misfire_grace=grace)))

    def start(self, state: JobState, kind: ClaimKind = ClaimKind.TICK) -> Run:
        run = self.executor.new_run(state, kind, self.now_us)
        self.executor.start(state, run)
        return run

    async def start_granted(self, state: JobState, lease: Lease | None = None, kind: ClaimKind = ClaimKind.TICK) -> Run:
        if state.overlap_lock is not None:
            await state.overlap_lock.acquire()
        run = self.executor.new_run(state, kind, self.now_us)
        self.executor.start_granted(state, run, lease, self.clock.monotonic())
        return run

    def submit(
        self,
        state: JobState,
        kind: ClaimKind = ClaimKind.TICK,
        *,
        at: int | None = None,
        late_by: float = 0.0,
        next_in: float | None = 10.0,
    ) -> tuple[Run, Claim]:
        """Submit a run; without ``at``, of a tick that is due and has not been submitted yet."""
        fire_us = self.now_us - 1_000 + self.submitted if at is None else at
        self.submitted += 1
        run = self.executor.new_run(state, kind, fire_us)
        next_us = None if next_in is None else fire_us + round(next_in * 1e6)
        return run, self.claimer.submit(state, run, late_by=late_by, next_us=next_us)

    def call_on_its_way(self, script: list[Any]) -> asyncio.Future[Any]:
        """Let the next call of the script's kind wait until the returned future is set."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        script.append(answer)
        return answer

    async def close(self) -> None:
        runs = [run.task for run in self.executor.active if run.task is not None]
        for task in [*self.tasks, *runs]:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(*self.tasks, *runs, return_exceptions=True), 5)


class Work:
    """A handler that remembers its runs and ends when it is let go."""

    def __init__(self, *, holds: bool = False) -> None:
        self.runs: list[Run] = []
        self._may_end = asyncio.Event()
        if not holds:
            self.let_go()

    async def __call__(self, ctx: Run) -> None:
        self.runs.append(ctx)
        await self._may_end.wait()

    def let_go(self) -> None:
        self._may_end.set()


async def turns(number: int = 20) -> None:
    """Let the loop turn without letting time pass."""
    for _ in range(number):
        await asyncio.sleep(0)


def one_server(job: Job) -> Job:
    return job.on_one_server()


def no_overlap(job: Job) -> Job:
    return job.without_overlapping()
