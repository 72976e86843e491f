"""Owns how jobs are added: to a scheduler, or to a group of it whose jobs share policies. Knows nothing of running."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Self

from asyncsched._job import Job
from asyncsched._lazy import LazyModule
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    import difflib
    from types import TracebackType
    from typing import Unpack

    from asyncsched import _group_settings
    from asyncsched._group_settings import GroupSettings
    from asyncsched._registry import Registry
else:
    difflib, _group_settings = LazyModule("difflib"), LazyModule("asyncsched._group_settings")


MOST_NAMED = 5
"""Jobs that a message names."""
_FLAGS = ("on_one_server", "without_overlapping", "even_in_maintenance")
_HOOKS = ("before", "after", "on_success", "on_failure", "on_skipped", "when", "skip_when")
_BY_NAME = {"retry": ("attempts", "backoff", "on"), "catch_up": ("within", "mode", "most")}
"""Policies whose arguments may be given by name in a mapping; the first one is needed."""


class JobAdder:
    """Adds jobs, and groups of them."""

    _registry: Registry
    _shared: Mapping[str, object] = {}

    def add_job(self, name: str, handler: object) -> Job:
        """Register a job and return it, to be given its schedule and policies.

        On a running scheduler, call it from the scheduler's event loop; the job is scheduled at the loop's next turn.

        Raises:
            DuplicateJobError: the name is taken.
            ConfigurationError: the name or the handler breaks its rule.
        """
        return self._add(name, handler)

    def job(self, name: str) -> Job:
        """Register a job whose handler follows: the returned job, with its schedule, decorates the function.

        Raises:
            DuplicateJobError: the name is taken.
            ConfigurationError: the name breaks its rule.
        """
        return self._add(name)

    def group(self, **settings: Unpack[GroupSettings]) -> Group:
        """Return a group, whose jobs share ``settings`` where they have none of their own.

        Args:
            settings: policies of ``Job`` by their names, such as ``on_one_server=True``, ``lock_ttl=60`` or
                ``random_delay=(0, 20)``. A group of a group takes what it does not set itself from the outer one.

        Raises:
            ConfigurationError: none at all, an unknown setting, or a value against the rule of its policy.
        """
        return Group(self._registry, self._shared, settings)

    def _add(self, name: str, *handler: object) -> Job:
        job = _GroupJob(self._shared, name, *handler) if self._shared else Job(name, *handler)
        return self._registry.register(job)


class Group(JobAdder):
    """Adds jobs that share policies. It may be used in a ``with`` statement, whose end changes nothing.

    Raises:
        ConfigurationError: at the end of that, if jobs were added to the scheduler meanwhile, and none to a group: who
            does not name the group would have jobs without its policies.
    """

    def __init__(self, registry: Registry, outer: Mapping[str, object], settings: Mapping[str, object]) -> None:
        if not settings:
            raise ConfigurationError(
                "group(): no setting is given; at least one, such as on_one_server=True, is needed"
            )
        for name in settings:
            _check_known(name)
        self._registry = registry
        self._shared = {**outer, **settings}
        try:
            _GroupJob(self._shared, "group")
        except ConfigurationError as error:
            rule = str(error).removeprefix("job 'group': ")
            raise ConfigurationError(f"group(): {rule}") from None

    def __enter__(self) -> Self:
        self._known = len(self._registry.jobs)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        new = list(islice(self._registry.jobs.values(), self._known, None))
        if kind is None and new and not any(isinstance(job, _GroupJob) for job in new):
            names = ", ".join(repr(job.name) for job in new[:MOST_NAMED])
            raise ConfigurationError(
                f"{self!r}: no job was added to it, but to the scheduler itself: {names}; the rule is "
                "with scheduler.group(…) as group: group.add_job(…)"
            )

    def __repr__(self) -> str:
        """Tell the settings."""
        return f"<Group {' '.join(f'{name}={value!r}' for name, value in self._shared.items())}>"


class _GroupJob(Job):
    """A job that knows which of its policies are its group's, and gives them up for its own."""

    __slots__ = ("_is_shared", "_of_group")

    def __init__(self, shared: Mapping[str, object], name: str, *handler: object) -> None:
        super().__init__(name, *handler)
        self._of_group: set[str] = set()
        self._is_shared = True
        for policy, value in shared.items():
            _apply(self, policy, value)
        self._is_shared = False

    def _policy(self, field: str, value: object, call: str, unset: object = None, *, of: object = None) -> Self:
        self._check_changeable(call)
        if self._is_shared:
            self._of_group.add(field)
        elif field in self._of_group:
            self._of_group.discard(field)
            setattr(of or self, field, unset)
        return super()._policy(field, value, call, unset, of=of)


def _apply(job: Job, policy: str, value: object) -> None:
    if policy == "without_overlapping" and isinstance(value, str):
        job.without_overlapping(value)
    elif policy in _FLAGS:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{policy}={value!r}: the rule is True or False")
        if value:
            getattr(job, policy)()
    elif policy == "random_delay":
        if not isinstance(value, tuple) or len(value) not in (2, 3):
            raise ConfigurationError(f"{policy}={value!r}: the rule is (min, max) or (min, max, seed)")
        low, high, *seed = value
        job.random_delay(low, high, seed=seed[0] if seed else None)
    elif policy == "environments" and isinstance(value, tuple):
        job.environments(*value)
    elif policy in _HOOKS and isinstance(value, tuple):
        for hook in value:
            getattr(job, policy)(hook)
    elif policy in _BY_NAME and isinstance(value, Mapping):
        first, second, third = _BY_NAME[policy]
        if not {first} <= value.keys() <= {first, second, third}:
            rule = f"the rule is a number, or {first}, {second} and {third} by name"
            raise ConfigurationError(f"{policy}={value!r}: {rule}")
        getattr(job, policy)(**value)
    else:
        getattr(job, policy)(value)


def _check_known(name: str) -> None:
    known = sorted(_group_settings.GroupSettings.__annotations__)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ConfigurationError(f"group(): {name!r} is no setting of a group{hint}; they are {', '.join(known)}")
