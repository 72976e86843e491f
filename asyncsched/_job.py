"""Owns ``Job``: a name, a schedule, a handler and policies, put together fluently. Knows nothing of running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from asyncsched._handlers import Invoke, invoker
from asyncsched._job_settings import (
    CANCEL_RUNNING,
    CAUGHT_UP,
    LEAST_LOCK_TTL,
    MOST_RUNS,
    OVERLAP_POLICIES,
    QUEUE_ONE,
    SKIP,
    JobSettings,
    checked_name,
)
from asyncsched._job_ticks import JobTicks
from asyncsched._kinds import MOST_SLOTS
from asyncsched._lazy import LazyModule
from asyncsched.protocols import Trigger
from asyncsched.triggers._zones import zone

if TYPE_CHECKING:
    from datetime import tzinfo
    from random import Random

    from asyncsched import _job_rules, _seeds
    from asyncsched._durations import Duration
    from asyncsched._job_plan import Plan
else:
    _job_rules, _seeds = LazyModule("asyncsched._job_rules"), LazyModule("asyncsched._seeds")

F = TypeVar("F")

_UNSET = object()


class Job(JobTicks):
    """One job of a scheduler. Every method returns the job itself, so that calls chain.

    All methods check their arguments at once and raise ``ConfigurationError`` with the job, the value and the rule:
    for a bad value, a second schedule, a policy given twice with different values, and any change after the job was
    scheduled (which is when the scheduler starts, or, in a running one, when the code that adds the job gives the
    event loop its next turn).
    """

    __slots__ = (
        "_catch_up",
        "_concurrency",
        "_delay",
        "_grace",
        "_handler",
        "_in_maintenance",
        "_invoke",
        "_lock_ttl",
        "_max_attempts",
        "_one_server",
        "_overlap",
        "_run_limit",
        "_unavailable",
    )

    def __init__(self, name: str, handler: object = _UNSET) -> None:
        self._name = checked_name(name, what="job name")
        self._handler: object = None
        self._invoke: Invoke | None = None
        self._trigger: Trigger | None = None
        self._plan: Plan | None = None
        self._immediate = self._one_server = self._frozen = False
        self._overlap: str | None = None
        self._concurrency: int | None = None
        self._in_maintenance = False
        self._delay: tuple[float, float, str | None] | None = None
        self._timezone: tzinfo | None = None
        self._lock_ttl: float | None = None
        self._grace: object = _UNSET
        self._max_attempts: int | None = None
        self._run_limit: int | None = None
        self._catch_up: tuple[float, int] | None = None
        self._unavailable: str | None = None
        self._of_run = self._of_tick = None
        self.on_complete = None
        if handler is not _UNSET:
            self._set_handler(handler)

    def __call__(self, handler: F) -> F:
        """Give the job its handler and return that unchanged: the job as a decorator."""
        if self._invoke is not None:
            raise self._refusal("handler", f"it already has the handler {self._handler!r}")
        self._check_changeable("handler")
        self._set_handler(handler)
        return handler

    # Policies

    def on_one_server(self) -> Job:
        """Run each tick on exactly one node of the cluster."""
        self._check_changeable("on_one_server()")
        self._one_server = True
        return self

    def without_overlapping(self, policy: str = "skip") -> Job:
        """Never have two runs of the job in progress, neither in this process nor in the cluster.

        Args:
            policy: what becomes of a tick that comes due while one is. ``"skip"``: it is skipped. ``"queue_one"``: the
                newest one waits, at most its ``misfire_grace``, and runs when that run has ended. ``"cancel_running"``:
                the same, and that run is cancelled. Needs ``on_one_server()``.
        """
        call = f"without_overlapping({'' if policy == SKIP else repr(policy)})"
        if policy not in OVERLAP_POLICIES:
            raise self._refusal(call, f"the rule is {' or '.join(map(repr, OVERLAP_POLICIES))}")
        return self._policy("_overlap", policy, call)

    def max_concurrent(self, runs: int) -> Job:
        """Never have more than ``runs`` runs of the job (1 to 100) in progress at once, neither in this process nor in
        the cluster. What comes due meanwhile is skipped. ``without_overlapping()`` is the same for one run; the two
        exclude each other."""
        call = f"max_concurrent({runs!r})"
        if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MOST_SLOTS:
            raise self._refusal(
                call, f"the rule is a whole number from 1 to {MOST_SLOTS}: each claim reads the locks of that many runs"
            )
        return self._policy("_concurrency", runs, call)

    def random_delay(self, min: Duration, max: Duration, *, seed: str | None = None) -> Job:  # noqa: A002
        """Wait before each run, after its tick is claimed: uniformly from ``min`` to ``max`` seconds, drawn per run.

        With ``seed="tick"`` the wait follows from the job's name and the tick: all nodes, and previews, have the same.
        """
        call = f"random_delay({min!r}, {max!r}{'' if seed is None else f', seed={seed!r}'})"
        low, high = (self._seconds(value, call) for value in (min, max))
        if low > high:
            raise self._refusal(call, "the rule is 0 <= min <= max")
        if seed not in (None, "tick"):
            raise self._refusal(call, "the rule is seed='tick', or none")
        return self._policy("_delay", (low, high, seed), call)

    def timezone(self, timezone: str | tzinfo) -> Job:
        """Read wall times and filters in this zone (an IANA name or a ``tzinfo``) instead of the scheduler's."""
        call = f"timezone({timezone!r})"
        self._policy("_timezone", self._named(zone, timezone), call)
        return self if self._plan is None else self._replan(call)

    def lock_ttl(self, ttl: Duration) -> Job:
        """Let the job's locks end ``ttl`` seconds (at least 1) after their node died, instead of the scheduler's
        time."""
        call = f"lock_ttl({ttl!r})"
        return self._policy("_lock_ttl", self._seconds(ttl, call, LEAST_LOCK_TTL), call)

    def misfire_grace(self, grace: Duration | None) -> Job:
        """Run a tick that was noticed late if it is at most ``grace`` seconds late; ``None``: however late."""
        call = f"misfire_grace({grace!r})"
        return self._policy("_grace", None if grace is None else self._seconds(grace, call), call, _UNSET)

    def rerun_on_crash(self, max_attempts: int = 2) -> Job:
        """Run a tick again, on another node, if its run was interrupted by the death of its node: after its lease has
        ended, at most ``max_attempts`` times in all (2 or more), and never after it had finished. A stop that cancels
        the run hands it over at once. Needs ``on_one_server()``."""
        call = f"rerun_on_crash({max_attempts!r})"
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 2:
            raise self._refusal(call, "max_attempts is a whole number, the first run included, so 2 or more")
        return self._policy("_max_attempts", max_attempts, call)

    def catch_up(self, within: Duration, *, mode: str = "newest", most: int | None = None) -> Job:
        """Run what was missed while no node of the cluster lived when a scheduler starts. Needs ``on_one_server()``,
        and a store that has seen the job before.

        Args:
            within: how old a missed tick may be, in seconds (7 days at most).
            mode: ``"newest"``: the newest one runs, once. ``"all"``: each one runs, oldest first, one after another,
                also those that come due while the process is stalled or the store away. ``within``, 1 s or more, takes
                the place of ``misfire_grace``.
            most: with ``"all"``, how many ticks wait at most, 1 to 1000 (100 by default); older ones are missed.
        """
        options = f"{'' if mode == 'newest' else f', mode={mode!r}'}{'' if most is None else f', most={most!r}'}"
        call = f"catch_up({within!r}{options})"
        seconds = self._seconds(within, call, 1.0 if mode == "all" else 0.0)
        if (why := _job_rules.refusal_to_catch_up(seconds, mode, most)) is not None:
            raise self._refusal(call, why)
        return self._policy("_catch_up", (seconds, (most or CAUGHT_UP) if mode == "all" else 0), call)

    def when_store_unavailable(self, policy: str) -> Job:
        """Say what becomes of a tick that the store cannot decide: ``"skip"`` it (the default), or ``"run"`` it, on
        each node that finds the store away, without its guards in the cluster and with the fence 0."""
        call = f"when_store_unavailable({policy!r})"
        if policy not in ("skip", "run"):
            raise self._refusal(call, "the rule is 'skip' or 'run'")
        return self._policy("_unavailable", policy, call)

    def max_runs(self, runs: int) -> Job:
        """Let ``runs`` ticks of the job run (1 or more), and then no more: of a job that the store guards, in the whole
        cluster, over restarts; of any other, on each node from its start. Immediate and triggered runs, reruns and
        retries do not count."""
        call = f"max_runs({runs!r})"
        if isinstance(runs, bool) or not isinstance(runs, int) or not 1 <= runs <= MOST_RUNS:
            raise self._refusal(call, f"the rule is a whole number from 1 to {MOST_RUNS}")
        return self._policy("_run_limit", runs, call)

    def even_in_maintenance(self) -> Job:
        """Run also while the cluster is in maintenance (``Scheduler.maintenance``)."""
        self._check_changeable("even_in_maintenance()")
        self._in_maintenance = True
        return self

    # What the engine and the curious read

    @property
    def name(self) -> str:
        """The job's name."""
        return self._name

    @property
    def handler(self) -> object:
        """The handler as it was given; ``None`` while a decorated job waits for its function."""
        return self._handler

    @property
    def trigger(self) -> Trigger | None:
        """The rule of its fire times; ``None`` for a job without one. Wall times and filters take the scheduler's time
        zone, where the job has none, when the job is scheduled; until then it is shown in UTC."""
        return self._trigger

    @property
    def runs_immediately(self) -> bool:
        """Whether it runs once at the start."""
        return self._immediate

    @property
    def is_on_one_server(self) -> bool:
        """Whether each tick runs on exactly one node."""
        return self._one_server

    @property
    def is_without_overlapping(self) -> bool:
        """Whether two runs are never in progress at once."""
        return self.concurrency == 1

    @property
    def concurrency(self) -> int:
        """How many of its runs may be in progress at once; 0: any number."""
        return 1 if self._overlap is not None else self._concurrency or 0

    @property
    def waits_for_running(self) -> bool:
        """Whether a tick that comes due while a run is in progress waits for its end."""
        return self._overlap in (QUEUE_ONE, CANCEL_RUNNING)

    @property
    def cancels_running(self) -> bool:
        """Whether it ends that run."""
        return self._overlap == CANCEL_RUNNING

    @property
    def is_guarded(self) -> bool:
        """Whether the store is asked before a run."""
        return self._one_server or self._overlap is not None or self._concurrency is not None

    @property
    def delay(self) -> tuple[float, float] | None:
        """The bounds of the random delay, in seconds."""
        return None if self._delay is None else self._delay[:2]

    @property
    def is_delay_seeded(self) -> bool:
        """Whether the random delay follows from the tick."""
        return self._delay is not None and self._delay[2] is not None

    @property
    def max_attempts(self) -> int:
        """The most runs of one tick, if they are interrupted; 0: it is not run again."""
        return self._max_attempts or 0

    @property
    def catch_up_within(self) -> float | None:
        """How old, in seconds, a tick may be that is caught up with; ``None``: none is."""
        return None if self._catch_up is None else self._catch_up[0]

    @property
    def catch_up_most(self) -> int:
        """How many ticks may wait to be caught up with, each of which runs; 0: the newest one runs, at the start."""
        return 0 if self._catch_up is None else self._catch_up[1]

    @property
    def runs_without_store(self) -> bool:
        """Whether a tick that the store cannot decide runs without its guards."""
        return self._unavailable == "run"

    @property
    def run_limit(self) -> int:
        """How many of its ticks run; 0: any number."""
        return self._run_limit or 0

    @property
    def runs_in_maintenance(self) -> bool:
        """Whether it runs also while the cluster is in maintenance."""
        return self._in_maintenance

    @property
    def policies(self) -> tuple[str, ...]:
        """The job's policies, as they are called."""
        words = ["immediate"] * self._immediate + ["on_one_server"] * self._one_server
        if self._overlap is not None:
            words.append("without_overlapping" if self._overlap == SKIP else f"without_overlapping({self._overlap!r})")
        words += [f"max_concurrent({self._concurrency})"] if self._concurrency else []
        if self._delay is not None:
            seed = ", seed='tick'" if self.is_delay_seeded else ""
            words.append(f"random_delay({self._delay[0]:g}, {self._delay[1]:g}{seed})")
        words += [f"rerun_on_crash({self._max_attempts})"] if self._max_attempts else []
        if self._catch_up is not None:
            each = f", mode='all', most={self.catch_up_most}" if self.catch_up_most else ""
            words.append(f"catch_up({self._catch_up[0]:g}{each})")
        words += ["when_store_unavailable('run')"] if self.runs_without_store else []
        words += [f"max_runs({self._run_limit})"] if self._run_limit else []
        words += ["even_in_maintenance"] * self._in_maintenance
        of_tick = () if self._of_tick is None else self._of_tick.words()
        return (*words, *of_tick, *(() if self._of_run is None else self._of_run.words()))

    def __repr__(self) -> str:
        """Tell the name, the schedule and the policies."""
        schedule = () if self._trigger is None else (repr(self._trigger),)
        return f"<Job {' '.join((repr(self._name), *schedule, *self.policies))}>"

    # How the engine takes it over

    def missing(self, timezone: tzinfo | None = None) -> str | None:
        """Return what the job still needs before it can be scheduled, or ``None``; ``timezone`` is its scheduler's."""
        if self._invoke is None:
            return "it has no handler; call the job with its function, as a decorator does"
        if self._trigger is None and not self._immediate:
            return "it has no schedule; give it one, such as per_seconds(30) or immediate()"
        if (
            self._plan is not None
            and (reason := self._plan.refusal(self._timezone or timezone, self._name)) is not None
        ):
            return reason
        limits = self._overlap or self._concurrency or self._run_limit
        return self._broken_rule() if limits or self._max_attempts or self._catch_up or self._unavailable else None

    def _broken_rule(self) -> str | None:
        """Return which policy lacks one that it needs, or excludes another, if any does."""
        chosen = _job_rules.Chosen(
            one_server=self._one_server,
            has_trigger=self._trigger is not None,
            overlap=self._overlap,
            has_slots=bool(self._concurrency),
            is_rerun=bool(self._max_attempts),
            is_limited=bool(self._run_limit),
            runs_without_store=self.runs_without_store,
            catches_up=self._catch_up is not None,
            catches_up_all=bool(self.catch_up_most),
            has_grace=self._grace is not _UNSET,
            has_conditions=self._of_tick is not None and bool(self._of_tick.conditions),
        )
        return _job_rules.lack(chosen) or _job_rules.contradiction(chosen)

    def freeze(self, defaults: JobSettings) -> JobSettings:
        """Refuse every change from now on, and return the job's settings over ``defaults``.

        Raises:
            ConfigurationError: the job is not complete.
        """
        if (missing := self.missing()) is not None:
            raise self._refusal("scheduled", missing)
        self._frozen = True
        grace = self.catch_up_within if self.catch_up_most else self._grace
        if self._timezone is None and self._lock_ttl is None and grace is _UNSET:
            settings = defaults
        else:
            settings = JobSettings(
                timezone=defaults.timezone if self._timezone is None else self._timezone,
                lock_ttl=defaults.lock_ttl if self._lock_ttl is None else self._lock_ttl,
                misfire_grace=defaults.misfire_grace if grace is _UNSET else cast("float | None", grace),
            )
        self._trigger, _ = self.planned(settings.timezone)
        self._plan = None
        return settings

    def drawn_delay(self, fire_us: int, draw: Random) -> float:
        """Return the seconds to wait before a run of this tick."""
        assert self._delay is not None
        low, high, seed = self._delay
        return (
            draw.uniform(low, high) if seed is None else low + (high - low) * _seeds.fraction(seed, self._name, fire_us)
        )

    @property
    def invoke(self) -> Invoke:
        """What calls the handler for a run: a function of the two."""
        assert self._invoke is not None
        return self._invoke

    def _set_handler(self, handler: object) -> None:
        self._invoke = invoker(handler, self._name)
        self._handler = handler
        self._tell_complete()
