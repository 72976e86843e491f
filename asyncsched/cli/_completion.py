"""Owns the names of jobs that a shell completes: quickly, or none. Whatever goes wrong, it says nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import redirect_stdout

import typer

from asyncsched.cli._target import Setting, Target, target_of

PATIENCE = 1.0
"""Seconds that a store has to answer before nothing is completed."""


def job_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs of the target named so far whose names begin as what was typed."""
    setting = ctx.obj if isinstance(ctx.obj, Setting) else Setting()
    try:
        with redirect_stdout(sys.stderr):
            target = target_of(ctx.params.get("app"), ctx.params.get("url"), ctx.params.get("prefix"), os.environ)
            names = list(setting.load(target.app).jobs) if target.app else setting.run(_jobs(setting, target))
    except (Exception, SystemExit):
        return []
    return sorted(name for name in names if name.startswith(incomplete))


async def _jobs(setting: Setting, target: Target) -> list[str]:
    async with asyncio.timeout(PATIENCE), setting.console(target, None) as console:
        return [job.job for job in (await console.state()).jobs]
