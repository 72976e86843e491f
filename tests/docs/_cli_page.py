"""Owns how the page about the command line is made: each ``$ asyncsched …`` in it is run against the canned cluster.

Run as a program, it writes the outputs into the page.
"""

from __future__ import annotations

import re
import shlex
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from _canned_cluster import NOW, CannedConsole, ending, identity
from _command_line import Line

from asyncsched import Scheduler
from asyncsched.testing import FakeClock

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
BLOCK = re.compile(r"^```console\n(?P<text>\$ .*?)^```$", re.MULTILINE | re.DOTALL)
JUST_RUN = ending("daily_cleanup", NOW, run_id=identity("2"), kind="trigger", duration=6.8)


def shop() -> Scheduler:
    """Return the scheduler of the page's service."""
    scheduler = Scheduler(clock=FakeClock(NOW))
    scheduler.job("invoice_mails").cron("0 6 * * mon-sat").exclude(date(2026, 12, 1))
    return scheduler


def outputs(block: str) -> str:
    """Return a block with the outputs of its commands as they are now."""
    line = Line(console=CannedConsole(), app=shop())
    line.console.after_trigger = (JUST_RUN,)
    parts, code = [], 0
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        words = shlex.split(command)
        if words == ["echo", "$?"]:
            said = f"{code}\n"
        else:
            assert words[0] == "asyncsched", command
            result = line.give(*words[1:])
            said, code = result.output, result.exit_code
        parts.append(f"$ {command}\n{said}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def written(page: str) -> str:
    """Return the page with all outputs as they are now."""
    return BLOCK.sub(lambda match: f"```console\n{outputs(match['text'])}```", page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
