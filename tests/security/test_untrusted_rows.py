"""What stands in a store's file is not trusted: whatever a row holds, it concerns one job, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, SqliteBackend, decide, rerun, tick, verdict, won
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asyncsched import RunContext, Scheduler
from asyncsched._grants import ClaimRequest, Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _schema

if TYPE_CHECKING:
    from asyncsched._grants import Lease

DAY_US = 86_400_000_000
NUMBERS = [-1, 0, 1, 2, 2**53 - 2, 2**53 - 1, 2**53, 2**63 - 1, -(2**63)]
TEXTS = ["", "x", "1", "won", "server", "run:", "run:1", "run:-1", "run:٣", "run:" + "9" * 30, "\x00", "n1:r1", "'; --"]
values = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(TEXTS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.floats(allow_nan=False),
    st.binary(max_size=8),
)
columns = st.sampled_from(
    [(name, column) for name, table in _schema.TABLES.items() for column in table.keys[1:] + table.others]
)


async def busy(backend: SqliteBackend, job: str) -> tuple[Any, Lease, ClaimRequest]:
    """A job with a row in each table."""
    store, asked = backend.store(), tick(backend.now_us(), "n1:r1", job, no_overlap=True, max_attempts=3)
    return store, await won(store, asked, SERVER, RUN, OVERLAP), asked


def damage(backend: SqliteBackend, table: str, column: str, value: object, job: str = "bad") -> None:
    with closing(sqlite3.connect(backend.path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE job = ?", (value, job))


async def use(store: Any, held: Lease, asked: ClaimRequest) -> list[Any]:
    """Do all that can be done with a job."""
    answers: list[Any] = [await decide(store, asked), await decide(store, rerun(asked.tick_us, "n2:r1", asked.job))]
    answers.append(await decide(store, tick(asked.tick_us, "n2:r2", asked.job, no_overlap=True, max_attempts=3)))
    answers += await store.renew([held])
    answers += await store.release([held])
    return answers


@example(("ticks", "tick_us"), float("inf"))
@example(("locks", "owner"), "\ud7ff\x00\x1f")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(columns, values)
def test_whatever_a_row_holds_its_job_alone_is_concerned(where: tuple[str, str], value: object) -> None:
    async def play(folder: str) -> None:
        backend = SqliteBackend(Path(folder))
        store, held, asked = await busy(backend, "bad")
        _, good_held, good = await busy(backend, "good")
        damage(backend, *where, value)
        store.listen(lambda job, tick_us: None)
        answers = await use(store, held, asked)  # nothing but an answer
        assert len(answers) == 5
        both = await store.claim([tick(asked.tick_us, "n3:r1", "bad", no_overlap=True), good])
        assert (both[1].verdict, both[1].fence) == (Verdict.WON, good_held.fence)
        assert list(await store.renew([held, good_held]))[1] is Renewal.HELD
        await store.refresh()
        await backend.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(folder))


CORRUPT = [
    ("jobs", "fence", 2**53 - 1),
    ("jobs", "fence", ""),
    ("jobs", "fence", 1.5),
    ("jobs", "fence", float("inf")),
    ("locks", "until_us", float("-inf")),
    ("jobs", "granted_us", -1),
    ("jobs", "open_until_us", b"\x00"),
    ("jobs", "paused", 2),
    ("jobs", "runs", -1),
    ("jobs", "runs", "many"),
    ("jobs", "unwanted", -1),
    ("ticks", "tick_us", 2**52),
    ("ticks", "run", b"n1:r1"),
    ("ticks", "verdict", "paused"),
    ("ticks", "verdict", ""),
    ("ticks", "fence", "x"),
    ("ticks", "until_us", -1),
    ("locks", "owner", ""),
    ("locks", "lock", "tick"),
    ("locks", "lock", "run:x"),
    ("locks", "fence", 2**53),
    ("locks", "until_us", "soon"),
    ("open", "tick_us", -5),
    ("open", "attempt", 2**53 - 1),
    ("open", "owner", b""),
]


@pytest.mark.parametrize(("table", "column", "value"), CORRUPT)
async def test_a_corrupt_row_decides_nothing_until_it_is_deleted(
    tmp_path: Path, table: str, column: str, value: object
) -> None:
    backend = SqliteBackend(tmp_path)
    store, held, asked = await busy(backend, "bad")
    damage(backend, table, column, value)
    before = backend.execute(f"SELECT * FROM {table}")

    answer = await decide(store, asked)
    assert (answer.verdict, answer.fence) == (Verdict.CORRUPT, 0)
    assert answer.detail == f"table {table} holds something foreign for it"
    assert list(await store.renew([held])) == [Renewal.UNDECIDED]
    assert list(await store.release([held])) == [None]
    with pytest.raises(StoreUnavailableError, match=f"table {table} holds something foreign"):
        await store.set_paused("bad", True)
    assert backend.execute(f"SELECT * FROM {table}") == before

    backend.execute(f"DELETE FROM {table} WHERE job = 'bad'")
    assert await verdict(store, tick(backend.now_us(), "n2:r1", "bad")) in (Verdict.WON, Verdict.ELSEWHERE)
    await backend.close()


async def test_a_tick_of_the_far_future_is_foreign_and_one_of_a_clock_set_back_is_not(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path)
    store, _, asked = await busy(backend, "bad")
    for table, column in (("jobs", "granted_us"), ("ticks", "tick_us")):
        damage(backend, table, column, asked.tick_us + DAY_US)
        assert await verdict(store, tick(asked.tick_us, "n2:r1", "bad")) is Verdict.ELSEWHERE
        damage(backend, table, column, asked.tick_us + DAY_US + 1)
        assert await verdict(store, tick(asked.tick_us, "n2:r2", "bad")) is Verdict.CORRUPT
        damage(backend, table, column, asked.tick_us)
    await backend.close()


async def test_foreign_names_in_the_indexes_are_passed_over(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path)
    store = backend.store(prefix="a:")
    heard: list[Any] = []
    store.listen(lambda job, tick_us: heard.append((job, tick_us)))
    await store.set_paused("mine", True)
    backend.execute(
        *(
            f"INSERT INTO jobs VALUES ({name}, 1, 1, 1, 1, 0, 0)"
            for name in ("x'00'", "'a: two words'", "'a:mine'", "5")
        ),
        *(
            f"INSERT INTO handed VALUES ({name}, {tick_us}, 'n1:r1', {2**60})"
            for name, tick_us in [
                ("x'00'", 1),
                ("'a: job'", "'x'"),
                ("'a: job'", -1),
                ("'a: job'", "9e999"),
                ("'a: '", 1),
                ("'a: job'", 7),
            ]
        ),
    )
    await store.refresh()

    assert store._paused == {"mine"}
    assert heard == [("job", 7)]
    await backend.close()


async def test_statements_are_not_made_of_names(tmp_path: Path) -> None:
    backend = SqliteBackend(tmp_path)
    names = ["');--", '"];--', "a'b", '\\"', "$[0]", "%s", ":names", "ü", "\U0001f600"]
    store, now = backend.store(), backend.now_us()
    answers = await store.claim([tick(now, job=name) for name in names])

    assert {answer.verdict for answer in answers} == {Verdict.WON}
    assert sorted(name for (name,) in backend.execute("SELECT job FROM ticks")) == sorted(names)
    await backend.close()


async def test_a_scheduler_goes_on_beside_a_corrupt_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backend = SqliteBackend(tmp_path)
    ran: list[str] = []

    async def work(ctx: RunContext) -> None:
        ran.append(ctx.job)

    await backend.store().claim([tick(backend.now_us(), job="bad")])
    damage(backend, "jobs", "fence", -1)
    scheduler = Scheduler(backend.store(), clock=backend.clock)
    for name in ("bad", "good"):
        scheduler.add_job(name, work).per_seconds(1).on_one_server()
    async with scheduler, asyncio.timeout(30):
        while len(ran) < 3:
            await backend.clock.advance(1)
            await asyncio.sleep(0.01)
    assert set(ran) == {"good"}
    assert any("table jobs holds something foreign" in record.getMessage() for record in caplog.records)
    await backend.close()
