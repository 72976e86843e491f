"""Several processes, one Redis: each tick runs in one of them.

python examples/replicas.py --redis redis://localhost:6379/0 --replicas 3 --seconds 10

Each process is what one replica of your service would be: the same code, knowing nothing of the others.
"""

import argparse
import asyncio
import multiprocessing
import os
import signal

from asyncsched import ConfigurationError, RunContext, Scheduler


async def every_second(ctx: RunContext) -> None:
    print(f"{ctx.node}  {ctx.job}  tick={ctx.fire_time:%H:%M:%S}  fence={ctx.fence}", flush=True)


async def slow(ctx: RunContext) -> None:
    # Longer than its interval: the next ticks are skipped, on whatever node they would have run.
    await asyncio.sleep(1.5)
    print(f"{ctx.node}  {ctx.job}  tick={ctx.fire_time:%H:%M:%S}  fence={ctx.fence}", flush=True)


def make_scheduler(redis_url: str, node: str) -> Scheduler:
    # lock_ttl: how long a job that must not overlap waits after its node has died in mid-run.
    scheduler = Scheduler(redis_url, node=node, lock_ttl=5, prefix="replicas-example:")
    scheduler.add_job("every_second", every_second).per_seconds(1).on_one_server()
    scheduler.add_job("slow", slow).per_seconds(1).on_one_server().without_overlapping()
    return scheduler


async def serve(redis_url: str, node: str, seconds: float) -> None:
    scheduler = make_scheduler(redis_url, node)
    asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), signal.SIGTERM)
    await scheduler.run()  # SIGTERM and Ctrl-C drain: a run in progress ends, and its locks go back


def replica(redis_url: str, node: str, seconds: float) -> None:
    asyncio.run(serve(redis_url, node, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    try:
        make_scheduler(options.redis, "check")
    except ConfigurationError as error:
        parser.error(str(error))
    spawn = multiprocessing.get_context("spawn")
    replicas = [
        spawn.Process(target=replica, args=(options.redis, f"replica-{number}", options.seconds))
        for number in range(1, options.replicas + 1)
    ]
    for process in replicas:
        process.start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the replicas too: wait for them to drain
    for process in replicas:
        process.join()


if __name__ == "__main__":
    main()
