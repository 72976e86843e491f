"""Owns the statements on those tables of a SQLite file that are kept for people, and how their rows are read: strictly.

Rows travel as JSON, one statement for each table, as those of the jobs do. What is not as it should be is left out. The
names of jobs, nodes and orders stand behind a store's prefix.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asyncsched._records import BoardText
from asyncsched.stores import _board_text, _schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from asyncsched._records import Posting
    from asyncsched.stores._decide import Now

WRITE_HISTORY = (
    "INSERT INTO history (job, at_us, until_us, ending) "
    f"{_schema.of_json('job', 'at_us', 'until_us', 'ending')} ORDER BY key"
)
TRIM_HISTORY = """
    WITH bounds AS (
        SELECT value AS job, (
            SELECT id FROM history WHERE history.job = value ORDER BY id DESC LIMIT 1 OFFSET :most
        ) AS newest FROM json_each(:names)
    )
    DELETE FROM history WHERE id IN (
        SELECT history.id FROM bounds JOIN history ON history.job = bounds.job AND history.id <= bounds.newest
    )
"""
WRITE_REPORT = "INSERT OR REPLACE INTO reports (node, at_us, until_us, digest, report) VALUES (?, ?, ?, ?, ?)"
WRITE_CATALOGUE = "INSERT OR REPLACE INTO catalogues (digest, until_us, definitions) VALUES (?, ?, ?)"
WRITE_FIRE_TIMES = (
    f"INSERT OR REPLACE INTO fire_times (job, at_us, until_us) {_schema.of_json('job', 'at_us', 'until_us')}"
)
DELETE_FIRE_TIMES = "DELETE FROM fire_times WHERE job IN (SELECT value FROM json_each(?))"
WRITE_SUCCESSES = f"""
    INSERT INTO successes (job, at_us, until_us) {_schema.of_json("job", "at_us", "until_us")} WHERE true
    ON CONFLICT (job) DO UPDATE
    SET at_us = max(at_us, excluded.at_us), until_us = max(until_us, excluded.until_us)
"""
READ_HISTORY = """
    SELECT value, (
        SELECT json_group_array(CASE typeof(ending) WHEN 'text' THEN ending END) FROM (
            SELECT ending FROM history WHERE job = value AND until_us > :wall_us ORDER BY id DESC LIMIT :most
        )
    ) FROM json_each(:names)
"""
DELETE_ORDERS = """
    DELETE FROM orders WHERE until_us <= :wall_us
    OR id IN (SELECT id FROM orders ORDER BY until_us DESC LIMIT -1 OFFSET :most)
