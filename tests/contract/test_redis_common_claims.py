"""The claim that nearly all are, a tick of an ``on_one_server`` job whose records are in order, has a way of its own in
the script. What it leaves behind, and what it must leave alone, is that of every other claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _contract import SERVER, decide, tick, verdict, won

from asyncsched._grants import Verdict

if TYPE_CHECKING:
    from _contract import RedisBackend

SECOND = 1_000_000
RECORD = "schedule:jobLock:report:tick"
SERVER_KEY = "schedule:jobLock:report:server"
STATE = "schedule:job:report"


async def granted_before(backend: RedisBackend) -> int:
    """Have a tick granted and its lease given back; return a later one."""
    now = backend.now_us()
    store = backend.store()
    held = await won(store, tick(now - SECOND, "n1:r1"), SERVER)
    await store.release([held])
    await backend.pass_time(0.002)  # a grant at the very instant of the one before goes the other way
    return now


async def contents(raw: Any) -> dict[str, Any]:
    record, state = await raw.hgetall(RECORD), await raw.hgetall(STATE)
    return {"tick": record, "state": state, "server": await raw.dump(SERVER_KEY)}


async def test_what_the_second_grant_leaves_behind(redis_backend: RedisBackend) -> None:
    now = await granted_before(redis_backend)
    answer = await decide(redis_backend.store(), tick(now, "n2:r1", lock_ttl=60.0))

    fence = str(answer.fence).encode()
    assert (answer.verdict, answer.newest_us) == (Verdict.WON, now)
    raw = redis_backend.raw
    assert await raw.hgetall(STATE) == {b"fence": fence, b"tick": str(now).encode()}
    record = {b"tick": str(now).encode(), b"run": b"n2:r1", b"fence": fence, b"granted": b"1"}
    assert await raw.hgetall(RECORD) == record
    assert await raw.get(SERVER_KEY) == b"n2:r1|" + fence
    assert await raw.pttl(SERVER_KEY) == pytest.approx(60_000, abs=2_000)


async def test_who_comes_second_and_who_repeats(redis_backend: RedisBackend) -> None:
    now = await granted_before(redis_backend)
    store = redis_backend.store()
    first = await decide(store, tick(now, "n2:r1", remembered_us=now - SECOND))

    assert await verdict(store, tick(now, "n1:r2", remembered_us=now - SECOND)) is Verdict.ELSEWHERE
    assert await decide(store, tick(now, "n2:r1", remembered_us=now - SECOND)) == first
    assert await verdict(store, tick(now - SECOND // 2, "n1:r3")) is Verdict.ELSEWHERE


async def test_one_job_twice_in_one_call(redis_backend: RedisBackend) -> None:
    now = await granted_before(redis_backend)
    requests = [tick(now - 2, "n1:r2"), tick(now - 1, "n2:r2"), tick(now - 1, "n1:r3"), tick(now, "n2:r1", job="other")]
    answers = await redis_backend.store().claim(requests)

    verdicts = [answer.verdict for answer in answers]
    assert verdicts == [Verdict.WON, Verdict.WON, Verdict.ELSEWHERE, Verdict.WON]
    assert answers[1].fence > answers[0].fence


async def test_a_lease_that_still_stands_is_taken_over(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    store = redis_backend.store()
    await won(store, tick(now - SECOND, "n1:r1"))
    later = await won(store, tick(now, "n2:r1"))

    assert await redis_backend.raw.get(SERVER_KEY) == f"n2:r1|{later.fence}".encode()


@pytest.mark.parametrize("value", ["", "foreign", "n1:r1|", "|7", "n1:r1|1.7e+15", "n1:r1|99999999999999999"])
async def test_a_foreign_lease_is_corrupt_and_left_alone(redis_backend: RedisBackend, value: str) -> None:
    now = await granted_before(redis_backend)
    await redis_backend.raw.set(SERVER_KEY, value)
    before = await contents(redis_backend.raw)
    answers = await redis_backend.store().claim([tick(now, "n2:r1", job="before"), tick(now, "n2:r1")])

    assert [answer.verdict for answer in answers] == [Verdict.WON, Verdict.CORRUPT]
    assert "the server key" in answers[1].detail
    assert await contents(redis_backend.raw) == before


async def test_a_lease_of_another_type_is_corrupt_and_left_alone(redis_backend: RedisBackend) -> None:
    now = await granted_before(redis_backend)
    await redis_backend.raw.rpush(SERVER_KEY, "foreign")
    before = await contents(redis_backend.raw)
    answer = await decide(redis_backend.store(), tick(now, "n2:r1"))

    assert (answer.verdict, "the server key" in answer.detail) == (Verdict.CORRUPT, True)
    assert await contents(redis_backend.raw) == before


async def test_a_pause_and_a_higher_floor_are_seen(redis_backend: RedisBackend) -> None:
    now = await granted_before(redis_backend)
    ahead = redis_backend.now_us() + 3_600 * SECOND
    await redis_backend.raw.hset(STATE, "fence", str(ahead))
    store = redis_backend.store()
    await store.set_paused("report", True)
    assert await verdict(store, tick(now, "n2:r1")) is Verdict.PAUSED
    await store.set_paused("report", False)
    assert (await won(store, tick(now, "n2:r1"))).fence == ahead + 1


async def test_a_record_lives_on_with_its_grants(redis_backend: RedisBackend) -> None:
    now = await granted_before(redis_backend)
    store, raw = redis_backend.store(), redis_backend.raw
    long = 1e9  # seconds; a part of it is months
    await won(store, tick(now - 3, "n2:r1", retain_for=long))
    assert await raw.pttl(RECORD) <= 1_000_000, "the grant before it was in the same part of the time to live"
    earlier = str(redis_backend.now_us() - SECOND * round(long / 64))
    await raw.hset(RECORD, "fence", earlier)
    await raw.hset(STATE, "fence", earlier)
    await won(store, tick(now - 2, "n2:r2", retain_for=long))
    assert await raw.pttl(RECORD) == pytest.approx(long * 1_000, abs=2_000)
