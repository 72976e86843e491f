"""What is done to the file of a store, and to the processes that use it: nothing repeats, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
import traceback
import warnings
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, SERVER, decide, tick, verdict, won
from _processes import Program

from asyncsched._clock import SystemClock, boottime
from asyncsched._grants import Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _file
from asyncsched.stores._database import Database
from asyncsched.stores._file import UnusableFileError
from asyncsched.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PROGRAM = Path(__file__).with_name("_sqlite_program.py")
NOBODY = 65534
FULL = "database or disk is full"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(f"sqlite://{path}", operation_timeout=10)
    yield made
    await made.close()


@pytest.fixture
async def other(path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(f"sqlite://{path}", operation_timeout=10)
    yield made
    await made.close()


@pytest.fixture
def now() -> int:
    return round(time.time() * 1e6)


def files(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Processes


@pytest.mark.processes
def test_four_processes_make_one_file_and_win_each_tick_once(path: Path, now: int) -> None:
    count = 150
    programs = [Program(PROGRAM, "claim", path, f"n{number}", now - 10_000, count) for number in range(4)]
    try:
        ends = [program.wait(60) for program in programs]
        assert ends == [0] * 4, [program.err[-500:] for program in programs]
        wins = [tuple(map(int, line.split()[1:])) for program in programs for line in _wins(program)]
    finally:
        for program in programs:
            program.__exit__()

    ticks, fences = zip(*sorted(wins), strict=True)
    assert list(ticks) == list(range(now - 10_000, now - 10_000 + count)), "whoever asks for a tick first has it"
    assert list(fences) == sorted(set(fences)), "a later tick has a higher fence"
    assert is_whole(path)


def _wins(program: Program) -> list[str]:
    return [line for line in program.out.splitlines() if line.startswith("won ")]


@pytest.mark.processes
async def test_a_process_that_is_killed_in_mid_transaction_leaves_nothing(
    path: Path, store: SqliteStore, now: int
) -> None:
    await store.claim([tick(now - 5)])
    with Program(PROGRAM, "half", path) as half:
        half.wait_for("ready")
        half.send(signal.SIGKILL)
        half.wait()
        answer = await decide(store, tick(now, "n1:r2", no_overlap=True))

    assert answer.verdict is Verdict.WON
    assert is_whole(path)


@pytest.mark.processes
def test_processes_that_are_killed_at_any_instant_repeat_nothing(path: Path, now: int) -> None:
    rng, wins, first = random.Random(1), Counter[int](), now - 1_000_000_000
    for life in range(8):
        with Program(PROGRAM, "claim", path, f"n{life}", first, 100_000) as program:
            program.wait_for("won" if life else "ready")
            time.sleep(rng.uniform(0, 0.15))
            program.send(signal.SIGKILL)
            program.wait()
            wins.update(int(line.split()[1]) for line in _wins(program) if len(line.split()) == 3)
        assert is_whole(path)
    assert max(wins.values()) == 1
    assert len(wins) > 8


@pytest.mark.processes
async def test_a_locked_file_is_waited_for_and_not_for_long(path: Path, now: int) -> None:
    store = SqliteStore(f"sqlite://{path}", operation_timeout=0.5)
    await store.set_paused("paused", True)
    with Program(PROGRAM, "lock", path) as holder:
        holder.wait_for("ready")
        with pytest.raises(StoreUnavailableError, match=r"could not decide 1 claims: (database is locked|no answer)"):
            await store.claim([tick(now)])
        await store.refresh()  # reading waits for nobody
        assert store.is_paused("paused")
        holder.send(signal.SIGKILL)
        holder.wait()
        assert await verdict(store, tick(now)) is Verdict.WON
    await store.close()


async def test_what_nobody_waits_for_any_more_is_not_carried_out(path: Path) -> None:
    done: list[object] = []
    database = Database(path, SystemClock(), busy_timeout=1)

    with pytest.raises(TimeoutError):
        database.write(lambda *_: done.append(1), give_up_at=boottime() - 0.001, is_durable=True)
    database.close()

    assert done == []


async def test_an_operation_that_takes_too_long_is_given_up(store: SqliteStore, path: Path, now: int) -> None:
    hurried = SqliteStore(f"sqlite://{path}", operation_timeout=0.05)
    await store.refresh()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(*(hurried.claim([tick(now)]) for _ in range(3)), return_exceptions=True)
        connection.execute("ROLLBACK")

    assert [type(result) for result in results] == [StoreUnavailableError] * 3
    assert await verdict(store, tick(now, "n2:r1")) is Verdict.WON
    await hurried.close()


def test_after_a_fork_the_child_has_a_connection_of_its_own(path: Path, now: int) -> None:
    async def play() -> None:
        store = SqliteStore(f"sqlite://{path}", operation_timeout=10)
        await store.claim([tick(now - 5)])
        used = store._database

        def child() -> None:
            assert asyncio.run(verdict(store, tick(now, "child:1"))) is Verdict.WON
            assert store._database is not used
            assert store._inherited == [used]
            asyncio.run(store.close())

        assert await asyncio.to_thread(in_a_child, child) == 0
        assert await verdict(store, tick(now, "parent:1")) is Verdict.ELSEWHERE
        assert store._database is used
        await store.close()

    asyncio.run(play())


def in_a_child(work: Callable[[], object], user: int | None = None) -> int:
    """Call ``work`` in a child process, as another user if need be; return its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        if user is not None:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    os._exit(code)


