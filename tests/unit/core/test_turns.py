"""Who asks when: the order as arithmetic, and one node's turns beside nodes that it only hears of."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import pytest
from _scripted import AWAY, Parts, Work, no_overlap, one_server, turns

from asyncsched import events
from asyncsched._grants import ClaimAnswer, ClaimKind, Verdict
from asyncsched._run import SkipReason
from asyncsched._turns import FIRST_RETRY, LAST, LONGEST_RETRY, STEP, Turns, first_of, wait_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched import Job
    from asyncsched._job_state import JobState

SECOND = 1_000_000


class Place:
    """An attendance as the test wants it."""

    def __init__(self, name: Callable[[], str], heard: Callable[[Sequence[str], int], None]) -> None:
        self.name, self.heard = name, heard
        self.nodes: tuple[str, ...] = ()
        self.hears = True
        self.left = False
        self.hearings: list[bool] = []
        """How the next tries to hear go; without any more, hearing goes on."""
        self.tried_at: list[float] = []
        self.now: Callable[[], float] = lambda: 0.0

    def beside(self, *others: str) -> None:
        """Have others in the same group: names before or behind this node's."""
        group = self.name().partition("|")[0]
        self.nodes = tuple(sorted([self.name(), *(f"{group}|{other}|" for other in others)]))

    async def hear(self) -> bool:
        self.tried_at.append(self.now())
        if not self.hearings:
            await asyncio.Event().wait()
        return self.hearings.pop(0)

    async def leave(self) -> None:
        self.left = True


class Meeting(Parts):
    """The engine's parts, on a store where nodes meet."""

    def __init__(self) -> None:
        super().__init__()
        self.store.behind = 0.0
        self.store.attend = self._attend  # type: ignore[attr-defined]
        self.states: dict[str, JobState] = {}
        self.turns = Turns(self.store, self.clock, "n1", self.states, self.ledger)
        self.claimer._turns = self.turns
        self.turns.asker = self.claimer
        self.tasks.append(asyncio.ensure_future(self.turns.hearing()))
        self.places: list[Place] = []

    def _attend(self, name: Callable[[], str], heard: Callable[[Sequence[str], int], None]) -> Place:
        self.places.append(Place(name, heard))
        self.places[-1].now = self.clock.monotonic
        return self.places[-1]

    @property
    def place(self) -> Place:
        (place,) = self.places
        return place

    def job(self, *policies: Callable[[Job], object], **options: Any) -> JobState:
        state = self.state(Work(), *policies, **options)
        self.states[state.job.name] = state
        self.turns.adopt(state)
        for place in self.places:
            place.name()  # as the store does with each refresh
        return state

    def tick_of(self, rank: int, nodes: int, job: str = "j", place: int = 0) -> int:
        """Return an instant that is due, as a tick for which ``rank`` nodes stand before the one at ``place``."""
        at = self.now_us
        while (place - first_of(job, at, nodes)) % nodes != rank:
            at -= 1
        return at

    def due(self, state: JobState, at: int | None = None) -> int:
        """Let a tick come due, and return it."""
        tick_us = self.now_us if at is None else at
        self.claimer.submit_ticks([state], tick_us, 0.0)
        return tick_us

    @property
    def asked(self) -> list[tuple[str, int]]:
        """What the store was asked for: jobs and ticks."""
        return [(request.job, request.tick_us) for batch in self.store.claimed for request in batch]

    def skips(self) -> list[SkipReason]:
        return [event.reason for event in self.of_type(events.TickSkipped)]

    async def asked_after(self, rank: int, nodes: int) -> float:
        """Return how long this node, the first of so many by name, waits with a tick that it hears nothing of."""
        self.place.beside(*(f"n2{number:03}" for number in range(nodes - 1)))
        self.due(self.states["j"], self.tick_of(rank, nodes))
        before = self.clock.monotonic()
        while not self.store.claimed:
            await self.clock.advance(0.001)
        return self.clock.monotonic() - before


@pytest.fixture
async def meeting() -> Any:
    made = Meeting()
    yield made
    await made.close()


# The order


def test_the_turns_rise_to_the_last_bound() -> None:
    for nodes in (1, 2, 3, 4, 5, 10, 100):
        waits = [wait_of(rank, nodes) for rank in range(nodes)]
        assert waits[0] == 0.0
        assert waits == sorted(set(waits))
        assert waits[-1] <= LAST
    assert [wait_of(rank, 10) for rank in range(4)] == [0.0, STEP, 2 * STEP, 3 * STEP]
    assert 0.1 < wait_of(4, 100) < wait_of(99, 100) == LAST


