"""The long form of the fault harness: ``scripts/soak --help``."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from _driver import ABSENT, OF_STORES, SCENARIOS, Plan, observe
from _history import History
from _report import report


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak", description="Observe a cluster of real processes under faults, and judge it."
    )
    parser.add_argument("--minutes", type=float, default=15.0, help="for how long faults are made (default 15)")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=99, help="guarded jobs (default 99)")
    parser.add_argument("--store", choices=list(OF_STORES), default="redis", help="shared by the nodes (default redis)")
    parser.add_argument(
        "--seed", type=int, default=None, help="the same seed makes the same faults; drawn if not given"
    )
    parser.add_argument("--only", choices=SCENARIOS, metavar="NAME", help=f"one of: {', '.join(SCENARIOS)}")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs there; it must be empty")
    parser.add_argument(
        "--judge", type=Path, metavar="FOLDER", help="judge again what was kept there, and do nothing else"
    )
    parser.add_argument("--quiet", action="store_true", help="do not tell each fault")
    options = parser.parse_args()
    others = {name for store, faults in OF_STORES.items() if store != options.store for name in faults}
    if options.only in others or (options.only == ABSENT and options.store != "redis"):
        parser.error(f"--only {options.only} is no fault of --store {options.store}")
    return options


def main() -> int:
    options = parsed()
    if options.judge is not None:
        return told(History.load(options.judge))
    with tempfile.TemporaryDirectory(prefix="asyncsched-soak-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        history = observed(options, folder)
        history.save(folder)
        return told(history)


def observed(options: argparse.Namespace, folder: Path) -> History:
    seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    plan = Plan(60 * options.minutes, options.nodes, options.jobs, options.store, seed=seed, only=options.only)
    print(f"seed={seed} store={plan.store} nodes={plan.nodes} jobs={plan.jobs}", end=" ")
    print(f"minutes={options.minutes:g} only={plan.only or 'all mixed'}")
    drivers = f"redis-py {version('redis')}, SQLite {sqlite3.sqlite_version}"
    print(f"Python {platform.python_version()}, {drivers}", flush=True)
    began_at = time.monotonic()

    def tell(line: str) -> None:
        if not options.quiet:
            print(f"{time.monotonic() - began_at:7.1f} {line}", flush=True)

    return asyncio.run(observe(plan, folder, tell))


def told(history: History) -> int:
    result = report(history)
    print(f"\n{result}", flush=True)
    return 1 if result.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
