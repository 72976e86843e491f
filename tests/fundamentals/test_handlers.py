"""A handler has one of four forms: async function, plain function, protocol object, protocol class."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

from asyncsched import BaseHandler, Outcome, RunContext, Scheduler
from asyncsched.testing import FakeClock


async def test_an_async_function_with_or_without_the_context(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    calls: list[str] = []

    async def without() -> None:
        calls.append("without")

    async def with_context(ctx: RunContext) -> None:
        calls.append(ctx.job)

    async def greet(name: str) -> None:
        calls.append(name)

    scheduler.add_job("one", without).per_seconds(1)
    scheduler.add_job("two", with_context).per_seconds(1)
    scheduler.add_job("three", partial(greet, "partial")).per_seconds(1)
    async with scheduler:
        await clock.advance(1)
    assert sorted(calls) == ["partial", "two", "without"]


async def test_a_plain_function_runs_in_a_thread_and_blocks_nobody(clock: FakeClock) -> None:
    scheduler = Scheduler(clock=clock)
    go_on = threading.Event()
    threads: list[str] = []

    def crunch() -> None:
        go_on.wait(5)
        threads.append(threading.current_thread().name)

    scheduler.add_job("crunch", crunch).per_seconds(1)
    async with scheduler:
        run = await scheduler.trigger("crunch")
        await asyncio.sleep(0)  # the loop is free while the thread waits
        go_on.set()
        assert await run.wait() == Outcome.SUCCEEDED
    assert threads != [threading.main_thread().name]


async def test_a_protocol_object_works_on_after_exec_has_returned(clock: FakeClock) -> None:
    class Import(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()
            self.work = asyncio.create_task(self.fetch())

        async def fetch(self) -> None:
            await asyncio.sleep(0)
            self.report(ConnectionError("one feed of three did not answer"))
            self.finish()

    scheduler = Scheduler(clock=clock)
    scheduler.add_job("import", Import()).per_seconds(1)
    async with scheduler:
        run = await scheduler.trigger("import")
        assert await run.wait() == Outcome.FAILED
    assert [str(error) for error in run.errors] == ["one feed of three did not answer"]


async def test_the_protocol_by_hand(clock: FakeClock) -> None:
    class Waiter:
        def __init__(self) -> None:
            self.complete = asyncio.Event()

        async def exec(self, ctx: RunContext) -> None:
            asyncio.get_running_loop().call_soon(self.complete.set)

        async def error(self) -> Exception:
            return await asyncio.get_running_loop().create_future()

        async def done(self) -> None:
            await self.complete.wait()

    scheduler = Scheduler(clock=clock)
    scheduler.add_job("waiter", Waiter()).per_seconds(1)
    async with scheduler:
        await clock.advance(1)
    assert scheduler.snapshot().counters == {"succeeded": 1}


async def test_a_class_is_made_anew_for_every_run(clock: FakeClock) -> None:
    made: list[object] = []

    class Fresh(BaseHandler):
        def __init__(self) -> None:
            made.append(self)

        async def exec(self, ctx: RunContext) -> None: ...

    scheduler = Scheduler(clock=clock)
    scheduler.add_job("fresh", Fresh).per_seconds(1)
    async with scheduler:
        await clock.advance(3)
    assert len(made) == 3