@pytest.mark.parametrize("nodes", [2, 3, 7, 10, 100])
@pytest.mark.parametrize("step", [SECOND, 60 * SECOND, 86_400 * SECOND, 125_000])
def test_each_node_is_first_about_as_often(nodes: int, step: int) -> None:
    ticks = range(1_767_225_600 * SECOND, 1_767_225_600 * SECOND + step * nodes * 50, step)
    firsts = Counter(first_of("cleanup", tick_us, nodes) for tick_us in ticks)
    assert len(firsts) == nodes
    assert min(firsts.values()) >= 25
    assert max(firsts.values()) <= 100


@pytest.mark.parametrize("interval", [1, 2, 5, 60, 900, 3600, 86_400])
@pytest.mark.parametrize("nodes", [2, 3, 4, 10])
def test_no_node_is_first_for_many_ticks_in_a_row(interval: int, nodes: int) -> None:
    begin = 1_767_225_600
    ticks = range(begin * SECOND, (begin + 1_000 * interval) * SECOND, interval * SECOND)
    firsts = [first_of("cleanup", tick_us, nodes) for tick_us in ticks]
    assert max(len(list(row)) for _, row in groupby(firsts)) <= 20
    assert min(Counter(firsts).values()) >= 600 / nodes


def test_jobs_due_together_are_spread() -> None:
    firsts = Counter(first_of(f"job-{number}", 1_767_225_600 * SECOND, 3) for number in range(300))
    assert min(firsts.values()) >= 70


# Waiting


@pytest.mark.parametrize(
    ("rank", "nodes", "expected"),
    [(0, 3, 0.0), (1, 3, 0.02), (2, 3, 0.04), (3, 10, 0.06), (4, 10, 0.108), (9, 10, 0.15)],
)
async def test_a_node_that_hears_nothing_asks_at_its_turn(
    meeting: Meeting, rank: int, nodes: int, expected: float
) -> None:
    meeting.job(one_server)
    assert await meeting.asked_after(rank, nodes) == pytest.approx(expected, abs=0.0015)


