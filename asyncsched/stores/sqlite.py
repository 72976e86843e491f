"""Owns the store in a file of this host, for all processes that open it: no server.

It decides as the store in memory does, with the same functions: a batch's jobs are read, decided and written back in
one transaction, which no other process enters. SQLite waits, so it does that in a thread of the store's own.
"""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from asyncsched._clock import SystemClock, boottime
from asyncsched._durations import seconds
from asyncsched._grants import ClaimAnswer, Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _decide, _file, _rows, _schema
from asyncsched.stores._database import FAILURES, Database
from asyncsched.stores._handover import KEPT_MS, Handovers
from asyncsched.stores._rows import CorruptError, Job
from asyncsched.stores._settings import checked_prefix
from asyncsched.stores._sqlite_board import SqliteBoard

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from asyncsched._grants import ClaimRequest, Lease
    from asyncsched.protocols import Clock
    from asyncsched.stores._database import Work
    from asyncsched.stores._decide import Now
    from asyncsched.stores._sqlite_posts import Post

REFRESH_INTERVAL = 1.0
"""Seconds: a pause reaches every process within 2 s."""
CLEANING_INTERVAL = 600.0
"""Seconds between two deletions of what has expired."""

T = TypeVar("T")


class SqliteStore:
    """A store in a file of this host.

    Args:
        url: ``sqlite:///`` and an absolute path. The file is made on first use, for its owner alone, in a folder that
            is there.
        prefix: stands in front of every job's name; separates applications that share a file.
        operation_timeout: longest time one operation may take, in seconds or as a ``timedelta``.
        clock: the clocks of the host, the same for all its processes; ``None``: the system's.

    Raises:
        ConfigurationError: another URL, or a setting out of its range.
    """

    def __init__(
        self, url: str, *, prefix: str = "", operation_timeout: float = 1.0, clock: Clock | None = None
    ) -> None:
        self._path = _file.path_of(url)
        self._prefix = f"{prefix} " if checked_prefix(prefix) else ""
        self._timeout = seconds(operation_timeout, what="operation_timeout", at_least=0.001)
        self._clock = SystemClock() if clock is None else clock
        self._paused: frozenset[str] = frozenset()
        self._handovers = Handovers()
        self._was_checked = False
        self._cleaned_at = float("-inf")
        self._inherited: list[Database] = []
        self.board = SqliteBoard(self._path, self._prefix, self._clock, self._ask)
        """Where the cluster's state is kept for people."""
        self._begin()

    def _begin(self) -> None:
        # Less than an operation has, so that it is SQLite that says what it has waited for.
        self._database = Database(self._path, self._clock, busy_timeout=self._timeout * 0.8)
        self._thread: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<SqliteStore {_file.SCHEME}{self._path}>"

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between two calls of ``refresh``."""
        return REFRESH_INTERVAL

    def time(self) -> float | None:
        """Return the host's wall clock, in seconds since the epoch."""
        return self._clock.time()

    def is_paused(self, job: str) -> bool:
        """Return whether the job is paused, as of the last ``refresh`` or ``set_paused``."""
        return job in self._paused

    async def refresh(self) -> Sequence[str]:
        """Fetch the names of the paused jobs and, if somebody listens, the ticks that were handed over, and let the
        nodes' reports go along; now and then, delete what has expired.

        Raises:
            StoreUnavailableError: the file could not be read.
        """
        with self.board.posting() as post:
            paused, handed = await self._ask("answer a refresh", partial(_look_and_post, post))
            post.take()
        self._paused = frozenset(job for name in paused if (job := self._job(name)) is not None)
        if self._handovers.are_wanted:
            entries = [(tick_us, owner, self._job(name)) for name, tick_us, owner in handed]
            self._handovers.tell(frozenset(f"{tick} {owner} {job}" for tick, owner, job in entries if job is not None))
        if self._clock.monotonic() >= self._cleaned_at + CLEANING_INTERVAL:
            self._cleaned_at = self._clock.monotonic()
            with suppress(StoreUnavailableError):  # nothing rests on it
                await self._write("delete what has expired", partial(_clean, _schema.CLEAN), is_durable=False)
                await self._write("delete what has expired", partial(_clean, _schema.CLEAN_BOARD), is_durable=False)
        return (*await self._look_for_unsafe(), *self.board.news())

    async def _look_for_unsafe(self) -> Sequence[str]:
        if self._was_checked:
            return ()
        found = await self._ask("look at its file system", lambda _: _file.warnings(self._path))
        self._was_checked = True
        return found

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, within a refresh after an interrupted run's lease was given back."""
        return self._handovers.listen(callback)

    async def set_paused(self, job: str, paused: bool) -> None:
        """Pause or resume a job for every process, until further notice.

        Raises:
            StoreUnavailableError: it may or may not be done; to repeat it is harmless.
        """
        what = f"{'pause' if paused else 'resume'} job {job!r}"
        await self._write(what, partial(_pause, self._name(job), paused), is_durable=True)
        self._paused = self._paused | {job} if paused else self._paused - {job}

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        """Decide all ``requests``, in one transaction; the answers stand in the same order.

        A grant is on the disk before it is answered: a tick that was granted shortly before a loss of power must not
        be caught up after it.

        Raises:
            StoreUnavailableError: nothing is known of any of them.
        """
        if not requests:
            return []
        return await self._write(f"decide {len(requests)} claims", partial(self._claim, requests), is_durable=True)

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        """Extend each lease by its ``lock_ttl`` if it is still its owner's. Never makes a missing one again."""
        if not leases:
            return []
        return await self._write(f"renew {len(leases)} leases", partial(self._renew, leases), is_durable=False)

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool | None]:
        """Free what is still the owner's; answer, for each lease, whether anything was; ``None``: nothing is known."""
        if not leases:
            return []
        return await self._write(f"release {len(leases)} leases", partial(self._release, leases), is_durable=False)

    async def close(self) -> None:
        """Close the connection and end the thread. The store may be used again afterwards, also on another loop."""
        if self._thread is None or self._process != os.getpid():
            return
        with suppress(StoreUnavailableError):
            await self._ask("close", Database.close)
        self._thread.shutdown(wait=False)
        self._thread = None

    async def _write(self, what: str, work: Work[T], *, is_durable: bool) -> T:
        give_up_at = boottime() + self._timeout
        return await self._ask(
            what, lambda database: database.write(work, give_up_at=give_up_at, is_durable=is_durable)
        )

    async def _ask(self, what: str, question: Callable[[Database], T]) -> T:
        """Ask in the thread, after what was asked before.

        Raises:
            StoreUnavailableError: no answer in time, or a failure; ``what`` may or may not be done.
        """
        if self._process != os.getpid():
            # SQLite must not be used on both sides of a fork, and closing is a use.
            self._inherited.append(self._database)
            self._begin()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="asyncsched-sqlite")
        try:
            async with asyncio.timeout(self._timeout) as bound:
                return await asyncio.get_running_loop().run_in_executor(self._thread, question, self._database)
        except FAILURES as error:
            why = f"no answer within {self._timeout:g} s" if bound.expired() else str(error)
            raise StoreUnavailableError(f"{_file.SCHEME}{self._path} could not {what}: {why}") from error

    # In the thread

    def _claim(self, requests: Sequence[ClaimRequest], connection: sqlite3.Connection, now: Now) -> list[ClaimAnswer]:
        jobs = self._load(connection, requests, now)
        answers = [_claim_of(request, jobs[request.job], now) for request in requests]
        _rows.save(connection, jobs.values())
        return answers

    def _renew(self, leases: Sequence[Lease], connection: sqlite3.Connection, now: Now) -> list[Renewal]:
        jobs = self._load(connection, leases, now)
        answers = [_renewal_of(lease, jobs[lease.job], now) for lease in leases]
        _rows.save(connection, jobs.values())
        return answers

    def _release(self, leases: Sequence[Lease], connection: sqlite3.Connection, now: Now) -> list[bool | None]:
        jobs = self._load(connection, leases, now)
        answers: list[bool | None] = []
        for lease in leases:
            job = jobs[lease.job]
            freed, hands_over = (None, False) if isinstance(job, CorruptError) else _decide.release(lease, job.state)
            if hands_over:
                entry = (self._name(lease.job), lease.tick_us, lease.owner, now.wall_us + KEPT_MS * 1_000)
                connection.execute("INSERT OR REPLACE INTO handed VALUES (?, ?, ?, ?)", entry)
            answers.append(freed)
        _rows.save(connection, jobs.values())
        return answers

    def _load(
        self, connection: sqlite3.Connection, items: Sequence[ClaimRequest | Lease], now: Now
    ) -> dict[str, Job | CorruptError]:
        names = {item.job: self._name(item.job) for item in items}
        found = _rows.load(connection, names.values(), now)
        return {job: found[name] for job, name in names.items()}

    def _name(self, job: str) -> str:
        return self._prefix + job

    def _job(self, name: object) -> str | None:
        """Return the job that ``name`` means, if it is one with our prefix."""
        if not isinstance(name, str) or not name.startswith(self._prefix):
            return None
        job = name.removeprefix(self._prefix)
        return None if " " in job else job


