"""Owns the tables of a SQLite file, the statements on them, and whether a file is one of ours.

    jobs    what outlives a job's runs: the newest fence, the newest tick ever granted, whether it is paused; until when
            its open ticks are kept; with ``max_runs``, how many ticks were granted; and, with
            ``without_overlapping("cancel_running")``, the fence of the run that was asked to end last
    ticks   the newest decided tick of a job, and what was answered to whom
    locks   who holds what, by the lock's type; ``run:<tick>`` for the lease of one tick's run, and, with
            ``max_concurrent``, ``overlap:<slot>`` for a slot but the first
    open    with ``rerun_on_crash``: the ticks that were granted and have not finished
    handed  with ``rerun_on_crash``: interrupted ticks whose lease was given back
    boot    one row: the start of the system by whose monotonic clock the locks end

What is kept for people only (``_board_rows`` has the statements on it):

    history     endings of ticks, at most ``history`` of each job
    reports     what each process says of itself
    catalogues  definitions of jobs, by their digest
    fire_times  when each job is due next
    successes   when a run of each job ended well last
    notes       who has paused a job, or all of them, and why
    orders      what was asked for and not taken yet
    answers     what became of it

Instants are microseconds of the wall clock; only those of ``locks`` are the monotonic clock's. With a ``prefix``, the
name of a job in ``job`` is ``<prefix> <job>``: neither of them may hold a space.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from asyncsched.stores._file import UnusableFileError

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID = 0x61737973
"""``asys``, in the head of the file."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        job TEXT PRIMARY KEY, fence INTEGER NOT NULL, granted_us INTEGER NOT NULL, open_until_us INTEGER NOT NULL,
        paused INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE ticks (
        job TEXT PRIMARY KEY, tick_us INTEGER NOT NULL, run TEXT NOT NULL, fence INTEGER NOT NULL,
        verdict TEXT NOT NULL, until_us INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE locks (
        job TEXT NOT NULL, lock TEXT NOT NULL, owner TEXT NOT NULL, fence INTEGER NOT NULL, until_us INTEGER NOT NULL,
        PRIMARY KEY (job, lock)
    ) WITHOUT ROWID;
    CREATE TABLE open (
        job TEXT NOT NULL, tick_us INTEGER NOT NULL, attempt INTEGER NOT NULL, owner TEXT NOT NULL,
        PRIMARY KEY (job, tick_us)
    ) WITHOUT ROWID;
    CREATE TABLE handed (
        job TEXT NOT NULL, tick_us INTEGER NOT NULL, owner TEXT NOT NULL, until_us INTEGER NOT NULL,
        PRIMARY KEY (job, tick_us, owner)
    ) WITHOUT ROWID;
    CREATE TABLE boot (id TEXT NOT NULL)
    """,
    """
    ALTER TABLE jobs ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN unwanted INTEGER NOT NULL DEFAULT 0
    """,
    """
    CREATE TABLE history (
        id INTEGER PRIMARY KEY, job TEXT NOT NULL, at_us INTEGER NOT NULL, until_us INTEGER NOT NULL,
        ending TEXT NOT NULL
    );
    CREATE INDEX history_of_job ON history (job);
    CREATE INDEX history_until ON history (until_us);
    CREATE TABLE reports (
        node TEXT PRIMARY KEY, at_us INTEGER NOT NULL, until_us INTEGER NOT NULL, digest TEXT NOT NULL,
        report TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE catalogues (
        digest TEXT PRIMARY KEY, until_us INTEGER NOT NULL, definitions TEXT NOT NULL
    );
    CREATE TABLE fire_times (
        job TEXT PRIMARY KEY, at_us INTEGER NOT NULL, until_us INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE successes (
        job TEXT PRIMARY KEY, at_us INTEGER NOT NULL, until_us INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE notes (job TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE orders (id TEXT PRIMARY KEY, until_us INTEGER NOT NULL, placed TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE answers (id TEXT PRIMARY KEY, until_us INTEGER NOT NULL, answer TEXT NOT NULL) WITHOUT ROWID
    """,
)
"""What brings a file from each version to the next. Only ever add to the end."""

VERSION = len(MIGRATIONS)


class Table(NamedTuple):
    """The columns of a table of which each row belongs to a job, in the order of the tables above."""

    keys: tuple[str, ...]
    others: tuple[str, ...]


TABLES = {
    "jobs": Table(("job",), ("fence", "granted_us", "open_until_us", "paused", "runs", "unwanted")),
    "ticks": Table(("job",), ("tick_us", "run", "fence", "verdict", "until_us")),
    "locks": Table(("job", "lock"), ("owner", "fence", "until_us")),
    "open": Table(("job", "tick_us"), ("attempt", "owner")),
}


def as_json(*columns: str) -> str:
    """Return the expression for rows as a JSON array of arrays. Bytes and infinity have no place in it, and ours have
    neither, nor any other real number."""
    safe = ", ".join(
        f"CASE WHEN typeof({column}) IN ('blob', 'real') THEN NULL ELSE {column} END" for column in columns
    )
    return f"json_group_array(json_array({safe}))"


def of_json(*columns: str) -> str:
    values = ", ".join(f"json_extract(value, '$[{index}]')" for index in range(len(columns)))
    return f"SELECT {values} FROM json_each(?)"


def _read(name: str, table: Table) -> str:
    columns = as_json(*table.keys, *table.others)
    return f"(SELECT {columns} FROM {name} WHERE job IN (SELECT value FROM json_each(:names)))"


READ = "SELECT " + ", ".join(_read(name, table) for name, table in TABLES.items())
"""All rows of the jobs ``names`` (JSON), as JSON for each table."""
WRITE = {name: f"INSERT OR REPLACE INTO {name} {of_json(*table.keys, *table.others)}" for name, table in TABLES.items()}
"""Writes rows (JSON) of each table."""
DELETE = {
    name: f"DELETE FROM {name} WHERE ({', '.join(table.keys)}) IN ({of_json(*table.keys)})"
    for name, table in TABLES.items()
}
"""Deletes rows (JSON) of each table, by their keys."""
LOOK = (
    f"SELECT (SELECT {as_json('job')} FROM jobs WHERE paused = 1), "
    f"(SELECT {as_json('job', 'tick_us', 'owner')} FROM handed WHERE until_us > :wall_us)"
)
"""What a refresh wants to know, as JSON."""
CLEAN = (
    "DELETE FROM ticks WHERE until_us <= :wall_us",
    "DELETE FROM open WHERE job IN (SELECT job FROM jobs WHERE open_until_us <= :wall_us)",
    "DELETE FROM handed WHERE until_us <= :wall_us",
    "DELETE FROM locks WHERE until_us <= :monotonic_us",
)
"""Deletes what nobody asks for any more."""
CLEAN_BOARD = tuple(
    f"DELETE FROM {table} WHERE until_us <= :wall_us"
    for table in ("history", "reports", "catalogues", "fire_times", "successes", "orders", "answers")
)
"""The same of what is kept for people."""


def build(path: Path) -> None:
    """Make of an empty file one of ours."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        prepare(connection)


def prepare(connection: sqlite3.Connection) -> None:
    """Make sure that the file is one of ours, and of this version; migrate it if need be, or make it of an empty one.

    Raises:
        UnusableFileError: it is somebody else's, or of a newer version. Nothing was changed then.
        sqlite3.Error: it cannot be read or written.
    """
    _check(connection)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise UnusableFileError(f"its file system does not allow a write-ahead log (journal mode {mode})")
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for migration in MIGRATIONS[_version(connection) :]:  # another process may have done it meanwhile
        for statement in migration.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _check(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")  # all of one instant: another process may be making the tables
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    version = _version(connection)
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if application == APPLICATION_ID:
        if version > VERSION:
            raise UnusableFileError(
                f"it was made by a newer version of asyncsched (schema {version}; this one knows {VERSION})"
            )
        return
    if application or version or tables:
        raise UnusableFileError("it is a database of another program (no application_id of asyncsched)")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)
