"""Handlers as objects: exec does the work, error reports what went wrong meanwhile, done says when it is complete.

python examples/handler_protocol.py --seconds 4

A run is in progress, and holds its locks, until ``exec`` has returned **and** ``done`` has resolved: so work that
goes on in the background is still guarded.
"""

import argparse
import asyncio

from asyncsched import BaseHandler, RunContext, Scheduler
from asyncsched.events import RunEnded


class ImportFeeds(BaseHandler):
    """With ``BaseHandler`` only ``exec`` is yours. One instance may serve many runs: its state belongs to the run."""

    def __init__(self) -> None:
        self._background: set[asyncio.Task[None]] = set()

    async def exec(self, ctx: RunContext) -> None:
        self.hold()  # the run shall go on after exec has returned, until finish()
        task = asyncio.create_task(self._fetch(ctx))
        self._background.add(task)  # the event loop alone would not keep it alive
        task.add_done_callback(self._background.discard)
        print(f"{ctx.job}: exec returned, the work goes on", flush=True)

    async def _fetch(self, ctx: RunContext) -> None:
        try:
            for feed in ("news", "weather", "sport"):
                await asyncio.sleep(0.2)
                if feed == "weather":
                    # One feed that fails does not stop the others; the run will end as failed all the same.
                    self.report(ConnectionError(f"{feed} did not answer"))
                else:
                    print(f"{ctx.job}: fetched {feed}", flush=True)
        finally:
            self.finish()  # whatever happens: without it the run would never end


class CountDown:
    """The protocol by hand, without a base class. Given as a class, it is made anew for every run."""

    def __init__(self) -> None:
        self._errors: asyncio.Queue[Exception] = asyncio.Queue()
        self._complete = asyncio.Event()

    async def exec(self, ctx: RunContext) -> None:
        for left in (2, 1):
            print(f"{ctx.job}: {left}", flush=True)
            await asyncio.sleep(0.1)
        self._complete.set()

    async def error(self) -> Exception:
        return await self._errors.get()

    async def done(self) -> None:
        await self._complete.wait()


def show(event: RunEnded) -> None:
    errors = ", ".join(str(error) for error in event.errors) or "none"
    print(f"{event.job}: {event.outcome} after {event.duration:.1f} s, errors: {errors}", flush=True)


async def main(seconds: float) -> None:
    scheduler = Scheduler()
    scheduler.subscribe(show, RunEnded)
    scheduler.add_job("import_feeds", ImportFeeds()).per_seconds(2).without_overlapping()
    scheduler.add_job("count_down", CountDown).per_seconds(2)
    async with scheduler:  # in the background; leaving drains
        await asyncio.sleep(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    asyncio.run(main(parser.parse_args().seconds))
