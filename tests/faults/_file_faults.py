"""Owns the faults of a store's file: locked, deleted, and with rows that others have touched.

Each makes its fault, waits, undoes it and returns what it has done.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress

from _cluster import Cluster
from _history import Fault

LOCKS_AND_RECORDS = (
    "DELETE FROM locks WHERE job = ? AND lock IN ('overlap', 'server')",
    "DELETE FROM ticks WHERE job = ?",
)
JOBS_AT_ONCE = 6


async def file_locked(cluster: Cluster, draw: random.Random) -> Fault:
    """Another program holds a lock on the file."""
    since = time.time()
    with closing(_connected(cluster)) as connection:
        await asyncio.to_thread(connection.execute, "BEGIN EXCLUSIVE")
        await asyncio.sleep(draw.uniform(0.3, 2.5))
        connection.execute("ROLLBACK")
    return cluster.fault("file_locked", since)


async def file_deleted(cluster: Cluster, draw: random.Random) -> Fault:
    """The file, and those beside it, are deleted while all nodes use them."""
    since = time.time()
    for ending in ("", "-wal", "-shm"):
        cluster.file.with_name(cluster.file.name + ending).unlink(missing_ok=True)
    await asyncio.sleep(draw.uniform(0.0, 0.5))
    return cluster.fault("file_deleted", since, jobs=tuple(spec.name for spec in cluster.guarded_jobs))


async def rows_deleted(cluster: Cluster, draw: random.Random) -> Fault:
    """Some jobs lose their locks and records."""
    since, jobs = time.time(), _drawn_jobs(cluster, draw)
    await _execute(cluster, LOCKS_AND_RECORDS, jobs)
    return cluster.fault("rows_deleted", since, jobs=jobs)


async def rows_foreign(cluster: Cluster, draw: random.Random) -> Fault:
    """The rows of some jobs hold what no asyncsched has written, until somebody deletes them."""
    since, jobs = time.time(), _drawn_jobs(cluster, draw)
    columns = draw.sample([("locks", "owner"), ("ticks", "run"), ("ticks", "tick_us"), ("jobs", "fence")], 2)
    await _execute(cluster, (f"UPDATE {table} SET {column} = x'00' WHERE job = ?" for table, column in columns), jobs)
    await asyncio.sleep(draw.uniform(0.5, 2.0))
    await _execute(cluster, (f"DELETE FROM {table} WHERE job = ?" for table, _ in columns), jobs)
    return cluster.fault("rows_foreign", since, jobs=jobs)


async def _execute(cluster: Cluster, statements: Iterable[str], jobs: tuple[str, ...]) -> None:
    def work() -> None:
        with closing(_connected(cluster)) as connection, suppress(sqlite3.OperationalError):  # a new file has no tables
            for statement in statements:
                connection.executemany(statement, [(job,) for job in jobs])

    await asyncio.to_thread(work)


def _connected(cluster: Cluster) -> sqlite3.Connection:
    return sqlite3.connect(cluster.file, timeout=10.0, isolation_level=None, check_same_thread=False)


def _drawn_jobs(cluster: Cluster, draw: random.Random) -> tuple[str, ...]:
    names = [spec.name for spec in cluster.guarded_jobs]
    return tuple(draw.sample(names, min(JOBS_AT_ONCE, len(names))))
