"""Owns the commands that only look. Each one asks a console once, and shows the answer."""

from __future__ import annotations

from typing import Annotated

import typer

from asyncsched.cli._commands import JobArgument, OptionalJob, adder
from asyncsched.cli._desk import Desk
from asyncsched.cli._exits import Exit
from asyncsched.cli._layout import Piece
from asyncsched.cli._picks import checked_outcomes, coming, has_errors, known_job, of_outcomes, summary
from asyncsched.cli._shapes import coming_shape, ending_shape, explanation_shape, job_shape, plain
from asyncsched.cli._stories import explanation_lines, finding_table, history_table
from asyncsched.cli._tables import banner, coming_table, job_table, lock_table, node_table, preview_table, run_table
from asyncsched.cli._times import read_instant

looking = typer.Typer()
command = adder(looking)
ALL_KEPT = 10_000
"""More endings than a cluster keeps: those of an outcome are picked among all."""


@command("list")
async def list_jobs(desk: Desk) -> None:
    """List the jobs, and what is wrong with them.

    Schedule, policies, next fire time, last outcome, number of nodes; who has paused one, and why; what differs.
    """
    async with desk.console() as console:
        state = await console.state()
    view = desk.view(state.taken_at)
    head = [*banner(state, view), Piece(summary(state), "dim")]
    desk.answer([job_shape(job) for job in state.jobs], [*head, job_table(state, view)])


@command("next")
async def next_times(
    desk: Desk, limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many jobs at most.")] = 20
) -> None:
    """List the coming fire time of each job, soonest first."""
    async with desk.console() as console:
        state = await console.state()
    view, found = desk.view(state.taken_at), coming(state, limit)
    desk.answer([coming_shape(one) for one in found], [*banner(state, view), coming_table(found, view)])


@command("preview")
async def preview(
    desk: Desk,
    job: JobArgument,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many fire times.")] = 10,
    after: Annotated[str | None, typer.Option(metavar="TIME", help="Instant, or +3d; by default now.")] = None,
) -> None:
    """List the fire times of a job to come, from its code.

    With what filters, changes of the clock and delays do to them. Needs --app; nothing is asked of the store.
    """
    scheduler = desk.scheduler("preview")
    begin = desk.now if after is None else read_instant(after, desk.now, desk.zone, option="--after")
    times = scheduler.preview(job, count, begin)
    desk.answer([plain(time) for time in times], [preview_table(times, desk.view())])


@command("history")
async def history(
    desk: Desk,
    job: OptionalJob = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Ended since: 2h, or an instant.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Ended until: 30m, or an instant.")] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="Only these: failed,missed, …")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
) -> None:
    """List how ticks and runs have ended, newest first."""
    outcomes, now = checked_outcomes(outcome or []), desk.now
    begin = None if since is None else read_instant(since, now, desk.zone, option="--since")
    end = None if until is None else read_instant(until, now, desk.zone, option="--until")
    async with desk.console() as console:
        most = ALL_KEPT if outcomes else limit
        endings = of_outcomes(await console.history(job, most=most, since=begin, until=end), outcomes, limit)
        if job is not None and not endings:
            known_job(await console.state(), job)
    none = "nothing that was asked for has ended" if since or until or outcomes else "nothing has ended yet"
    desk.answer([ending_shape(ending) for ending in endings], [history_table(endings, desk.view(now), none=none)])


@command("runs")
async def runs(desk: Desk) -> None:
    """List the runs in progress."""
    async with desk.console() as console:
        state = await console.state()
    view = desk.view(state.taken_at)
    desk.answer(plain(state.active), [*banner(state, view), run_table(state, view)])


@command("nodes")
async def nodes(desk: Desk) -> None:
    """List the nodes, and those that have vanished.

    Those that vanished more than an hour ago are forgotten.
    """
    async with desk.console() as console:
        state = await console.state()
    desk.answer(plain(state.nodes), [node_table(state, desk.view(state.taken_at))])


@command("locks")
async def locks(desk: Desk, job: OptionalJob = None) -> None:
    """List locks and tick records as the store has them."""
    async with desk.console() as console:
        found = await console.locks(job)
        if job is not None and not found:
            known_job(await console.state(), job)
    desk.answer(plain(found), [lock_table(found, desk.view())])


@command("why")
async def why(
    desk: Desk,
    job: JobArgument,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="The tick at, or before, this time.")] = None,
) -> None:
    """Say why a tick of a job did, or did not, run.

    Without --at: the newest one that was due.
    """
    instant = None if at is None else read_instant(at, desk.now, desk.zone, option="--at")
    async with desk.console() as console:
        explanation = await console.why(job, instant)
    view = desk.view()
    known = [history_table(explanation.endings, view, none="")] if explanation.endings else []
    desk.answer(explanation_shape(explanation), [*explanation_lines(explanation, view), *known])


@command("doctor")
async def doctor(desk: Desk) -> int:
    """Look for what is wrong or unsafe, and say what to do.

    The set-up of the store, and the nodes. Exit code 4: something is wrong.
    """
    async with desk.console() as console:
        findings = await console.check()
    desk.answer(plain(findings), [finding_table(findings)])
    return Exit.FINDINGS if has_errors(findings) else Exit.OK
