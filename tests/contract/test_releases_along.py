"""Releases that go along with the next call of their store."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from _contract import SERVER, tick, verdict, won

from asyncsched import RunContext, Scheduler
from asyncsched._grants import Renewal, Verdict
from asyncsched.stores._passengers import Passengers
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncsched.protocols import Store

LONG = 60.0
"""Seconds: longer than an operation may take, so it is cut down to a part of that."""


@pytest.fixture
def redis_store(store: Store) -> RedisStore:
    if not isinstance(store, RedisStore):
        pytest.skip("only Redis has round trips to save")
    return store


async def test_it_goes_with_the_next_claim(redis_store: RedisStore, other: Store, now: int) -> None:
    await redis_store.release([await won(redis_store, tick(now - 2, "n1:r0"), SERVER)])  # the script is known
    held = await won(redis_store, tick(now - 1), SERVER)
    releasing = asyncio.ensure_future(redis_store.release_along([held], LONG))
    await asyncio.sleep(0)
    assert list(await other.renew([held])) == [Renewal.HELD], "it waits"

    assert await verdict(redis_store, tick(now, "n1:r2")) is Verdict.WON
    assert list(await releasing) == [True]


async def test_it_goes_alone_where_nothing_else_does(redis_store: RedisStore, now: int) -> None:
    held = await won(redis_store, tick(now), SERVER)
    assert list(await redis_store.release_along([held], 0.001)) == [True]
    assert list(await redis_store.renew([held])) == [Renewal.LOST]


@pytest.mark.redis
async def test_it_goes_in_time_for_an_operation_that_may_take_less(connect: Any, redis_url: str) -> None:
    store = connect(redis_url, operation_timeout=0.4)
    held = await won(store, tick(time.time_ns() // 1_000), SERVER)
    assert list(await store.release_along([held], LONG)) == [True]


@pytest.mark.redis
async def test_where_ticks_follow_each_other_closely_releases_go_with_claims(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: Counter[tuple[str, int]] = Counter()
    along: Counter[bool] = Counter()
    take_along = Passengers.take_along

    async def counting(passengers: Passengers, commands: Sequence[Any]) -> list[Any]:
        along[bool(commands)] += 1
        return await take_along(passengers, commands)

    async def work(ctx: RunContext) -> None:
        runs[ctx.job, ctx.fire_us] += 1

    monkeypatch.setattr(Passengers, "take_along", counting)
    scheduler = Scheduler(redis_url)
    for number in range(50):
        scheduler.add_job(f"job-{number}", work).per_seconds(1).phase(number / 50).on_one_server()
    async with scheduler:
        await asyncio.sleep(2.5)
    assert len(runs) > 50
    assert set(runs.values()) == {1}
    assert along[True] > along[False], "most of those that waited went with something"
