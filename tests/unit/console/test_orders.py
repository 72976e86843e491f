"""What is asked of a cluster from outside: a run now, the end of a run. Once, by one node, and answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from asyncsched import ConfigurationError, RunContext, Scheduler, SchedulerError, UnknownJobError
from asyncsched._record_texts import order_text
from asyncsched._records import ActiveRun, Order
from asyncsched.console import Console
from asyncsched.testing import Cluster

Make = Callable[..., Cluster]
ConsoleOf = Callable[[Cluster], Console]
Ran = list[tuple[str, str]]
START = datetime(2026, 1, 1, tzinfo=UTC)


async def the_run(console: Console) -> ActiveRun:
    (run,) = (await console.state()).active
    return run


# A run now


async def test_one_node_runs_what_is_triggered(make: Make, console_of: ConsoleOf, ran: Ran) -> None:
    async with make(nodes=3) as cluster:
        console = console_of(cluster)
        answer = await cluster.run_until(console.trigger("nightly", why="the report was lost"))
        assert answer.outcome == "started"
        await cluster.advance(5)
        assert ran == [(answer.node, "nightly")]
        (ending,) = await console.history("nightly")
    assert (ending.kind, ending.run_id, ending.node) == ("trigger", answer.run_id, answer.node)
    assert (ending.by, ending.why) == ("ada@desk", "the report was lost")


async def test_a_named_node_runs_it(make: Make, console_of: ConsoleOf, ran: Ran) -> None:
    async with make(nodes=3) as cluster:
        for name in ("n2", "n0"):
            answer = await cluster.run_until(console_of(cluster).trigger("nightly", node=name))
            assert (answer.node, answer.outcome) == (name, "started")
        await cluster.advance(1)
        assert ran == [("n2", "nightly"), ("n0", "nightly")]


async def test_each_of_many_orders_runs_once(make: Make, console_of: ConsoleOf, ran: Ran) -> None:
    async with make(nodes=4) as cluster:
        console = console_of(cluster)
        orders = asyncio.gather(*(console.trigger("nightly") for _ in range(20)))
        answers = await cluster.run_until(orders)
        await cluster.advance(1)
    assert Counter(node for node, _ in ran) == Counter(answer.node for answer in answers)
    assert len({answer.run_id for answer in answers}) == len(ran) == 20


async def test_what_is_triggered_and_skipped_is_answered_with_the_reason(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        await cluster.advance(11)
        answer = await cluster.run_until(console.trigger("work"))
        assert (answer.outcome, answer.detail) == ("skipped", "overlap")
        (skip, *_) = await console.history("work")
        assert (skip.kind, skip.outcome, skip.reason, skip.by) == ("trigger", "skipped", "overlap", "ada@desk")
        await console.pause("nightly")
        answer = await cluster.run_until(console.trigger("nightly"))
        assert (answer.outcome, answer.detail) == ("skipped", "paused")


async def test_what_cannot_be_triggered_is_refused_at_once(make: Make, console_of: ConsoleOf) -> None:
    async def other() -> None: ...

    async with make(nodes=2, starts=1) as cluster:
        console = console_of(cluster)
        with pytest.raises(UnknownJobError, match="did you mean 'nightly'"):
            await console.trigger("nightli")
        with pytest.raises(ConfigurationError, match="node 'n7' is not there; those that are: n0"):
            await console.trigger("nightly", node="n7")
        await cluster.nodes[1].start()
        cluster.nodes[0].scheduler.add_job("other", other).per_hours(1)
        await cluster.advance(1)
        with pytest.raises(ConfigurationError, match="node 'n1' has no job 'other'"):
            await console.trigger("other", node="n1")
        with pytest.raises(ConfigurationError, match="within: 51 is longer than 50 s"):
            await console.trigger("other", within=51)
        assert (await cluster.run_until(console.trigger("other"))).node == "n0"


async def test_an_order_that_no_node_takes_is_withdrawn(make: Make, console_of: ConsoleOf, ran: Ran) -> None:
    async with make(nodes=1) as cluster:
        node, console = cluster.nodes[0], console_of(cluster)
        await cluster.advance(1)
        await console.state()
        node.freeze()
        with pytest.raises(SchedulerError, match=r"trigger of job 'nightly': no node has taken it within 3 s"):
            await cluster.run_until(console.trigger("nightly", within=3))
        await node.thaw()
        await cluster.advance(5)
        assert ran == []


async def test_a_node_that_was_away_finds_the_order_when_it_comes_back(make: Make, console_of: ConsoleOf) -> None:
    async with make(nodes=1) as cluster:
        node, console = cluster.nodes[0], console_of(cluster)
        await console.state()
        node.partition()
        asking = asyncio.ensure_future(console.trigger("nightly", within=30))
        await cluster.advance(10)
        assert not asking.done()
        node.heal()
        await console.state()  # the board of a store in memory asks its nodes when somebody looks
        assert (await cluster.run_until(asking)).outcome == "started"


async def test_an_order_whose_time_is_over_is_not_taken(make: Make, ran: Ran) -> None:
    async with make(nodes=1) as cluster:
        board = cluster.store.board
        until_us = round((cluster.clock.time() - 1) * 1e6)
        order = Order(
            order_id="a", kind="trigger", job="nightly", node="", run_id="", by="ada", why="", until_us=until_us
        )
        await board.place_order("a", order_text(order))
        await cluster.advance(2)
        assert ran == []
        assert await board.take_order("a"), "it stands there still"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"id":"a","kind":"explode","until_us":9000000000000000}', '{"id":1}']
)
async def test_what_is_no_order_is_left_alone(make: Make, ran: Ran, text: str) -> None:
    async with make(nodes=1) as cluster:
        await cluster.store.board.place_order("a", text)
        await cluster.advance(2)
        assert ran == []


async def test_an_order_to_a_node_that_stops_is_not_begun(make: Make, console_of: ConsoleOf, ran: Ran) -> None:
    async with make(nodes=1) as cluster:
        console = console_of(cluster)
        await cluster.advance(11)
        stopping = asyncio.ensure_future(cluster.nodes[0].scheduler.stop())
        await asyncio.sleep(0)
        assert [node.state for node in (await console.state()).nodes] == ["draining"]
        with pytest.raises(SchedulerError, match="no node has taken it"):
            await cluster.clock.run_until(console.trigger("nightly", within=1))
        await cluster.clock.run_until(stopping)
        assert await cluster.nodes[0].end() is None
        assert [job for _, job in ran] == ["work"]


# The end of a run


async def test_a_run_in_progress_is_cancelled(make: Make, console_of: ConsoleOf) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        await cluster.advance(11)
        run = await the_run(console)
        answer = await cluster.run_until(console.cancel(run.run_id, why="wrong data"))
        assert (answer.node, answer.run_id, answer.outcome) == (run.node, run.run_id, "cancelling")
        (ending,) = await console.history("work")
        await cluster.advance(10)
        assert (await the_run(console)).fire_time == START + timedelta(seconds=20), "the next tick runs"
    assert (ending.outcome, ending.by, ending.run_id) == ("cancelled", "ada@desk", run.run_id)
    assert (ending.why, ending.error) == ("wrong data", "SchedulerError: cancelled by order of ada@desk")


async def test_a_run_that_sleeps_its_random_delay_is_cancelled(make: Make, console_of: ConsoleOf) -> None:
    ran = []

    async def work() -> None:
        ran.append(1)

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("delayed", work).per_seconds(60).random_delay(20, 30).on_one_server().rerun_on_crash()

    async with make(declare) as cluster:
        console = console_of(cluster)
        await cluster.advance(61)
        run = await the_run(console)
        assert run.started_at is None
        await cluster.run_until(console.cancel(run.run_id))
        await cluster.advance(40)
        (ending,) = await console.history("delayed")
        assert (ending.outcome, ending.started_at, ending.duration, ending.by) == ("cancelled", None, 0, "ada@desk")
        assert (await console.why("delayed")).because[0].startswith(f"{run.node} had it, and before its handler began")
    assert ran == [], "nor does another node run it"


async def test_a_run_that_waits_for_its_next_attempt_is_cancelled(make: Make, console_of: ConsoleOf) -> None:
    tried = []

    async def fail() -> None:
        tried.append(1)
        raise ValueError("never")

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("flaky", fail).per_hours(1).retry(3, backoff=30)

    async with make(declare, nodes=1) as cluster:
        console = console_of(cluster)
        await cluster.run_until(console.trigger("flaky"))
        await cluster.advance(31)
        assert len(tried) == 2
        await cluster.run_until(console.cancel((await the_run(console)).run_id))
        await cluster.advance(100)
        (ending,) = await console.history("flaky")
    assert (ending.outcome, ending.attempt, ending.by) == ("cancelled", 2, "ada@desk")
    assert len(tried) == 2


async def test_a_run_that_was_ordered_tells_so_after_its_retries(make: Make, console_of: ConsoleOf) -> None:
    async def fail(ctx: RunContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("not yet")

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("flaky", fail).per_hours(1).retry(3, backoff=30)

    async with make(declare, nodes=1) as cluster:
        console = console_of(cluster)
        await cluster.run_until(console.trigger("flaky"))
        await cluster.advance(31)
        (ending,) = await console.history("flaky")
    assert (ending.outcome, ending.attempt, ending.by) == ("succeeded", 2, "ada@desk")


async def test_a_cancelled_tick_of_a_job_that_is_rerun_runs_nowhere_else(make: Make, console_of: ConsoleOf) -> None:
    nodes = []

    async def work(ctx: RunContext) -> None:
        nodes.append(ctx.node)
        await asyncio.sleep(30)

    def declare(scheduler: Scheduler) -> None:
        scheduler.add_job("work", work).per_minutes(1).on_one_server().rerun_on_crash(3).lock_ttl(5)

    async with make(declare, nodes=3) as cluster:
        console = console_of(cluster)
        await cluster.advance(61)
        await cluster.run_until(console.cancel((await the_run(console)).run_id))
        await cluster.advance(50)
        assert len(nodes) == 1
        assert not any(lock.lock_type == "open" for lock in await console.locks("work"))


async def test_a_handler_that_heeds_no_cancellation_says_how_it_ended(make: Make, console_of: ConsoleOf) -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return

    async with make(lambda s: s.add_job("stubborn", stubborn).per_minutes(1), nodes=1) as cluster:
        console = console_of(cluster)
        await cluster.advance(61)
        run_id = (await the_run(console)).run_id
        await cluster.run_until(console.cancel(run_id))
        (ending,) = await console.history("stubborn")
        assert (ending.outcome, ending.by, ending.duration) == ("succeeded", "ada@desk", pytest.approx(1, abs=0.1))
        with pytest.raises(SchedulerError, match=f"cancel of run {run_id}: no node has taken it within 1 s"):
            await cluster.run_until(console.cancel(run_id, within=1))


async def test_a_run_that_is_being_ended_already_is_said_to_be(make: Make, console_of: ConsoleOf) -> None:
    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(20)

    async with make(lambda s: s.add_job("slow", slow_to_end).per_minutes(1), nodes=1) as cluster:
        console = console_of(cluster)
        await cluster.advance(61)
        run_id = (await the_run(console)).run_id
        await cluster.run_until(console.cancel(run_id))
        answer = await cluster.run_until(console.cancel(run_id))
    assert (answer.outcome, answer.detail) == ("cancelling", "it was being ended already")


@pytest.mark.parametrize("run_id", ["", "a b", 7, "x" * 101])
async def test_what_is_no_run_id_is_refused(make: Make, console_of: ConsoleOf, run_id: object) -> None:
    async with make(nodes=1) as cluster:
        with pytest.raises(ConfigurationError, match="run_id"):
            await console_of(cluster).cancel(run_id)  # type: ignore[arg-type]
