"""Owns the connection to a SQLite file: opened when it is needed, given up when the file is not the same any more, and
each transaction whole or not at all. Used by one thread; waits there, never longer than SQLite's busy timeout.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from asyncsched._clock import boottime
from asyncsched.stores import _file, _schema
from asyncsched.stores._decide import Now
from asyncsched.stores._file import UnusableFileError

if TYPE_CHECKING:
    from pathlib import Path

    from asyncsched.protocols import Clock

FAILURES = (sqlite3.Error, OSError, UnusableFileError)
"""What the file, or the way to it, can do to an operation."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection, Now], T]
"""What is done in one transaction, by one reading of the clocks."""


class Database:
    """One process's connection to the file.

    Args:
        path: the file; made when it is first used.
        clock: the host's clocks.
        busy_timeout: longest wait, in seconds, for a lock that another process has.
    """

    def __init__(self, path: Path, clock: Clock, *, busy_timeout: float) -> None:
        self._path = path
        # Whoever opens the file while one of the other two is gone, makes it anew, and sees neither the locks nor the
        # commits of those who have the old one.
        self._files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
        self._clock = clock
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._identity: _file.Identity = ()
        self._boot = _file.boot_id()
        self._knows_boot = False
        """Whether this connection has found, or noted, our start of the system in the file."""
        self._synchronous = ""

    def read(self, work: Work[T]) -> T:
        """Return what ``work`` finds, all of it of one instant. Waits for nobody.

        Raises:
            sqlite3.Error, OSError, UnusableFileError: the file could not be read.
        """
        return self._carry_out("BEGIN", work)

    def write(self, work: Work[T], *, give_up_at: float, is_durable: bool) -> T:
        """Carry out ``work``, and return what it returns once that is written.

        Args:
            work: what is done.
            give_up_at: instant of ``boottime`` after which nothing is begun: nobody waits for it any more.
            is_durable: whether it must outlive a loss of power, and not only the end of the process.

        Raises:
            sqlite3.Error, OSError, UnusableFileError: it may or may not be written.
        """

        def in_time(connection: sqlite3.Connection, now: Now) -> T:
            if boottime() > give_up_at:
                raise TimeoutError("it was locked for too long")
            self._check_boot(connection)
            return work(connection, now)

        self._synchronize("FULL" if is_durable else "NORMAL")
        try:
            answer = self._carry_out("BEGIN IMMEDIATE", in_time)
        except sqlite3.Error as error:
            if _code(error) != sqlite3.SQLITE_FULL:
                raise
            # The log cannot grow. What it holds is moved into the file, and it is written from its begin again.
            self._connected().execute("PRAGMA wal_checkpoint(RESTART)")
            answer = self._carry_out("BEGIN IMMEDIATE", in_time)
        self._knows_boot = True
        return answer

    def write_at_leisure(self, work: Work[T], *, patience: float) -> T:
        """Carry out what nothing rests on, and return what ``work`` returns.

        Args:
            work: what is done.
            patience: longest wait, in seconds, for a lock that another process has: others wait behind it here.

        Raises:
            sqlite3.Error, OSError, UnusableFileError: it may or may not be written.
        """
        self._wait_at_most(patience)
        try:
            return self.write(work, give_up_at=float("inf"), is_durable=False)
        finally:
            with suppress(sqlite3.Error):
                self._wait_at_most(self._busy_timeout)

    @property
    def patience(self) -> float:
        """The longest wait, in seconds, for a lock that another process has."""
        return self._busy_timeout

    def _wait_at_most(self, patience: float) -> None:
        if self._connection is not None:  # a new one begins with its own
            self._connection.execute(f"PRAGMA busy_timeout = {round(patience * 1_000)}")

    def close(self) -> None:
        """Close the connection, if there is one; the next use opens another."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _carry_out(self, begin: str, work: Work[T]) -> T:
        connection = self._connected()
        try:
            connection.execute(begin)
            answer = work(connection, self._now())
            connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back(connection, error)
            raise
        self._check_identity()
        return answer

    def _roll_back(self, connection: sqlite3.Connection, error: BaseException) -> None:
        with suppress(sqlite3.Error):
            connection.rollback()
        if isinstance(error, sqlite3.Error) and _code(error) not in _PASSING:
            self.close()  # whatever is wrong with it, a new connection has the best chances

    def _now(self) -> Now:
        wall = self._clock.time()
        # Where the system's start has no name, an instant of its monotonic clock means nothing after the next start.
        return Now(round(wall * 1_000_000), self._clock.monotonic() if self._boot else wall)

    def _connected(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity != _file.identity(*self._files):
            self._give_up()
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        _file.make_ready(self._path, _schema.build)
        connection = sqlite3.connect(self._path, timeout=self._busy_timeout, isolation_level=None)
        try:
            connection.text_factory = _text
            connection.execute("PRAGMA trusted_schema = OFF")
            _schema.prepare(connection)
            connection.execute("SELECT count(*) FROM boot").fetchone()  # from here on, all three are there
            self._identity = self._opened()
        except BaseException:
            connection.close()
            raise
        self._synchronous, self._knows_boot = "", False
        return connection

    def _opened(self) -> _file.Identity:
        """Return which files were opened.

        Raises:
            UnusableFileError: those of these names are others: some were deleted meanwhile, and made anew by others.
                Taken for ours, they would never differ again, and we would decide apart from everybody else.
        """
        found = _file.identity(*self._files)
        if not _file.is_open_here(found):
            raise UnusableFileError(f"{self._path} was deleted, or replaced, while it was opened")
        return found

    def _check_identity(self) -> None:
        """Make sure that what was read or written stands in the file of that name.

        Raises:
            UnusableFileError: it was deleted or replaced; others may have begun with a new one.
        """
        if self._identity != _file.identity(*self._files):
            self._give_up()
            raise UnusableFileError(f"{self._path} was deleted, or replaced, while it was used")

    def _give_up(self) -> None:
        """Close the connection to a file that is not the one of that name any more.

        What it leaves beside a new file is not that one's: SQLite would take the old log for the new file's.
        """
        # Both before closing: after that, their numbers may be used again.
        before, now = self._identity, _file.identity(*self._files)
        self.close()
        if before[0] == now[0]:
            return
        for index in (1, 2):
            if before[index] == now[index]:
                self._files[index].unlink(missing_ok=True)

    def _synchronize(self, how: str) -> None:
        connection = self._connected()
        if self._synchronous != how:
            connection.execute(f"PRAGMA synchronous = {how}")
            self._synchronous = how

    def _check_boot(self, connection: sqlite3.Connection) -> None:
        """End the locks of an earlier start of the system: their holders are dead, and their instants mean nothing.

        Raises:
            UnusableFileError: the start has changed while we use the file, so another system uses it too.
        """
        if connection.execute("SELECT id FROM boot").fetchone() != (self._boot,):
            if self._knows_boot:
                raise UnusableFileError(f"{self._path} is used by another machine too; one file is for one host")
            connection.execute("DELETE FROM locks")
            connection.execute("DELETE FROM boot")
            connection.execute("INSERT INTO boot VALUES (?)", (self._boot,))


def is_passing(error: Exception) -> bool:
    """Return whether ``error`` says nothing against the file: another process has it, or there is no room."""
    return isinstance(error, TimeoutError) or (isinstance(error, sqlite3.Error) and _code(error) in _PASSING)


_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL}
"""Errors that say nothing against the connection."""


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's own code without its details; 0 for an error that is not SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
