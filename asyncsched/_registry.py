"""Owns which jobs a scheduler has, and hands them to its engine: all at a start, later ones as soon as they are
complete."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncsched.exceptions import ConfigurationError, DuplicateJobError, SchedulerError, UnknownJobError

if TYPE_CHECKING:
    from asyncsched._engine import Engine
    from asyncsched._job import Job
    from asyncsched._job_settings import JobSettings
    from asyncsched._logs import SafeLogger


class Registry:
    """The jobs of one scheduler by name.

    A job that is added while the scheduler runs is described by calls that follow its registration, so it is handed
    over at the event loop's next turn; if something is still missing then, that is said, and it follows when it is
    given.
    """

    def __init__(self, defaults: JobSettings, environment: str | None, logger: SafeLogger) -> None:
        self._defaults = defaults
        self._environment = environment
        self._logger = logger
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._newcomers: list[Job] = []
        self.jobs: dict[str, Job] = {}

    def register(self, job: Job) -> Job:
        """Add a job whose name is free."""
        if job.name in self.jobs:
            raise DuplicateJobError(f"job {job.name!r} exists already; a name can be used once")
        if self._engine is not None:
            self._adopt_soon()
            self._newcomers.append(job)
            job.on_complete = self._adopt_soon
        self.jobs[job.name] = job
        return job

    def get(self, name: str) -> Job:
        """Return the job of this name."""
        try:
            return self.jobs[name]
        except (KeyError, TypeError):  # TypeError: not hashable, so no name at all
            raise UnknownJobError(name, self.jobs) from None

    def remove(self, name: str) -> None:
        """Forget the job of this name."""
        job = self.get(name)
        job.on_complete = None
        del self.jobs[name]
        if job in self._newcomers:
            self._newcomers.remove(job)
        if self._engine is not None:
            self._engine.retire(name)

    def check_complete(self) -> None:
        """Raise ``ConfigurationError`` if a job cannot be scheduled."""
        for job in self.jobs.values():
            if (missing := self.missing(job)) is not None:
                raise ConfigurationError(f"job {job.name!r}: {missing}")

    def missing(self, job: Job) -> str | None:
        """Return what the job still needs before it can be scheduled here, or ``None``."""
        if self._environment is None and job.for_environments is not None:
            names = ", ".join(map(repr, job.for_environments))
            return f"environments({names}) needs a scheduler that has one: Scheduler(environment=…)"
        return job.missing(self._defaults.timezone)

    def is_for_here(self, job: Job) -> bool:
        """Whether the job has ticks in the scheduler's environment."""
        return job.for_environments is None or self._environment in job.for_environments

    def _adopt(self, engine: Engine, job: Job) -> None:
        if self.is_for_here(job):
            engine.adopt(job, self._defaults)
        else:
            self._logger.info("job=%s is not scheduled: it is not for the environment %s", job.name, self._environment)

    def open(self, engine: Engine) -> None:
        """Hand all jobs to an engine that starts, and later ones as they come."""
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        for job in tuple(self.jobs.values()):
            if job.name in self.jobs:  # a subscriber that is told of a job may remove another
                self._adopt(engine, job)

    def close(self) -> None:
        """Hand over nothing more: the engine has ended."""
        self._engine = None
        for job in self._newcomers:
            job.on_complete = None
        self._newcomers.clear()

    def adopt_newcomers(self) -> None:
        """Hand over the new jobs that are complete."""
        if self._engine is None or self._engine.is_stopping:
            return  # the next start takes them
        waiting, self._newcomers = self._newcomers, []
        for job in waiting:
            if (missing := self.missing(job)) is None:
                job.on_complete = None
                self._adopt(self._engine, job)
            else:
                self._newcomers.append(job)
                self._logger.error("job=%s was added to a running scheduler but does not run: %s", job.name, missing)

    def _adopt_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or loop is not self._loop:
            raise SchedulerError("jobs of a running scheduler must be added on its event loop")
        loop.call_soon(self.adopt_newcomers)
