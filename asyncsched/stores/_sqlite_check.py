"""Owns what is looked at when somebody wants to know whether the file of a store is well. Judges what it finds of the
file; sizes and times are judged in ``_findings``."""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING

from asyncsched._clock import boottime
from asyncsched.stores import _file, _findings, _schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from asyncsched._records import Finding
    from asyncsched.stores._database import Database
    from asyncsched.stores._decide import Now

ROUND_TRIPS = 5


def look(path: Path, database: Database) -> Sequence[Finding]:
    """Look at the file, in the thread.

    Raises:
        sqlite3.Error, OSError, UnusableFileError: it could not be read.
    """
    round_trips = []
    for _ in range(ROUND_TRIPS):
        begun_at = boottime()
        mode, version = database.read(_settings)
        round_trips.append(boottime() - begun_at)
    return [
        _findings.latency(f"{_file.SCHEME}{path}", round_trips),
        *_places(path),
        _findings.ok(f"journal mode {mode}") if mode == "wal" else _findings.error(
            f"journal mode {mode}", "Let nobody change it: asyncsched needs wal."
        ),
        _findings.ok(f"schema {version}") if version == _schema.VERSION else _findings.error(
            f"schema {version}; this version knows {_schema.VERSION}", "Run the same version in all processes."
        ),
        _findings.file_size(sum(each.stat().st_size for each in (path, path.with_name(f"{path.name}-wal")))),
        _findings.free_disk(shutil.disk_usage(path.parent).free),
    ]  # fmt: skip


def _settings(connection: sqlite3.Connection, now: Now) -> tuple[str, int]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return str(mode), int(version)


def _places(path: Path) -> list[Finding]:
    """Judge who may get at the file. What the store refuses altogether is not among it."""
    unsafe = _file.warnings(path)
    found = [_findings.warning(text, "Move it, or use Redis.") for text in unsafe]
    if not unsafe:
        found.append(_findings.ok("file system: a local one, as far as it is told"))
    if os.name != "posix":
        return found
    file, folder = path.stat(), path.parent.stat()
    what = f"file: mode {stat.S_IMODE(file.st_mode):04o}, folder: mode {stat.S_IMODE(folder.st_mode):04o}"
    if folder.st_mode & stat.S_IWOTH:
        found.append(_findings.warning(what, f"Everybody may make files in {path.parent}: use a folder of its own."))
    elif file.st_mode & stat.S_IROTH:
        found.append(_findings.warning(what, f"Everybody may read it: chmod o-r {path}."))
    else:
        found.append(_findings.ok(what))
    if file.st_uid != os.geteuid():
        found.append(_findings.warning(f"owner: user {file.st_uid}", "Let the service's own user have the file."))
    return found
