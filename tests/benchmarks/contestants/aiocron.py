"""aiocron: one ``crontab`` for each job, in UTC; its expressions have whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from aiocron import crontab

from benchmarks.contestants import Handler, UnsupportedError


class Contest:
    def __init__(self) -> None:
        self._jobs: list[object] = []

    def add(self, handler: Handler, first_at: float, interval: float) -> None:
        at = datetime.fromtimestamp(first_at, UTC)
        spec = {
            1.0: "* * * * * *",
            3600.0: f"{at.second} {at.minute} * * * *",
            365 * 86_400.0: "0 0 1 1 *",
        }.get(interval)
        if spec is None or first_at % 1:
            raise UnsupportedError("cron expressions have whole seconds and no free intervals")
        self._jobs.append(crontab(spec, func=handler, tz=UTC))

    async def start(self) -> None: ...
