"""Owns what schedulers did, by the true time of a test, and the assertions on that. Steers nothing.

What is wrong is found by plain functions over records; a failure lists each tick, node and time that breaks the rule.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from asyncsched import events
from asyncsched._grants import ClaimKind
from asyncsched._instants import require_aware
from asyncsched.exceptions import ConfigurationError
from asyncsched.testing._lengths import Length, length

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from asyncsched._scheduler import Scheduler
    from asyncsched.protocols import Trigger
    from asyncsched.testing._dial import Dial

CRASHED = "crashed"
"""Outcome of a run whose node vanished."""
ENDED_BY_OTHERS = {CRASHED, "cancelled", "lock_lost"}
"""Outcomes of runs that did not end by themselves: their ticks may be run again."""
MOST_LINES = 20
"""Lines of a failure's list that are shown."""
RECORDED = (events.JobAdded, events.RunStarted, events.RunEnded, events.TickSkipped, events.TicksMissed)
STARTS_EARLY = 0.005
"""Seconds by which a run may start before its time: what a store tolerates."""


Skip = tuple[str, datetime, str, str]
"""Job, fire time, node and reason (a skip reason, or ``missed``) of a tick that did not become a run on a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """One start of a handler. Instants are aware, in UTC, and by the test's clock, whatever the node's clock showed."""

    job: str
    fire_time: datetime
    """The tick; of an immediate or triggered run: when it was asked for, by its node's clock."""
    kind: str
    """``tick``, ``start`` or ``trigger``."""
    node: str
    attempt: int
    fence: int
    started_at: datetime
    ended_at: datetime | None = None
    """``None``: it has not ended."""
    outcome: str | None = None
    """An outcome, or ``crashed``: its node vanished."""

    def __str__(self) -> str:
        """Tell tick, node and times in a line."""
        what = f"tick {_shown(self.fire_time)}" if self.kind == ClaimKind.TICK else f"{self.kind} run"
        end = "still in progress" if self.ended_at is None else f"until {_shown(self.ended_at)}, {self.outcome}"
        return f"{what} on {self.node}: attempt {self.attempt}, from {_shown(self.started_at)} {end}"


