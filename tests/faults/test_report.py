"""The report finds each kind of broken guarantee in a forged log, excuses what it must, and finds no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from _fenced_table import AcceptedWrite
from _forgery import AGAIN, ALONE, GUARDED, PLAIN, SOLO, Forgery, owner
from _history import Fault

TICK = 120
US = TICK * 1_000_000


@pytest.fixture
def forgery() -> Forgery:
    return Forgery()


def assert_found(forgery: Forgery, folder: Path, *kinds: str) -> None:
    """Check that these guarantees, and no other, were found broken."""
    breaches = forgery.report(folder).breaches
    assert {breach.partition(":")[0] for breach in breaches} == set(kinds), breaches


def test_clean(forgery: Forgery, tmp_path: Path) -> None:
    report = forgery.report(tmp_path)
    assert report.breaches == []
    assert report.figures["guarded ticks"] == "138"
    assert report.figures["  ran"] == "138"
    assert report.figures["ticks accounted for by nodes"] == "328"
    assert report.figures["lateness far from any fault"].startswith("p50 10.0 ms")
    assert str(report).endswith("every guarantee held")


# Ticks


def test_a_tick_that_ran_twice(forgery: Forgery, tmp_path: Path) -> None:
    forgery.forget(SOLO, TICK, owner(TICK + 1))
    forgery.run(owner(TICK + 1), SOLO, TICK, fence=US)
    assert_found(forgery, tmp_path, "ticks run twice", "fences out of order")


def test_a_tick_that_one_node_ran_twice(forgery: Forgery, tmp_path: Path) -> None:
    forgery.run("a", PLAIN, TICK, run="again")
    assert_found(forgery, tmp_path, "plain ticks run twice by a node", "ticks of a node with two accounts")


def test_a_run_again_is_booked_beside_what_its_node_said_before(forgery: Forgery, tmp_path: Path) -> None:
    forgery.book(owner(TICK + 1), SOLO, TICK, "succeeded", attempt=2)
    assert "ticks of a node with two accounts" not in {
        breach.partition(":")[0] for breach in forgery.report(tmp_path).breaches
    }


def test_a_tick_of_which_nobody_says_anything(forgery: Forgery, tmp_path: Path) -> None:
    forgery.forget(SOLO, TICK)
    assert_found(forgery, tmp_path, "ticks unexplained", "ticks of a node without an account")


def test_a_tick_that_all_say_is_elsewhere(forgery: Forgery, tmp_path: Path) -> None:
    forgery.forget(SOLO, TICK)
    forgery.book("a", SOLO, TICK, "elsewhere")
    forgery.book("b", SOLO, TICK, "elsewhere")
    assert_found(forgery, tmp_path, "ticks unexplained")


@pytest.mark.parametrize("at", [TICK + 0.5, TICK + 1.5])
def test_a_missed_tick_explains_nothing_if_somebody_decided_it(forgery: Forgery, tmp_path: Path, at: float) -> None:
    forgery.forget(SOLO, TICK)
    forgery.add("a", "missed", node="a", job="solo", first_us=US, last_us=US, count=1, at=TICK + 1.5)
    forgery.book("b", SOLO, TICK, "elsewhere", at=at)
    assert_found(forgery, tmp_path, *(["ticks unexplained"] if at < TICK + 1 else []))


@pytest.mark.parametrize("word", ["overlap", "store_unavailable", "shutting_down", "lock_lost"])
def test_a_tick_that_somebody_accounts_for(forgery: Forgery, tmp_path: Path, word: str) -> None:
    forgery.forget(SOLO, TICK)
    forgery.book("a", SOLO, TICK, word)
    forgery.book("b", SOLO, TICK, "elsewhere")
    report = forgery.report(tmp_path)
    assert (report.breaches, report.figures[f"  {word}"]) == ([], "1")


@pytest.mark.parametrize(("has_heard", "ahead_by"), [(False, 0.5), (False, 0.003), (True, 0.5), (False, -0.003)])
def test_a_tick_that_a_wrong_clock_gave_up_before_its_time(
    forgery: Forgery, tmp_path: Path, has_heard: bool, ahead_by: float
) -> None:
    """It counts only when it comes due: but a node that has heard of Redis' time must not do that."""
    if not has_heard:
        for tick in range(100, TICK):
            for spec in GUARDED:
                forgery.forget(spec, tick, "a")
                forgery.book("a", spec, tick, "store_unavailable")
    forgery.book("a", SOLO, TICK, "store_unavailable", at=TICK - ahead_by)
    is_right = not has_heard and ahead_by > 0
    report = forgery.report(tmp_path)
    assert report.figures["ticks given up ahead of their time"] == ("1" if is_right else "0")
    assert [breach.partition(":")[0] for breach in report.breaches] == (
        [] if is_right else ["ticks of a node with two accounts"]
    )


