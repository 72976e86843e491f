"""What exactness costs by itself: a bare loop that claims its own third of the jobs from asyncsched's store, and gives
each lease back, all of a batch together. No other node is listened to or waited for; nothing is supervised, renewed,
accounted for or written down. It shows how much of a node's CPU is the protocol, and how much is the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from asyncsched._grants import ClaimKind, ClaimRequest, Lease, LockType, Verdict
from asyncsched._run import new_id
from asyncsched.stores.redis import RedisStore
from benchmarks.contestants.cluster_bare import each_batch, grouped
from benchmarks.node import Node

LOCK_TTL, RETAIN_FOR = 600.0, 604_802.0
"""Seconds: what a job of each second has by default."""


Won = Sequence[tuple[int, Lease]]
"""Jobs that were won, and what each grant holds."""


def claiming(
    store: RedisStore, node: Node, carry_out: Callable[[Won], Awaitable[None]]
) -> Callable[[float, Sequence[int]], object]:
    """Return a function that claims one tick of some jobs, has those that are won carried out, and gives their leases
    back."""
    create_task = asyncio.get_running_loop().create_task
    asking: set[asyncio.Task[None]] = set()

    async def ask(at: float, jobs: Sequence[int]) -> None:
        tick_us = round(at * 1e6)
        requests = [
            ClaimRequest(
                f"job-{job}", ClaimKind.TICK, f"{node.index}:{new_id()}", tick_us, True, False, LOCK_TTL, RETAIN_FOR
            )
            for job in jobs
        ]
        answers = await store.claim(requests)
        won = [
            (job, Lease(request.job, request.owner, answer.fence, (LockType.SERVER,), LOCK_TTL, tick_us))
            for job, request, answer in zip(jobs, requests, answers, strict=True)
            if answer.verdict is Verdict.WON
        ]
        await carry_out(won)
        await store.release([lease for _, lease in won])

    def claim(at: float, jobs: Sequence[int]) -> None:
        task = create_task(ask(at, jobs))
        asking.add(task)
        task.add_done_callback(asking.discard)

    return claim


def running(node: Node) -> Callable[[Won], Awaitable[None]]:
    """Return what runs the handlers of jobs that were won, and nothing else."""
    handlers = [node.handler(job) for job in range(len(node.phases))]
    create_task = asyncio.get_running_loop().create_task

    async def run(won: Won) -> None:
        for task in [create_task(handlers[job]()) for job, _ in won]:
            await task

    return run


def of_node(jobs: Sequence[int], node: Node) -> list[int]:
    """Return those jobs that are the node's own."""
    return [job for job in jobs if job % node.nodes == node.index]


async def serve(node: Node) -> None:
    store = RedisStore(node.url)
    await store.refresh()
    own = [(phase, of_node(jobs, node)) for phase, jobs in grouped(node)]
    node.ready()
    await each_batch(own, claiming(store, node, running(node)))
