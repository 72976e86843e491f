"""Jobs that are claimed a moment before their ticks, on a store that answers through a network: when they are asked
for, and that none starts before its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Gate, ScriptedStore, Skewed, answering, counted, down, quick, running, unhindered

from asyncsched import Job, Outcome, RunContext, Scheduler, SkipReason
from asyncsched._early import LONGEST_HOLD_US
from asyncsched._grants import ClaimAnswer, ClaimKind, Verdict
from asyncsched._store_health import AHEAD_TOLERANCE
from asyncsched._turns import ASKED_AHEAD_US
from asyncsched.stores import _wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched.testing import FakeClock

EVERY = 10
AHEAD = ASKED_AHEAD_US / 1e6
MOMENT = 1e-4


class Far(ScriptedStore):
    """A store that answers through a network, and notes when each tick was claimed, in seconds after it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock, refresh_interval=1.0)
        self.asked: dict[str, list[float]] = {}

    async def claim(self, requests: Sequence[Any]) -> Sequence[ClaimAnswer]:
        for request in requests:
            if request.kind is ClaimKind.TICK:
                self.asked.setdefault(request.job, []).append(round(self._clock.time() - request.tick_us / 1e6, 6))
        return await super().claim(requests)


class Starts:
    """A handler that notes when it was started, in seconds after its tick, by the clock of the store."""

    def __init__(self, clock: FakeClock) -> None:
        self.late: list[float] = []
        self._clock = clock

    async def __call__(self, ctx: RunContext) -> None:
        self.late.append(round(self._clock.time() - ctx.fire_us / 1e6, 6))


@pytest.fixture
def far(clock: FakeClock) -> Far:
    return Far(clock)


@pytest.fixture
def work(clock: FakeClock) -> Starts:
    return Starts(clock)


@pytest.fixture
def scheduler(make: Callable[..., Scheduler], far: Far, work: Starts) -> Scheduler:
    """One with a job that is claimed ahead."""
    made = make(far)
    made.add_job("a", work).per_seconds(EVERY).on_one_server()
    return made


async def test_a_tick_is_claimed_ahead_and_starts_when_it_is_due(
    make: Callable[..., Scheduler], clock: FakeClock, far: Far, work: Starts
) -> None:
    scheduler = make(far)
    scheduler.add_job("a", work).per_seconds(EVERY).on_one_server()
    scheduler.add_job("daily", work).daily_at("00:00:30").on_one_server()
    async with running(scheduler, clock):
        await clock.advance(EVERY - MOMENT)
        assert far.asked == {"a": [-AHEAD]}
        assert work.late == []
        assert far.locks("a")
        await clock.advance(20 + MOMENT)
    assert far.asked == {"a": [-AHEAD] * 3, "daily": [-AHEAD]}
    assert work.late == [0.0] * 4
    assert counted(scheduler) == {Outcome.SUCCEEDED: 4}
    assert far.locks("a") == set()


@pytest.mark.parametrize(
    "configure",
    [
        pytest.param(lambda job: job.on_one_server().without_overlapping(), id="another run may end until then"),
        pytest.param(lambda job: job.on_one_server().max_concurrent(2), id="one of the runs may"),
        pytest.param(lambda job: job.without_overlapping(), id="no node takes turns"),
        pytest.param(lambda job: job.on_one_server().when(lambda: True), id="a condition may come true until then"),
        pytest.param(lambda job: job.on_one_server().rerun_on_crash(), id="leases of open ticks may end until then"),
        pytest.param(lambda job: job.on_one_server().catch_up(within=60, mode="all"), id="its ticks stand in line"),
    ],
)
async def test_what_is_to_be_known_when_a_tick_is_due_is_asked_then(
    make: Callable[..., Scheduler], clock: FakeClock, far: Far, work: Starts, configure: Callable[[Job], Job]
) -> None:
    scheduler = make(far)
    configure(scheduler.add_job("a", work).per_seconds(EVERY))
    async with running(scheduler, clock):
        await clock.advance(2 * EVERY)
    assert far.asked == {"a": [0.0, 0.0]}
    assert work.late == [0.0, 0.0]


async def test_ticks_that_follow_each_other_closely_are_claimed_when_they_are_due(
    make: Callable[..., Scheduler], clock: FakeClock, far: Far, work: Starts
) -> None:
    scheduler = make(far)
    scheduler.add_job("close", work).every(0.05).on_one_server()
    scheduler.add_job("spaced", work).every(0.1).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(1)
    assert set(far.asked["close"]) == {0.0}
    assert set(far.asked["spaced"]) == {-AHEAD}
    assert work.late == [0.0] * 30


