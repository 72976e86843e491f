"""Owns the jobs of the fault harness: what the nodes register, and what the checker therefore expects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from asyncsched import Job
from asyncsched.triggers import EPOCH


@dataclass(frozen=True)
class JobSpec:
    """One job; durations in seconds."""

    name: str
    interval: float
    phase: float = 0.0
    """Distance of its ticks from the grid through the epoch."""
    on_one_server: bool = False
    without_overlapping: bool = False
    lock_ttl: float = 3.0
    lasts: tuple[float, float] = (0.001, 0.02)
    """Bounds of a run's length."""
    delay: float = 0.0
    """Longest random delay."""
    reruns: bool = False
    """Whether a tick is run again if its node dies in mid-run, where the library can do that."""

    @property
    def is_guarded(self) -> bool:
        return self.on_one_server or self.without_overlapping

    @property
    def anchor(self) -> datetime:
        return EPOCH + timedelta(seconds=self.phase)

    def ticks_us(self, since: float, until: float) -> Iterator[int]:
        """Yield the ticks between two instants, both included."""
        step, phase = round(self.interval * 1e6), round(self.phase * 1e6)
        first = -((phase - round(since * 1e6)) // step) * step + phase
        yield from range(first, round(until * 1e6) + 1, step)

    def apply_to(self, job: Job) -> None:
        """Give a job of this name its schedule and policies."""
        job.every(self.interval, anchor=self.anchor)
        if self.on_one_server:
            job.on_one_server()
        if self.without_overlapping:
            job.without_overlapping()
        if self.is_guarded:
            job.lock_ttl(self.lock_ttl)
        if self.delay:
            job.random_delay(0, self.delay)
        if self.reruns and hasattr(Job, "rerun_on_crash"):
            job.rerun_on_crash(max_attempts=2)


# Mixed so that ten of them ask for 24 ticks a second, most of which run alone and shortly, some beside the next tick's
# run, and some for longer than their lease, which must then be renewed.
GUARDED = (
    JobSpec("quick", 0.25, on_one_server=True),
    JobSpec("short", 0.25, on_one_server=True, lasts=(0.001, 0.1)),
    JobSpec("single", 0.5, on_one_server=True, without_overlapping=True, lock_ttl=2.0, lasts=(0.001, 0.3)),
    JobSpec("steady", 0.5, on_one_server=True, lasts=(0.005, 0.3)),
    JobSpec("long", 2.0, on_one_server=True, without_overlapping=True, lock_ttl=2.0, lasts=(0.5, 3.0)),
    JobSpec("brief", 0.25, on_one_server=True, lock_ttl=2.0),
    JobSpec("joined", 1.0, on_one_server=True, lasts=(0.5, 1.5)),
    JobSpec("middle", 1.0, on_one_server=True, without_overlapping=True, lasts=(0.05, 1.5)),
    JobSpec("delayed", 0.5, on_one_server=True, lasts=(0.001, 0.05), delay=0.2),
    JobSpec("every_node", 0.5, without_overlapping=True, lasts=(0.05, 0.4)),
    JobSpec("again", 1.0, on_one_server=True, without_overlapping=True, lock_ttl=2.0, lasts=(0.1, 0.8), reruns=True),
)
PLAIN = (JobSpec("plain", 1.0), JobSpec("plain_quick", 0.5, phase=0.13))


def job_table(guarded: int) -> list[JobSpec]:
    """Return ``guarded`` jobs, of which every other one is off the common grid, and those that nothing guards."""
    jobs = []
    for index in range(guarded):
        spec = GUARDED[index % len(GUARDED)]
        phase = (index * 37 % 23) * 0.01 if index % 2 else 0.0
        jobs.append(replace(spec, name=f"{spec.name}-{index}", phase=phase))
    return [*jobs, *PLAIN]
