"""A service's own client whose connections are all in use is an outage, and the outage ends with the shortage."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio
from _contract import tick, verdict

from asyncsched import Scheduler
from asyncsched._grants import Verdict
from asyncsched.events import StoreLost, StoreRecovered
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.redis

POOLS = {
    "raises when it is full": redis.asyncio.ConnectionPool,
    "waits when it is full": redis.asyncio.BlockingConnectionPool,
}


@pytest.fixture(params=POOLS.values(), ids=POOLS)
async def client(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of one connection."""
    pool = request.param.from_url(redis_url, max_connections=1)
    yield redis.asyncio.Redis(connection_pool=pool)
    await pool.disconnect()


def now_us() -> int:
    return round(time.time() * 1e6)


async def test_nothing_is_decided_while_the_pool_is_full(client: redis.asyncio.Redis) -> None:
    store = RedisStore(client, operation_timeout=0.3)
    await client.ping()
    taken = await client.connection_pool.get_connection()
    with pytest.raises(StoreUnavailableError):
        await store.claim([tick(now_us())])
    await client.connection_pool.release(taken)

    assert await verdict(store, tick(now_us())) is Verdict.WON


async def test_guarded_jobs_go_on_when_a_connection_is_free_again(client: redis.asyncio.Redis) -> None:
    ran: list[str] = []
    told: list[Any] = []
    scheduler = Scheduler(client)
    scheduler.add_job("plain", lambda: ran.append("plain")).per_seconds(0.1)
    scheduler.add_job("guarded", lambda: ran.append("guarded")).per_seconds(0.1).on_one_server()
    scheduler.subscribe(told.append, StoreLost, StoreRecovered)
    await client.ping()
    taken = await client.connection_pool.get_connection()
    async with scheduler, asyncio.timeout(30):
        while ran.count("plain") < 5 or not told:
            await asyncio.sleep(0.02)
        assert "guarded" not in ran
        await client.connection_pool.release(taken)
        while "guarded" not in ran or len(told) < 2:
            await asyncio.sleep(0.02)
    assert [type(event) for event in told] == [StoreLost, StoreRecovered]
