"""Owns ``BaseHandler``: the protocol of a handler, ready but for ``exec``."""

from __future__ import annotations

from asyncsched._handlers import Channel
from asyncsched._run import Run, RunContext, current_run
from asyncsched._tasks import on_loop
from asyncsched.exceptions import SchedulerError


class BaseHandler:
    """A handler of which a subclass writes only ``exec``.

    In ``exec``, and in whatever it starts, ``self.report(error)`` records an error while the run goes on. A handler
    whose work outlives ``exec`` calls ``self.hold()`` in it, and later ``self.finish()``. What it remembers belongs
    to the run, so one instance may serve runs that overlap. Outside of a run (in a callback of another library, say)
    pass the context: ``self.finish(ctx)``. All three may be called from worker threads.
    """

    async def exec(self, ctx: RunContext) -> None:
        """Do the work; the subclass's to write."""
        raise TypeError(f"{type(self).__name__} has no exec(ctx)")

    async def error(self) -> Exception:
        """Wait for the next error that was reported."""
        return await self._channel(None, "error").errors.get()

    async def done(self) -> None:
        """Wait for the end of ``exec`` and, if it called ``hold``, for ``finish``."""
        channel = self._channel(None, "done")
        await channel.exec_returned.wait()
        if channel.held:
            await channel.finished.wait()

    def report(self, error: Exception, ctx: RunContext | None = None) -> None:
        """Record ``error``; the run goes on and will end as ``failed``.

        Raises:
            SchedulerError: called outside of a run and without ``ctx``.
            TypeError: ``error`` is no exception.
        """
        if not isinstance(error, Exception):
            raise TypeError(f"report(): {error!r} is no exception")
        channel = self._channel(ctx, "report")
        on_loop(channel.loop, lambda: channel.errors.put_nowait(error))

    def hold(self, ctx: RunContext | None = None) -> None:
        """Let the run go on after ``exec`` has returned, until ``finish``.

        Raises:
            SchedulerError: called outside of a run and without ``ctx``, or after ``exec`` has returned.
        """
        channel = self._channel(ctx, "hold")
        if channel.exec_returned.is_set():
            raise SchedulerError("hold() came after exec() had returned: the run may have ended already")
        channel.held = True

    def finish(self, ctx: RunContext | None = None) -> None:
        """Say that the held work is complete. Without ``hold`` it changes nothing.

        Raises:
            SchedulerError: called outside of a run and without ``ctx``.
        """
        channel = self._channel(ctx, "finish")
        on_loop(channel.loop, channel.finished.set)

    def _channel(self, ctx: RunContext | None, method: str) -> Channel:
        run = current_run() if ctx is None else ctx
        channel = None if not isinstance(run, Run) or run.side is None else run.side.channel
        if not isinstance(channel, Channel):
            raise SchedulerError(
                f"{type(self).__name__}.{method}() belongs into a run: call it there, or pass the run's ctx"
            )
        return channel
