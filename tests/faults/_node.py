"""One node of the fault harness: ``python _node.py --help``.

It runs the jobs of ``_jobs``, writes down every run and how each tick is booked, and obeys lines on its standard input:

    clock SECONDS    set the wall clock wrong by so much
    block SECONDS    let the next run of a job that must not overlap block the event loop

SIGTERM stops it, and so does the end of its input: no node outlives its driver.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from pathlib import Path

from _fenced_table import FencedTable
from _jobs import JobSpec, job_table
from _run_log import RunLog
from _steered_clock import SteeredClock

from asyncsched import RunContext, Scheduler, events
from asyncsched._grants import ClaimKind
from asyncsched._instants import to_us

HEARTBEAT = 0.1
"""Seconds between two looks at whether the event loop is late."""
STALL = 0.3
"""Seconds of lateness that are written down."""


class Work:
    """What all jobs do: last for a while, and write, fenced, at the begin and at the end, even when cancelled."""

    def __init__(self, log: RunLog, table: FencedTable, jobs: list[JobSpec]) -> None:
        self._log = log
        self._table = table
        self._jobs = {spec.name: spec for spec in jobs}
        self.block_for = 0.0

    async def run(self, ctx: RunContext) -> None:
        spec = self._jobs[ctx.job]
        self._log.started(ctx)
        try:
            self._write(ctx)
            if self.block_for and spec.without_overlapping:
                self._block(ctx)
            await asyncio.sleep(random.uniform(*spec.lasts))
        finally:
            self._write(ctx)
            self._log.ended(ctx)

    def _write(self, ctx: RunContext) -> None:
        if ctx.fence and not self._table.write(ctx.job, ctx.fence, ctx.fire_us, ctx.attempt):
            self._log.write("refused", node=ctx.node, job=ctx.job, run=ctx.run_id, at=time.time())

    def _block(self, ctx: RunContext) -> None:
        seconds, self.block_for = self.block_for, 0.0
        since = time.time()
        self._tell_block(ctx, since, since + seconds)  # a node that is killed meanwhile tells no more
        time.sleep(seconds)
        self._tell_block(ctx, since, time.time())

    def _tell_block(self, ctx: RunContext, since: float, until: float) -> None:
        self._log.write("block", node=ctx.node, job=ctx.job, run=ctx.run_id, since=since, until=until)


class Bookkeeper:
    """Writes down how the scheduler accounts for each tick."""

    def __init__(self, log: RunLog, scheduler: Scheduler) -> None:
        self._log = log
        scheduler.subscribe(self._started, events.SchedulerStarted)
        scheduler.subscribe(self._stopped, events.SchedulerStopped)
        scheduler.subscribe(self._run_ended, events.RunEnded)
        scheduler.subscribe(self._skipped, events.TickSkipped)
        scheduler.subscribe(self._missed, events.TicksMissed)
        scheduler.subscribe(self._late_grant, events.LateGrantReleased)

    def _started(self, event: events.SchedulerStarted) -> None:
        self._log.write("born", node=event.node, pid=os.getpid(), born=time.time())

    def _stopped(self, event: events.SchedulerStopped) -> None:
        self._log.write("stopped", node=event.node, at=time.time())

    def _run_ended(self, event: events.RunEnded) -> None:
        self._book(event, event.kind, event.outcome, run=event.run_id, attempt=event.attempt)

    def _skipped(self, event: events.TickSkipped) -> None:
        self._book(event, event.kind, event.reason)

    def _book(self, event: events.RunEnded | events.TickSkipped, kind: ClaimKind, word: str, **run: str | int) -> None:
        if kind is ClaimKind.TICK:
            tick_us = to_us(event.fire_time)
            self._log.write("booked", node=event.node, job=event.job, tick_us=tick_us, word=word, at=time.time(), **run)

    def _missed(self, event: events.TicksMissed) -> None:
        first_us, last_us = to_us(event.first), to_us(event.last)
        self._log.write(
            "missed",
            node=event.node,
            job=event.job,
            first_us=first_us,
            last_us=last_us,
            count=event.count,
            at=time.time(),
        )

    def _late_grant(self, event: events.LateGrantReleased) -> None:
        self._log.write("late_grant", node=event.node, job=event.job, tick_us=to_us(event.fire_time), at=time.time())


async def obey(clock: SteeredClock, work: Work, scheduler: Scheduler) -> None:
    """Carry out what the driver says, until it says nothing any more."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        word, seconds = line.decode().split()
        if word == "clock":
            clock.offset = float(seconds)
        else:
            work.block_for = float(seconds)
    await scheduler.stop()


async def listen_to_heart(log: RunLog, node: str) -> None:
    """Write down when the event loop stood still."""
    while True:
        due_at = time.monotonic() + HEARTBEAT
        await asyncio.sleep(HEARTBEAT)
        late_by = time.monotonic() - due_at
        if late_by > STALL:
            log.write("stall", node=node, seconds=late_by, at=time.time())


async def serve(options: argparse.Namespace) -> None:
    log = RunLog(options.log, options.name)
    clock = SteeredClock(options.clock)
    jobs = job_table(options.jobs)
    work = Work(log, FencedTable(options.table), jobs)
    scheduler = Scheduler(options.store, node=options.name, clock=clock, shutdown_timeout=5)
    for spec in jobs:
        spec.apply_to(scheduler.add_job(spec.name, work.run))
    Bookkeeper(log, scheduler)
    beside = [
        asyncio.ensure_future(obey(clock, work, scheduler)),
        asyncio.ensure_future(listen_to_heart(log, options.name)),
    ]
    await scheduler.run()
    for task in beside:
        task.cancel()
    await asyncio.wait(beside)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One node of the fault harness.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--store", required=True, metavar="URL")
    parser.add_argument("--log", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--table", required=True, type=Path, metavar="FILE")
    parser.add_argument("--jobs", required=True, type=int)
    parser.add_argument("--clock", default=0.0, type=float, metavar="SECONDS")
    asyncio.run(serve(parser.parse_args()))