async def test_a_node_that_hears_of_the_tick_does_not_ask(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n0", "n2")
    tick_us = meeting.due(state, meeting.tick_of(1, 3, place=1))
    await meeting.clock.advance(0.01)
    meeting.place.heard(["j"], tick_us - 1)
    assert meeting.skips() == []
    meeting.place.heard(["j"], tick_us)

    assert meeting.skips() == [SkipReason.ELSEWHERE]
    assert (state.remembered_us, state.decided_us) == (tick_us, tick_us)
    assert state.remembered_until >= meeting.clock.time() + 7 * 86_400
    await meeting.clock.advance(1)
    assert meeting.store.claimed == []
    assert meeting.tally == {"elsewhere": 1}


async def test_what_was_heard_before_the_tick_came_due_counts(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    state.next_us = meeting.now_us
    meeting.place.heard(["j"], meeting.now_us)
    meeting.due(state)
    await meeting.clock.advance(1)

    assert meeting.skips() == [SkipReason.ELSEWHERE]
    assert meeting.store.claimed == []


async def test_what_is_heard_before_it_comes_due_here_is_remembered_for_as_long(meeting: Meeting) -> None:
    """Nodes ask ahead, so news of a tick are often there before it; its record is kept for two intervals of the job."""
    day = 86_400 * SECOND
    state = meeting.job(one_server)
    meeting.place.beside("n0", "n2")
    state.last_us, state.next_us = meeting.now_us - 31 * day, meeting.now_us
    meeting.place.heard(["j"], meeting.now_us)
    assert state.remembered_until == pytest.approx(meeting.clock.time() + (2 * 31 + 7) * 86_400)


async def test_a_claim_whose_question_is_on_its_way_waits_for_the_answer(meeting: Meeting) -> None:
    answer = meeting.call_on_its_way(meeting.store.claims)
    run, _ = meeting.submit(meeting.job(one_server))
    await turns()
    meeting.place.heard(["j"], run.fire_us)  # as told by its own claim
    answer.set_result(ClaimAnswer(Verdict.WON, fence=7, newest_us=run.fire_us))
    await meeting.clock.advance(1)

    assert run.outcome == "succeeded"


async def test_a_claim_that_may_have_won_is_asked_for_whatever_is_heard(meeting: Meeting) -> None:
    meeting.store.claims += [ClaimAnswer(Verdict.UNDECIDED, detail="lost")]
    run, claim = meeting.submit(meeting.job(one_server))
    await turns()
    meeting.place.heard(["j"], run.fire_us)
    assert claim.timer is not None
    await meeting.clock.advance(1)

    assert run.outcome == "succeeded"


async def test_a_claim_that_was_too_early_is_settled_by_what_is_heard(meeting: Meeting) -> None:
    meeting.store.claims += [ClaimAnswer(Verdict.EARLY, wait=0.3)]
    run, _ = meeting.submit(meeting.job(one_server, no_overlap))
    await turns()
    meeting.place.heard(["j"], run.fire_us)
    await meeting.clock.advance(1)

    assert run.skip_reason is SkipReason.ELSEWHERE
    assert len(meeting.store.claimed) == 1
    lock = meeting.states["j"].overlap_lock
    assert lock is not None
    assert not lock.locked()


async def test_what_is_heard_of_while_the_batch_forms_is_not_asked_for(meeting: Meeting) -> None:
    first = meeting.job(one_server, name="first")
    second = meeting.job(one_server, name="second")
    answer = meeting.call_on_its_way(meeting.store.claims)
    meeting.submit(first)
    await turns()
    run, _ = meeting.submit(second)
    await turns()
    meeting.place.heard(["second"], run.fire_us)
    answer.set_result(ClaimAnswer(Verdict.ELSEWHERE))
    await meeting.clock.advance(1)

    assert run.skip_reason is SkipReason.ELSEWHERE
    assert [request.job for batch in meeting.store.claimed for request in batch] == ["first"]


async def test_a_newer_tick_gives_the_one_that_waits_its_turn(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    tick_us = meeting.due(state, meeting.tick_of(2, 3))
    meeting.due(state, tick_us + 1)
    await meeting.clock.advance(1)

    assert meeting.asked == [("j", tick_us), ("j", tick_us + 1)]
    assert meeting.tally == {"succeeded": 2}


async def test_a_tick_that_comes_due_again_has_its_turn(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    tick_us = meeting.due(state, meeting.tick_of(2, 3))
    meeting.due(state, tick_us)
    await meeting.clock.advance(1)

    assert meeting.asked == [("j", tick_us)]
    assert meeting.tally == {"succeeded": 1}


async def test_a_triggered_run_gives_the_tick_that_waits_its_turn(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    tick_us = meeting.due(state, meeting.tick_of(2, 3))
    meeting.submit(state, ClaimKind.TRIGGER)
    await turns()

    assert meeting.asked == [("j", tick_us), ("j", 0)]


async def test_the_time_of_waiting_counts_for_the_patience_with_the_store(meeting: Meeting) -> None:
    meeting.store.claims += [AWAY]
    state = meeting.job(one_server, grace=0.5)
    meeting.place.beside("n2", "n3")
    give_up_at = meeting.clock.monotonic() + 0.5
    meeting.due(state, meeting.tick_of(2, 3))
    await meeting.clock.advance(0.05)
    (claim,) = state.claims or []
    assert claim.give_up_at == pytest.approx(give_up_at)


async def test_a_job_that_is_removed_while_its_tick_waits_is_not_asked_for(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    meeting.due(state, meeting.tick_of(2, 3))
    del meeting.states["j"]
    state.retired = True
    meeting.turns.retire(state)
    await meeting.clock.advance(1)

    assert meeting.asked == []
    assert meeting.skips() == [SkipReason.SHUTTING_DOWN]


async def test_a_stop_gives_up_what_waits(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    tick_us = meeting.due(state, meeting.tick_of(2, 3))
    meeting.claimer.close()
    await meeting.turns.leave()

    assert meeting.skips() == [SkipReason.SHUTTING_DOWN]
    assert state.decided_us == tick_us
    await meeting.clock.advance(1)
    assert meeting.asked == []
    assert meeting.place.left
    await meeting.turns.leave()


# Asking at once


def _deaf(meeting: Meeting) -> None:
    meeting.place.hears = False


def _absent(meeting: Meeting) -> None:
    meeting.place.nodes = ("other|n2|", "other|n3|")


def _timeless(meeting: Meeting) -> None:
    meeting.store.behind = None
    meeting.place.name()


@pytest.mark.parametrize("why", [_deaf, _absent, _timeless])
async def test_a_node_asks_at_once(meeting: Meeting, why: Callable[[Meeting], None]) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    why(meeting)
    meeting.due(state, meeting.tick_of(2, 3))
    await turns()
    assert len(meeting.store.claimed) == 1


@pytest.mark.parametrize(
    ("policies", "options"),
    [
        ((one_server, lambda job: job.rerun_on_crash()), {}),
        ((no_overlap,), {}),
        ((one_server,), {"grace": 0.03}),
    ],
    ids=["rerun", "every node", "short grace"],
)
async def test_jobs_that_are_asked_for_at_once(meeting: Meeting, policies: Any, options: Any) -> None:
    meeting.job(one_server, name="other")
    state = meeting.job(*policies, **options)
    meeting.place.beside("n2", "n3")
    meeting.due(state, meeting.tick_of(2, 3))
    await turns()
    assert len(meeting.store.claimed) == 1


@pytest.mark.parametrize("kind", [ClaimKind.START, ClaimKind.TRIGGER])
async def test_what_is_no_tick_is_asked_for_at_once(meeting: Meeting, kind: ClaimKind) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    meeting.place.heard(["j"], meeting.now_us + 1)
    meeting.submit(state, kind, at=meeting.tick_of(2, 3))
    await turns()
    assert len(meeting.store.claimed) == 1


async def test_a_tick_that_is_late_has_waited_already(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    at = meeting.tick_of(2, 3)
    await meeting.clock.advance(0.03)
    meeting.due(state, at)
    await meeting.clock.advance(0.008)
    assert meeting.store.claimed == []
    await meeting.clock.advance(0.004)
    assert len(meeting.store.claimed) == 1


async def test_who_is_late_hears_first_what_there_is_to_hear(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    at = meeting.tick_of(1, 3)
    await meeting.clock.advance(0.03)
    meeting.due(state, at)
    asyncio.get_running_loop().call_soon(meeting.place.heard, ["j"], at)
    await turns()
    assert (meeting.asked, meeting.skips()) == ([], [SkipReason.ELSEWHERE])


async def test_who_is_late_and_hears_nothing_waits_for_its_turn_from_then_on(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    meeting.place.beside("n2", "n3")
    at = meeting.tick_of(1, 3)
    await meeting.clock.advance(0.03)
    meeting.due(state, at)
    await meeting.clock.advance(STEP - 0.001)
    assert meeting.asked == []
    await meeting.clock.advance(0.002)
    assert meeting.asked == [("j", at)]


async def test_a_job_in_progress_here_is_an_overlap_at_once(meeting: Meeting) -> None:
    state = meeting.job(one_server, no_overlap)
    assert state.overlap_lock is not None
    await state.overlap_lock.acquire()
    meeting.place.beside("n2", "n3")
    meeting.due(state, meeting.tick_of(2, 3))
    await turns()
    assert meeting.skips() == [SkipReason.OVERLAP]


# Groups


async def test_nodes_with_other_jobs_stand_in_another_order(meeting: Meeting) -> None:
    alike = Meeting()
    try:
        names = []
        for each in (meeting, alike):
            for name in ("a", "b") if each is meeting else ("b", "a"):
                each.job(one_server, name=name)
            each.job(no_overlap, name="every_node")
            names.append(each.place.name())
        assert names[0].partition("|")[0] == names[1].partition("|")[0]
        assert names[0] != names[1]
        more = alike.job(one_server, name="c")
        assert alike.place.name() != names[1]
        alike.turns.retire(more)
        assert alike.place.name() == names[1]
    finally:
        await alike.close()


async def test_a_node_whose_clock_is_behind_is_in_nobodys_order(meeting: Meeting) -> None:
    meeting.job(one_server)
    assert not meeting.place.name().startswith("late|")
    meeting.store.behind = -0.021
    assert meeting.place.name().startswith("late|n1|")


async def test_a_node_without_such_jobs_is_not_there(meeting: Meeting) -> None:
    meeting.job(no_overlap)
    assert meeting.places == []
    await meeting.turns.leave()


# Hearing


@pytest.mark.parametrize("what", ["unknown job", "far ahead", "no time"])
async def test_news_that_say_nothing_are_passed_over(meeting: Meeting, what: str) -> None:
    state = meeting.job(one_server)
    if what == "no time":
        _timeless(meeting)
    tick_us = meeting.now_us + (2 * SECOND if what == "far ahead" else 0)
    meeting.place.heard(["other" if what == "unknown job" else "j"], tick_us)
    assert state.remembered_us == 0


async def test_older_news_change_nothing(meeting: Meeting) -> None:
    state = meeting.job(one_server)
    state.next_us = meeting.now_us + 10 * SECOND
    meeting.place.heard(["j"], meeting.now_us)
    known = (state.remembered_us, state.remembered_until)
    meeting.place.heard(["j"], meeting.now_us - SECOND)
    assert (state.remembered_us, state.remembered_until) == known


async def test_hearing_is_tried_again_ever_less_often(meeting: Meeting) -> None:
    meeting.job(one_server)
    meeting.place.hearings = [False] * 8 + [True]
    await meeting.clock.advance(300)

    gaps = [after - before for before, after in pairwise(meeting.place.tried_at)]
    assert len(gaps) == 9
    assert all(min(2**number, LONGEST_RETRY) / 2 <= gap <= LONGEST_RETRY for number, gap in enumerate(gaps[:8], 1))
    assert gaps[8] <= FIRST_RETRY