"""


def _named(column: str, rest: str, table: str, condition: str = "true") -> str:
    """Return the statement for the rows of one prefix."""
    columns = _schema.as_json(column, *rest.split(", "))
    return (
        f"SELECT {columns} FROM (SELECT {column}, {rest} FROM {table} WHERE {condition} "
        f"AND instr({column}, ' ') = length(:prefix) AND substr({column}, 1, length(:prefix)) = :prefix LIMIT :most)"
    )


READ_REPORTS = _named("node", "at_us, digest, report", "reports", "until_us > :wall_us")
READ_FIRE_TIMES = _named("job", "at_us", "fire_times", "until_us > :wall_us")
READ_SUCCESSES = _named("job", "at_us", "successes", "until_us > :wall_us")
READ_NOTES = _named("job", "note", "notes")
READ_PAUSED = _named("job", "paused", "jobs", "paused = 1")
READ_ORDERS = _named("id", "placed", "orders", "until_us > :wall_us AND until_us <= :latest_us")
READ_CATALOGUES = (
    f"SELECT {_schema.as_json('digest', 'definitions')} FROM catalogues "
    "WHERE digest IN (SELECT value FROM json_each(:digests)) AND until_us > :wall_us"
)


def post(
    posting: Posting,
    digest: str,
    name: Callable[[str], str],
    with_report: bool,
    is_farewell: bool,
    connection: sqlite3.Connection,
    now: Now,
) -> None:
    """Write down what a node has to say."""
    if is_farewell:
        connection.execute("DELETE FROM reports WHERE node = ?", (name(posting.node),))
    elif with_report:
        until_us = now.wall_us + _us(_board_text.REPORT_KEPT)
        connection.execute(WRITE_REPORT, (name(posting.node), now.wall_us, until_us, digest, posting.report))
    if posting.catalogue is not None and len(posting.catalogue[1]) <= _board_text.LONGEST_CATALOGUE:
        until_us = now.wall_us + _us(_board_text.REPORT_KEPT)
        connection.execute(WRITE_CATALOGUE, (posting.catalogue[0], until_us, posting.catalogue[1]))
    _write_instants(connection, posting, name)
    if posting.history > 0:
        _write_history(connection, posting, name)


def _write_instants(connection: sqlite3.Connection, posting: Posting, name: Callable[[str], str]) -> None:
    kept = _us(_board_text.FIRE_TIME_KEPT)
    due = [(name(job), at_us, at_us + kept) for job, at_us in posting.fire_times.items() if at_us > 0]
    never = [name(job) for job, at_us in posting.fire_times.items() if at_us <= 0]
    kept = _us(_board_text.SUCCESS_KEPT)
    successes = [(name(job), at_us, at_us + kept) for job, at_us in posting.successes.items()]
    for statement, rows in ((WRITE_FIRE_TIMES, due), (DELETE_FIRE_TIMES, never), (WRITE_SUCCESSES, successes)):
        if rows:
            connection.execute(statement, (json.dumps(rows),))


def _write_history(connection: sqlite3.Connection, posting: Posting, name: Callable[[str], str]) -> None:
    kept = _us(posting.history_for)
    rows = [
        (name(job), at_us, at_us + kept, text)
        for job, texts in posting.endings.items()
        for text in texts[-posting.history :]
        if (at_us := _board_text.ended_us(text)) is not None
    ]
    if rows:
        connection.execute(WRITE_HISTORY, (json.dumps(rows),))
        names = json.dumps([name(job) for job in posting.endings])
        connection.execute(TRIM_HISTORY, {"names": names, "most": posting.history})


# Reading


def read(prefix: str, connection: sqlite3.Connection, now: Now) -> BoardText:
    """Return all that is written down, but for endings, of the names behind a prefix."""
    terms = {"prefix": prefix, "wall_us": now.wall_us, "most": _board_text.MOST_JOBS}
    reports = {
        node: (text, max(0.0, (now.wall_us - at_us) / 1e6), digest)
        for node, at_us, digest, text in _rows(connection, READ_REPORTS, terms | {"most": _board_text.MOST_NODES}, 4)
        if type(at_us) is int and isinstance(digest, str) and _is_text(text) and _board_text.is_name(node)
    }
    digests = list(dict.fromkeys(digest for _, _, digest in reports.values()))[: _board_text.MOST_CATALOGUES]
    catalogues = _rows(connection, READ_CATALOGUES, {"digests": json.dumps(digests), "wall_us": now.wall_us}, 2)
    notes = _rows(connection, READ_NOTES, terms, 2)
    return BoardText(
        now=now.wall_us / 1e6,
        reports={node: (text, age) for node, (text, age, _) in sorted(reports.items())},
        catalogues={digest: text for digest, text in catalogues if _is_text(text, _board_text.LONGEST_CATALOGUE)},
        fire_times=_instants(_rows(connection, READ_FIRE_TIMES, terms, 2)),
        successes=_instants(_rows(connection, READ_SUCCESSES, terms, 2)),
        notes={job: note for job, note in notes if _is_text(note) and (job == "*" or _board_text.is_name(job))},
        paused=frozenset(job for job, _ in _rows(connection, READ_PAUSED, terms, 2)),
    )


def orders(prefix: str, connection: sqlite3.Connection, now: Now) -> list[str]:
    """Return the texts of the orders that are open."""
    terms = {"prefix": prefix, "wall_us": now.wall_us, "most": _board_text.MOST_ORDERS}
    terms |= {"latest_us": now.wall_us + _us(2 * _board_text.ORDER_KEPT)}
    return [text for _, text in _rows(connection, READ_ORDERS, terms, 2) if _is_text(text)]


def history(names: Mapping[str, str], most: int, connection: sqlite3.Connection, now: Now) -> dict[str, Sequence[str]]:
    """Return the newest endings of each job; ``names`` says under which name it stands."""
    terms = {"names": json.dumps(list(names.values())), "most": most, "wall_us": now.wall_us}
    found = {name: json.loads(texts) for name, texts in connection.execute(READ_HISTORY, terms)}
    return {job: _board_text.newest_first(found.get(name, ()), most) for job, name in names.items()}


def place_order(name: str, text: str, connection: sqlite3.Connection, now: Now) -> None:
    """Write an order down; delete those that nobody took, and of too many the oldest."""
    until_us = now.wall_us + _us(_board_text.ORDER_KEPT)
    connection.execute("INSERT OR REPLACE INTO orders (id, until_us, placed) VALUES (?, ?, ?)", (name, until_us, text))
    connection.execute(DELETE_ORDERS, {"wall_us": now.wall_us, "most": _board_text.MOST_ORDERS})


def take_order(name: str, connection: sqlite3.Connection, now: Now) -> bool:
    """Delete an order; return whether it was there."""
    deleted = connection.execute("DELETE FROM orders WHERE id = ? AND until_us > ?", (name, now.wall_us))
    return deleted.rowcount == 1


def answer_order(name: str, text: str, connection: sqlite3.Connection, now: Now) -> None:
    """Write down what became of an order."""
    row = (name, now.wall_us + _us(_board_text.ORDER_KEPT), text)
    connection.execute("INSERT OR REPLACE INTO answers (id, until_us, answer) VALUES (?, ?, ?)", row)


def answer_to(name: str, connection: sqlite3.Connection, now: Now) -> str | None:
    """Return what became of an order."""
    row = connection.execute("SELECT answer FROM answers WHERE id = ? AND until_us > ?", (name, now.wall_us)).fetchone()
    return row[0] if row is not None and _is_text(row[0]) else None


def set_note(name: str, text: str | None, connection: sqlite3.Connection, now: Now) -> None:
    """Note something of a job; ``None``: forget that."""
    if text is None:
        connection.execute("DELETE FROM notes WHERE job = ?", (name,))
    else:
        connection.execute("INSERT OR REPLACE INTO notes (job, note) VALUES (?, ?)", (name, text))


def _rows(connection: sqlite3.Connection, statement: str, terms: Mapping[str, object], width: int) -> list[list[Any]]:
    """Return rows as JSON brought them; those of a prefix without it."""
    (text,) = connection.execute(statement, terms).fetchone()
    behind = len(str(terms.get("prefix", "")))
    rows = [row for row in json.loads(text) if len(row) == width and isinstance(row[0], str)]
    return [[row[0][behind:], *row[1:]] for row in rows]


def _instants(rows: Iterable[Sequence[Any]]) -> dict[str, int]:
    return {
        job: at_us
        for job, at_us in rows
        if type(at_us) is int and 0 < at_us <= _board_text.LATEST_US and _board_text.is_name(job)
    }


def _is_text(value: object, longest: int = _board_text.LONGEST_REPORT) -> bool:
    return isinstance(value, str) and len(value) <= longest


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
