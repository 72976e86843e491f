"""Periodic jobs that live inside an asyncio service: each tick of a job runs once in the cluster, no run overlaps
another.

from asyncsched import Scheduler

scheduler = Scheduler("redis://localhost:6379/0")   # Scheduler() needs no server at all

@scheduler.job("daily_cleanup").daily_at("23:30:00").on_one_server().without_overlapping()
async def cleanup() -> None: ...

await scheduler.run()                               # or: FastAPI(lifespan=scheduler.lifespan)
"""

import importlib
import typing

from asyncsched._base_handler import BaseHandler
from asyncsched._job import Job
from asyncsched._kinds import DEFAULT_LOCK_TTL
from asyncsched._logs import RunFilter
from asyncsched._run import Outcome, Run, RunContext, SkipReason, current_run
from asyncsched._scheduler import Scheduler
from asyncsched.exceptions import (
    ConfigurationError,
    DuplicateJobError,
    SchedulerError,
    StoreUnavailableError,
    UnknownJobError,
)
from asyncsched.protocols import Clock, Handler, Store, Trigger

if typing.TYPE_CHECKING:
    from asyncsched._health import Health
    from asyncsched._snapshot import Snapshot
    from asyncsched.stores.memory import MemoryStore

__version__ = "0.1.0"

__all__ = [
    "DEFAULT_LOCK_TTL",
    "BaseHandler",
    "Clock",
    "ConfigurationError",
    "DuplicateJobError",
    "Handler",
    "Health",
    "Job",
    "MemoryStore",
    "Outcome",
    "Run",
    "RunContext",
    "RunFilter",
    "Scheduler",
    "SchedulerError",
    "SkipReason",
    "Snapshot",
    "Store",
    "StoreUnavailableError",
    "Trigger",
    "UnknownJobError",
    "current_run",
]


_LATER = {
    "Health": "asyncsched._health",
    "MemoryStore": "asyncsched.stores.memory",
    "Snapshot": "asyncsched._snapshot",
}
"""Names whose modules are loaded when they are first asked for: a service does not wait at its start for what it may
never use."""


def __getattr__(name: str) -> object:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
