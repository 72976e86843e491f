"""What the guarantees and the account of every tick cost together: the loop of ``cluster_failover``, whose runs are
supervised tasks with a run id and a trace id, hold a lease that is renewed and lose it when it is to be trusted no
more, and end with an outcome that is counted; and whose nodes write down once a second, with the refresh, what they
are, how each run ended, and when each job runs next. It is the least code that does so, and does nothing else: one
schedule, one policy, no stop, no settings, no events, nothing that goes wrong but by the book."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextvars import ContextVar

from asyncsched._grants import Lease, Renewal
from asyncsched._records import Posting
from asyncsched._run import new_id
from asyncsched.stores.redis import RedisStore
from benchmarks.contestants.cluster_failover import claim_with_failover, for_ever
from benchmarks.contestants.cluster_protocol import LOCK_TTL, Won
from benchmarks.node import Node

RENEWAL_INTERVAL, TRUST = 20.0, LOCK_TTL - 6.0
"""Seconds between two renewals of a lease, and for which one is trusted."""

trace: ContextVar[tuple[str, str]] = ContextVar("trace")
"""Ids of the run and of its trace."""


class Accounts:
    """Carries out the runs of one node, and is the reporter of its store's board."""

    def __init__(self, node: Node, store: RedisStore) -> None:
        self.name = f"node-{node.index}"
        self._store = store
        self._handlers = [node.handler(job) for job in range(len(node.phases))]
        self._active: dict[str, tuple[asyncio.Task[None], Lease]] = {}
        self._trusted_until: dict[str, float] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._endings: dict[str, list[str]] = {}
        self._successes: dict[str, int] = {}
        self._fire_times: dict[str, int] = {}

    async def carry_out(self, won: Won) -> None:
        """Run what was won, each in a task that is known by its owner."""
        create_task = asyncio.get_running_loop().create_task
        until = time.monotonic() + TRUST
        tasks = []
        for job, lease in won:
            task = create_task(self._live(job, lease), name=lease.job)
            self._active[lease.owner] = task, lease
            self._trusted_until[lease.owner] = until
            tasks.append(task)
        for task in tasks:
            await task

    async def _live(self, job: int, lease: Lease) -> None:
        ids = lease.owner, new_id()
        trace.set(ids)
        outcome, error = "failed", ""
        began_us, began = time.time_ns() // 1000, time.monotonic()
        try:
            if self._trusted_until[lease.owner] > began:
                await self._handlers[job]()
                outcome = "succeeded"
        except asyncio.CancelledError:
            outcome = "cancelled"
        except Exception as caught:
            error = str(caught)
        finally:
            del self._active[lease.owner], self._trusted_until[lease.owner]
            self._book(lease, ids, outcome, error, began_us, time.monotonic() - began)

    def _book(
        self, lease: Lease, ids: tuple[str, str], outcome: str, error: str, began_us: int, duration: float
    ) -> None:
        name = lease.job
        self._counts[name, outcome] += 1
        at = began_us + round(duration * 1e6)
        if outcome == "succeeded":
            self._successes[name] = at
        self._fire_times[name] = lease.tick_us + 1_000_000
        self._endings.setdefault(name, []).append(
            f'{{"at":{at},"node":"{self.name}","outcome":"{outcome}","fire_us":{lease.tick_us},"started_us":{began_us},'
            f'"duration":{duration:.6f},"run_id":"{ids[0][-32:]}","trace_id":"{ids[1]}","fence":{lease.fence}'
            f"{error and ','}{error}}}"
        )

    async def renew(self) -> None:
        """Renew all leases that are held; a run whose lease is lost, or can no longer be trusted, is cancelled."""
        held = list(self._active.values())
        sent_at = time.monotonic()
        for (task, lease), answer in zip(held, await self._store.renew([lease for _, lease in held]), strict=True):
            if answer is Renewal.HELD and lease.owner in self._active:
                self._trusted_until[lease.owner] = sent_at + TRUST
            elif answer is Renewal.LOST or self._trusted_until.get(lease.owner, sent_at) < sent_at:
                task.cancel()

    def collect(self) -> Posting:
        """Return what is to be written down."""
        return Posting(
            node=self.name,
            report=f'{{"host":"here","pid":1,"state":"running","active":{len(self._active)}}}',
            catalogue=None,
            fire_times=self._fire_times,
            endings=self._endings,
            successes=self._successes,
            history=200,
            history_for=604_800.0,
        )

    def posted(self, orders: Sequence[str]) -> None:
        """Forget what is written down. Nobody gives orders here."""
        self._fire_times, self._endings, self._successes = {}, {}, {}

    def forgotten(self) -> None:
        """Nothing is kept to be told again."""


async def serve(node: Node) -> None:
    store = RedisStore(node.url)
    accounts = Accounts(node, store)
    store.board.attach(accounts)
    await claim_with_failover(node, store, accounts.carry_out, for_ever(accounts.renew, RENEWAL_INTERVAL))
