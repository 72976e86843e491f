"""A process that uses a store's file: ``python _sqlite_program.py WHAT PATH [more]``; says ``ready``, and goes on until
it is ended, or has nothing left to do.

    claim PATH NAME FIRST COUNT   claims COUNT ticks of ``report``, a microsecond apart; prints ``won <tick> <fence>``
    half PATH                     writes a grant, and never ends its transaction
    lock PATH                     holds the file as another program may
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

from asyncsched._clock import SystemClock, boottime
from asyncsched._grants import ClaimKind, ClaimRequest, LockType, Verdict
from asyncsched.stores import _decide, _rows
from asyncsched.stores._database import Database
from asyncsched.stores.sqlite import SqliteStore


def request(tick_us: int, owner: str) -> ClaimRequest:
    return ClaimRequest("report", ClaimKind.TICK, owner, tick_us, True, False, 60.0, 1_000.0)


async def claim(path: str, name: str, first: str, count: str) -> None:
    from asyncsched._grants import Lease

    store = SqliteStore(f"sqlite://{path}", operation_timeout=20)
    print("ready")
    for tick_us in range(int(first), int(first) + int(count)):
        asked = request(tick_us, f"{name}:{tick_us}")
        (answer,) = await store.claim([asked])
        if answer.verdict is Verdict.WON:
            print(f"won {tick_us} {answer.fence}")
            await store.release([Lease("report", asked.owner, answer.fence, (LockType.SERVER,), 60.0, tick_us)])
    await store.close()


def half(path: str) -> None:
    def work(connection: sqlite3.Connection, now: Any) -> None:
        (job,) = _rows.load(connection, ["report"], now).values()
        assert isinstance(job, _rows.Job)
        _decide.decide(request(now.wall_us, "half:1"), job.state, now, paused=False)
        _rows.save(connection, [job])
        print("ready")
        threading.Event().wait()

    Database(Path(path), SystemClock(), busy_timeout=5).write(work, give_up_at=boottime() + 60, is_durable=True)


def lock(path: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    print("ready")
    threading.Event().wait()


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "claim":
        asyncio.run(claim(*arguments))
    else:
        {"half": half, "lock": lock}[what](*arguments)