async def test_instants_that_follow_each_other_closely_are_asked_for_when_they_come(
    make: Callable[..., Scheduler], clock: FakeClock, far: Far, work: Starts
) -> None:
    """Of different jobs: a node that is at work all the time gains nothing by one more wake-up for each."""
    scheduler = make(far)
    for number, offset in enumerate((0, 10_000, 20_000, 50_000, 60_000)):
        anchor = clock.now().replace(microsecond=offset)
        scheduler.add_job(f"j{number}", work).every(1, anchor=anchor).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(5)
    assert far.asked["j0"][-3:] == far.asked["j3"][-3:] == [-AHEAD] * 3
    assert [set(far.asked[name][-3:]) for name in ("j1", "j2", "j4")] == [{0.0}] * 3
    assert set(work.late) == {0.0}


async def test_on_a_store_in_this_process_nothing_is_gained(
    make: Callable[..., Scheduler], clock: FakeClock, work: Starts
) -> None:
    near = Far(clock)
    near.refresh_interval = None
    scheduler = make(near)
    scheduler.add_job("a", work).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(EVERY)
    assert near.asked == {"a": [0.0]}
    assert work.late == [0.0]


@pytest.mark.parametrize(
    ("skew", "asked", "late"),
    [
        (-0.5, 0.5 - AHEAD, 0.5),
        (0.002, -AHEAD, -0.002),  # by its own clock it is never early
        (AHEAD_TOLERANCE, -AHEAD, -AHEAD_TOLERANCE),
        (0.006, -AHEAD, -AHEAD_TOLERANCE),
        (0.03, -AHEAD, -AHEAD_TOLERANCE),
        (3.0, -AHEAD, -AHEAD_TOLERANCE),
    ],
)
async def test_a_wrong_clock_asks_no_earlier_by_the_stores(
    clock: FakeClock, far: Far, work: Starts, skew: float, asked: float, late: float
) -> None:
    scheduler = Scheduler(far, clock=Skewed(clock, skew), node="here")
    scheduler.add_job("a", work).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(2 * EVERY + 1)
    assert far.asked["a"][-2:] == [pytest.approx(asked, abs=1e-5)] * 2
    assert work.late == [pytest.approx(late, abs=1e-5)] * 2
    assert min(far.asked["a"]) * 1e6 >= -_wire.AHEAD_US


async def test_a_clock_that_turns_out_to_be_ahead_lets_the_grant_wait_for_the_stores(
    clock: FakeClock, far: Far, work: Starts
) -> None:
    """The answer tells the store's time: what was set forward meanwhile does not start anything early."""
    wrong = Skewed(clock, 0.0)

    async def set_forward(method: Any, requests: Sequence[Any]) -> Sequence[Any]:
        wrong.skew = 0.006
        return await unhindered(method, requests)  # type: ignore[no-any-return]

    far.on("claim", unhindered, set_forward)
    scheduler = Scheduler(far, clock=wrong, node="here")
    scheduler.add_job("a", work).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(EVERY + 1)
    assert far.asked == {"a": [-AHEAD]}
    assert work.late == [pytest.approx(-AHEAD_TOLERANCE, abs=1e-5)]


@pytest.mark.parametrize("back", [0.003, 0.5, 3600.0])
async def test_a_clock_that_is_set_back_meanwhile_keeps_no_grant_waiting(
    clock: FakeClock, far: Far, work: Starts, back: float
) -> None:
    wrong = Skewed(clock, 0.0)
    scheduler = Scheduler(far, clock=wrong, node="here")
    scheduler.add_job("a", work).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(EVERY - MOMENT)
        wrong.skew = -back
        await clock.advance(LONGEST_HOLD_US / 1e6 + MOMENT)
        assert len(work.late) == 1
        assert work.late[0] >= 0.0
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_one_that_is_too_early_all_the_same_asks_again(
    scheduler: Scheduler, clock: FakeClock, far: Far, work: Starts
) -> None:
    far.on("claim", unhindered, answering(ClaimAnswer(Verdict.EARLY, wait=0.002)))
    async with running(scheduler, clock):
        await clock.advance(EVERY)
    assert far.asked == {"a": [-AHEAD, pytest.approx(0.002 - AHEAD)]}
    assert work.late == [0.0]


