"""Stepping through cron expressions: CPU time per fire time, over expressions from dense to rare."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from benchmarks.measures._local import Order

EXPRESSIONS = ("* * * * *", "*/5 * * * *", "0 9 * * 1-5", "30 23 * * *", "0 0 1 * *", "15 2 29 2 *")
Step = Callable[[datetime], datetime]


def _asyncsched(expression: str, zone: str, start: datetime) -> Callable[[], object]:
    from asyncsched.triggers import Cron

    trigger, at = Cron(expression, timezone=zone), start

    def step() -> None:
        nonlocal at
        following = trigger.next_fire_time(at)
        assert following is not None
        at = following

    return step


def _cronsim(expression: str, zone: str, start: datetime) -> Callable[[], object]:
    from cronsim import CronSim

    return CronSim(expression, start.astimezone(ZoneInfo(zone))).__next__


def _croniter(expression: str, zone: str, start: datetime) -> Callable[[], object]:
    from croniter import croniter

    found = croniter(expression, start.astimezone(ZoneInfo(zone)))
    return lambda: found.get_next(datetime)


STEPPERS = {"asyncsched": _asyncsched, "cronsim": _cronsim, "croniter": _croniter}


def measure(order: Order) -> dict[str, float]:
    params = order["params"]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    spent = steps = 0.0
    for expression in EXPRESSIONS:
        step = STEPPERS[order["contestant"]](expression, params["zone"], start)
        count = params["steps"] if "29" not in expression else 5  # leap days: any more lie beyond what cronsim looks at
        began_at = time.process_time()
        for _ in range(count):
            step()
        spent += time.process_time() - began_at
        steps += count
    return {"step_us": spent / steps * 1e6}
