"""The two sides of a protocol handler, in every order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from _scripted import turns

from asyncsched._run import MOST_ERRORS, Outcome

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._run import Run

WRONG, WORSE = ValueError("wrong"), KeyError("worse")


class Scripted:
    """A protocol handler, each side of which waits until the test lets it go."""

    def __init__(self) -> None:
        self.may_return, self.is_done = asyncio.Event(), asyncio.Event()
        self.to_report: asyncio.Queue[Any] = asyncio.Queue()
        self.exec_raises: BaseException | None = None
        self.done_raises: BaseException | None = None
        self.ended: list[str] = []

    async def exec(self, ctx: Run) -> None:
        try:
            await self.may_return.wait()
            if self.exec_raises is not None:
                raise self.exec_raises
        finally:
            self.ended.append("exec")

    async def error(self) -> Exception:
        try:
            found = await self.to_report.get()
            if isinstance(found, tuple):
                raise found[0]
            return found
        except asyncio.CancelledError:
            self.ended.append("error")
            raise

    async def done(self) -> None:
        try:
            await self.is_done.wait()
            if self.done_raises is not None:
                raise self.done_raises
        finally:
            self.ended.append("done")


@pytest.fixture
def handler() -> Scripted:
    return Scripted()


class TestProtocolHandler:
    @pytest.mark.parametrize("order", ["exec first", "done first"])
    async def test_it_ends_when_exec_has_returned_and_done_has_resolved(
        self, parts: Parts, handler: Scripted, order: str
    ) -> None:
        run = parts.start(parts.state(handler))
        await turns()
        first, second = handler.may_return, handler.is_done
        if order == "done first":
            first, second = second, first
        first.set()
        await turns()
        assert run.outcome is None
        second.set()

        assert await run.wait() is Outcome.SUCCEEDED
        assert sorted(handler.ended) == ["done", "error", "exec"]

    async def test_errors_before_and_after_the_return_of_exec_are_kept_in_order(
        self, parts: Parts, handler: Scripted
    ) -> None:
        run = parts.start(parts.state(handler))
        handler.to_report.put_nowait(WRONG)
        await turns()
        assert run.errors == (WRONG,)
        handler.may_return.set()
        await turns()
        handler.to_report.put_nowait(WORSE)
        handler.is_done.set()

        assert await run.wait() is Outcome.FAILED
        assert run.errors == (WRONG, WORSE)

    async def test_many_errors_just_before_the_end_all_arrive(self, parts: Parts, handler: Scripted) -> None:
        run = parts.start(parts.state(handler))
        await turns()
        errors = [ValueError(number) for number in range(60)]
        for error in errors:
            handler.to_report.put_nowait(error)
        handler.may_return.set()
        handler.is_done.set()

        assert await run.wait() is Outcome.FAILED
        assert run.errors == tuple(errors)

    async def test_an_error_that_never_waits_takes_neither_the_loop_nor_the_memory(self, parts: Parts) -> None:
        class Flood:
            async def exec(self, ctx: Run) -> None:
                await turns(300)

            async def error(self) -> Exception:
                return WRONG

            async def done(self) -> None:
                pass

        run = parts.start(parts.state(Flood()))

        assert await asyncio.wait_for(run.wait(), 5) is Outcome.FAILED
        assert run.errors == (WRONG,) * MOST_ERRORS

    async def test_an_error_that_comes_again_and_again_does_not_keep_a_run_from_its_end(self, parts: Parts) -> None:
        class Trickle:
            async def exec(self, ctx: Run) -> None: ...

            async def error(self) -> Exception:
                await turns(4)
                return WRONG

            async def done(self) -> None: ...

        run = parts.start(parts.state(Trickle()))

        assert await asyncio.wait_for(run.wait(), 5) is Outcome.FAILED
        assert set(run.errors) == {WRONG}

    @pytest.mark.parametrize("found", [None, "text", ValueError, SystemExit(1)])
    async def test_error_must_return_an_exception(self, parts: Parts, handler: Scripted, found: object) -> None:
        run = parts.start(parts.state(handler))
        handler.to_report.put_nowait(found)

        assert await run.wait() is Outcome.FAILED
        (error,) = run.errors
        assert isinstance(error, TypeError)
        assert repr(found) in str(error)
        assert sorted(handler.ended) == ["done", "exec"]

    @pytest.mark.parametrize("error", [WRONG, SystemExit(3), BaseExceptionGroup("g", [WRONG])])
    async def test_what_exec_raises_ends_the_run_at_once(
        self, parts: Parts, handler: Scripted, error: BaseException
    ) -> None:
        handler.exec_raises = error
        handler.may_return.set()
        run = parts.start(parts.state(handler))

        assert await run.wait() is Outcome.FAILED
        assert run.errors == (error,)
        assert sorted(handler.ended) == ["done", "error", "exec"]

    @pytest.mark.parametrize("returned", [False, True])
    @pytest.mark.parametrize("error", [WRONG, SystemExit(3)])
    async def test_what_done_raises_ends_the_run_at_once(
        self, parts: Parts, handler: Scripted, error: BaseException, returned: bool
    ) -> None:
        handler.done_raises = error
        run = parts.start(parts.state(handler))
        if returned:
            handler.may_return.set()
            await turns()
        handler.is_done.set()

        assert await run.wait() is Outcome.FAILED
        assert run.errors == (error,)
        assert sorted(handler.ended) == ["done", "error", "exec"]

    async def test_what_error_raises_ends_the_run_at_once(self, parts: Parts, handler: Scripted) -> None:
        run = parts.start(parts.state(handler))
        await turns()
        handler.to_report.put_nowait((WRONG,))

        assert await run.wait() is Outcome.FAILED
        assert run.errors == (WRONG,)
        assert sorted(handler.ended) == ["done", "exec"]

    @pytest.mark.parametrize("side", ["exec", "error", "done"])
    async def test_a_side_that_raises_cancelled_by_itself(self, parts: Parts, handler: Scripted, side: str) -> None:
        run = parts.start(parts.state(handler))
        await turns()
        if side == "exec":
            handler.exec_raises = asyncio.CancelledError()
            handler.may_return.set()
        elif side == "error":
            handler.to_report.put_nowait((asyncio.CancelledError(),))
        else:
            handler.done_raises = asyncio.CancelledError()
            handler.is_done.set()

        assert await run.wait() is Outcome.CANCELLED
        assert {"exec", "done"} <= set(handler.ended)

    async def test_when_both_sides_raise_both_errors_are_kept_and_that_of_exec_comes_first(
        self, parts: Parts, handler: Scripted
    ) -> None:
        handler.exec_raises, handler.done_raises = WRONG, WORSE
        handler.may_return.set()
        handler.is_done.set()
        run = parts.start(parts.state(handler))

        assert await run.wait() is Outcome.FAILED
        assert set(run.errors) == {WRONG, WORSE}
        assert "error" in handler.ended

    async def test_what_exec_raises_because_done_failed_comes_after_that(self, parts: Parts) -> None:
        class Handler(Scripted):
            async def exec(self, ctx: Run) -> None:
                try:
                    await self.may_return.wait()
                except asyncio.CancelledError:
                    raise WORSE from None

        handler = Handler()
        handler.done_raises = WRONG
        handler.is_done.set()
        run = parts.start(parts.state(handler))

        assert await run.wait() is Outcome.FAILED
        assert run.errors == (WRONG, WORSE)

    async def test_cancelled_all_three_end(self, parts: Parts, handler: Scripted) -> None:
        run = parts.start(parts.state(handler))
        await turns()
        await parts.executor.drain(0, 5)

        assert run.outcome is Outcome.CANCELLED
        assert sorted(handler.ended) == ["done", "error", "exec"]
        assert run.errors == ()

    @pytest.mark.parametrize("side", ["exec", "error", "done"])
    async def test_what_a_side_raises_as_it_is_cancelled_is_kept(self, parts: Parts, side: str) -> None:
        async def wait(which: str) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if which == side:
                    raise WRONG from None
                raise

        class Handler:
            async def exec(self, ctx: Run) -> None:
                await wait("exec")

            async def error(self) -> Exception:
                await wait("error")
                return WRONG

            async def done(self) -> None:
                await wait("done")

        run = parts.start(parts.state(Handler()))
        await turns()
        await parts.executor.drain(0, 5)

        assert run.errors == (WRONG,)

    async def test_a_class_is_made_anew_for_each_run(self, parts: Parts) -> None:
        made: list[object] = []

        class Each(Scripted):
            def __init__(self) -> None:
                super().__init__()
                made.append(self)
                self.may_return.set()
                self.is_done.set()

        state = parts.state(Each)
        for _ in range(2):
            assert await parts.start(state).wait() is Outcome.SUCCEEDED
        assert len(made) == 2

    async def test_a_class_that_cannot_be_made_fails_the_run(self, parts: Parts) -> None:
        class Never(Scripted):
            def __init__(self) -> None:
                raise WRONG

        run = parts.start(parts.state(Never))

        assert await run.wait() is Outcome.FAILED
        assert run.errors == (WRONG,)