def kill(forgery: Forgery, node: str, at: float) -> None:
    """Let a node die, and the other do everything from then on."""
    other = "b" if node == "a" else "a"
    forgery.deaths[node] = at
    for tick in range(int(at) + 1, 160):
        for spec in GUARDED:
            forgery.forget(spec, tick)
            forgery.run(other, spec, tick)
        forgery.forget(PLAIN, tick, node)


def test_a_tick_that_was_lost_with_its_node(forgery: Forgery, tmp_path: Path) -> None:
    kill(forgery, owner(TICK), TICK + 0.005)
    forgery.forget(SOLO, TICK, owner(TICK))
    report = forgery.report(tmp_path)
    assert (report.breaches, report.figures["  lost_with_its_node"]) == ([], "1")


def test_a_dead_node_excuses_no_later_tick(forgery: Forgery, tmp_path: Path) -> None:
    kill(forgery, owner(TICK), TICK + 0.5)
    forgery.forget(SOLO, TICK + 2)
    assert_found(forgery, tmp_path, "ticks unexplained", "ticks of a node without an account")


def test_a_dead_node_excuses_no_tick_that_it_has_accounted_for(forgery: Forgery, tmp_path: Path) -> None:
    dead = owner(TICK + 1)
    kill(forgery, dead, TICK + 0.5)
    forgery.forget(SOLO, TICK, owner(TICK))
    forgery.book(owner(TICK), SOLO, TICK, "elsewhere")
    assert_found(forgery, tmp_path, "ticks unexplained")


def overtake(forgery: Forgery, *, born_at: float, granted_at: float, asked_at: float, begins: bool = True) -> None:
    """Let a third node run the tick after ``TICK``, which the others say is elsewhere."""
    forgery.add("c", "born", node="c", pid=ord("c"), born=born_at)
    forgery.forget(SOLO, TICK)
    forgery.forget(SOLO, TICK + 1)
    if begins:
        forgery.run("c", SOLO, TICK + 1, fence=round(granted_at * 1e6), start=granted_at)
    else:
        forgery.book("c", SOLO, TICK + 1, "lock_lost", at=granted_at + 5)
    for node in ("a", "b"):
        forgery.book(node, SOLO, TICK, "elsewhere", at=asked_at)
        forgery.book(node, SOLO, TICK + 1, "elsewhere", at=asked_at + 0.1)
    forgery.writes.sort(key=lambda write: write.tick_us)
    for tick in range(100, 160):
        for spec in (*GUARDED, PLAIN):
            if spec is not SOLO or tick not in (TICK, TICK + 1):
                forgery.book("c", spec, tick, "elsewhere")


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize(
    ("born_at", "granted_at", "asked_at", "is_explained"),
    [
        (TICK + 0.5, TICK + 1.0, TICK + 1.2, True),
        (TICK - 0.2, TICK + 1.0, TICK + 1.2, True),
        (TICK - 5.0, TICK + 1.0, TICK + 1.2, False),  # it was there in time, and owes an account
        (TICK + 0.5, TICK + 1.0, TICK + 0.9, False),  # others were near before
    ],
)
def test_a_tick_that_was_overtaken_by_a_newcomers(
    forgery: Forgery,
    tmp_path: Path,
    begins: bool,
    born_at: float,
    granted_at: float,
    asked_at: float,
    is_explained: bool,
) -> None:
    overtake(forgery, born_at=born_at, granted_at=granted_at, asked_at=asked_at, begins=begins)
    report = forgery.report(tmp_path)
    unexplained = [breach for breach in report.breaches if breach.startswith("ticks unexplained")]
    assert (report.figures.get("  overtaken"), len(unexplained)) == (("1", 0) if is_explained else (None, 1))


def test_a_run_before_its_fire_time(forgery: Forgery, tmp_path: Path) -> None:
    forgery.forget(SOLO, TICK, owner(TICK))
    forgery.run(owner(TICK), SOLO, TICK, start=TICK - 0.1)
    assert_found(forgery, tmp_path, "runs started before their fire time")


# Runs again


