"""Owns the rules by which policies of one job need or exclude each other. Knows no job: only what was chosen."""

from __future__ import annotations

from typing import NamedTuple

from asyncsched._job_settings import CANCEL_RUNNING, LONGEST_CATCH_UP, MOST_CAUGHT_UP, QUEUE_ONE, SKIP


class Chosen(NamedTuple):
    """What was chosen of the policies that do not go with, or not without, each other."""

    one_server: bool
    has_trigger: bool
    overlap: str | None
    """One of ``OVERLAP_POLICIES``; ``None``: runs may overlap."""
    has_slots: bool
    """``max_concurrent``."""
    is_rerun: bool
    """``rerun_on_crash``."""
    is_limited: bool
    """``max_runs``."""
    runs_without_store: bool
    catches_up: bool
    catches_up_all: bool
    """``catch_up(mode="all")``."""
    has_grace: bool
    """A ``misfire_grace`` of its own."""
    has_conditions: bool


def refusal_to_catch_up(within: float, mode: object, most: object) -> str | None:
    """Return which rule the arguments of ``catch_up`` break, if any; ``within`` in seconds."""
    if mode not in ("newest", "all"):
        return "the rule is mode='newest' or mode='all'"
    if most is not None and mode != "all":
        return "most needs mode='all': of the others, one runs"
    is_count = type(most) is int and 1 <= most <= MOST_CAUGHT_UP
    if most is not None and not is_count:
        return f"most is a whole number from 1 to {MOST_CAUGHT_UP}"
    if within > LONGEST_CATCH_UP:
        return "the record of the newest tick is kept for 7 days, so that is the most"
    return None


def lack(of: Chosen) -> str | None:
    """Return which of them lacks another one, if any does."""
    for policy, is_set in (("rerun_on_crash", of.is_rerun), ("catch_up", of.catches_up)):
        if is_set and not of.one_server:
            return f"{policy}() needs on_one_server(): without it, no record says which ticks have run"
    if of.runs_without_store and not (of.one_server or of.overlap is not None or of.has_slots):
        return "when_store_unavailable('run') needs on_one_server() or without_overlapping(): others run anyway"
    if of.overlap == CANCEL_RUNNING and not of.one_server:
        return "without_overlapping('cancel_running') needs on_one_server(): each node would end the others' runs"
    if of.is_limited and not of.has_trigger:
        return "max_runs() needs a schedule: it counts ticks, and immediate() has none"
    return None


def contradiction(of: Chosen) -> str | None:
    """Return which two of them exclude each other, if any do."""
    waits = of.overlap in (QUEUE_ONE, CANCEL_RUNNING)
    rules = (
        (
            of.has_slots and of.overlap is not None,
            "max_concurrent() and without_overlapping() exclude each other: the latter is max_concurrent(1)",
        ),
        (
            of.has_slots and of.is_rerun,
            "max_concurrent() and rerun_on_crash() exclude each other: a rerun waits for the end of one lease",
        ),
        (
            of.runs_without_store and waits,
            f"when_store_unavailable('run') and without_overlapping({of.overlap!r}) exclude each other",
        ),
        (
            of.overlap == CANCEL_RUNNING and of.is_rerun,
            "without_overlapping('cancel_running') and rerun_on_crash() exclude each other",
        ),
        (
            of.runs_without_store and of.is_limited,
            "when_store_unavailable('run') and max_runs() exclude each other: without the store nobody counts",
        ),
    )
    found = next((why for holds, why in rules if holds), None)
    return found or (_hindrance_to_each(of) if of.catches_up_all else None)


def _hindrance_to_each(of: Chosen) -> str | None:
    """Return what contradicts that each missed tick runs, in order."""
    rules = (
        (of.has_grace, "misfire_grace() exclude each other: within says how late a tick may be"),
        (
            of.overlap in (SKIP, CANCEL_RUNNING),
            f"without_overlapping({of.overlap!r}) exclude each other: with 'queue_one', a tick waits",
        ),
        (of.has_slots, "max_concurrent() exclude each other: a tick that finds no slot free is skipped"),
        (
            of.runs_without_store,
            "when_store_unavailable('run') exclude each other: without the store, no tick has its turn",
        ),
        (
            of.has_conditions,
            "conditions exclude each other: a tick kept back on one node may come too late on another",
        ),
    )
    return next((f"catch_up(mode='all') and {why}" for holds, why in rules if holds), None)
