"""Owns how a process of the tests writes down what it does: one file of JSON lines, one write for each line.

A kill can cut off the last line of a file, but never mix two lines. Instants are those of the machine's real clock,
which all processes share, whatever clock the scheduler in them was given.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncsched import RunContext


class RunLog:
    """The log of one process.

    Args:
        folder: where the logs of all processes are.
        name: of the file, unique among them.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = os.open(folder / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, line: str, /, **fields: Any) -> None:
        """Write one line of the kind ``line``."""
        os.write(self._file, (json.dumps({"line": line, **fields}, separators=(",", ":")) + "\n").encode())

    def started(self, ctx: RunContext) -> None:
        """Write that a handler was started."""
        self.write(
            "start",
            run=ctx.run_id,
            job=ctx.job,
            tick_us=ctx.fire_us,
            fence=ctx.fence,
            attempt=ctx.attempt,
            node=ctx.node,
            pid=os.getpid(),
            start=time.time(),
        )

    def ended(self, ctx: RunContext) -> None:
        """Write that it has ended."""
        self.write("end", run=ctx.run_id, end=time.time())
