"""``max_concurrent``: so many runs of a job are in progress at once, and no more, in the process and in the cluster."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from _engine_doubles import Book, ScriptedStore, Work, answer_lost, counted, down, quick, running

from asyncsched import ConfigurationError, Job, MemoryStore, Scheduler, events
from asyncsched._grants import LockType
from asyncsched.testing import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncsched.testing import FakeClock
    from asyncsched.testing._history import RecordedRun

OVERLAP = LockType.OVERLAP
BOTH_WAYS = pytest.mark.parametrize("one", [True, False], ids=["one", "alone"])


def declare(
    runs: int, *, one: bool = True, every: float = 10, lasting: float = 25, handler: Any = None
) -> Callable[[Scheduler], None]:
    """Declare the job ``a``; every and lasting are seconds."""

    async def work() -> None:
        await asyncio.sleep(lasting)

    def add(scheduler: Scheduler) -> None:
        job = scheduler.add_job("a", handler or work).per_seconds(every).max_concurrent(runs).lock_ttl(60)
        if one:
            job.on_one_server()

    return add


def most_at_once(runs: Iterable[RecordedRun]) -> int:
    changes = []
    for run in runs:
        changes.append((run.started_at, 1))
        if run.ended_at is not None:
            changes.append((run.ended_at, -1))
    going = most = 0
    for _, change in sorted(changes):  # what ends at an instant makes room for what begins then
        going += change
        most = max(most, going)
    return most


@BOTH_WAYS
async def test_a_tick_that_meets_n_runs_is_skipped(one: bool) -> None:
    async with Cluster(declare(2, one=one), nodes=1) as cluster:
        await cluster.advance(65)
        runs = cluster.history.of("a")
        assert [run.fire_time.second for run in runs] == [10, 20, 40, 50]
        assert most_at_once(runs) == 2
        assert dict(cluster.nodes[0].scheduler.snapshot().counters) == {"succeeded": 3, "overlap": 2}
        assert [run.fence for run in runs] == sorted({run.fence for run in runs})


@BOTH_WAYS
@pytest.mark.parametrize("runs", [1, 3])
async def test_a_cluster_has_n_in_progress_and_no_more(runs: int, one: bool) -> None:
    async with Cluster(declare(runs, one=one, lasting=45), nodes=3, skew=0.5) as cluster:
        await cluster.advance(600)
        found = cluster.history.of("a")
        assert most_at_once(found) == runs
        if one:
            assert len({run.fire_time for run in found}) == len(found)


@BOTH_WAYS
async def test_never_more_than_n_in_a_day_of_faults(one: bool) -> None:
    async with Cluster(declare(3, one=one, every=60, lasting=200), nodes=3, skew=2.0) as cluster:
        faults = {"crash": 0, "stop": 0, "partition": 0}
        while cluster.clock.monotonic() < 86_400:
            await cluster.advance(cluster.random.expovariate(1 / 900))
            node, lasting = cluster.random.choice(cluster.nodes), cluster.random.uniform(1, 300)
            fault = cluster.random.choice(tuple(faults))
            faults[fault] += 1
            if fault == "partition":
                node.partition(answers_only=cluster.random.random() < 0.5)
                await cluster.advance(lasting)
                node.heal()
            else:
                await (node.crash if fault == "crash" else node.stop)()
                await cluster.advance(lasting)
                await node.start()
        found = cluster.history.of("a")
        assert most_at_once(found) == 3
        assert min(faults.values()) > 10
        assert {"crashed", "succeeded", "lock_lost", "cancelled"} >= {run.outcome for run in found if run.outcome}
        succeeded = [run for run in found if run.outcome == "succeeded"]
        assert len(succeeded) > 86_400 / 240 * 3 * 0.6, "nothing keeps slots for long that nobody uses"
        if one:
            assert len({run.fire_time for run in found}) == len(found)
        await cluster.advance(300)
    assert cluster.store._job("a").locks == {}


async def test_triggered_and_immediate_runs_count(scheduler: Scheduler, clock: FakeClock) -> None:
    work = Work()
    declare(2, handler=work)(scheduler)
    scheduler.get_job("a").immediate()
    async with running(scheduler, clock):
        await clock.settle()
        await scheduler.trigger("a")
        third = await scheduler.trigger("a")
        assert (third.outcome, third.skip_reason) == ("skipped", "overlap")
        assert len(work.contexts) == 2
        await clock.advance(10)
        assert counted(scheduler) == {"overlap": 2}
        work.finish()
        await clock.advance(10)
        assert len(work.contexts) == 3


async def test_each_run_has_a_slot_and_gives_it_back(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    declare(3, one=False, handler=work)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(95)
        assert store.locks("a") == {OVERLAP, "overlap:1", "overlap:2"}
        renewed = {lease.slots for batch in store.requests("renew") for lease in batch}
        assert renewed == {(0,), (1,), (2,)}
        assert len(work.contexts) == 3
        work.finish()
        await clock.settle()
        assert store.locks("a") == set()


async def test_a_run_whose_slot_is_lost_ends_and_the_others_go_on(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    declare(2, handler=work)(scheduler)
    book = Book(scheduler)
    async with running(scheduler, clock):
        await clock.advance(25)
        first, second = work.contexts
        del store.memory._job("a").locks["overlap:1"]
        await clock.advance(20)
        ended = book.of(events.RunEnded)
        assert [(event.fire_time, event.outcome) for event in ended] == [(second.fire_time, "lock_lost")]
        assert len(work.contexts) == 3  # in its place
        assert work.contexts[2].fence > second.fence > first.fence
        work.finish()


async def test_a_claim_whose_answer_was_lost_wins_its_slot_again(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    declare(3, handler=work)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
        store.on("claim", answer_lost)
        await clock.advance(10)
        assert len(work.contexts) == 2
        assert store.locks("a") - {LockType.SERVER} == {OVERLAP, "overlap:1"}
        work.finish()
        await clock.settle()
        assert store.locks("a") == set()


async def test_a_claim_that_gives_up_gives_back_the_slot_that_it_may_have(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    declare(3, one=False, handler=work)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(15)
        store.on("claim", answer_lost, *[down] * 20)
        await clock.advance(6)
        assert store.locks("a") == {OVERLAP, "overlap:1"}
        scheduler.remove_job("a")
        await clock.advance(6)
        assert store.locks("a") == {OVERLAP}
        assert len(work.contexts) == 1
        work.finish()


async def test_without_the_store_it_holds_in_the_process(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock
) -> None:
    work = Work()
    declare(2, handler=work)(scheduler)
    scheduler.get_job("a").when_store_unavailable("run")
    store.on("claim", *[down] * 10_000)
    async with running(scheduler, clock):
        await clock.advance(60)
        assert [ctx.fence for ctx in work.contexts] == [0, 0]
        assert counted(scheduler)["overlap"] >= 2
        work.finish()
        await clock.advance(10)
        store.forget_script("claim")


async def test_a_stop_frees_all_slots(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    scheduler = Scheduler(store, clock=clock, shutdown_timeout=1)
    work = Work()
    declare(2, handler=work)(scheduler)
    async with running(scheduler, clock):
        await clock.advance(25)
        assert len(work.contexts) == 2
    assert work.cancelled == 2
    assert store._job("a").locks == {}


@pytest.mark.parametrize("value", [0, -1, True, False, 101, 2.0, "2", None, float("nan")], ids=repr)
def test_bad_numbers_are_refused(value: Any) -> None:
    job = Job("a", quick)
    rule = f"job 'a': max_concurrent({value!r}): the rule is a whole number from 1 to 100: each claim reads the locks"
    with pytest.raises(ConfigurationError, match=re.escape(rule)):
        job.max_concurrent(value)
    assert (job.concurrency, job.max_concurrent(100).concurrency) == (0, 100)


@pytest.mark.parametrize(
    ("put_together", "rule"),
    [
        (lambda job: job.without_overlapping(), "max_concurrent() and without_overlapping() exclude each other"),
        (lambda job: job.without_overlapping("queue_one"), "max_concurrent() and without_overlapping() exclude"),
        (lambda job: job.without_overlapping("cancel_running"), "max_concurrent() and without_overlapping() exclude"),
        (lambda job: job.rerun_on_crash(), "max_concurrent() and rerun_on_crash() exclude each other"),
    ],
)
async def test_wrong_combinations_are_refused(
    scheduler: Scheduler, put_together: Callable[[Job], Job], rule: str
) -> None:
    put_together(scheduler.add_job("a", quick).per_seconds(1).on_one_server().max_concurrent(2))
    with pytest.raises(ConfigurationError, match=re.escape(rule)):
        await scheduler.__aenter__()


def test_it_is_a_policy(scheduler: Scheduler) -> None:
    job = scheduler.add_job("a", quick).max_concurrent(3)
    assert (job.concurrency, job.is_guarded, job.is_without_overlapping) == (3, True, False)
    assert job.policies == ("max_concurrent(3)",)
    with pytest.raises(ConfigurationError, match="given before"):
        job.max_concurrent(4)
    assert Job("b", quick).max_concurrent(1).is_without_overlapping
    assert Job("b", quick).without_overlapping().concurrency == 1
    group = scheduler.group(max_concurrent=5)
    assert group.add_job("c", quick).concurrency == 5
    assert group.add_job("d", quick).max_concurrent(2).concurrency == 2