# The file


async def test_a_file_that_is_deleted_while_it_is_used_is_made_again(
    store: SqliteStore, other: SqliteStore, path: Path, now: int
) -> None:
    held = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
    await other.refresh()
    for each in files(path):
        each.unlink()

    # as with a Redis that comes back empty: what a node remembers is not repeated, and one tick is used up
    assert await verdict(other, tick(now - 1, "n2:r1", remembered_us=now - 1)) is Verdict.ELSEWHERE
    assert await verdict(other, tick(now, "n2:r2", remembered_us=now - 1)) is Verdict.LOST_RECORD
    assert list(await store.renew([held])) == [Renewal.LOST]
    assert await verdict(store, tick(now, "n1:r3", remembered_us=now - 1)) is Verdict.ELSEWHERE
    assert is_whole(path)


@pytest.mark.parametrize("which", [1, 2])
async def test_a_file_beside_it_that_is_deleted_is_noticed(
    store: SqliteStore, other: SqliteStore, path: Path, now: int, which: int
) -> None:
    await won(store, tick(now - 2), SERVER)
    await won(other, tick(now - 1, "n2:r1"), SERVER)
    files(path)[which].unlink()

    verdicts: dict[str, Verdict] = {}
    for _ in range(3):  # until the last one has noticed, there may be no answer
        for name, each in (("n1:r3", store), ("n2:r3", other)):
            with suppress(StoreUnavailableError):
                verdicts[name] = await verdict(each, tick(now, name, remembered_us=now - 1))
    assert sorted(verdicts.values()) in ([Verdict.ELSEWHERE, Verdict.WON], [Verdict.ELSEWHERE, Verdict.LOST_RECORD])
    assert is_whole(path)