class History:
    """What the schedulers that it watches do.

    Attributes:
        runs: every start of a handler, in order.
    """

    def __init__(self, clock: Dial) -> None:
        self.runs: list[RecordedRun] = []
        self._skips: list[tuple[datetime, Skip]] = []
        self._clock = clock
        self._schedulers: list[Scheduler] = []
        self._since: dict[str, datetime] = {}
        self._going: dict[str, int] = {}

    def watch(self, scheduler: Scheduler) -> Callable[[], None]:
        """Record what a scheduler does from now on; return what ends that."""
        self._schedulers.append(scheduler)
        return scheduler.subscribe(self._record, *RECORDED)

    def crash(self, node: str) -> None:
        """Record that a node has vanished, and all its runs with it."""
        for run_id, index in tuple(self._going.items()):
            if self.runs[index].node == node:
                self._end(run_id, CRASHED)

    def _record(self, event: Any) -> None:
        match event:
            case events.RunStarted():
                self._going[event.run_id] = len(self.runs)
                self.runs.append(
                    RecordedRun(
                        job=event.job,
                        fire_time=event.fire_time,
                        kind=str(event.kind),
                        node=event.node,
                        attempt=event.attempt,
                        fence=event.fence,
                        started_at=self._clock.now(),
                    )
                )
            case events.RunEnded():
                self._end(event.run_id, str(event.outcome))
            case events.TickSkipped():
                self._skip(event.job, event.fire_time, event.node, str(event.reason))
            case events.TicksMissed():
                for tick in {event.first, event.last}:
                    self._skip(event.job, tick, event.node, "missed")
            case events.JobAdded():
                self._since.setdefault(event.job, self._clock.now())

    def _skip(self, *skip: *Skip) -> None:
        self._skips.append((self._clock.now(), skip))

    @property
    def skips(self) -> list[Skip]:
        """What did not become a run on a node, ordered by when that was known, and then by itself: a scheduler that
        stops gives up what it still waits for in no certain order."""
        return [skip for _, skip in sorted(self._skips)]

    def _end(self, run_id: str, outcome: str) -> None:
        index = self._going.pop(run_id, None)
        if index is not None:  # else its handler was never started
            self.runs[index] = _ended(self.runs[index], self._clock.now(), outcome)

    def of(self, job: str) -> list[RecordedRun]:
        """Return the runs of one job, in order of their starts.

        Raises:
            UnknownJobError: no watched scheduler has, or had, this job.
        """
        found = [run for run in self.runs if run.job == job]
        if not found and job not in self._since:
            self._schedulers[-1].get_job(job)
        return found

    # Assertions

    def ran_once_per_tick(self, job: str, *, since: datetime | None = None, until: datetime | None = None) -> None:
        """Assert that each tick of the job was run once in the whole cluster.

        A tick that is run again, because the run before was interrupted (``rerun_on_crash``), counts as run once.

        Args:
            job: its name.
            since: ticks after this instant count; ``None``: after the job was first scheduled.
            until: ticks up to this instant count, itself included; ``None``: up to now.

        Raises:
            AssertionError: a tick was run by nobody, or twice; or there was no tick at all.
            ConfigurationError: the job has no schedule, or an instant is naive.
        """
        runs = self.of(job)
        after = self._since[job] if since is None else require_aware(since, what="ran_once_per_tick() since")
        last = self._clock.now() if until is None else require_aware(until, what="ran_once_per_tick() until")
        ticks = tuple(_ticks(self._trigger(job), after, last))
        if not ticks:
            raise AssertionError(f"job {job!r} has no tick after {_shown(after)} up to {_shown(last)}")
        by_tick = defaultdict(list)
        for run in runs:
            if run.kind == ClaimKind.TICK:
                by_tick[run.fire_time].append(run)
        wrong = [tick for tick in ticks if not _is_once(by_tick[tick])]
        lines = [line for tick in wrong for line in self._told(job, tick, by_tick[tick])]
        _expect_none(f"job {job!r}: {len(wrong)} of {len(ticks)} ticks did not run once", lines)

    def never_overlapped(self, job: str) -> None:
        """Assert that no two runs of the job were in progress at once, on whatever nodes.

        Raises:
            AssertionError: two were; or there was no run at all.
        """
        runs = self._runs_expected(job)
        pairs = list(_overlaps(runs))
        lines = [line for earlier, later in pairs for line in (str(earlier), f"  and {later}")]
        _expect_none(f"job {job!r}: {len(pairs)} pairs of runs overlapped", lines)

    def ran_at(self, job: str, instants: Iterable[datetime], *, within: Length = 1.0) -> None:
        """Assert that the job ran for exactly these fire times, once each, and not late.

        Args:
            job: its name.
            instants: aware; in any order and any time zone.
            within: how long after its fire time each run must have been started at the latest.

        Raises:
            AssertionError: there was no run for an instant, one too many, or one that started too late or too early.
            ConfigurationError: an instant is naive.
        """
        latest = length(within, what="ran_at() within")
        wanted = Counter(require_aware(instant, what="ran_at()").astimezone(UTC) for instant in instants)
        runs = self.of(job)
        found = Counter(run.fire_time for run in runs)
        lines = []
        for instant in sorted((wanted - found).elements()):
            lines += self._told(job, instant, [])
        for run in runs:
            late = (run.started_at - run.fire_time).total_seconds()
            if found[run.fire_time] > wanted[run.fire_time]:
                lines.append(f"{run}: was not expected{' so often' if wanted[run.fire_time] else ''}")
            elif not -STARTS_EARLY <= late <= latest:
                lines.append(f"{run}: started {late:g} s after its time, which is not within {latest:g} s")
        _expect_none(f"job {job!r} did not run at these {wanted.total()} instants and no others", lines)

    def _runs_expected(self, job: str) -> list[RecordedRun]:
        runs = self.of(job)
        if not runs:
            raise AssertionError(f"job {job!r} has not run at all")
        return runs

    def _trigger(self, job: str) -> Trigger:
        trigger = self._schedulers[-1].get_job(job).trigger
        if trigger is None:
            raise ConfigurationError(f"ran_once_per_tick(): job {job!r} has no schedule, so it has no ticks")
        return trigger

    def _told(self, job: str, tick: datetime, runs: list[RecordedRun]) -> list[str]:
        """Return the lines that tell what became of a tick."""
        if runs:
            return [f"tick {_shown(tick)} ran {len(runs)} times", *(f"  {run}" for run in runs)]
        why = [f"{node}: {reason}" for name, at, node, reason in self.skips if name == job and at == tick]
        return [f"tick {_shown(tick)} did not run ({', '.join(why) or 'it came due on no node'})"]


def _ended(run: RecordedRun, at: datetime, outcome: str) -> RecordedRun:
    """Return a run with its end. (``dataclasses.replace`` takes three times as long, and each run ends.)"""
    return RecordedRun(
        job=run.job,
        fire_time=run.fire_time,
        kind=run.kind,
        node=run.node,
        attempt=run.attempt,
        fence=run.fence,
        started_at=run.started_at,
        ended_at=at,
        outcome=outcome,
    )


def _ticks(trigger: Trigger, after: datetime, last: datetime) -> Iterator[datetime]:
    tick = trigger.next_fire_time(after)
    while tick is not None and tick <= last:
        yield tick.astimezone(UTC)
        tick = trigger.next_fire_time(tick)


def _is_once(runs: list[RecordedRun]) -> bool:
    """Return whether there is one run, and others only as reruns of an interrupted one."""
    return bool(runs) and all(
        later.attempt > earlier.attempt and earlier.outcome in ENDED_BY_OTHERS for earlier, later in pairwise(runs)
    )


def _overlaps(runs: list[RecordedRun]) -> Iterator[tuple[RecordedRun, RecordedRun]]:
    going: list[RecordedRun] = []
    for run in runs:
        going = [earlier for earlier in going if earlier.ended_at is None or earlier.ended_at > run.started_at]
        yield from ((earlier, run) for earlier in going)
        going.append(run)


def _shown(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(" ") + "Z"


def _expect_none(what: str, lines: list[str]) -> None:
    if lines:
        more = len(lines) - MOST_LINES
        shown = [*lines[:MOST_LINES], f"and {more} lines more"] if more > 0 else lines
        raise AssertionError("\n  ".join([what, *shown]))
