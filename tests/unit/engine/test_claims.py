"""What is asked of the store: together, again, in order, and no longer than it makes sense."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import (
    Book,
    Gate,
    ScriptedStore,
    Work,
    answer_lost,
    answering,
    counted,
    down,
    quick,
    running,
    unhindered,
)

from asyncsched import Outcome, Scheduler, SkipReason, _ready, events
from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Verdict
from asyncsched._patience import LONGEST_BACKOFF, TRIGGER_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched.testing import FakeClock


def reasons(book: Book) -> list[SkipReason]:
    return [event.reason for event in book.of(events.TickSkipped)]


async def test_what_is_due_together_is_asked_together(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    for number in range(50):
        scheduler.add_job(f"job{number}", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(30)
    assert [len(batch) for batch in store.requests("claim")] == [50, 50, 50]


async def test_the_next_batch_forms_while_one_is_on_its_way(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    gate = Gate()
    store.on("claim", gate)
    scheduler.add_job("even", quick).per_seconds(2).on_one_server()
    for name in ("odd", "odder"):
        scheduler.add_job(name, quick).every(2, anchor=clock.now() + timedelta(seconds=1)).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(2)  # odd, odder at 1; even at 2, while the first call is still open
        gate.open()
        await clock.advance(0.5)
    assert [sorted(request.job for request in batch) for batch in store.requests("claim")] == [
        ["odd", "odder"],
        ["even"],
    ]
    assert counted(scheduler) == {Outcome.SUCCEEDED: 3}


async def test_a_retry_is_the_same_request_and_wins_once(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    work.finish()
    store.on("claim", answer_lost, down, down)
    scheduler.add_job("a", work).per_seconds(10).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(15)
    asked = store.claims
    assert len(asked) == 4
    assert len(set(asked)) == 1
    assert len(work.contexts) == 1
    assert store.locks("a") == set()


@pytest.mark.parametrize(
    ("script", "loses_it_at"),
    [
        ([], 5),  # what the node has told it of the job
        ([unhindered, down], 5),
        ([*[down] * 20], 0),  # the node has told it nothing yet
        ([answer_lost, *[down] * 20], 12),
    ],
)
async def test_a_first_tick_does_not_run_on_a_store_that_has_forgotten_the_job(
    make: Callable[..., Scheduler], clock: FakeClock, script: list[Any], loses_it_at: float
) -> None:
    """Another node may have run it before the store lost its data; this one has never seen the job decided."""
    store = ScriptedStore(clock, refresh_interval=1.0)
    store.on("claim", *script)
    scheduler = make(store)
    book = Book(scheduler)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(loses_it_at)
        store.memory._jobs.clear()
        await clock.advance(19 - loses_it_at)
        assert reasons(book) == [SkipReason.STORE_UNAVAILABLE]
        await clock.advance(2)
    assert counted(scheduler) == {SkipReason.STORE_UNAVAILABLE: 1, Outcome.SUCCEEDED: 1}


async def test_the_first_tick_of_a_job_that_the_store_was_told_of_in_time_runs(
    make: Callable[..., Scheduler], clock: FakeClock
) -> None:
    store = ScriptedStore(clock, refresh_interval=1.0)
    store.on("claim", down, answer_lost)
    scheduler = make(store)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(11)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
        scheduler.add_job("b", quick).per_seconds(2).on_one_server()
        await clock.advance(2)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 2}


async def test_retries_back_off(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    store.on("claim", *[down] * 1000)
    scheduler.add_job("a", quick).per_minutes(1).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(119)
        tries = len(store.claims)
        store.forget_script("claim")
        await clock.advance(0.5)
    # 0.05, 0.1, ... 1 s, each drawn from the upper half of its range
    assert 59 <= tries <= 59 / (LONGEST_BACKOFF / 2) + 6


async def test_a_tick_is_given_up_when_the_next_one_is_due(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.knows_time = False  # it is away from the start
    store.on("claim", *[down] * 1000)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(35)
        store.forget_script("claim")
        await clock.advance(2)
    assert reasons(book) == [SkipReason.STORE_UNAVAILABLE] * 2
    assert counted(scheduler) == {SkipReason.STORE_UNAVAILABLE: 2, Outcome.SUCCEEDED: 1}


async def test_a_tick_is_given_up_after_its_misfire_grace(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.on("claim", *[down] * 1000)
    scheduler.add_job("a", quick).per_hours(1).on_one_server().misfire_grace(5)
    async with running(scheduler, clock):
        await clock.advance(3604)
        assert reasons(book) == []
        await clock.advance(3)
        assert reasons(book) == [SkipReason.STORE_UNAVAILABLE]


async def test_without_a_grace_a_tick_is_asked_for_until_the_next(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.knows_time = False  # it is away from the start
    store.on("claim", *[down] * 100_000)
    scheduler.add_job("a", quick).per_hours(10).on_one_server().misfire_grace(None)
    async with running(scheduler, clock):
        await clock.advance(36_000)
        await clock.advance(1100)  # more than a thousand tries, and none of the figures overflows
        store.forget_script("claim")
        await clock.advance(2)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_a_triggered_run_is_given_up_soon(scheduler: Scheduler, store: ScriptedStore, clock: FakeClock) -> None:
    store.on("claim", *[down] * 100)
    scheduler.add_job("a", quick).per_hours(1).on_one_server()
    async with running(scheduler, clock):
        asked = asyncio.ensure_future(scheduler.trigger("a"))
        await clock.advance(TRIGGER_PATIENCE - 0.1)
        assert not asked.done()
        await clock.advance(1.2)
        run = await asked
    assert (run.outcome, run.skip_reason) == (Outcome.SKIPPED, SkipReason.STORE_UNAVAILABLE)


async def test_a_late_grant_is_given_back_and_reported(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.on("claim", answer_lost, *[down] * 200)
    store.on("release", down, down)
    scheduler.add_job("a", quick).per_minutes(10).on_one_server().without_overlapping().misfire_grace(3)
    async with running(scheduler, clock):
        await clock.advance(601)
        assert store.locks("a") == {LockType.SERVER, LockType.OVERLAP}
        await clock.advance(8)
    assert store.locks("a") == set()
    assert [event.job for event in book.of(events.LateGrantReleased)] == ["a"]
    assert counted(scheduler) == {SkipReason.STORE_UNAVAILABLE: 1}


async def test_what_was_never_granted_is_not_reported(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.on("claim", *[down] * 200)
    scheduler.add_job("a", quick).per_minutes(10).on_one_server().misfire_grace(3)
    async with running(scheduler, clock):
        await clock.advance(610)
    assert store.requests("release") != []
    assert book.of(events.LateGrantReleased) == []


async def test_an_immediate_claim_that_is_given_up_frees_the_start_for_others(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", answer_lost, *[down] * 200)
    scheduler.add_job("a", quick).immediate().on_one_server().misfire_grace(3)
    async with running(scheduler, clock):
        await clock.advance(1)
        assert store.locks("a") == {LockType.START}
        await clock.advance(10)
    assert store.locks("a") == set()


@pytest.mark.parametrize("wait", [0.001, 0.3])
async def test_a_claim_that_is_a_little_early_asks_again_when_it_is_due(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, wait: float
) -> None:
    work = Work()
    work.finish()
    store.on("claim", answering(ClaimAnswer(Verdict.EARLY, wait=wait)))
    scheduler.add_job("a", work).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        started = clock.now()
        await clock.advance(10)
        assert len(store.claims) == 1
        await clock.advance(wait)
        assert len(store.claims) == 2
    assert [ctx.fire_time - started for ctx in work.contexts] == [timedelta(seconds=10)]


async def test_a_claim_that_is_far_too_early_goes_back_to_the_timeline(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.on("claim", answering(ClaimAnswer(Verdict.EARLY, wait=3600.0)))
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
        assert counted(scheduler) == {}
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert reasons(book) == []


async def test_a_claim_that_arrived_too_late_is_asked_for_again_at_once(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", answering(ClaimAnswer(Verdict.LATE)))
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}


async def test_a_corrupt_key_is_said_once_and_mended(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    corrupt = answering(ClaimAnswer(Verdict.CORRUPT, detail="schedule:jobLock:a:tick is a list"))
    store.on("claim", down, *[corrupt] * 30)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(50)
        said = [record for record in caplog.records if "cannot be claimed" in record.getMessage()]
        assert len(said) == 1
        assert "schedule:jobLock:a:tick is a list" in said[0].getMessage()
        assert counted(scheduler)[Outcome.SUCCEEDED] >= 1


async def test_a_lost_record_consumes_the_tick_and_is_said(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    work.finish()
    scheduler.add_job("a", work).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(10)
        store.memory._jobs.clear()  # the store comes back empty
        await clock.advance(20)
    assert reasons(book) == [SkipReason.STORE_UNAVAILABLE]
    assert "did not know the job" in caplog.text
    assert len(work.contexts) == 2
    assert work.contexts[0].fence < work.contexts[1].fence


@pytest.mark.parametrize(
    ("is_unanswered", "newer_by", "reason"),
    [
        (True, 10, SkipReason.STORE_UNAVAILABLE),  # perhaps it had won, and another node has the next tick
        (True, 0, SkipReason.ELSEWHERE),  # another node has this very tick
        (False, 10, SkipReason.ELSEWHERE),  # late, but it cannot have won
    ],
)
async def test_a_tick_that_a_newer_one_has_covered_while_its_answer_was_missing(
    scheduler: Scheduler,
    store: ScriptedStore,
    clock: FakeClock,
    book: Book,
    is_unanswered: bool,
    newer_by: int,
    reason: SkipReason,
) -> None:
    newest_us = int(clock.time() + 10 + newer_by) * 1_000_000
    covered = answering(ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest_us))
    store.on("claim", *([answer_lost] if is_unanswered else []), covered)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(11)
    assert reasons(book) == [reason]


async def test_the_newest_decided_tick_is_sent_along_while_its_record_must_exist(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_hours(1).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(2 * 3600)
        first, second = store.claims
        assert first.remembered_us == 0
        assert second.remembered_us == first.tick_us
        assert second.retain_for >= 2 * 3600 + 7 * 86_400
        state = scheduler._engine.states["a"]  # type: ignore[union-attr]
        state.remembered_until = clock.time()  # as after a year of rest
        await clock.advance(3600)
        assert store.claims[2].remembered_us == 0


async def test_a_foreign_newer_tick_is_remembered_too(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    newest = int(clock.time() * 1e6) + 10_000_000
    store.on("claim", answering(ClaimAnswer(Verdict.ELSEWHERE, newest_us=newest)))
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(20)
    assert store.claims[1].remembered_us == newest
    assert counted(scheduler) == {SkipReason.ELSEWHERE: 1, SkipReason.STORE_UNAVAILABLE: 1}  # its record was a lie


async def test_ticks_do_not_come_due_while_too_many_claims_wait(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ready, "MOST_AT_ONCE", 2)
    gate, often = Gate(), Work()
    often.finish()
    store.on("claim", *[unhindered] * 9, gate)
    scheduler.add_job("often", often).per_seconds(1).on_one_server()
    for number in range(5):
        scheduler.add_job(f"seldom{number}", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(13.5)
        assert gate.entered
        assert len(often.contexts) == 9
        gate.open()
        await clock.advance(0)
        assert [ctx.fire_time.second for ctx in often.contexts[9:]] == [10, 13]
        assert counted(scheduler) == {"succeeded": 11 + 5, "missed": 2}
        await clock.advance(1)
        assert len(often.contexts) == 12


async def test_one_claim_of_a_job_at_a_time_and_the_newest_waiting_tick_wins(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    work = Work()
    work.finish()
    gate = Gate()
    store.on("claim", gate)
    scheduler.add_job("a", work).per_seconds(1).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(4)  # the claim of second 1 is open; 2 and 3 are replaced, 4 waits
        assert len(store.claims) == 1
        assert reasons(book) == [SkipReason.STORE_UNAVAILABLE] * 2
        gate.open()
        await clock.advance(0.5)
    ticks = [ctx.fire_time.second for ctx in work.contexts]
    assert ticks == [1, 4]
    assert [ctx.fence for ctx in work.contexts] == sorted(ctx.fence for ctx in work.contexts)


async def test_a_claim_on_its_way_that_fails_makes_room_for_the_waiting_one(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    gate = Gate()

    async def fail_after(method: object, items: object) -> object:
        await gate(lambda _: down(method, items), items)  # type: ignore[arg-type]

    store.on("claim", fail_after)  # type: ignore[arg-type]
    scheduler.add_job("a", quick).per_seconds(1).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(2)
        gate.open()
        await clock.advance(0.01)
    assert reasons(book) == [SkipReason.STORE_UNAVAILABLE]
    assert counted(scheduler) == {SkipReason.STORE_UNAVAILABLE: 1, Outcome.SUCCEEDED: 1}


async def test_a_waiting_trigger_is_not_replaced_by_ticks(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    gate = Gate()
    store.on("claim", gate)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(18)
        asked = asyncio.ensure_future(scheduler.trigger("a"))
        await clock.advance(3)
        gate.open()
        await clock.advance(1)
        assert (await asked).outcome is Outcome.SUCCEEDED
    assert [request.kind for request in store.claims] == [ClaimKind.TICK, ClaimKind.TRIGGER, ClaimKind.TICK]
    assert counted(scheduler) == {Outcome.SUCCEEDED: 3}


async def test_a_run_in_progress_here_is_an_overlap_without_asking(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    work = Work()
    scheduler.add_job("a", work).per_seconds(10).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(30)
        assert len(store.claims) == 1
        work.finish()
        await clock.advance(10)
    assert reasons(book) == [SkipReason.OVERLAP] * 2
    assert work.ended == 2


async def test_a_run_in_progress_elsewhere_is_an_overlap(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.take("a", LockType.OVERLAP)
    scheduler.add_job("a", quick).per_minutes(5).without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(300)
        assert reasons(book) == [SkipReason.OVERLAP]
        await clock.advance(300)  # whoever it was has died: the lease has ended
        assert counted(scheduler) == {SkipReason.OVERLAP: 1, Outcome.SUCCEEDED: 1}


async def test_an_undecided_claim_holds_the_local_lock_and_frees_it(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    store.on("claim", *[down] * 1000)
    scheduler.add_job("a", quick).per_minutes(10).without_overlapping().misfire_grace(2)
    async with running(scheduler, clock):
        await clock.advance(605)
        store.forget_script("claim")
        assert counted(scheduler) == {SkipReason.STORE_UNAVAILABLE: 1}
        await clock.advance(600)
        assert counted(scheduler)[Outcome.SUCCEEDED] == 1


async def test_an_owner_is_made_anew_for_every_claim(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    scheduler.add_job("a", quick).per_seconds(1).on_one_server()
    async with running(scheduler, clock):
        await clock.advance(20)
    owners = [request.owner for request in store.claims]
    assert len(set(owners)) == 20
    assert all(owner.startswith("here:") and "|" not in owner for owner in owners)


async def test_a_job_removed_while_its_claim_waits_for_a_retry(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, book: Book
) -> None:
    store.on("claim", answer_lost, down)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(10)
        scheduler.remove_job("a")
        await clock.advance(5)
        assert reasons(book) == [SkipReason.SHUTTING_DOWN]
        assert store.locks("a") == set()


async def test_a_job_removed_while_its_claim_is_on_its_way(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    gate = Gate()
    store.on("claim", gate)
    scheduler.add_job("a", quick).per_seconds(10).on_one_server().without_overlapping()
    async with running(scheduler, clock):
        await clock.advance(10)
        scheduler.remove_job("a")
        gate.open()
        await clock.advance(20)
    assert sum(counted(scheduler).values()) == 1  # however it ended: once
    assert store.locks("a") == set()