def _look(connection: sqlite3.Connection, now: Now) -> tuple[list[object], list[list[object]]]:
    found = connection.execute(_schema.LOOK, {"wall_us": now.wall_us}).fetchone()
    paused, handed = map(json.loads, found)
    return [name for (name,) in paused], handed


def _look_and_post(post: Post, database: Database) -> tuple[list[object], list[list[object]]]:
    found = database.read(_look)
    post.write(database)
    return found


def _clean(statements: Sequence[str], connection: sqlite3.Connection, now: Now) -> None:
    for statement in statements:
        connection.execute(statement, {"wall_us": now.wall_us, "monotonic_us": round(now.monotonic * 1e6)})


def _pause(name: str, paused: bool, connection: sqlite3.Connection, now: Now) -> None:
    (job,) = _rows.load(connection, [name], now).values()
    if isinstance(job, CorruptError):
        raise StoreUnavailableError(str(job))
    job.paused = paused
    _rows.save(connection, [job])


def _claim_of(request: ClaimRequest, job: Job | CorruptError, now: Now) -> ClaimAnswer:
    if isinstance(job, CorruptError):
        return ClaimAnswer(Verdict.CORRUPT, detail=str(job))
    return _decide.decide(request, job.state, now, paused=job.paused)


def _renewal_of(lease: Lease, job: Job | CorruptError, now: Now) -> Renewal:
    return Renewal.UNDECIDED if isinstance(job, CorruptError) else _decide.renew(lease, job.state, now)
