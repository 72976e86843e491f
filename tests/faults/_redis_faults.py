"""Owns the faults of Redis: dead, empty, slow, deaf, full, forgetful, and with locks that others have touched.

Each makes its fault, waits, undoes it and returns what it has done.
"""

from __future__ import annotations

import asyncio
import random
import time

from _cluster import Cluster
from _history import Fault

KEY = "schedule:jobLock:{}:{}"
LOCK_TYPES = ("overlap", "server", "tick")
KEYS_AT_ONCE = 6


async def redis_killed(cluster: Cluster, draw: random.Random) -> Fault:
    """kill -9 of Redis; it comes back with its data."""
    since = time.time()
    cluster.server.kill(keep_data=True)
    await asyncio.sleep(draw.uniform(0.1, 3.0))
    await cluster.start_redis()
    return cluster.fault("redis_killed", since)


async def redis_emptied(cluster: Cluster, draw: random.Random) -> Fault:
    """kill -9 of Redis; it comes back with nothing."""
    since = time.time()
    cluster.server.kill()
    await asyncio.sleep(draw.uniform(0.1, 3.0))
    await cluster.start_redis()
    return cluster.fault("redis_emptied", since, jobs=tuple(spec.name for spec in cluster.guarded_jobs))


async def client_kill(cluster: Cluster, draw: random.Random) -> Fault:
    """All connections are closed by the server, again and again."""
    since = time.time()
    for _ in range(draw.randint(3, 20)):
        await cluster.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(draw.uniform(0.0, 0.2))
    return cluster.fault("client_kill", since)


async def client_pause(cluster: Cluster, draw: random.Random) -> Fault:
    """The server takes commands and answers none for a while: then it carries them out, late."""
    since, seconds = time.time(), draw.uniform(0.5, 2.5)
    await cluster.redis.execute_command("CLIENT", "PAUSE", round(seconds * 1000), "ALL")
    await asyncio.sleep(seconds)
    return cluster.fault("client_pause", since)


async def redis_sleeps(cluster: Cluster, draw: random.Random) -> Fault:
    """The server does nothing at all for a while (DEBUG SLEEP)."""
    since = time.time()
    await cluster.redis.execute_command("DEBUG", "SLEEP", f"{draw.uniform(0.5, 2.5):.3f}")
    return cluster.fault("redis_sleeps", since)


async def script_flush(cluster: Cluster, draw: random.Random) -> Fault:
    """The server forgets all scripts, again and again."""
    since = time.time()
    for _ in range(draw.randint(3, 20)):
        await cluster.redis.execute_command("SCRIPT", "FLUSH")
        await asyncio.sleep(draw.uniform(0.0, 0.2))
    return cluster.fault("script_flush", since)


async def out_of_memory(cluster: Cluster, draw: random.Random) -> Fault:
    """The server refuses every write that needs memory (maxmemory, noeviction)."""
    since = time.time()
    await cluster.redis.config_set("maxmemory", "1")
    await asyncio.sleep(draw.uniform(0.5, 3.0))
    await cluster.redis.config_set("maxmemory", "0")
    return cluster.fault("out_of_memory", since)


async def keys_deleted(cluster: Cluster, draw: random.Random) -> Fault:
    """Some jobs lose their locks and records."""
    since, jobs = time.time(), _drawn_jobs(cluster, draw)
    await cluster.redis.delete(*_keys(jobs))
    return cluster.fault("keys_deleted", since, jobs=jobs)


async def keys_stolen(cluster: Cluster, draw: random.Random) -> Fault:
    """Somebody else has the locks of some jobs for a while."""
    since, jobs = time.time(), _drawn_jobs(cluster, draw)
    for key in _keys(jobs, "overlap", "server"):
        await cluster.redis.set(key, f"thief:{'0' * 32}|{round(since * 1e6)}", px=1500)
    await asyncio.sleep(1.5)
    return cluster.fault("keys_stolen", since, jobs=jobs)


async def keys_foreign(cluster: Cluster, draw: random.Random) -> Fault:
    """The locks and records of some jobs hold what no asyncsched has written, until somebody deletes that."""
    since, jobs = time.time(), _drawn_jobs(cluster, draw)
    for key in _keys(jobs):
        async with cluster.redis.pipeline() as pipeline:
            pipeline.delete(key)
            if draw.random() < 0.5:
                pipeline.set(key, "nonsense")
            else:
                pipeline.rpush(key, "nonsense")
            await pipeline.execute()
    await asyncio.sleep(draw.uniform(0.5, 2.0))
    await cluster.redis.delete(*_keys(jobs))
    return cluster.fault("keys_foreign", since, jobs=jobs)


def _drawn_jobs(cluster: Cluster, draw: random.Random) -> tuple[str, ...]:
    names = [spec.name for spec in cluster.guarded_jobs]
    return tuple(draw.sample(names, min(KEYS_AT_ONCE, len(names))))


def _keys(jobs: tuple[str, ...], *types: str) -> list[str]:
    return [KEY.format(job, lock_type) for job in jobs for lock_type in types or LOCK_TYPES]