def run_again(forgery: Forgery, outcome: str, *, attempt: int = 2, start: float = TICK + 3.0) -> str:
    """Let the other node run ``TICK`` of the job with reruns again; return the name of the first one's."""
    first, second = owner(TICK), owner(TICK + 1)
    forgery.forget(AGAIN, TICK, first)
    forgery.run(first, AGAIN, TICK, outcome=outcome)
    fence = round(start * 1e6) - 1
    forgery.add(
        second,
        "start",
        run="second",
        job="again",
        tick_us=US,
        fence=fence,
        attempt=attempt,
        node=second,
        pid=ord(second),
        start=start,
    )
    forgery.add(second, "end", run="second", end=start + 0.1)
    forgery.book(second, AGAIN, TICK, "succeeded", at=start + 0.1, run="second", attempt=2)
    return first


@pytest.mark.parametrize("outcome", ["lock_lost", "cancelled"])
def test_an_interrupted_run_is_rightly_followed_by_another(forgery: Forgery, tmp_path: Path, outcome: str) -> None:
    run_again(forgery, outcome)
    report = forgery.report(tmp_path)
    assert report.breaches == []
    assert report.figures["interrupted runs of jobs with reruns"] == "1, of which 1 ran again"


def test_a_run_again_with_the_same_attempt(forgery: Forgery, tmp_path: Path) -> None:
    run_again(forgery, "lock_lost", attempt=1)
    assert_found(forgery, tmp_path, "ticks run twice", "fences out of order")


def test_a_run_that_had_ended_and_was_told(forgery: Forgery, tmp_path: Path) -> None:
    run_again(forgery, "succeeded")
    assert_found(forgery, tmp_path, "ticks run twice")


@pytest.mark.parametrize(
    ("since", "until", "of_its_node", "is_right"),
    [
        (TICK, TICK + 5.0, True, True),  # cut off all the time
        (TICK, TICK + 1.5, True, True),  # nearly
        (TICK, TICK + 0.5, True, False),  # it could have told afterwards
        (TICK + 0.5, TICK + 5.0, True, False),  # or before
        (TICK, TICK + 5.0, False, False),
    ],
)
def test_a_run_that_had_ended_and_could_not_be_told(
    forgery: Forgery, tmp_path: Path, since: float, until: float, of_its_node: bool, is_right: bool
) -> None:
    first = run_again(forgery, "succeeded")
    node = first if of_its_node else owner(TICK + 1)
    forgery.faults.append(Fault("cut_off", since, until, node=node))
    assert_found(forgery, tmp_path, *([] if is_right else ["ticks run twice"]))
    if is_right:
        assert forgery.report(tmp_path).figures["  ran again although they had ended, untold"] == "1"


def test_a_run_that_had_ended_when_its_node_died(forgery: Forgery, tmp_path: Path) -> None:
    first = run_again(forgery, "succeeded")
    forgery.deaths[first] = TICK + 0.15
    breaches = forgery.report(tmp_path).breaches
    assert [breach for breach in breaches if breach.startswith("ticks run twice")] == []


# Fences and writes


def test_a_sunken_fence(forgery: Forgery, tmp_path: Path) -> None:
    forgery.forget(SOLO, TICK, owner(TICK))
    forgery.run(owner(TICK), SOLO, TICK, fence=50)
    forgery.writes.pop()
    assert_found(forgery, tmp_path, "fences out of order")


def test_a_stale_write_that_was_accepted(forgery: Forgery, tmp_path: Path) -> None:
    forgery.writes.append(AcceptedWrite("solo", 10**12, US, 1))  # its fence is high, and yet a newer tick has written
    assert_found(forgery, tmp_path, "stale writes accepted")


@pytest.mark.parametrize(("at", "is_right"), [(TICK + 1.5, True), (TICK + 0.5, False)])
def test_a_write_that_was_refused(forgery: Forgery, tmp_path: Path, at: float, is_right: bool) -> None:
    forgery.add("a", "refused", node="a", job="solo", run=f"solo-{TICK}-{owner(TICK)}", at=at)
    assert_found(forgery, tmp_path, *([] if is_right else ["writes refused wrongly"]))


# Overlaps


def overlap(forgery: Forgery, outcome: str, end: float) -> str:
    """Let the run of ``TICK`` last, and return its node."""
    node = owner(TICK)
    forgery.forget(ALONE, TICK, node)
    forgery.run(node, ALONE, TICK, end=end, outcome=outcome)
    return node


@pytest.mark.parametrize("outcome", ["succeeded", "lock_lost"])
def test_an_overlap_without_an_excuse(forgery: Forgery, tmp_path: Path, outcome: str) -> None:
    overlap(forgery, outcome, TICK + 1.5)
    assert_found(forgery, tmp_path, "overlaps without an excuse")


