"""Owns programs that tests start: bounded waits for what they print, and their certain end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]


class Program:
    """A Python program in a session of its own, so that it and its children can be ended together.

    Args:
        arguments: what follows the interpreter, such as a script or ``"-m", "uvicorn"``.
        environment: variables over the test's own.
        steered: whether it reads what ``tell`` writes; its input ends with the test, however that ends.
    """

    def __init__(self, *arguments: object, environment: Mapping[str, str] | None = None, steered: bool = False) -> None:
        # Files, because a pipe that nobody reads would stop the program once it is full.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at exit
        inherited = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE if steered else subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            cwd=ROOT,
            env={**inherited, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._out.close()
        self._err.close()

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return _read(self._out.fileno())

    @property
    def err(self) -> str:
        """What it has written to standard error so far."""
        return _read(self._err.fileno())

    def wait_for(self, pattern: str, *, times: int = 1, within: float = 20.0) -> Sequence[str]:
        """Wait until ``pattern`` has appeared ``times`` times in what it prints, and return the matches."""
        give_up_at = time.monotonic() + within
        while True:
            ended = self.process.poll() is not None
            found = re.findall(pattern, self.out)
            if len(found) >= times:
                return found
            assert not ended, f"it ended with {self.process.returncode} before it said {pattern!r}: {self.told()}"
            assert time.monotonic() < give_up_at, f"no {pattern!r} within {within:g} s: {self.told()}"
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program alone, not to its children."""
        self.process.send_signal(number)

    def tell(self, line: str) -> None:
        """Write one line to a steered program. One that has ended does not hear it."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(f"{line}\n".encode())
            self.process.stdin.flush()

    def wait(self, within: float = 20.0) -> int:
        """Wait for its end and return its exit code."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within:g} s: {self.told()}") from None

    def told(self) -> str:
        """Return all that it has said, for messages."""
        return f"\n--- out\n{self.out}\n--- err\n{self.err}"


def _read(fileno: int) -> str:
    size = os.fstat(fileno).st_size
    return os.pread(fileno, size, 0).decode(errors="replace")


def is_alive(pid: int) -> bool:
    """Tell whether a process runs: one that has ended and was not yet waited for does not."""
    try:
        return _state(Path(f"/proc/{pid}")) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_stopped(pid: int) -> bool:
    """Tell whether all threads of a process stand still: a signal to stop reaches each of them in its own time."""
    return all(_state(thread) in "TtZX" for thread in Path(f"/proc/{pid}/task").iterdir())


def _state(process: Path) -> str:
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


def wait_until_gone(pids: Sequence[int], within: float = 15.0) -> None:
    """Wait until none of the processes runs."""
    give_up_at = time.monotonic() + within
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < give_up_at, f"still there: {left}"
        time.sleep(0.05)
