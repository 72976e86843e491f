"""Owns the table that all guarded runs write to, and that refuses late writers: SQLite, shared by all processes.

It also keeps the order in which writes were accepted, so that whether a late one was can be judged without trusting
the fences.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

_TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE latest (job TEXT PRIMARY KEY, fence INTEGER NOT NULL, tick_us INTEGER, attempt INTEGER) WITHOUT ROWID;
CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT, fence INTEGER, tick_us INTEGER, attempt INTEGER
);
CREATE TRIGGER first AFTER INSERT ON latest BEGIN
    INSERT INTO history VALUES (NULL, new.job, new.fence, new.tick_us, new.attempt);
END;
CREATE TRIGGER further AFTER UPDATE ON latest BEGIN
    INSERT INTO history VALUES (NULL, new.job, new.fence, new.tick_us, new.attempt);
END;
"""
_WRITE = """
INSERT INTO latest VALUES (?, ?, ?, ?)
ON CONFLICT (job) DO UPDATE SET fence = excluded.fence, tick_us = excluded.tick_us, attempt = excluded.attempt
WHERE excluded.fence >= latest.fence
"""


def is_free(database: sqlite3.Connection) -> bool:
    """Return whether nobody is in the middle of a write."""
    try:
        database.execute("PRAGMA busy_timeout = 50")
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    return True


class AcceptedWrite(NamedTuple):
    """One row of the history."""

    job: str
    fence: int
    tick_us: int
    attempt: int


class FencedTable:
    """One connection to the table."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        self._database.execute("PRAGMA synchronous = OFF")

    @classmethod
    def create(cls, path: Path) -> FencedTable:
        """Make the table."""
        table = cls(path)
        table._database.executescript(_TABLES)
        return table

    def write(self, job: str, fence: int, tick_us: int, attempt: int) -> bool:
        """Write unless a run with a higher fence has written before; return whether it was written."""
        return self._database.execute(_WRITE, (job, fence, tick_us, attempt)).rowcount == 1

    def is_free(self) -> bool:
        """Return whether nobody is in the middle of a write."""
        return is_free(self._database)

    def history(self) -> list[AcceptedWrite]:
        """Return the accepted writes in their order."""
        rows = self._database.execute("SELECT job, fence, tick_us, attempt FROM history ORDER BY number")
        return [AcceptedWrite(*row) for row in rows]

    def close(self) -> None:
        self._database.close()
