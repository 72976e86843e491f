"""No name of a job can forge the key of another job, or leave the pattern that a restricted user has."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asyncsched import ConfigurationError, Scheduler
from asyncsched._grants import LockType
from asyncsched.stores._keys import Keys, slot_suffix, suffix

FORBIDDEN = "{}*?[]"


def is_allowed(character: str) -> bool:
    return character.isprintable() and not character.isspace() and character not in FORBIDDEN


WORDS = [
    "schedule:",
    "job:",
    "jobs:",
    "jobLock:",
    "paused",
    "handed",
    ":",
    ":run:",
    "0",
    "1767225600000000",
    ":tick",
    ":server",
    ":start",
    ":overlap",
    "a",
    "|",
]
"""The words of our own keys: the likeliest parts of a forgery."""

TICKS = [0, 1_767_225_600_000_000]
SLOTS = [1, 99]

parts = st.lists(st.one_of(st.sampled_from(WORDS), st.characters().filter(is_allowed)), max_size=8)
prefixes = parts.map("".join)
names = parts.map("".join).filter(bool)


def keys_of(keys: Keys, job: str) -> set[str]:
    suffixes = {suffix(lock_type, tick_us) for lock_type in LockType for tick_us in TICKS}
    suffixes |= {slot_suffix(slot) for slot in SLOTS}
    return {keys.state(job), *keys.locks(job, sorted(suffixes))}


def registered(prefix: str, *jobs: str) -> Scheduler:
    scheduler = Scheduler("redis://host", prefix=prefix)
    for job in jobs:
        scheduler.add_job(job, lambda: None)
    return scheduler


@given(prefixes, st.lists(names, min_size=2, max_size=5, unique=True))
@example("", ["a", "a:tick", "a:server:tick"])
@example("", ["Lock:a:tick", "s:paused", "a"])
@example("", ["a", "a:overlap", "a:overlap:1", "a:overlap:1:run"])
@example("schedule:job:", ["schedule:jobs:paused", "schedule:jobLock:a:tick", "a"])
def test_no_two_jobs_share_a_key(prefix: str, jobs: list[str]) -> None:
    registered(prefix, *jobs)  # all of them are valid
    keys = Keys(prefix)
    of_jobs = [keys_of(keys, job) for job in jobs]

    assert all(len(own) == len(LockType) + len(TICKS) + len(SLOTS) for own in of_jobs)
    for one, other in itertools.combinations(of_jobs, 2):
        assert not one & other
    assert all(keys.paused not in own and keys.handed not in own for own in of_jobs)


@given(prefixes, names)
def test_every_key_matches_the_one_pattern(prefix: str, job: str) -> None:
    keys = Keys(prefix)

    assert all(key.startswith(f"{prefix}schedule:job") for key in {keys.paused, keys.handed, *keys_of(keys, job)})


@given(st.text(max_size=8), st.characters().filter(lambda character: not is_allowed(character)), st.text(max_size=8))
@example("a", "\n", "")
@example("a", "\x00", "")
@example("a", "\u202e", "")
@example("a", "\ud800", "")
@example("a", " ", "")
def test_a_name_with_a_forbidden_character_is_refused(head: str, bad: str, tail: str) -> None:
    for refused in (head + bad + tail, bad):
        with pytest.raises(ConfigurationError):
            registered("", refused)
        with pytest.raises(ConfigurationError):
            registered(refused)
        with pytest.raises(ConfigurationError):
            Scheduler(node=refused)


@given(st.text(max_size=8))
def test_a_node_names_no_bar(name: str) -> None:
    # An owner is "<node>:<run>", and a lock's value "<owner>|<fence>".
    with pytest.raises(ConfigurationError):
        Scheduler(node=f"{name}|")


@pytest.mark.parametrize("name", ["", "x" * 201, None, 7, b"report"])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError):
        registered("", name)


@given(names, names)
def test_one_name_is_one_job_whatever_it_looks_like(one: str, other: str) -> None:
    # Names are compared by their characters: nothing is folded, stripped or normalised on the way to a key.
    assume(one != other)
    assert keys_of(Keys(""), one) != keys_of(Keys(""), other)
