"""Owns the board in a SQLite file: where it is read, and where people's orders and notes are written.

What nodes write on it goes with their refresh: see ``_sqlite_posts``. All of it happens in the store's thread.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _board_rows, _board_text, _lock_records, _rows, _sqlite_check
from asyncsched.stores._outbox import Outbox
from asyncsched.stores._rows import CorruptError
from asyncsched.stores._sqlite_posts import Posts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from asyncsched._records import BoardText, Finding, LockRecord
    from asyncsched.protocols import Clock, Reporter
    from asyncsched.stores._database import Database, Work
    from asyncsched.stores._decide import Now
    from asyncsched.stores._sqlite_posts import Post

    Ask = Callable[[str, Callable[[Database], Any]], Awaitable[Any]]

JOBS_AT_ONCE = 1_000
"""Jobs of which the locks are read in one question."""

T = TypeVar("T")


class SqliteBoard:
    """The board of a store on a file.

    Args:
        path: the file.
        prefix: stands in front of every name.
        clock: the store's clock.
        ask: asks the database in the store's thread, within the store's time.
    """

    def __init__(self, path: Path, prefix: str, clock: Clock, ask: Ask) -> None:
        self._path = path
        self._ask = ask
        self._posts = Posts(prefix, clock)

    # What nodes write

    def attach(self, reporter: Reporter) -> Callable[[], Awaitable[None]]:
        """Let a node write down what ``reporter`` collects, with each refresh; return what ends that."""
        outbox = Outbox(reporter)
        self._posts.outboxes.append(outbox)
        return partial(self._leave, outbox)

    def posting(self) -> AbstractContextManager[Post]:
        """Return what goes with a refresh."""
        return self._posts.going(self._posts.outboxes)

    def news(self) -> Sequence[str]:
        """Return what there is to say of it to people, each thing once."""
        return self._posts.news()

    async def _leave(self, outbox: Outbox) -> None:
        if outbox not in self._posts.outboxes:
            return
        self._posts.outboxes.remove(outbox)
        with suppress(StoreUnavailableError), self._posts.going([outbox], farewell=True) as post:
            await self._ask("write down the last endings", post.write)
            post.take()

    # What people read

    async def read(self) -> BoardText:
        """Return all that is written down, but for endings.

        Raises:
            StoreUnavailableError: the file could not be read.
        """
        found: BoardText = await self._read("read the cluster's state", partial(_board_rows.read, self._posts.prefix))
        return found

    async def history(self, jobs: Sequence[str], most: int) -> Mapping[str, Sequence[str]]:
        """Return the newest endings of each job.

        Raises:
            StoreUnavailableError: the file could not be read.
        """
        if most <= 0:
            return dict.fromkeys(jobs, ())
        found: dict[str, Sequence[str]] = {}
        at_once = max(1, _board_text.MOST_ENDINGS // most)
        for start in range(0, len(jobs), at_once):
            names = {job: self._posts.name(job) for job in jobs[start : start + at_once]}
            found |= await self._read(
                f"read the history of {len(names)} jobs", partial(_board_rows.history, names, most)
            )
        return found

    # What people write, and nodes answer

    async def set_note(self, job: str, text: str | None) -> None:
        """Note who has paused a job, and why; ``None``: forget that."""
        await self._write("write a note", partial(_board_rows.set_note, self._posts.name(job), text))

    async def place_order(self, order_id: str, text: str) -> None:
        """Let every node hear of an order with its next refresh."""
        await self._write("place an order", partial(_board_rows.place_order, self._posts.name(order_id), text))

    async def take_order(self, order_id: str) -> bool:
        """Remove an order; ``True`` for exactly one caller."""
        return await self._write("take an order", partial(_board_rows.take_order, self._posts.name(order_id)))

    async def answer_order(self, order_id: str, text: str) -> None:
        """Keep what became of an order."""
        await self._write("answer an order", partial(_board_rows.answer_order, self._posts.name(order_id), text))

    async def answer_to(self, order_id: str) -> str | None:
        """Return what became of an order; ``None``: nothing is known yet."""
        return await self._read("read an answer", partial(_board_rows.answer_to, self._posts.name(order_id)))

    # What stands there of claims

    async def locks(self, jobs: Sequence[str]) -> Sequence[LockRecord]:
        """Return the locks and records of these jobs. Those of a job that is corrupt are left out."""
        found: list[LockRecord] = []
        for start in range(0, len(jobs), JOBS_AT_ONCE):
            some = jobs[start : start + JOBS_AT_ONCE]
            found += await self._read(f"read the locks of {len(some)} jobs", partial(self._locks, some))
        return found

    def _locks(self, jobs: Sequence[str], connection: sqlite3.Connection, now: Now) -> list[LockRecord]:
        names = {self._posts.name(job): job for job in jobs}
        states = _rows.load(connection, names, now)
        return [
            record
            for name, state in states.items()
            if not isinstance(state, CorruptError)
            for record in _lock_records.of_state(names[name], state.state, now)
        ]

    async def check(self) -> Sequence[Finding]:
        """Look at the file, and at what is around it."""
        found: Sequence[Finding] = await self._ask("be looked at", partial(_sqlite_check.look, self._path))
        return found

    async def _read(self, what: str, work: Work[T]) -> T:
        answer: T = await self._ask(what, lambda database: database.read(work))
        return answer

    async def _write(self, what: str, work: Work[T]) -> T:
        answer: T = await self._ask(what, lambda database: database.write_at_leisure(work, patience=database.patience))
        return answer
