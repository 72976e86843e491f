"""A table that refuses late writers: why every run carries a fence.

python examples/fenced_writes.py

A lease can end while its holder does not notice: a virtual machine is paused, a disk hangs for minutes. The next run
starts elsewhere, and then the first one wakes and writes what it worked out long ago. No lock can prevent that, but
the table can: it remembers the highest fence it has seen, and fences rise with every grant of a job in the cluster.
"""

import argparse
import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from asyncsched import RunContext, Scheduler


class PriceTable:
    """One row per product, with the fence of its last writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE price (product TEXT PRIMARY KEY, cents INTEGER NOT NULL, fence INTEGER NOT NULL)")

    def write(self, product: str, cents: int, fence: int) -> bool:
        """Write unless a newer run has written before. The check and the write are one statement: no gap between."""
        with closing(sqlite3.connect(self._path)) as db, db:
            written = db.execute(
                """
                INSERT INTO price VALUES (?, ?, ?)
                ON CONFLICT (product) DO UPDATE SET cents = excluded.cents, fence = excluded.fence
                WHERE excluded.fence >= price.fence
                """,
                (product, cents, fence),
            ).rowcount
        return written == 1

    def read(self, product: str) -> tuple[int, int]:
        with closing(sqlite3.connect(self._path)) as db, db:
            cents, fence = db.execute("SELECT cents, fence FROM price WHERE product = ?", (product,)).fetchone()
        return int(cents), int(fence)


class UpdatePrice:
    """A job's work. Its first run stalls with its figure worked out, until the second one has written."""

    def __init__(self, table: PriceTable) -> None:
        self._table = table
        self._started = 0
        self._second_has_written = asyncio.Event()
        self.first_was_late = asyncio.Event()

    async def __call__(self, ctx: RunContext) -> None:
        self._started += 1
        number = self._started
        cents = 100 + number
        if number == 1:
            await self._second_has_written.wait()
        written = self._table.write("tea", cents, ctx.fence)
        print(f"run {number} fence={ctx.fence} cents={cents} {'written' if written else 'REFUSED'}", flush=True)
        if number == 2:
            self._second_has_written.set()
        if number == 1:
            self.first_was_late.set()


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = PriceTable(Path(folder, "prices.db"))
        work = UpdatePrice(table)
        scheduler = Scheduler()
        # on_one_server alone lets the next tick's run start beside a long one: that is all it takes for a late writer.
        scheduler.add_job("update_price", work).per_seconds(1).on_one_server()
        async with scheduler, asyncio.timeout(seconds):
            await work.first_was_late.wait()
        cents, fence = table.read("tea")
        print(f"the table has cents={cents} fence={fence}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0, help="give up after this time")
    asyncio.run(main(parser.parse_args().seconds))
