"""Owns the methods of a job that say what becomes of each run. Knows nothing of carrying one out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from asyncsched._durations import seconds
from asyncsched._job_schedules import JobSchedules
from asyncsched._lazy import LazyModule
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from asyncsched import _hooks, _pings, _retries, _run_policies
    from asyncsched._durations import Duration
    from asyncsched._hooks import HookFunction
    from asyncsched._retries import Backoff, Retriable, RetryRule
    from asyncsched._run_policies import RunPolicies
else:
    _hooks, _pings = LazyModule("asyncsched._hooks"), LazyModule("asyncsched._pings")
    _retries, _run_policies = LazyModule("asyncsched._retries"), LazyModule("asyncsched._run_policies")


class JobRuns(JobSchedules):
    """The part of ``Job`` that says what becomes of a run. A job sets up its slot."""

    __slots__ = ("_of_run",)

    _of_run: RunPolicies | None

    def timeout(self, timeout: Duration) -> Self:
        """Cancel the handler if it has not ended ``timeout`` seconds (more than 0) after it was started: the run ends
        as ``timed_out``. All attempts and the waits between them count, the random delay does not."""
        call = f"timeout({timeout!r})"
        limit = self._seconds(timeout, call)
        if not limit:
            raise self._refusal(call, "the rule is more than 0 seconds")
        self._check_waits(call, limit, None if self._of_run is None else self._of_run.retry)
        return self._run_policy("timeout", limit, call)

    def retry(self, attempts: int, *, backoff: Backoff = (1, 60), on: Retriable = Exception) -> Self:
        """Try a run again that has failed, up to ``attempts`` times in all (2 or more), with its locks held meanwhile.
        Needs the extra ``retry``.

        Args:
            attempts: of one run; a rerun after a crash has as many again.
            backoff: seconds between two attempts. ``(min, max)``: the n-th wait is drawn from ``min`` to
                ``min * 2**n`` seconds, and no longer than ``max``.
            on: the errors that are worth another attempt: a type, several in a tuple, or a function of the error.
        """
        call = f"retry({attempts!r})"
        try:
            rule = _retries.checked_retry(attempts, backoff, on)
        except ConfigurationError as error:
            raise self._refusal(call, str(error)) from None
        self._check_waits(call, None if self._of_run is None else self._of_run.timeout, rule)
        return self._run_policy("retry", rule, call)

    def pause_after_failures(self, failures: int) -> Self:
        """Pause the job for the whole cluster, as ``Scheduler.pause`` does, when ``failures`` of its runs in a row (1
        or more) have failed or timed out on this node. ``Scheduler.resume`` ends that."""
        call = f"pause_after_failures({failures!r})"
        if isinstance(failures, bool) or not isinstance(failures, int) or failures < 1:
            raise self._refusal(call, "the rule is a whole number of runs, 1 or more")
        return self._run_policy("pause_after", failures, call)

    def before(self, hook: HookFunction) -> Self:
        """Call ``hook`` before the handler of each run, as part of the run. If it fails, the run has failed, and the
        handler is not called.

        All hooks are async or plain functions of the ``Run``, or of nothing. Several of a kind are called in order.
        """
        return self._hook("before", hook)

    def after(self, hook: HookFunction) -> Self:
        """Call ``hook`` at the end of each run, however its handler has ended, unless a stop or a lost lease ends it.
        If the hook fails, nothing changes for the run."""
        return self._hook("after", hook)

    def on_success(self, hook: HookFunction) -> Self:
        """Call ``hook`` at the end of a run whose handler has succeeded, before what ``after`` was given."""
        return self._hook("on_success", hook)

    def on_failure(self, hook: HookFunction) -> Self:
        """Call ``hook`` at the end of a run that has failed or timed out, before what ``after`` was given. The last of
        the run's ``errors`` says why."""
        return self._hook("on_failure", hook)

    def on_skipped(self, hook: HookFunction) -> Self:
        """Call ``hook`` with the ``TickSkipped`` for each tick, immediate run or triggered run that is skipped here and
        that no other node has."""
        return self._hook("on_skipped", hook)

    def ping(self, url: str, on: str = "success") -> Self:
        """Call ``url`` (http or https) beside each run: on its ``"success"``, its ``"failure"`` or its ``"start"``. May
        be given several times. Needs the extra ``ping``. The URL is masked wherever it is shown."""
        self._check_changeable("ping()")
        try:
            ping = _pings.checked_ping(url, on)
        except ConfigurationError as error:
            raise self._refusal("ping()", str(error)) from None
        policies = self._of_run = self._of_run or _run_policies.RunPolicies()
        if ping not in policies.pings:
            policies.pings += (ping,)
        return self

    def sentry_checkin(self, monitor_slug: str) -> Self:
        """Tell a cron monitor of Sentry of the start and the end of each run, through the ``sentry_sdk`` that the
        service has set up. Needs the extra ``sentry``."""
        call = f"sentry_checkin({monitor_slug!r})"
        try:
            slug = _pings.checked_slug(monitor_slug)
        except ConfigurationError as error:
            raise self._refusal(call, str(error)) from None
        return self._run_policy("check_in", slug, call)

    @property
    def run_policies(self) -> RunPolicies | None:
        """What the job wants of each run; ``None``: nothing but being carried out."""
        return self._of_run

    # How they are kept

    def _check_waits(self, call: str, timeout: float | None, retry: RetryRule | None) -> None:
        if timeout is not None and retry is not None and retry.shortest_wait >= timeout:
            raise self._refusal(
                call, f"the first wait of {retry} is as long as timeout({timeout:g}), so nothing is ever tried again"
            )

    def _run_policy(self, field: str, value: object, call: str) -> Self:
        self._check_changeable(call)
        policies = self._of_run = self._of_run or _run_policies.RunPolicies()
        return self._policy(field, value, call, of=policies)

    def _hook(self, when: str, function: HookFunction) -> Self:
        self._check_changeable(f"{when}()")
        hook = _hooks.checked_hook(when, function, self._name)
        policies = self._of_run = self._of_run or _run_policies.RunPolicies()
        setattr(policies, when, (*getattr(policies, when), hook))
        return self

    def _policy(self, field: str, value: object, call: str, unset: object = None, *, of: object = None) -> Self:
        """Set a policy, once; ``of``: what it is kept in, if not in the job itself."""
        self._check_changeable(call)
        before = getattr(of or self, field)
        if before is not unset and before != value:
            raise self._refusal(call, f"it was given before with the value {before!r}")
        setattr(of or self, field, value)
        return self

    def _seconds(self, value: Duration, call: str, at_least: float = 0.0) -> float:
        return self._named(seconds, value, what=call, at_least=at_least)