async def test_answers_that_come_late_start_at_once(
    scheduler: Scheduler, clock: FakeClock, far: Far, work: Starts
) -> None:
    gate = Gate(decided_first=True)
    far.on("claim", unhindered, gate)
    async with running(scheduler, clock):
        await clock.advance(EVERY + 0.25)
        gate.open()
        await clock.advance(MOMENT)
    assert work.late == [0.25]


async def test_ticks_of_several_instants_that_are_claimed_together_start_each_in_time(
    make: Callable[..., Scheduler], clock: FakeClock, far: Far, work: Starts
) -> None:
    scheduler = make(far)
    for number in range(5):
        anchor = clock.now().replace(microsecond=1_000 * number)
        scheduler.add_job(f"j{number}", work).every(EVERY, anchor=anchor).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(EVERY - AHEAD - MOMENT)
        work.late.clear()
        gate = Gate(decided_first=True)
        far.on("claim", gate)
        await clock.advance(0.006)
        gate.open()
        await clock.advance(1)
    assert gate.entered
    assert work.late == [0.0] * 5


async def test_a_stop_waits_for_what_is_granted_and_not_due(
    scheduler: Scheduler, clock: FakeClock, far: Far, work: Starts
) -> None:
    """Nobody else would run that tick: the store has it as decided."""
    async with running(scheduler, clock):
        await clock.advance(EVERY - MOMENT)
    assert work.late == [0.0]
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert far.locks("a") == set()


async def test_a_stop_that_cannot_wait_gives_the_grant_back(
    scheduler: Scheduler, clock: FakeClock, far: Far, work: Starts
) -> None:
    async with running(scheduler, clock):
        await clock.advance(EVERY - MOMENT)
        assert scheduler._engine is not None
        scheduler._engine.claimer.abandon()
        await clock.advance(1)
        assert counted(scheduler) == {SkipReason.SHUTTING_DOWN: 1}
        assert far.locks("a") == set()
        assert work.late == []


async def test_a_job_that_is_triggered_meanwhile_runs_behind(
    make: Callable[..., Scheduler], clock: FakeClock, far: Far
) -> None:
    contexts: list[RunContext] = []

    async def note(ctx: RunContext) -> None:
        contexts.append(ctx)

    scheduler = make(far)
    scheduler.add_job("a", note).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(EVERY - MOMENT)
        triggered = asyncio.ensure_future(scheduler.trigger("a"))
        await clock.advance(1)
        await triggered
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}
    assert [ctx.kind for ctx in contexts] == ["tick", "trigger"]  # type: ignore[attr-defined]
    assert contexts[0].fence < contexts[1].fence


async def test_what_is_triggered_does_not_wait_for_the_stores_clock(clock: FakeClock, far: Far, work: Starts) -> None:
    scheduler = Scheduler(far, clock=Skewed(clock, 0.008), node="here")
    scheduler.add_job("a", work).per_seconds(EVERY).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(1)
        triggered = asyncio.ensure_future(scheduler.trigger("a"))
        await clock.advance(MOMENT)
        assert triggered.done()
        assert work.late == [pytest.approx(-0.008, abs=1e-5)]  # its fire time is of the node's own clock


async def test_a_store_that_is_away_is_asked_again_before_and_after(
    scheduler: Scheduler, clock: FakeClock, far: Far, work: Starts
) -> None:
    far.on("claim", unhindered, *[down] * 3)
    async with running(scheduler, clock):
        await clock.advance(EVERY + 5)
    assert len(work.late) == 1
    assert work.late[0] > 0.0


async def test_of_two_nodes_one_runs_each_tick_in_time(clock: FakeClock, far: Far, work: Starts) -> None:
    nodes = [Scheduler(far, clock=Skewed(clock, skew), node=f"n{skew}") for skew in (0.0, 0.003)]
    for node in nodes:
        for number in range(20):
            node.add_job(f"j{number}", work).per_seconds(EVERY).on_one_server()
        node.add_job("plain", quick).per_seconds(EVERY)
    async with running(nodes[0], clock), running(nodes[1], clock):
        await clock.advance(10 * EVERY + 1)
    counts = [counted(node) for node in nodes]
    assert sum(count[Outcome.SUCCEEDED] for count in counts) == 20 * 10 + 2 * 10
    assert all(count[SkipReason.ELSEWHERE] > 50 for count in counts)
    assert len(work.late) == 200
    assert {-0.003 <= late <= MOMENT for late in work.late} == {True}
