"""What stands in the file of a store, whose file it may be, and when what is in it ends."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, SqliteBackend, decide, rerun, survey, tick, verdict, won

from asyncsched._grants import Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _file, _schema
from asyncsched.stores.sqlite import CLEANING_INTERVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TABLES = ("jobs", "ticks", "locks", "open", "handed")


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[SqliteBackend]:
    made = SqliteBackend(tmp_path)
    yield made
    await made.close()


def counts(backend: SqliteBackend) -> dict[str, int]:
    return {table: backend.execute(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


async def busy(backend: SqliteBackend) -> Any:
    """A store with a row in each table."""
    store, now = backend.store(), backend.now_us()
    held = await won(store, tick(now - 1, max_attempts=3, retain_for=30.0), SERVER, RUN)
    await store.release([held])
    await won(store, tick(now, "n1:r2", no_overlap=True, max_attempts=3, retain_for=30.0), SERVER, RUN, OVERLAP)
    return store


async def test_all_its_files_are_their_owners_alone(backend: SqliteBackend) -> None:
    await busy(backend)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in backend.path.parent.iterdir()}
    assert modes == {"jobs.db": 0o600, "jobs.db-wal": 0o600, "jobs.db-shm": 0o600}


async def test_a_new_file_says_whose_it_is(backend: SqliteBackend) -> None:
    await busy(backend)

    assert backend.execute("PRAGMA application_id") == [(_schema.APPLICATION_ID,)]
    assert backend.execute("PRAGMA user_version") == [(_schema.VERSION,)]
    assert backend.execute("PRAGMA journal_mode") == [("wal",)]
    assert min(counts(backend).values()) >= 1


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["CREATE TABLE theirs (x)"], "a database of another program"),
        (["PRAGMA application_id = 7"], "a database of another program"),
        (["PRAGMA user_version = 7"], "a database of another program"),
        (
            [f"PRAGMA application_id = {_schema.APPLICATION_ID}", f"PRAGMA user_version = {_schema.VERSION + 1}"],
            rf"a newer version of asyncsched \(schema {_schema.VERSION + 1}; this one knows {_schema.VERSION}\)",
        ),
    ],
)
async def test_another_file_is_refused_and_left_as_it_is(
    backend: SqliteBackend, statements: list[str], why: str
) -> None:
    backend.execute(*statements)
    before = backend.path.read_bytes()
    store = backend.store()

    with pytest.raises(StoreUnavailableError, match=why):
        await store.refresh()
    with pytest.raises(StoreUnavailableError, match=why):
        await store.claim([tick(backend.now_us())])
    assert backend.path.read_bytes() == before


async def test_a_file_of_an_older_version_is_migrated_and_keeps_what_is_in_it(
    backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await busy(backend)
    await store.close()
    before = counts(backend)
    monkeypatch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, "CREATE TABLE new (x); CREATE TABLE newer (x)"))
    monkeypatch.setattr(_schema, "VERSION", _schema.VERSION + 1)
    await store.refresh()

    assert backend.execute("SELECT count(*) FROM new, newer") == [(0,)]
    assert backend.execute("PRAGMA user_version") == [(_schema.VERSION,)]
    assert counts(backend) == before


async def test_what_has_expired_is_deleted_and_what_outlives_runs_stays(backend: SqliteBackend) -> None:
    store = await busy(backend)
    await store.set_paused("report", True)
    await store.refresh()
    before = counts(backend)
    assert min(before.values()) >= 1
    await backend.pass_time(CLEANING_INTERVAL - 1)
    await store.refresh()
    assert counts(backend) == before
    await backend.pass_time(1)
    await store.refresh()

    assert counts(backend) == {"jobs": 1, "ticks": 0, "locks": 0, "open": 0, "handed": 0}
    assert (await decide(store, survey())).open_us == ()
    assert store.is_paused("report")


async def test_prefixes_separate_all_that_is_in_a_file(backend: SqliteBackend) -> None:
    now = backend.now_us()
    stores = {prefix: backend.store(prefix=prefix) for prefix in ("", "a:", "a:b:")}
    heard: dict[str, list[tuple[str, int]]] = {prefix: [] for prefix in stores}
    for prefix, store in stores.items():
        store.listen(lambda job, tick_us, prefix=prefix: heard[prefix].append((job, tick_us)))
        # with the next prefix, "b:report" must not become "report"
        for job in ("report", "b:report"):
            held = await won(store, tick(now, job=job, max_attempts=2), SERVER, RUN)
        await store.release([held])
    await stores["a:"].set_paused("b:report", True)
    for store in stores.values():
        await store.refresh()

    assert heard == {prefix: [("b:report", now)] for prefix in stores}
    assert [store.is_paused("b:report") for store in stores.values()] == [False, True, False]
    assert not any(store.is_paused("report") for store in stores.values())


async def test_it_waits_in_a_thread_of_its_own(backend: SqliteBackend) -> None:
    store = await busy(backend)

    assert asyncio.get_running_loop()._default_executor is None  # type: ignore[attr-defined]
    assert store._thread is not None
    await store.close()
    assert store._thread is None


async def test_grants_and_pauses_outlive_a_loss_of_power(backend: SqliteBackend, monkeypatch: Any) -> None:
    store, now = backend.store(), backend.now_us()
    full, normal = 2, 1

    async def synchronous() -> int:
        connection = store._database._connection
        work = lambda: connection.execute("PRAGMA synchronous").fetchone()[0]  # noqa: E731
        return int(await asyncio.get_running_loop().run_in_executor(store._thread, work))

    held = await won(store, tick(now), SERVER)
    assert await synchronous() == full
    await store.renew([held])
    assert await synchronous() == normal
    await store.set_paused("report", True)
    assert await synchronous() == full
    await store.release([held])
    assert await synchronous() == normal


async def test_no_operation_on_nothing_touches_the_file(backend: SqliteBackend) -> None:
    store = backend.store()
    assert (await store.claim([]), await store.renew([]), await store.release([])) == ([], [], [])

    assert not backend.path.exists()


async def test_a_network_file_system_is_warned_of_once(
    backend: SqliteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/export / nfs rw 0 0\n")
    monkeypatch.setattr(_file, "MOUNTS", mounts)
    store = backend.store()

    (warning,) = await store.refresh()
    assert "is on a network file system (nfs)" in warning
    assert await store.refresh() == ()


# The system's start


def of_another_start(backend: SqliteBackend) -> None:
    backend.execute("UPDATE boot SET id = 'another'")


async def test_after_a_restart_of_the_system_locks_have_ended_and_records_stay(backend: SqliteBackend) -> None:
    store, now = backend.store(), backend.now_us()
    held = await won(store, tick(now - 1, no_overlap=True, max_attempts=3), SERVER, RUN, OVERLAP)
    await store.close()
    of_another_start(backend)
    after = backend.store()

    assert await verdict(after, tick(now - 1, "n2:r1")) is Verdict.ELSEWHERE
    assert list(await after.renew([held])) == [Renewal.LOST]
    assert await verdict(after, rerun(now - 1, no_overlap=True)) is Verdict.WON
    assert backend.execute("SELECT id FROM boot") == [(_file.boot_id(),)]


async def test_another_machine_on_the_same_file_is_noticed(backend: SqliteBackend) -> None:
    store, now = backend.store(), backend.now_us()
    held = await won(store, tick(now - 1), SERVER)
    of_another_start(backend)

    for operation in (store.claim([tick(now, "n1:r2")]), store.renew([held]), store.set_paused("report", True)):
        with pytest.raises(StoreUnavailableError, match="is used by another machine too; one file is for one host"):
            await operation
    backend.execute("DELETE FROM boot")
    with pytest.raises(StoreUnavailableError, match="another machine"):
        await store.release([held])
    # a file that takes its place is not suspected, even where it gets the same inode
    await store.close()
    backend.path.unlink()
    assert await verdict(store, tick(now, "n1:r2")) is Verdict.WON


async def test_without_a_name_for_the_systems_start_leases_end_by_the_wall_clock(
    backend: SqliteBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_file, "BOOT_ID", tmp_path / "none")
    store, now = backend.store(), backend.now_us()
    await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)

    ((until_us,),) = backend.execute("SELECT max(until_us) FROM locks")
    assert until_us == pytest.approx(now + 60_000_000, abs=2)


def test_the_tables_of_the_schema_are_those_that_statements_name(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)) as connection:
        _schema.prepare(connection)
        for name, table in _schema.TABLES.items():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            assert tuple(columns) == table.keys + table.others
