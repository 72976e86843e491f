"""Owns the methods of a job that say which of its ticks become runs. Knows nothing of asking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from asyncsched._job_runs import JobRuns
from asyncsched._job_settings import checked_name
from asyncsched._lazy import LazyModule

if TYPE_CHECKING:
    from asyncsched import _hooks, _tick_policies
    from asyncsched._hooks import HookFunction
    from asyncsched._tick_policies import TickPolicies
else:
    _hooks, _tick_policies = LazyModule("asyncsched._hooks"), LazyModule("asyncsched._tick_policies")


class JobTicks(JobRuns):
    """The part of ``Job`` that says which ticks become runs. A job sets up its slot."""

    __slots__ = ("_of_tick",)

    _of_tick: TickPolicies | None

    def when(self, condition: HookFunction) -> Self:
        """Run only if ``condition`` returns something true. It is asked for each tick and each immediate run, on each
        node, before the tick is claimed; a triggered run is not asked for.

        An async function, or a plain one, which is called in a worker thread; of the ``Run`` that may begin, or of
        nothing. If it fails, or has not answered after 10 s, the tick is skipped. Several are asked in order.
        """
        return self._condition("when", condition)

    def skip_when(self, condition: HookFunction) -> Self:
        """Do not run if ``condition`` returns something true. It is asked as that of ``when`` is."""
        return self._condition("skip_when", condition)

    def environments(self, *names: str) -> Self:
        """Have ticks only in these environments: where one of ``names`` is the scheduler's ``environment``, exactly.

        Elsewhere the job is shown, but not scheduled. A scheduler without an ``environment`` refuses to start with it.
        """
        call = f"environments({', '.join(map(repr, names))})"
        if not names:
            raise self._refusal(call, "at least one name is needed")
        for name in names:
            self._named(checked_name, name, what="environment", forbidden="")
        self._check_changeable(call)
        policies = self._of_tick = self._of_tick or _tick_policies.TickPolicies()
        return self._policy("environments", tuple(dict.fromkeys(names)), call, of=policies)

    @property
    def for_environments(self) -> tuple[str, ...] | None:
        """The environments in which the job has ticks; ``None``: in all."""
        return None if self._of_tick is None else self._of_tick.environments

    @property
    def tick_policies(self) -> TickPolicies | None:
        """What the job asks before a tick becomes a run; ``None``: nothing."""
        return self._of_tick

    def _condition(self, when: str, function: HookFunction) -> Self:
        self._check_changeable(f"{when}()")
        condition = _hooks.checked_hook(when, function, self._name, what="condition")
        policies = self._of_tick = self._of_tick or _tick_policies.TickPolicies()
        policies.conditions += (condition,)
        return self