async def test_a_grant_in_a_file_that_is_deleted_meanwhile_does_not_count(path: Path) -> None:
    database = Database(path, SystemClock(), busy_timeout=1)
    database.read(lambda *_: None)

    with pytest.raises(UnusableFileError, match=r"was deleted, or replaced, while it was used"):
        database.write(lambda *_: path.unlink(), give_up_at=boottime() + 60, is_durable=True)
    database.close()


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_files_that_are_replaced_while_they_are_opened_are_not_taken_for_those_that_were(
    store: SqliteStore, path: Path, now: int, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    identity = _file.identity

    def replaced_first(*paths: Path) -> _file.Identity:
        monkeypatch.setattr(_file, "identity", identity)
        paths[which].rename(path.with_name("old"))
        paths[which].touch(0o600)
        return identity(*paths)

    monkeypatch.setattr(_file, "identity", replaced_first)
    with pytest.raises(StoreUnavailableError, match="was deleted, or replaced, while it was opened"):
        await store.claim([tick(now)])
    for each in files(path):
        each.unlink(missing_ok=True)

    assert await verdict(store, tick(now)) is Verdict.WON


async def test_a_copy_of_yesterday_repeats_nothing_that_a_node_remembers(
    store: SqliteStore, path: Path, tmp_path: Path, now: int
) -> None:
    first = await won(store, tick(now - 3), SERVER)
    await store.close()
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    second = await won(store, tick(now - 2, "n1:r2", no_overlap=True), SERVER, OVERLAP)
    os.replace(copy, path)

    assert await verdict(store, tick(now - 2, "n1:r3", remembered_us=now - 2)) is Verdict.ELSEWHERE
    assert list(await store.renew([second])) == [Renewal.LOST]
    third = await won(store, tick(now, "n1:r4", remembered_us=now - 2), SERVER)
    assert first.fence < second.fence < third.fence
    assert is_whole(path)


async def test_a_file_that_is_overwritten_with_something_else_is_an_outage_and_ends(
    store: SqliteStore, path: Path, now: int
) -> None:
    await store.claim([tick(now - 1)])
    await store.close()
    whole = path.read_bytes()
    for damage in (
        b"no database at all, and long enough for a head" * 50,
        whole[:4096] + os.urandom(len(whole) - 4096),
    ):
        path.write_bytes(damage)
        with pytest.raises(StoreUnavailableError, match=r"not a database|malformed"):
            await store.claim([tick(now, "n1:r2")])
        await store.close()
    path.write_bytes(whole)

    assert await verdict(store, tick(now, "n1:r2")) is Verdict.WON


def test_a_file_that_may_only_be_read_is_an_outage_and_ends(now: int) -> None:
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    is_root = os.geteuid() == 0

    async def play() -> None:
        path = folder / "jobs.db"
        store = SqliteStore(f"sqlite://{path}", operation_timeout=5)
        await store.claim([tick(now - 1)])
        await store.close()
        path.chmod(0o400)
        with pytest.raises(StoreUnavailableError, match="this user may not read and write"):
            await store.claim([tick(now)])
        path.chmod(0o600)
        assert await verdict(store, tick(now, "n1:r2")) is Verdict.WON
        await store.close()

    try:
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
        assert in_a_child(lambda: asyncio.run(play()), NOBODY if is_root else None) == 0
    finally:
        shutil.rmtree(folder)


# Full disks


async def test_a_file_that_may_not_grow_is_an_outage_and_ends(store: SqliteStore, now: int) -> None:
    held = await won(store, tick(now, "n1:r0", "small", no_overlap=True), SERVER, OVERLAP)
    connection = store._database._connection
    assert connection is not None
    (pages,) = await _in_thread(store, lambda: connection.execute("PRAGMA max_page_count = 1").fetchone())
    many = [tick(now, f"n1:r{number}", f"job{number:0190}") for number in range(200)]
    with pytest.raises(StoreUnavailableError, match=FULL):
        await store.claim(many)

    assert list(await store.renew([held])) == [Renewal.HELD], "what is there can be changed"
    await _in_thread(store, lambda: connection.execute(f"PRAGMA max_page_count = {pages + 1000}"))
    assert {answer.verdict for answer in await store.claim(many)} == {Verdict.WON}


async def _in_thread(store: SqliteStore, work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(store._thread, work)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that holds little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=384k,mode=700", "none", folder], capture_output=True)
    if done.returncode:
        pytest.skip("nobody may mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_on_a_full_disk_leases_live_on_and_claims_wait_for_room(small_disk: Path, now: int) -> None:
    store = SqliteStore(f"sqlite://{small_disk}/jobs.db", operation_timeout=10)
    await store.claim([tick(now - 2, "n1:r0")])
    await store.close()
    held = await won(store, tick(now - 1, no_overlap=True), SERVER, OVERLAP)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    many = [tick(now, f"n1:r{number}", f"job{number:0190}") for number in range(200)]
    with pytest.raises(StoreUnavailableError, match=FULL):
        await store.claim(many)
    for _ in range(50):
        assert list(await store.renew([held])) == [Renewal.HELD]
    with pytest.raises(StoreUnavailableError, match=FULL):
        await store.claim(many)
    assert list(await store.release([held])) == [True]
    filler.unlink()

    assert {answer.verdict for answer in await store.claim(many)} == {Verdict.WON}
    await store.close()
    assert is_whole(small_disk / "jobs.db")
