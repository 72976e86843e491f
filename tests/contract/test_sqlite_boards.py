"""The board in a file: it is written only when there is something to write, and what is wrong with it stops nobody."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from _contract import SqliteBackend, tick, verdict
from _reporter import Reporter, ending

from asyncsched._grants import Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _schema
from asyncsched.stores._sqlite_posts import RETRY_AFTER
from asyncsched.stores.sqlite import CLEANING_INTERVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from asyncsched.stores.sqlite import SqliteStore

SECOND = 1_000_000
DAY = 86_400
BOARD = ("history", "reports", "catalogues", "fire_times", "successes", "notes", "orders", "answers")


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[SqliteBackend]:
    made = SqliteBackend(tmp_path)
    yield made
    await made.close()


async def texts(store: SqliteStore, job: str = "report") -> list[str]:
    return list((await store.board.history([job], 1_000))[job])


def counts(backend: SqliteBackend) -> dict[str, int]:
    return {table: backend.execute(f"SELECT count(*) FROM {table}")[0][0] for table in BOARD}


# Schema


def made_of_schema_2(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for migration in _schema.MIGRATIONS[:2]:
            for statement in migration.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_schema.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 2")
        connection.execute("INSERT INTO jobs VALUES ('report', 7, 0, 0, 1, 0, 0)")


async def test_a_file_of_schema_2_is_brought_up_to_date(backend: SqliteBackend) -> None:
    made_of_schema_2(backend.path)
    store, now = backend.store(), backend.now_us()
    node = Reporter()
    node.endings["report"].append(ending(now))
    store.board.attach(node)
    await store.refresh()

    assert store.is_paused("report"), "what stood there still does"
    assert await texts(store) == [ending(now)]
    assert backend.execute("PRAGMA user_version") == [(3,)]


# What is written


async def test_a_report_is_written_when_it_changes_and_every_five_seconds(backend: SqliteBackend) -> None:
    store, node = backend.store(), Reporter()
    store.board.attach(node)
    await store.refresh()

    async def writes(after: float) -> bool:
        await backend.pass_time(after)
        before = backend.execute("SELECT at_us FROM reports")
        await store.refresh()
        return backend.execute("SELECT at_us FROM reports") != before

    assert not await writes(1)
    node.report = '{"node":"is better"}'
    assert await writes(1)
    assert not await writes(4)
    assert await writes(1)


async def test_what_is_on_its_way_does_not_change(backend: SqliteBackend, monkeypatch: Any) -> None:
    store, node, now = backend.store(), Reporter(), backend.now_us()
    said = replace(node.collect(), endings={"report": [ending(now)]}, fire_times={"report": now})
    monkeypatch.setattr(node, "collect", lambda: said)
    store.board.attach(node)
    with store.board.posting() as post:
        said.endings["more"] = [ending(now)]
        said.endings["report"].append(ending(now + 1))
        said.fire_times["more"] = now
        await store._ask("post", post.write)
    assert await texts(store) == [ending(now)]
    assert await texts(store, "more") == []
    assert (await store.board.read()).fire_times == {"report": now}


async def test_nothing_is_written_when_there_is_nothing_to_write(backend: SqliteBackend, monkeypatch: Any) -> None:
    store, node = backend.store(), Reporter()
    store.board.attach(node)
    await store.refresh()
    written: list[str] = []
    monkeypatch.setattr(store._database, "write", lambda *_, **__: written.append("x"))
    await store.refresh()
    assert written == []
    assert node.posted_times == 2, "it hears of orders all the same"


async def test_a_node_that_keeps_no_history(backend: SqliteBackend) -> None:
    store, node = backend.store(), Reporter(history=0)
    node.endings["report"] += [ending(backend.now_us()), "no ending"]
    store.board.attach(node)
    await store.refresh()
    node.history = 5
    node.endings["report"].append("no ending")
    await store.refresh()
    assert await texts(store) == []


async def test_what_has_expired_is_deleted(backend: SqliteBackend) -> None:
    store, now = backend.store(), backend.now_us()
    node = Reporter(history_for=60.0)
    node.fire_times, node.successes = {"report": now}, {"report": now}
    node.endings["report"].append(ending(now))
    store.board.attach(node)
    await store.refresh()
    await store.board.place_order("o1", "{}")
    await store.board.answer_order("o1", "{}")
    await store.board.set_note("report", "{}")
    assert set(counts(backend).values()) == {1}

    await backend.pass_time(2 * DAY)
    node.is_away = True
    await store.refresh()
    assert {table for table, count in counts(backend).items() if count} == {"successes", "notes"}
    await backend.pass_time(400 * DAY + CLEANING_INTERVAL)
    await store.refresh()
    assert {table for table, count in counts(backend).items() if count} == {"notes"}


async def test_too_many_orders_push_out_the_oldest(backend: SqliteBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr("asyncsched.stores._board_text.MOST_ORDERS", 3)
    store = backend.store()
    for nth in range(5):
        await backend.pass_time(0.1)
        await store.board.place_order(f"o{nth}", "{}")
    assert sorted(backend.execute("SELECT id FROM orders")) == [("o2",), ("o3",), ("o4",)]


# What is foreign


@pytest.mark.parametrize("table", BOARD)
async def test_a_table_that_is_gone_is_said_once_and_harms_nothing(backend: SqliteBackend, table: str) -> None:
    store, now = backend.store(), backend.now_us()
    await store.set_paused("paused", True)
    backend.execute(f"DROP TABLE {table}")
    node = Reporter()
    node.fire_times, node.successes = {"report": now}, {"report": now}
    node.endings["report"].append(ending(now))
    leave = store.board.attach(node)
    said = []
    for _ in range(3):
        said += await store.refresh()
        await backend.pass_time(RETRY_AFTER)
    assert said == (
        [f"the cluster's state cannot be kept: no such table: {table}"] if table not in ("notes", "answers") else []
    )
    assert store.is_paused("paused")
    assert await verdict(store, tick(now)) is Verdict.WON
    if table not in ("orders", "notes", "answers"):
        assert node.endings["report"], "the node keeps it"
    await backend.pass_time(CLEANING_INTERVAL)
    await store.refresh()
    await leave()


async def test_rows_that_are_foreign_are_left_out(backend: SqliteBackend) -> None:
    store, now = backend.store(), backend.now_us()
    node = Reporter()
    store.board.attach(node)
    await store.refresh()
    later = now + DAY * SECOND
    backend.execute(
        f"INSERT INTO reports VALUES ('b', 'x', {later}, 'd1', 'x'), ('c{{', 1, {later}, 'd1', 'x'), "
        f"('d', 1, {later}, x'ff', 'x'), ('e', 1, {later}, 'd1', x'ff'), (x'ff', 1, {later}, 'd1', 'x')",
        f"INSERT INTO fire_times VALUES ('a', {now}, {later}), ('b', 'x', {later}), ('c', -1, {later}), "
        f"('d', 1e30, {later}), (x'ff', 1, {later})",
        "INSERT INTO notes VALUES ('a', '{}'), ('b', x'ff'), ('c{', 'x'), ('*', '{}')",
        f"INSERT INTO orders VALUES ('a', {now + SECOND}, 'fine'), ('b', {now + SECOND}, x'ff')",
        f"INSERT INTO orders VALUES ('c', {later}, 'late')",
        f"INSERT INTO history (job, at_us, until_us, ending) VALUES ('report', 1, {later}, x'ff'), "
        f"('report', 1, {later}, 'x'), ('report', 1, {later}, '{ending(now)}')",
        f"INSERT INTO catalogues VALUES ('d2', {later}, x'ff')",
    )
    await store.refresh()
    found = await store.board.read()

    assert set(found.reports) == {"a"}
    assert found.fire_times == {"a": now}
    assert set(found.notes) == {"a", "*"}
    assert set(found.catalogues) == {"d1"}
    assert await texts(store) == [ending(now)]
    assert list(node.orders) == ["fine"]


async def test_a_job_that_is_corrupt_has_no_locks_to_show(backend: SqliteBackend) -> None:
    store, now = backend.store(), backend.now_us()
    await verdict(store, tick(now, job="corrupt"))
    await verdict(store, tick(now))
    backend.execute("UPDATE ticks SET verdict = 'x' WHERE job = 'corrupt'")
    assert {each.job for each in await store.board.locks(["corrupt", "report"])} == {"report"}


# What is locked, or away


async def test_a_file_that_another_program_has_locked(backend: SqliteBackend) -> None:
    store, now = backend.store(), backend.now_us()
    node = Reporter()
    store.board.attach(node)
    await store.set_paused("paused", True)
    node.endings["report"].append(ending(now))
    with closing(sqlite3.connect(backend.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        assert await store.refresh() == ()
        assert store.is_paused("paused")
        assert node.endings["report"], "the node keeps it"
    await store.refresh()
    assert await texts(store) == [ending(now)]
    (timeout,) = await store._ask(
        "look", lambda database: database._connection.execute("PRAGMA busy_timeout").fetchone()
    )
    assert timeout == 8_000, "claims wait as long as ever"


async def test_a_file_that_is_away(tmp_path: Path) -> None:
    from asyncsched.stores.sqlite import SqliteStore

    store = SqliteStore(f"sqlite://{tmp_path}/none/jobs.db")
    leave = store.board.attach(Reporter())
    for ask in (
        store.refresh(),
        store.board.read(),
        store.board.history(["a"], 1),
        store.board.set_note("a", None),
        store.board.take_order("o1"),
        store.board.locks(["a"]),
        store.board.check(),
    ):
        with pytest.raises(StoreUnavailableError, match="could not"):
            await ask
    assert dict(await store.board.history(["a"], 0)) == {"a": ()}
    await leave()
    await leave()
    await store.close()


# The set-up


async def test_a_check_of_a_good_file(backend: SqliteBackend) -> None:
    found = {each.what.partition(":")[0]: each for each in await backend.store().board.check()}
    assert {each.level for each in found.values()} == {"ok"}
    assert {"file system", "file", "journal mode wal", "schema 3", "size", "disk"} <= set(found)


async def test_a_check_of_a_file_that_others_may_read(backend: SqliteBackend, monkeypatch: Any) -> None:
    store = backend.store()
    await store.refresh()
    backend.path.chmod(0o644)
    monkeypatch.setattr("os.geteuid", lambda: 12_345)
    found = [each for each in await store.board.check() if each.level == "warning"]
    assert [each.advice.partition(":")[0] for each in found] == [
        "Everybody may read it",
        "Let the service's own user have the file.",
    ]
    backend.path.parent.chmod(0o1777)
    found = [each for each in await store.board.check() if each.level == "warning"]
    assert found[0].advice.startswith("Everybody may make files in")


async def test_a_check_where_modes_mean_nothing(backend: SqliteBackend, monkeypatch: Any) -> None:
    monkeypatch.setattr("asyncsched.stores._file.is_posix", lambda: False)
    assert not [each for each in await backend.store().board.check() if "mode 0" in each.what]


async def test_a_check_of_a_file_on_a_network(backend: SqliteBackend, monkeypatch: Any, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("server:/ / nfs rw 0 0\n")
    monkeypatch.setattr("asyncsched.stores._file.MOUNTS", mounts)
    (found,) = [each for each in await backend.store().board.check() if each.level == "warning"]
    assert "network file system" in found.what
