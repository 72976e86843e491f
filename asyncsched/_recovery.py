"""Owns what a node does about ticks that others left behind: reruns of interrupted ones, and catching up at a start.

    adopt ──▶ surveyed ──open ticks──▶ watched ──lease's end──▶ asked ──won──▶ runs again
                  │                      ▲  ▲                     │
                  │                      │  └─still leased────────┤
                  └─missed tick──▶ claimed  handed over           └─finished, exhausted, too old──▶ forgotten

Nobody polls: a node learns of open ticks from the answers to its own claims, and sets one timer for the end of the
lease that stands in the way. Whether a tick runs again is decided by the store alone.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from asyncsched._clock import now_us, sleep
from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Verdict
from asyncsched._misfire import newest_missed
from asyncsched._terms import WEEK
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncsched._catch_up import CatchUp
    from asyncsched._job_state import JobState
    from asyncsched._logs import SafeLogger
    from asyncsched._outage import Outage
    from asyncsched.protocols import Clock, Store, Timer

SLACK = 0.01
"""Seconds after a lease's end at which it is asked for: the end itself is known to the millisecond only."""
KNOWN_US = 1
"""The oldest tick there is: a node that remembers it knows that the store must know the job. A store that does not has
lost what it knew, or was asked before it could be told; either way nobody can tell which ticks have run until then."""
MOST_SURVEYED = 1_000
"""Jobs in one survey at most."""
SURVEY_BACKOFF = 1.0
"""Seconds between tries of a survey that was not answered."""
LONGEST_BLIND_WAIT = 20.0
"""Seconds after which a tick is asked for again at the latest, where nobody says what it waits for."""


class Recovery:
    """Watches the open ticks of one node's jobs, and asks the store what was missed before the start."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        outage: Outage,
        logger: SafeLogger,
        *,
        rerun: Callable[[JobState, int], None],
        catch_up: CatchUp,
    ) -> None:
        self._store = store
        self._clock = clock
        self._outage = outage
        self._logger = logger
        self._rerun = rerun
        self._catch_up = catch_up
        self._states: dict[str, JobState] = {}
        self._to_survey: list[tuple[JobState, int]] = []
        self._survey_wanted = asyncio.Event()
        self._unlisten: Callable[[], None] | None = None
        self._closing = False

    # Learning what there is

    def adopt(self, state: JobState, at_us: int) -> None:
        """Look after a job that was scheduled at ``at_us``, if it wants that."""
        job = state.job
        if job.catch_up_most:
            self._catch_up.adopt(state)
        if job.is_on_one_server and state.step is not None and self._store.refresh_interval is not None:
            state.remembered_us, state.remembered_until = KNOWN_US, inf
        if state.remembered_us or job.max_attempts or job.catch_up_within is not None:
            self._to_survey.append((state, at_us))
            self._survey_wanted.set()
        if job.max_attempts:
            self._states[job.name] = state
            if self._unlisten is None:
                self._unlisten = self._store.listen(self.handed_over)

    async def surveying(self) -> None:
        """Ask the store, once for each job, for its newest tick and its open ones; from then on it knows the job."""
        while True:
            await self._survey_wanted.wait()
            batch, self._to_survey = self._to_survey[:MOST_SURVEYED], self._to_survey[MOST_SURVEYED:]
            if not self._to_survey:
                self._survey_wanted.clear()
            try:
                answers = await self._store.claim([_survey(state) for state, _ in batch])
            except StoreUnavailableError as error:
                self._outage.noticed("claim", error)
                await self._survey_again(batch)
                continue
            self._outage.ended("claim")
            asked = zip(batch, answers, strict=True)
            await self._survey_again([each for each, answer in asked if not self._surveyed(*each, answer)])

    async def _survey_again(self, batch: list[tuple[JobState, int]]) -> None:
        if batch:
            self._to_survey += batch
            await sleep(self._clock, SURVEY_BACKOFF)
            self._survey_wanted.set()

    def _surveyed(self, state: JobState, at_us: int, answer: ClaimAnswer) -> bool:
        """Take in what is known of a job; return whether anything is."""
        if state.retired or self._closing:
            return True
        if answer.verdict is not Verdict.ELSEWHERE:
            return False
        self.answered(state, 0, answer)
        if state.job.catch_up_most:
            self._catch_up.surveyed(state, answer.newest_us, at_us)
        elif (missed_us := self._newest_missed(state, answer.newest_us, at_us)) is not None:
            self._catch_up.newest(state, missed_us)
        return True

    def _newest_missed(self, state: JobState, last_us: int, at_us: int) -> int | None:
        within = state.job.catch_up_within
        if within is None or not last_us or state.step is None:
            return None
        try:
            return newest_missed(state.step, last_us, at_us, round(within * 1e6))
        except Exception:  # a trigger that breaks its rules costs its own job, nothing else
            self._logger.exception("job=%s does not catch up: its trigger failed", state.job.name)
            return None

    def answered(self, state: JobState, tick_us: int, answer: ClaimAnswer) -> None:
        """Take in which ticks are open, from the answer to a claim of ``tick_us``."""
        for gone_us in set(state.watched) - set(answer.open_us):
            _cancel(state.watched.pop(gone_us))
        for open_us in answer.open_us:
            if open_us == tick_us and answer.verdict is Verdict.WON:
                state.watched[open_us] = None
            elif open_us not in state.watched:
                self._watch(state, open_us, answer.wait if open_us == tick_us else 0.0)

    def handed_over(self, job: str, tick_us: int) -> None:
        """Ask at once for a tick whose lease was given back."""
        state = self._states.get(job)
        if state is not None and not (tick_us in state.watched and state.watched[tick_us] is None):
            self._watch(state, tick_us, 0.0)

    def left_open(self, state: JobState, tick_us: int, wait: float | None = None) -> None:
        """Ask again in ``wait`` seconds for a tick whose run ended here without finishing, or did not begin."""
        if tick_us in state.watched:
            self._watch(state, tick_us, min(state.settings.lock_ttl, LONGEST_BLIND_WAIT) if wait is None else wait)

    # Waiting for its time

    def _watch(self, state: JobState, tick_us: int, wait: float) -> None:
        _cancel(state.watched.pop(tick_us, None))
        if not (self._closing or state.retired or self._is_too_old(state, tick_us)):
            state.watched[tick_us] = self._clock.call_later(wait + SLACK, lambda: self._ask(state, tick_us))

    def _is_too_old(self, state: JobState, tick_us: int) -> bool:
        grace = state.settings.misfire_grace
        if grace is None:
            return False
        latest_us = tick_us + (grace + state.job.max_attempts * state.settings.lock_ttl) * 1e6
        return now_us(self._clock) > latest_us

    def _ask(self, state: JobState, tick_us: int) -> None:
        if state.retired:
            del state.watched[tick_us]
        else:
            state.watched[tick_us] = None
            self._rerun(state, tick_us)

    def close(self) -> None:
        """Watch no more: what is open is another node's."""
        self._closing = True
        self._catch_up.close()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        for state in self._states.values():
            for timer in state.watched.values():
                _cancel(timer)
            state.watched.clear()


def _cancel(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()


def _survey(state: JobState) -> ClaimRequest:
    settings = state.settings
    return ClaimRequest(
        job=state.job.name,
        kind=ClaimKind.SURVEY,
        owner="-",
        tick_us=0,
        one_server=True,
        no_overlap=False,
        lock_ttl=settings.lock_ttl,
        retain_for=WEEK,  # that ticks before now are in doubt; then nobody asks for them any more
        max_attempts=state.job.max_attempts,
    )
