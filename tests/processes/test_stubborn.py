"""A stop is bounded, even with a handler that swallows its cancellation and one in a thread."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from _processes import Program
from redis import Redis

pytestmark = [pytest.mark.processes, pytest.mark.redis]

PROGRAM = Path(__file__).parent / "_stubborn_program.py"
LOCKS = ["schedule:jobLock:deaf:overlap", "schedule:jobLock:threaded:overlap"]
NAMED = "handlers that would not end: deaf, threaded"


def locks_of(url: str) -> list[str]:
    with Redis.from_url(url, decode_responses=True) as client:
        return sorted(client.scan_iter(match="*jobLock*"))


def test_stop_is_bounded_and_locks_last_as_long_as_the_work(redis_url: str) -> None:
    with Program(PROGRAM, redis_url, "wait") as program:
        (after,) = program.wait_for(r"stopped after ([\d.]+)")
        assert 5.0 < float(after) < 6.5  # shutdown_timeout, and 5 s for the cancelled
        assert locks_of(redis_url) == LOCKS, "the work goes on, so nobody else may start it"
        program.wait_for("both ended")
        assert program.wait(5) == 0, program.told()
        assert "unfinished deaf,threaded" in program.out
        assert NAMED in program.err
        assert "Traceback" not in program.err
        assert locks_of(redis_url) == []


def test_the_program_ends_with_its_last_handler(redis_url: str) -> None:
    with Program(PROGRAM, redis_url, "signal") as program:
        give_up_at = time.monotonic() + 10
        while locks_of(redis_url) != LOCKS:
            assert time.monotonic() < give_up_at, program.told()
            time.sleep(0.05)
        program.send(signal.SIGTERM)
        assert program.wait(12) == 0, program.told()  # 8 s of stubborn work
        assert NAMED in program.err
        assert "Traceback" not in program.err
        assert locks_of(redis_url) == []
