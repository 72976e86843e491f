"""Shows the scheduler at work: every run and every skip as a line, and a live table on a terminal.

python examples/demo.py
python examples/demo.py --redis redis://localhost:6379/0 --replicas 3

Alone it needs no server. With a Redis it starts real processes, as the replicas of a service would be, and adds up
what they tell: each tick runs once, whoever takes it. Times are UTC. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from _demo_jobs import Fact, fact_from_json, make_scheduler, remark
from _demo_view import View

from asyncsched import ConfigurationError

REFRESH_INTERVAL = 0.25
DAILY_AFTER = timedelta(seconds=6)
DRAIN_TIMEOUT = 10.0
"""Seconds for the replicas to end by themselves: longer than their own bounds."""


async def wait_told_to_end(view: View, seconds: float, *others: asyncio.Future[Any]) -> None:
    """Keep the table fresh until a signal comes, ``seconds`` have passed, nobody looks any more, or one of ``others``
    is done."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    end_at = loop.time() + seconds
    while not (told.is_set() or loop.time() >= end_at or view.is_closed or any(other.done() for other in others)):
        view.refresh()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(REFRESH_INTERVAL, max(0.0, end_at - loop.time()))):
                await told.wait()


# One process, no server


async def run_alone(seconds: float, daily_at: str) -> None:
    scheduler = make_scheduler(lambda fact: view.show(fact), daily_at=daily_at, node="here")
    view = View(scheduler.jobs)
    with view:
        async with scheduler:
            await wait_told_to_end(view, seconds)
            view.say("ending: runs in progress have 2 s")
    view.summarise()


# Several processes, one Redis


async def run_replicas(url: str, replicas: int, seconds: float, daily_at: str) -> int:
    prefix = f"asyncsched-demo-{os.getpid()}:"
    view = View(make_scheduler(tell_nobody, daily_at=daily_at, node="parent").jobs)
    with view:
        processes = {
            f"node-{number}": await start_node(f"node-{number}", url, prefix, daily_at)
            for number in range(1, replicas + 1)
        }
        followers = [asyncio.ensure_future(follow(view, name, process)) for name, process in processes.items()]
        all_ended = asyncio.gather(*followers)
        try:
            view.say("try it: kill -9 " + " or ".join(f"{process.pid} ({name})" for name, process in processes.items()))
            await wait_told_to_end(view, seconds, all_ended)
            all_died = all_ended.done()
            view.say("every node has died" if all_died else "ending: runs in progress have 2 s")
        finally:
            await end_nodes(processes, all_ended)
    view.summarise()
    await forget(url, prefix)
    return 1 if all_died else 0


def tell_nobody(_fact: Fact) -> None:
    """Be told, where nothing runs."""


async def start_node(name: str, url: str, prefix: str, daily_at: str) -> Process:
    arguments = ["--redis", url, "--node", name, "--prefix", prefix, "--daily-at", daily_at]
    # A session of its own: Ctrl-C is for the parent alone. The node ends when its standard input does, so that it
    # cannot be left behind, however the parent ends.
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, *arguments, stdin=PIPE, stdout=PIPE, stderr=STDOUT, start_new_session=True
    )


async def follow(view: View, name: str, process: Process) -> None:
    """Show what a node tells until it has ended."""
    assert process.stdout is not None
    async for line in process.stdout:
        text = line.decode(errors="replace").rstrip()
        view.show(fact_from_json(text) or remark(name, text))
    if code := await process.wait():
        view.show(remark(name, f"ended with code {code}; the others go on"))


async def end_nodes(processes: dict[str, Process], all_ended: asyncio.Future[list[None]]) -> None:
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.close()
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT):
            await all_ended
    except TimeoutError:
        for process in processes.values():
            with suppress(ProcessLookupError):
                process.kill()


async def run_node(url: str, node: str, prefix: str, daily_at: str) -> None:
    """Be one replica: tell facts on standard output until standard input ends."""
    scheduler = make_scheduler(
        lambda fact: print(fact.to_json(), flush=True), daily_at=daily_at, node=node, store=url, prefix=prefix
    )
    parent = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    async with scheduler:
        await parent.read()


# The Redis


async def refusal_of(url: str) -> str | None:
    """Return why no demo can run on this Redis, or ``None``."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    client = Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
    try:
        async with asyncio.timeout(5):
            await client.ping()
    except (RedisError, OSError) as error:
        return f"this Redis does not answer: {str(error) or type(error).__name__}"
    finally:
        with suppress(RedisError, OSError):
            await client.aclose()
    return None


async def forget(url: str, prefix: str) -> None:
    """Delete the demo's own keys: tick records would stay for days."""
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    with suppress(RedisError, OSError):
        async with asyncio.timeout(5), Redis.from_url(url) as client:
            async for key in client.scan_iter(match=f"{prefix}*"):
                await client.delete(key)


# The command line


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="The scheduler at work. Ctrl-C ends it.")
    parser.add_argument("--seconds", type=positive, default=math.inf, metavar="N", help="end by itself after N seconds")
    parser.add_argument("--redis", metavar="URL", help="a Redis to share, such as redis://localhost:6379/0")
    parser.add_argument("--replicas", type=int, metavar="N", help="processes to start on that Redis (default 3)")
    for hidden in ("--node", "--prefix", "--daily-at"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replicas is not None and options.redis is None:
        parser.error("--replicas: several processes need a Redis to share: give one with --redis URL")
    if options.replicas is not None and not 1 <= options.replicas <= 50:
        parser.error(f"--replicas: {options.replicas} is not in 1-50")
    if options.redis is not None:
        try:
            make_scheduler(tell_nobody, daily_at="00:00", node="parent", store=options.redis)
        except ConfigurationError as error:
            parser.error(f"--redis: {error}")
    return options


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


async def main(options: argparse.Namespace) -> int:
    if options.node is not None:
        await run_node(options.redis, options.node, options.prefix, options.daily_at)
        return 0
    daily_at = f"{datetime.now(UTC) + DAILY_AFTER:%H:%M:%S}"
    if options.redis is None:
        await run_alone(options.seconds, daily_at)
        return 0
    if (reason := await refusal_of(options.redis)) is not None:
        print(f"demo: {reason}", file=sys.stderr)
        print("Start one (redis-server), or run the demo without --redis.", file=sys.stderr)
        return 1
    return await run_replicas(options.redis, options.replicas or 3, options.seconds, daily_at)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(parse())))
    except KeyboardInterrupt:  # before anything had started
        sys.exit(0)
