"""Owns the answer to why a tick did, or did not, run: from the accounts that nodes have written down, never from
guesses. What cannot be known is said to be so.

Asks nobody: it is given what is known.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from asyncsched import _why_words as words
from asyncsched._cluster_view import is_there
from asyncsched._records import Explanation
from asyncsched._schedule_texts import is_fire_time, newest_until, next_after, trigger_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from asyncsched._records import ActiveRun, ClusterState, Ending, JobRecord, LockRecord, NodeRecord, Note
    from asyncsched.protocols import Trigger

MOST_READ = 1_000
"""Endings that are looked through for one answer."""
SETTLING = timedelta(seconds=10)
"""For which the accounts of a tick may be on their way."""
Found = tuple[str, list[str]]


def explain(
    state: ClusterState,
    record: JobRecord,
    at: datetime | None,
    endings: Sequence[Ending],
    locks: Sequence[LockRecord],
) -> Explanation:
    """Return why a tick did, or did not, run.

    Args:
        state: of the cluster.
        record: the job.
        at: the tick; ``None``: the newest one that has come due.
        endings: of the job, the newest first.
        locks: of the job.
    """
    trigger = None if record.definition is None else trigger_of(record.definition.schedule)
    tick = at if at is not None else _newest_tick(state, record, trigger, endings, locks)
    if tick is None:
        because = [words.no_tick(record), *_about_the_job(record)]
        return Explanation(job=record.job, tick=None, verdict="unknown", because=tuple(because))
    case = _Case(state, record, tick, endings, locks, trigger)
    verdict, because = case.verdict()
    because += _about_the_job(record)
    return Explanation(job=record.job, tick=tick, verdict=verdict, because=tuple(because), endings=tuple(case.endings))


def _newest_tick(
    state: ClusterState,
    record: JobRecord,
    trigger: Trigger | None,
    endings: Sequence[Ending],
    locks: Sequence[LockRecord],
) -> datetime | None:
    """Return the newest tick that has come due, as far as it can be told."""
    known = [ending.last_fire_time or ending.fire_time for ending in endings if ending.kind == "tick"]
    known += [run.fire_time for run in record.active if run.kind == "tick"]
    known += [lock.tick for lock in locks if lock.lock_type == "tick" and lock.tick is not None]
    if trigger is not None and (newest := newest_until(trigger, state.taken_at)) is not None:
        known.append(newest)
    return max((at for at in known if at <= state.taken_at), default=None)


def _about_the_job(record: JobRecord) -> list[str]:
    return [words.differs(record)] if record.differs else []


class _Case:
    """One tick, and all that is known of it. Each clue that says something ends the search."""

    def __init__(
        self,
        state: ClusterState,
        record: JobRecord,
        tick: datetime,
        endings: Sequence[Ending],
        locks: Sequence[LockRecord],
        trigger: Trigger | None,
    ) -> None:
        self._state = state
        self._record = record
        self._tick = tick
        self._all = endings
        self._locks = locks
        self._trigger = trigger
        self.endings = [ending for ending in endings if _is_of(ending, tick)]

    def verdict(self) -> Found:
        """Return the verdict, and the sentences for it."""
        clues = (
            self._runs,
            self._ran,
            self._was_granted,
            self._was_kept_back,
            self._is_no_tick,
            self._has_no_node,
            self._rests,
            self._is_not_due,
            self._was_overtaken,
            self._settles,
            self._is_too_old,
            self._had_no_node,
        )
        for clue in clues:
            found = clue()
            if found is not None:
                return found
        return "unknown", [words.nothing_known(self._record)]

    def _runs(self) -> Found | None:
        runs = [run for run in self._record.active if run.fire_time == self._tick]
        return ("running", [words.running(run) for run in runs]) if runs else None

    def _ran(self) -> Found | None:
        ran = [ending for ending in self.endings if ending.outcome not in ("skipped", "missed")]
        return ("ran", [words.ran(ending) for ending in ran]) if ran else None

    def _was_granted(self) -> Found | None:
        """The tick record names who has the tick, and nobody has said how it ended."""
        grants = [lock for lock in self._locks if lock.lock_type in ("tick", "open", "run") and lock.tick == self._tick]
        if not grants or self.endings:
            return None
        grant = grants[0]
        if any(node.node == grant.node for node in self._there):
            if self._tick + SETTLING >= self._state.taken_at:
                return "waiting", [words.granted(grant)]
            return "unknown", [words.granted_and_silent(grant)]
        return "vanished", [words.granted_to_vanished(grant)]

    def _was_kept_back(self) -> Found | None:
        missed = [ending for ending in self.endings if ending.outcome == "missed"]
        skipped = [ending for ending in self.endings if ending.outcome == "skipped"]
        if skipped:
            return "skipped", [self._skip(ending) for ending in skipped]
        return ("missed", [words.missed(ending) for ending in missed]) if missed else None

    def _skip(self, ending: Ending) -> str:
        if ending.reason == "paused":
            return words.skipped(ending, words.was_paused(self._note(self._record.paused)))
        if ending.reason == "maintenance":
            return words.skipped(ending, words.was_maintained(self._note(self._state.maintenance)))
        if ending.reason == "overlap":
            return words.skipped(ending, words.overlapped(self._in_progress()))
        return words.skipped(ending, words.REASONS.get(ending.reason, ending.reason))

    def _note(self, note: Note | None) -> Note | None:
        """Return a note that was there when the tick was due."""
        return note if note is not None and (note.at is None or note.at <= self._tick + SETTLING) else None

    def _in_progress(self) -> ActiveRun | Ending | None:
        """Return the run that was in progress at the tick."""
        for run in self._record.active:
            if run.fire_time < self._tick:
                return run
        for each in self._all:
            if each.started_at is not None and each.fire_time < self._tick <= each.at:
                return each
        return None

    def _is_no_tick(self) -> Found | None:
        if self._trigger is None or is_fire_time(self._trigger, self._tick):
            return None
        nearest = newest_until(self._trigger, self._tick), next_after(self._trigger, self._tick)
        return "unknown", [words.not_in_schedule(self._record, *nearest)]

    def _has_no_node(self) -> Found | None:
        return None if self._record.definitions else ("unknown", [words.no_node_has_it(self._record, self._state)])

    def _rests(self) -> Found | None:
        """Nobody has said what became of the tick, but the job rests, or the cluster does, since before it."""
        if self._record.paused is not None and self._is_since(self._record.paused):
            return "paused", [f"The job is paused{words.noted(self._record.paused)}."]
        rests = "even_in_maintenance" not in (self._record.definition.policies if self._record.definition else ())
        if self._state.maintenance is not None and rests and self._is_since(self._state.maintenance):
            return "maintenance", [f"The cluster is in maintenance{words.noted(self._state.maintenance)}."]
        return None

    def _is_since(self, note: Note) -> bool:
        return self._tick > self._state.taken_at or note.at is None or note.at <= self._tick + SETTLING

    def _is_not_due(self) -> Found | None:
        if self._tick <= self._state.taken_at:
            return None
        return "waiting", [words.not_due(self._record, self._tick, self._state.taken_at)]

    def _was_overtaken(self) -> Found | None:
        newer = [lock for lock in self._locks if lock.lock_type == "tick" and lock.tick and lock.tick > self._tick]
        older = self._all and self._all[-1].fire_time <= self._tick
        return ("unknown", [words.overtaken(newer[0])]) if newer and older else None

    def _settles(self) -> Found | None:
        if self._tick + SETTLING < self._state.taken_at:
            return None
        return "waiting", [words.settling(self._tick, self._state.taken_at)]

    def _is_too_old(self) -> Found | None:
        if not self._all or self._all[-1].fire_time <= self._tick:
            return None
        return "unknown", [words.too_old(self._all[-1])]

    def _had_no_node(self) -> Found | None:
        first = min((node.started_at for node in self._having), default=None)
        if first is None or first <= self._tick:
            return None
        return "unknown", [words.no_node_then(first)]

    @property
    def _there(self) -> list[NodeRecord]:
        return [node for node in self._state.nodes if is_there(node)]

    @property
    def _having(self) -> list[NodeRecord]:
        return [node for node in self._there if node.node in self._record.definitions]


def _is_of(ending: Ending, tick: datetime) -> bool:
    last = ending.last_fire_time
    return ending.fire_time == tick or (last is not None and ending.fire_time <= tick <= last)
