"""Owns how the states of jobs become rows of a SQLite file and come back: read strictly, and written as they change.

A row that is not as ``_schema`` says makes its job corrupt, and no other one.

The rows of all jobs travel as JSON, in one statement for reading and one for each table for writing. Each step of a
statement gives up the interpreter's lock; if the event loop is busy, getting it back takes milliseconds, so a step for
each row would cost a batch of jobs seconds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from asyncsched._grants import MOST_SLOTS, LockType, Verdict
from asyncsched.stores import _schema
from asyncsched.stores._decide import Held, JobState, Lock, Now, Open, Record, slot_lock

if TYPE_CHECKING:
    import sqlite3

LARGEST = 2**53 - 1
"""Of all numbers, as in the scripts."""
A_DAY_US = 86_400_000_000

Row = tuple[Any, ...]
"""The job's name, and then the table's other columns."""
Rows = dict[tuple[str, Row], Row]
"""Rows by their table and key."""


RECORDED = {verdict.value: verdict for verdict in (Verdict.WON, Verdict.OVERLAP, Verdict.LOST_RECORD)}
LOCKS = {lock.value: lock for lock in (LockType.SERVER, LockType.OVERLAP, LockType.START)}


class CorruptError(Exception):
    """A row that none of us has written; the message names its table."""


class Job:
    """One job as it is read, to be changed and written back.

    Args:
        rows: what stands in the tables of it.
        now: what has ended by then is forgotten.

    Raises:
        CorruptError: a row is not as it should be.
    """

    __slots__ = ("_name", "_rows", "paused", "state")

    def __init__(self, name: str, rows: Rows, now: Now) -> None:
        self._name = name
        self._rows = rows
        self.paused = False
        self.state = JobState()
        for (table, _), row in rows.items():
            try:
                _READERS[table](self, now.wall_us + A_DAY_US, *row[1:])
            except (TypeError, ValueError):
                raise CorruptError(f"table {table} holds something foreign for it") from None
        self.state.expire(now)

    def read_state(
        self,
        latest: int,
        fence: object,
        granted_us: object,
        until_us: object,
        paused: object,
        runs: object,
        unwanted: object,
    ) -> None:
        self.state.fence = _number(fence, LARGEST - 1)
        self.state.granted_us = _number(granted_us, latest)
        self.state.open_until_us = _number(until_us)
        self.paused = _number(paused, 1) == 1
        self.state.runs = _number(runs)
        self.state.unwanted = _number(unwanted)

    def read_record(
        self, latest: int, tick_us: object, run: object, fence: object, verdict: object, until_us: object
    ) -> None:
        if not isinstance(verdict, str) or verdict not in RECORDED:
            raise ValueError(verdict)
        self.state.record = Record(
            _number(tick_us, latest), _text(run), _number(fence), RECORDED[verdict], _number(until_us)
        )

    def read_lock(self, _: int, lock: object, owner: object, fence: object, until_us: object) -> None:
        self.state.locks[_lock(_text(lock))] = Held(_text(owner), _number(fence), _number(until_us) / 1e6)

    def read_open(self, _: int, tick_us: object, attempt: object, owner: object) -> None:
        self.state.open[_number(tick_us)] = Open(_number(attempt, LARGEST - 1), _text(owner))

    def changes(self) -> tuple[Rows, Rows]:
        """Return the rows to write and those to delete."""
        after = dict(self._rows_now())
        written = {key: row for key, row in after.items() if self._rows.get(key) != row}
        return written, {key: row for key, row in self._rows.items() if key not in after}

    def _rows_now(self) -> Iterable[tuple[tuple[str, Row], Row]]:
        name, state, record = self._name, self.state, self.state.record
        kept = (state.fence, state.granted_us, state.open_until_us, int(self.paused), state.runs, state.unwanted)
        if any(kept):
            yield ("jobs", (name,)), (name, *kept)
        if record is not None:
            row = (name, record.tick_us, record.run, record.fence, record.verdict.value, record.until_us)
            yield ("ticks", (name,)), row
        for lock, held in state.locks.items():
            word = str(lock) if isinstance(lock, str) else f"{LockType.RUN}:{lock}"
            yield ("locks", (name, word)), (name, word, held.owner, held.fence, round(held.until * 1e6))
        for tick_us, entry in state.open.items():
            yield ("open", (name, tick_us)), (name, tick_us, entry.attempt, entry.owner)


_READERS: dict[str, Callable[..., None]] = {
    "jobs": Job.read_state,
    "ticks": Job.read_record,
    "locks": Job.read_lock,
    "open": Job.read_open,
}


def _number(value: object, most: int = LARGEST) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value


def _lock(word: str) -> Lock:
    if word in LOCKS:
        return LOCKS[word]
    kind, _, number = word.partition(":")
    if kind not in (LockType.RUN, LockType.OVERLAP) or not (number.isascii() and number.isdigit()):
        raise ValueError(word)
    if kind == LockType.RUN:
        return _number(int(number))
    if word != slot_lock(_number(int(number), MOST_SLOTS - 1)):
        raise ValueError(word)
    return word


def load(connection: sqlite3.Connection, names: Iterable[str], now: Now) -> dict[str, Job | CorruptError]:
    """Read the jobs of these names, whether or not there are any such rows."""
    wanted = dict.fromkeys(names)
    texts = connection.execute(_schema.READ, {"names": json.dumps(list(wanted))}).fetchone()
    found: defaultdict[str, Rows] = defaultdict(dict)
    for (name, table), text in zip(_schema.TABLES.items(), texts, strict=True):
        for row in json.loads(text):
            found[row[0]][name, tuple(row[: len(table.keys)])] = tuple(row)
    return {name: _job(name, found[name], now) for name in wanted}


def _job(name: str, rows: Rows, now: Now) -> Job | CorruptError:
    try:
        return Job(name, rows, now)
    except CorruptError as error:
        return error


def save(connection: sqlite3.Connection, jobs: Iterable[Job | CorruptError]) -> None:
    """Write back what has changed of these jobs. Those that are corrupt stay as they are."""
    written: defaultdict[str, list[Row]] = defaultdict(list)
    deleted: defaultdict[str, list[Row]] = defaultdict(list)
    for job in jobs:
        if isinstance(job, CorruptError):
            continue
        for found, rows in zip((written, deleted), job.changes(), strict=True):
            for (table, _), row in rows.items():
                found[table].append(row)
    _execute(connection, _schema.WRITE, written)
    _execute(connection, _schema.DELETE, deleted)


def _execute(connection: sqlite3.Connection, statements: Mapping[str, str], rows: Mapping[str, list[Row]]) -> None:
    for table, some in rows.items():
        connection.execute(statements[table], (json.dumps(some),))
