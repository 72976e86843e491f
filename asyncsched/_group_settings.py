"""Owns which settings a group of jobs may have, as a type checker reads them. Knows nothing of applying them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from typing import TypedDict

from asyncsched._durations import Duration
from asyncsched._hooks import HookFunction


class GroupSettings(TypedDict, total=False):
    """What jobs of a group share: the policies of ``Job`` by their names, with the argument that each takes.

    Policies without an argument take ``True``; ``False`` takes back what an outer group has set.
    """

    on_one_server: bool
    without_overlapping: bool | str
    random_delay: tuple[Duration, Duration] | tuple[Duration, Duration, str]
    timezone: str | tzinfo
    lock_ttl: Duration
    misfire_grace: Duration | None
    rerun_on_crash: int
    catch_up: Duration | Mapping[str, object]
    when_store_unavailable: str
    max_runs: int
    max_concurrent: int
    even_in_maintenance: bool
    timeout: Duration
    retry: int | Mapping[str, object]
    pause_after_failures: int
    before: HookFunction | tuple[HookFunction, ...]
    after: HookFunction | tuple[HookFunction, ...]
    on_success: HookFunction | tuple[HookFunction, ...]
    on_failure: HookFunction | tuple[HookFunction, ...]
    on_skipped: HookFunction | tuple[HookFunction, ...]
    when: HookFunction | tuple[HookFunction, ...]
    skip_when: HookFunction | tuple[HookFunction, ...]
    environments: str | tuple[str, ...]
