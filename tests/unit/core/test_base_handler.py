"""``BaseHandler``: reporting, holding and finishing, from tasks, callbacks, threads and outside of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from _scripted import turns

from asyncsched import BaseHandler, RunContext
from asyncsched._run import Outcome, Run
from asyncsched.exceptions import SchedulerError

if TYPE_CHECKING:
    from _scripted import Parts

WRONG, WORSE = ValueError("wrong"), KeyError("worse")


class Recording(BaseHandler):
    """Remembers its runs; what it does in each is the subclass's."""

    def __init__(self) -> None:
        self.runs: list[RunContext] = []

    async def exec(self, ctx: RunContext) -> None:
        self.runs.append(ctx)


class Holding(Recording):
    async def exec(self, ctx: RunContext) -> None:
        await super().exec(ctx)
        self.hold()


async def test_it_ends_with_exec(parts: Parts) -> None:
    assert await parts.start(parts.state(Recording())).wait() is Outcome.SUCCEEDED


async def test_exec_must_be_written(parts: Parts) -> None:
    run = parts.start(parts.state(BaseHandler()))

    assert await run.wait() is Outcome.FAILED
    assert "has no exec" in str(run.errors[0])


async def test_reports_are_recorded_while_the_run_goes_on(parts: Parts) -> None:
    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.report(WRONG)
            await turns()
            seen.append(ctx.errors)  # type: ignore[attr-defined]
            self.report(WORSE)

    seen: list[object] = []
    run = parts.start(parts.state(Handler()))

    assert await run.wait() is Outcome.FAILED
    assert seen == [(WRONG,)]
    assert run.errors == (WRONG, WORSE)


async def test_reports_from_the_tasks_and_threads_of_a_run(parts: Parts) -> None:
    asyncio.get_running_loop().set_debug(True)

    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            async def beside() -> None:
                self.report(WRONG)

            await asyncio.create_task(beside())
            await asyncio.to_thread(self.report, WORSE)

    run = parts.start(parts.state(Handler()))

    assert await run.wait() is Outcome.FAILED
    assert run.errors == (WRONG, WORSE)


async def test_only_exceptions_can_be_reported(parts: Parts) -> None:
    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.report("text")  # type: ignore[arg-type]

    run = parts.start(parts.state(Handler()))

    assert await run.wait() is Outcome.FAILED
    assert isinstance(run.errors[0], TypeError)


async def test_held_work_lasts_until_it_is_finished(parts: Parts) -> None:
    handler = Holding()
    run = parts.start(parts.state(handler))
    await turns()
    assert run.outcome is None
    handler.report(WRONG, handler.runs[0])
    handler.finish(handler.runs[0])
    handler.finish(handler.runs[0])

    assert await run.wait() is Outcome.FAILED
    assert run.errors == (WRONG,)


async def test_finish_may_come_before_exec_returns(parts: Parts) -> None:
    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()
            asyncio.get_running_loop().call_soon(self.finish)
            await turns()
            seen.append(ctx.outcome)  # type: ignore[attr-defined]

    seen: list[object] = []

    assert await parts.start(parts.state(Handler())).wait() is Outcome.SUCCEEDED
    assert seen == [None]


async def test_finish_without_hold_changes_nothing(parts: Parts) -> None:
    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.finish()
            await may_return.wait()

    may_return = asyncio.Event()
    run = parts.start(parts.state(Handler()))
    await turns()
    assert run.outcome is None
    may_return.set()
    assert await run.wait() is Outcome.SUCCEEDED


async def test_finish_from_a_thread(parts: Parts) -> None:
    asyncio.get_running_loop().set_debug(True)  # then the loop refuses what is not safe from threads
    handler = Holding()
    run = parts.start(parts.state(handler))
    await turns()
    await asyncio.to_thread(handler.finish, handler.runs[0])

    assert await asyncio.wait_for(run.wait(), 5) is Outcome.SUCCEEDED


async def test_finish_in_a_task_that_outlives_exec_knows_its_run(parts: Parts) -> None:
    class Handler(BaseHandler):
        async def exec(self, ctx: RunContext) -> None:
            self.hold()
            tasks.append(asyncio.create_task(self.later()))

        async def later(self) -> None:
            await turns()
            self.finish()

    tasks: list[asyncio.Task[None]] = []

    assert await asyncio.wait_for(parts.start(parts.state(Handler())).wait(), 5) is Outcome.SUCCEEDED


async def test_hold_after_the_return_of_exec_is_refused(parts: Parts) -> None:
    handler = Holding()
    parts.start(parts.state(handler))
    await turns()
    with pytest.raises(SchedulerError, match="after exec"):
        handler.hold(handler.runs[0])


@pytest.mark.parametrize("method", ["hold", "finish", "report"])
async def test_outside_of_a_run_the_context_is_needed(parts: Parts, method: str) -> None:
    handler = Recording()
    arguments = (WRONG,) if method == "report" else ()
    with pytest.raises(SchedulerError, match=rf"Recording\.{method}\(\) belongs into a run"):
        getattr(handler, method)(*arguments)


async def test_a_context_of_another_form_of_handler_does_not_serve(parts: Parts) -> None:
    seen: list[Run] = []
    await parts.start(parts.state(lambda ctx: seen.append(ctx))).wait()
    with pytest.raises(SchedulerError):
        Recording().finish(seen[0])


async def test_runs_that_overlap_on_one_instance_are_kept_apart(parts: Parts) -> None:
    handler = Holding()
    state = parts.state(handler)
    first, second = parts.start(state), parts.start(state)
    await turns()
    handler.report(WRONG, second)
    handler.finish(second)
    assert await second.wait() is Outcome.FAILED
    assert first.outcome is None

    handler.finish(first)
    assert await first.wait() is Outcome.SUCCEEDED


async def test_a_subclass_may_wait_for_more(parts: Parts) -> None:
    class Handler(Recording):
        async def done(self) -> None:
            await super().done()
            await more.wait()

    more = asyncio.Event()
    run = parts.start(parts.state(Handler()))
    await turns()
    assert run.outcome is None
    more.set()
    assert await run.wait() is Outcome.SUCCEEDED
