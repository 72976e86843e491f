"""Owns when the cluster is asked: by one poller for all browsers, while one of them listens, or when a page is asked
for and what is known is old. Knows nothing of pages and HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from asyncsched._clock import sleep, wait_until_set
from asyncsched.dashboard._archive import MOST_ENDINGS, Archive
from asyncsched.exceptions import SchedulerError

if TYPE_CHECKING:
    from asyncsched._records import ClusterState, Ending, JobRecord
    from asyncsched.dashboard._source import Source
    from asyncsched.protocols import Clock

logger = logging.getLogger("asyncsched.dashboard")

FEW = 10
AT_ONCE = 8
"""Histories that are asked for at the same time."""
OVERLAP = timedelta(seconds=5)
"""Nodes write down what has ended each second or so, and not in order."""
FIRST_WAIT, NEXT_WAIT = 5.0, 0.25
"""Seconds for which a page waits: for the cluster, if nothing is known of it yet; then for what is new."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the cluster."""

    version: int
    """Rises with each change."""
    state: ClusterState | None
    """``None``: nothing yet."""
    trouble: str
    """Why there is nothing newer; empty: there is."""
    read_at: float
    """When the state was read, on the monotonic clock."""


class Poller:
    """Asks each ``interval`` seconds while somebody listens."""

    def __init__(self, source: Source, clock: Clock, interval: float) -> None:
        self._source = source
        self._clock = clock
        self._interval = interval
        self._listeners = 0
        self._life: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")
        self._news = asyncio.Event()
        self.archive = Archive()
        self.known = Known(0, None, "", 0.0)

    @property
    def listeners(self) -> int:
        """How many listen."""
        return self._listeners

    def now(self) -> datetime | None:
        """Return what the store's clock shows now, as far as is known."""
        if self.known.state is None:
            return None
        return self.known.state.taken_at + timedelta(seconds=self._clock.monotonic() - self.known.read_at)

    async def look(self) -> None:
        """Make sure that what is known is not older than ``interval``, or wait a moment for it: slowness of the store
        must not be that of the page."""
        if self._clock.monotonic() - self._looked_at < self._interval and self.known.version:
            return
        over = asyncio.Event()
        look = self._start_look()
        look.add_done_callback(lambda _: over.set())
        if not self.known.version:
            await wait_until_set(self._clock, self._news, FIRST_WAIT)
        await wait_until_set(self._clock, over, NEXT_WAIT)

    def is_old(self) -> None:
        """Let the next page look for itself: something was done."""
        self._looked_at = float("-inf")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Keep what is known up to date meanwhile."""
        self._listeners += 1
        try:
            if self._life is None or self._life.done() or self._life.get_loop() is not asyncio.get_running_loop():
                self._life = asyncio.create_task(self._poll())
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0 and self._life is not None:
                life, self._life = self._life, None
                life.cancel()
                with suppress(asyncio.CancelledError, RuntimeError):  # another, closed, event loop's
                    await life

    async def wait_for_news(self, version: int, within: float) -> None:
        """Wait until what is known is not ``version`` any more, at most ``within`` seconds."""
        if self.known.version == version:
            await wait_until_set(self._clock, self._news, within)

    async def history_of(self, job: str) -> None:
        """Make sure that a job's history is known, if the store tells."""
        if not self.archive.has(job):
            with suppress(SchedulerError):
                self.archive.add(job, await self._source.history(job, MOST_ENDINGS, None))

    async def _poll(self) -> None:
        while True:
            began_at = self._clock.monotonic()
            await asyncio.shield(self._start_look())
            took = self._clock.monotonic() - began_at
            # a cluster that is large for this machine is looked at less often
            await sleep(self._clock, max(self._interval - took, min(2 * took, 2 * self._interval)))

    def _start_look(self) -> asyncio.Task[None]:
        """Return the look that goes on, or begin one."""
        look = self._look
        if look is None or look.done() or look.get_loop() is not asyncio.get_running_loop():
            self._looked_at = self._clock.monotonic()
            look = self._look = asyncio.create_task(self._ask())
        return look

    async def _ask(self) -> None:
        """Ask once. Whatever goes wrong is what the pages tell; they keep what they know."""
        try:
            state = await self._source.state()
            read_at = self._clock.monotonic()
            if self.known.state is None:
                self._tell(state, "", read_at)
            await self._fill(state)
            self._tell(state, "", read_at)
        except SchedulerError as error:
            self._tell(self.known.state, str(error), self.known.read_at)
        except Exception as error:
            logger.exception("the dashboard could not read the cluster")
            self._tell(self.known.state, f"it could not be read ({type(error).__name__})", self.known.read_at)

    def _tell(self, state: ClusterState | None, trouble: str, read_at: float) -> None:
        self.known = Known(self.known.version + 1, state, trouble, read_at)
        self._news.set()
        self._news = asyncio.Event()

    async def _fill(self, state: ClusterState) -> None:
        """Bring the archive up to date: the jobs that have a newer ending than it has are asked for, and no others."""
        self.archive.retain([record.job for record in state.jobs])
        behind = [record for record in state.jobs if self._is_behind(record)]
        for first in range(0, len(behind), AT_ONCE):
            await self._fill_some(behind[first : first + AT_ONCE])

    def _is_behind(self, record: JobRecord) -> bool:
        return record.last is not None and record.last not in self.archive.of(record.job)[:AT_ONCE]

    async def _fill_some(self, records: Sequence[JobRecord]) -> None:
        answers = await asyncio.gather(*map(self._new_endings, records), return_exceptions=True)
        for record, endings in zip(records, answers, strict=True):
            if isinstance(endings, BaseException):
                raise endings
            last = () if record.last is None else (record.last,)
            self.archive.add(record.job, (*endings, *last))

    async def _new_endings(self, record: JobRecord) -> Sequence[Ending]:
        """Return the endings of a job that the archive lacks: mostly a few, so a few are asked for first."""
        known = self.archive.of(record.job)
        if not known:
            return await self._source.history(record.job, MOST_ENDINGS, None)
        since = known[0].at - OVERLAP
        few = await self._source.history(record.job, FEW, since)
        return few if len(few) < FEW else await self._source.history(record.job, MOST_ENDINGS, since)
