"""The limit in a cluster: a bare loop that asks with one script call for everything that is due, and starts what it
won. No lease, no fence, no second try."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from redis.asyncio import Redis

from benchmarks.measures._local import sleep_until
from benchmarks.node import Node

CLAIM = """
-- KEYS: the hash of newest ticks. ARGV: the tick, then the jobs. Answer: the jobs that were won.
local newest = redis.call('HMGET', KEYS[1], unpack(ARGV, 2))
local won, set = {}, {}
for index = 2, #ARGV do
    if not newest[index - 1] or tonumber(newest[index - 1]) < tonumber(ARGV[1]) then
        won[#won + 1] = ARGV[index]
        set[#set + 1] = ARGV[index]
        set[#set + 1] = ARGV[1]
    end
end
if #set > 0 then redis.call('HSET', KEYS[1], unpack(set)) end
return won
"""
LARGEST = 1000
"""Jobs in one call: a script's arguments have a limit, and a long script stops the server for all."""


def grouped(node: Node) -> list[tuple[float, list[int]]]:
    """Return the jobs by their phase, in order."""
    groups: dict[float, list[int]] = {}
    for job, phase in enumerate(node.phases):
        groups.setdefault(phase, []).append(job)
    return sorted(groups.items())


async def each_batch(groups: list[tuple[float, list[int]]], due: Callable[[float, list[int]], object]) -> None:
    """Call ``due`` with each fire time and its jobs, for ever."""
    second = math.ceil(time.time())
    while True:
        for phase, jobs in groups:
            at = second + phase
            await asyncio.sleep(max(0.0, at - time.time()))  # a turn for the others, also when late
            await sleep_until(at)
            due(at, jobs)
        second += 1


async def serve(node: Node) -> None:
    client = Redis.from_url(node.url)
    sha = await client.script_load(CLAIM)
    handlers = [node.handler(job) for job in range(len(node.phases))]
    create_task = asyncio.get_running_loop().create_task
    asking: set[asyncio.Task[None]] = set()

    async def ask(at: float, jobs: list[int]) -> None:
        tick = round(at * 1e6)
        won = await client.evalsha(sha, 1, "ticks", tick, *jobs)
        for job in won:
            create_task(handlers[int(job)]())

    def due(at: float, jobs: list[int]) -> None:
        for first in range(0, len(jobs), LARGEST):
            task = create_task(ask(at, jobs[first : first + LARGEST]))
            asking.add(task)
            task.add_done_callback(asking.discard)

    node.ready()
    await each_batch(grouped(node), due)
