"""``asyncio.run(scheduler.run())`` under signals: a quiet end with code 0, and no lock left behind."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from _processes import Program
from redis import Redis

pytestmark = [pytest.mark.processes, pytest.mark.redis]

PROGRAM = Path(__file__).parent / "_main_program.py"
both_signals = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def locks_of(url: str) -> list[str]:
    with Redis.from_url(url, decode_responses=True) as client:
        keys = sorted(client.scan_iter(match="*jobLock*"))
    return [key for key in keys if not key.endswith((":tick", ":start"))]


def assert_quiet_end(program: Program, url: str, within: float) -> None:
    began_at = time.monotonic()
    assert program.wait(within + 10) == 0, program.told()
    assert time.monotonic() - began_at < within
    assert "Traceback" not in program.err
    assert "Exception" not in program.err
    assert locks_of(url) == []


@both_signals
def test_idle(redis_url: str, number: signal.Signals) -> None:
    with Program(PROGRAM, redis_url, 0) as program:
        program.wait_for("ended work succeeded")
        program.send(number)
        assert_quiet_end(program, redis_url, within=2)
        assert program.err == ""


@both_signals
def test_in_mid_run_it_drains(redis_url: str, number: signal.Signals) -> None:
    with Program(PROGRAM, redis_url, 1.5) as program:
        program.wait_for("begun")
        assert locks_of(redis_url) == ["schedule:jobLock:work:overlap"]
        program.send(number)
        assert_quiet_end(program, redis_url, within=4)
        assert "ended work succeeded" in program.out
        assert program.err == ""


def test_second_interrupt_does_not_wait(redis_url: str) -> None:
    with Program(PROGRAM, redis_url, 60) as program:
        program.wait_for("begun")
        program.send(signal.SIGINT)
        time.sleep(0.5)
        assert program.process.poll() is None, "the first one waits for the run"
        program.send(signal.SIGINT)
        assert_quiet_end(program, redis_url, within=2)
        assert "ended work cancelled" in program.out


def test_interrupt_before_anything_is_up(redis_url: str) -> None:
    """As soon as it says that it has started: no run has begun, the first contact may be under way."""
    with Program(PROGRAM, redis_url, 0) as program:
        program.wait_for("started")
        program.send(signal.SIGINT)
        assert_quiet_end(program, redis_url, within=3)


def test_redis_away_from_the_start() -> None:
    with Program(PROGRAM, "redis://127.0.0.1:1/0", 0) as program:
        program.wait_for("started")
        time.sleep(0.5)
        program.send(signal.SIGTERM)
        assert program.wait(10) == 0, program.told()
        assert "Traceback" not in program.err
        assert program.err.count("the store does not answer") == 1