@pytest.mark.parametrize(
    ("outcome", "end", "node", "is_excused"),
    [
        ("lock_lost", TICK + 4.1, "its own", True),
        ("lock_lost", TICK + 6.5, "its own", False),  # it went on for too long
        ("succeeded", TICK + 4.1, "its own", False),
        ("lock_lost", TICK + 4.1, "another", False),
    ],
)
def test_an_overlap_of_a_frozen_node(
    forgery: Forgery, tmp_path: Path, outcome: str, end: float, node: str, is_excused: bool
) -> None:
    own = overlap(forgery, outcome, end)
    frozen = own if node == "its own" else owner(TICK + 1)
    forgery.faults.append(Fault("freeze", TICK + 0.05, TICK + 4.0, node=frozen))
    assert_found(forgery, tmp_path, *([] if is_excused else ["overlaps without an excuse"]))


def test_an_overlap_of_a_blocked_node_is_measured(forgery: Forgery, tmp_path: Path) -> None:
    node = overlap(forgery, "lock_lost", TICK + 4.1)
    forgery.add(node, "block", node=node, job="alone", run="", since=TICK + 0.05, until=TICK + 4.0)
    report = forgery.report(tmp_path)
    assert report.breaches == []
    assert report.figures["overlaps excused by block"] == "4, the longest for 0.100 s after it"


def test_an_overlap_of_a_node_that_got_no_time(forgery: Forgery, tmp_path: Path) -> None:
    node = overlap(forgery, "lock_lost", TICK + 4.1)
    forgery.add(node, "stall", node=node, seconds=3.9, at=TICK + 4.0)
    report = forgery.report(tmp_path)
    assert report.breaches == []
    assert report.figures["longest stall of a node, not made"] == "3.90 s"


@pytest.mark.parametrize(("end", "is_excused"), [(TICK + 1.5, True), (TICK + 7.0, False)])
@pytest.mark.parametrize("jobs", [("alone",), ("solo",)])
def test_an_overlap_after_a_lost_key(
    forgery: Forgery, tmp_path: Path, jobs: tuple[str, ...], end: float, is_excused: bool
) -> None:
    overlap(forgery, "succeeded", end)
    forgery.faults.append(Fault("keys_deleted", TICK + 0.5, TICK + 0.5, jobs=jobs))
    is_excused = is_excused and jobs == ("alone",)
    assert_found(forgery, tmp_path, *([] if is_excused else ["overlaps without an excuse"]))


# Going on


@pytest.mark.parametrize(("back_at", "is_slow"), [(109.5, False), (107.5, True)])
def test_going_on_after_redis(forgery: Forgery, tmp_path: Path, back_at: float, is_slow: bool) -> None:
    for tick in range(106, 110):
        for spec in GUARDED:
            forgery.forget(spec, tick)
            forgery.book("a", spec, tick, "store_unavailable")
            forgery.book("b", spec, tick, "store_unavailable")
    forgery.faults.append(Fault("redis_killed", 105.5, back_at))
    assert_found(forgery, tmp_path, *(["recoveries after Redis too slow"] if is_slow else []))


@pytest.mark.parametrize("skipped", [1, 2])
def test_skipped_after_redis_came_back_empty(forgery: Forgery, tmp_path: Path, skipped: int) -> None:
    for tick in range(110, 110 + skipped):
        forgery.forget(SOLO, tick)
        forgery.book("a", SOLO, tick, "store_unavailable")
        forgery.book("b", SOLO, tick, "elsewhere")
    forgery.faults.append(Fault("redis_emptied", 109.3, 109.5, jobs=("solo", "alone", "again")))
    kinds = ["jobs with two ticks skipped after the store came back empty"] if skipped > 1 else []
    assert_found(forgery, tmp_path, *kinds)


@pytest.mark.parametrize(("next_run", "is_slow"), [(TICK + 4, False), (TICK + 8, True)])
def test_going_on_after_a_crash(forgery: Forgery, tmp_path: Path, next_run: int, is_slow: bool) -> None:
    dead, other = owner(TICK), owner(TICK + 1)
    kill(forgery, dead, TICK + 0.5)
    forgery.forget(ALONE, TICK, dead)
    forgery.run(dead, ALONE, TICK, end=None)
    for tick in range(TICK + 1, next_run):
        forgery.forget(ALONE, tick)
        forgery.book(other, ALONE, tick, "overlap")
    assert_found(forgery, tmp_path, *(["recoveries after a crash too slow"] if is_slow else []))


def test_complaints(forgery: Forgery, tmp_path: Path) -> None:
    forgery.complaints.append("Traceback")
    assert_found(forgery, tmp_path, "complaints of nodes")
