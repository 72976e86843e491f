"""The names that users import: few, sorted, and all of them there."""

from __future__ import annotations

import re
from importlib import import_module, metadata

import pytest

import asyncsched
from asyncsched import events, testing, triggers


def as_ruff_sorts(names: list[str]) -> list[str]:
    """Sort as ruff's rule for ``__all__`` does: CONSTANTS, then Classes, then functions."""
    return sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))


def test_there_are_few_names() -> None:
    assert len(asyncsched.__all__) <= 25


@pytest.mark.parametrize("module", [asyncsched, events, testing, triggers], ids=lambda module: module.__name__)
def test_names_are_sorted_and_there(module: object) -> None:
    names = module.__all__
    assert names == as_ruff_sorts(names)
    assert len(set(names)) == len(names), "a name stands twice"
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing, f"{missing} cannot be imported"


@pytest.mark.parametrize("name", asyncsched.__all__)
def test_a_name_has_prose(name: str) -> None:
    value = getattr(import_module("asyncsched"), name)
    assert name == "DEFAULT_LOCK_TTL" or value.__doc__, f"{name} has no docstring"


def test_the_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", asyncsched.__version__)
    assert metadata.version("asyncsched") == asyncsched.__version__


def test_every_event_is_named_and_has_prose() -> None:
    classes = {
        name: kind
        for name, kind in vars(events).items()
        if isinstance(kind, type) and kind.__module__ == events.__name__
    }
    own = {name for name, kind in classes.items() if issubclass(kind, events.Event)}
    bases = {"JobEvent", "RunEvent"}
    assert own - bases == set(events.__all__) - bases
    assert all(kind.__doc__ for kind in classes.values())


def test_every_error_is_of_one_tree() -> None:
    names = [name for name in asyncsched.__all__ if name.endswith("Error")]
    assert names == [
        "ConfigurationError",
        "DuplicateJobError",
        "SchedulerError",
        "StoreUnavailableError",
        "UnknownJobError",
    ]
    for name in names:
        assert issubclass(getattr(asyncsched, name), asyncsched.SchedulerError)
    assert issubclass(asyncsched.ConfigurationError, ValueError)
    assert issubclass(asyncsched.DuplicateJobError, asyncsched.ConfigurationError)
    assert issubclass(asyncsched.UnknownJobError, KeyError)


def test_the_words_of_the_outcomes_and_reasons() -> None:
    assert {str(outcome) for outcome in asyncsched.Outcome} == {
        "succeeded", "failed", "timed_out", "cancelled", "lock_lost", "skipped",
    }  # fmt: skip
    assert {str(reason) for reason in asyncsched.SkipReason} == {
        "overlap", "elsewhere", "paused", "maintenance", "store_unavailable", "shutting_down", "finished",
        "condition", "condition_failed",
    }  # fmt: skip
