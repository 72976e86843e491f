"""What stands in Redis, exactly: other programs read it, and nodes of different releases share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, SERVER, decide, lease, start, tick, trigger, verdict, won

from asyncsched._grants import Renewal, Verdict
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _scripts

if TYPE_CHECKING:
    from _contract import RedisBackend

SECOND = 1_000_000
LOCKS = "schedule:jobLock:report:"
STATE = "schedule:job:report"


async def contents(raw: Any) -> dict[str, Any]:
    """Everything on the server: strings, hashes and sets by their keys."""
    found: dict[str, Any] = {}
    for name in sorted(await raw.keys("*")):
        kind = (await raw.type(name)).decode()
        if kind == "string":
            value: Any = (await raw.get(name)).decode()
        elif kind == "hash":
            value = {key.decode(): item.decode() for key, item in (await raw.hgetall(name)).items()}
        elif kind == "set":
            value = {item.decode() for item in await raw.smembers(name)}
        else:
            value = kind
        found[name.decode()] = value
    return found


async def ttl(backend: RedisBackend, key: str) -> float:
    return (await backend.raw.pttl(key)) / 1_000


async def test_a_ticks_grant(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    request = tick(now, "n1:r1", no_overlap=True, lock_ttl=600.0, retain_for=700_000.0)
    answer = await decide(redis_backend.store(), request)

    fence = str(answer.fence)
    assert await contents(redis_backend.raw) == {
        STATE: {"fence": fence, "tick": str(now)},
        LOCKS + "tick": {"tick": str(now), "run": "n1:r1", "fence": fence, "granted": "1"},
        LOCKS + "server": f"n1:r1|{fence}",
        LOCKS + "overlap": f"n1:r1|{fence}",
    }
    assert await ttl(redis_backend, LOCKS + "tick") == pytest.approx(700_000, abs=2)
    assert await ttl(redis_backend, LOCKS + "server") == pytest.approx(600, abs=2)
    assert await ttl(redis_backend, LOCKS + "overlap") == pytest.approx(600, abs=2)
    assert await redis_backend.raw.pttl(STATE) == -1


async def test_a_consumed_tick(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    store = redis_backend.store()
    held = await won(store, tick(now - 1, "n1:r1", no_overlap=True))
    await verdict(store, tick(now, "n2:r1", no_overlap=True, retain_for=50.0))

    found = await contents(redis_backend.raw)
    fence = str(held.fence)
    assert found[LOCKS + "tick"] == {"tick": str(now), "run": "n2:r1", "fence": fence, "granted": "0"}
    assert found[LOCKS + "server"] == f"n1:r1|{fence}"
    assert found[STATE] == {"fence": fence, "tick": str(now - 1)}  # a consumed tick was not granted
    assert await ttl(redis_backend, LOCKS + "tick") == pytest.approx(50, abs=2)


async def test_a_lost_record(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    await verdict(redis_backend.store(), tick(now, "n2:r1", remembered_us=now - SECOND, retain_for=50.0))

    found = await contents(redis_backend.raw)
    noticed_us = int(found.pop(STATE)["tick"])
    assert now <= noticed_us <= redis_backend.now_us()
    assert found == {LOCKS + "tick": {"tick": str(now), "run": "n2:r1", "fence": "0", "granted": "-1"}}
    assert await ttl(redis_backend, LOCKS + "tick") == pytest.approx(50, abs=2)


async def test_a_starts_grant(redis_backend: RedisBackend) -> None:
    held = await won(redis_backend.store(), start("n1:r1", no_overlap=True, lock_ttl=60.0))

    value = f"n1:r1|{held.fence}"
    assert await contents(redis_backend.raw) == {
        STATE: {"fence": str(held.fence)},
        LOCKS + "start": value,
        LOCKS + "overlap": value,
    }
    assert await ttl(redis_backend, LOCKS + "start") == pytest.approx(60, abs=2)


async def test_a_triggered_runs_grant(redis_backend: RedisBackend) -> None:
    held = await won(redis_backend.store(), trigger("n1:r1", one_server=True))

    assert await contents(redis_backend.raw) == {
        STATE: {"fence": str(held.fence)},
        LOCKS + "overlap": f"n1:r1|{held.fence}",
    }


async def test_refused_claims_write_nothing(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    store = redis_backend.store()
    await store.set_paused("paused", True)
    await won(store, tick(now, "n1:r1"))
    before = await contents(redis_backend.raw)

    assert await verdict(store, tick(now, "n1:r2", job="paused")) is Verdict.PAUSED
    assert await verdict(store, tick(now + 60 * SECOND, "n1:r2")) is Verdict.EARLY
    assert await verdict(store, tick(now, "n1:r2")) is Verdict.ELSEWHERE
    assert await verdict(store, tick(now - 1, "n1:r2", job="new", remembered_us=now)) is Verdict.ELSEWHERE
    assert await contents(redis_backend.raw) == before


async def test_a_pause_and_its_end(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    await store.set_paused("report", True)
    assert await contents(redis_backend.raw) == {STATE: {"paused": "1"}, "schedule:jobs:paused": {"report"}}
    await store.set_paused("report", False)

    assert await contents(redis_backend.raw) == {}


async def test_maintenance_and_its_end(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    await store.set_paused("*", True)
    assert await contents(redis_backend.raw) == {"schedule:jobs:paused": {"*"}}
    await store.set_paused("*", False)

    assert await contents(redis_backend.raw) == {}


async def test_a_release_leaves_the_record_and_the_fence(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    held = await won(store, tick(redis_backend.now_us(), no_overlap=True), SERVER, OVERLAP)
    await store.release([held])

    assert sorted(await contents(redis_backend.raw)) == [STATE, LOCKS + "tick"]


async def test_a_renewal_extends_what_it_names_and_nothing_else(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    request = tick(redis_backend.now_us(), no_overlap=True, retain_for=50.0)
    held = await won(store, request, SERVER, OVERLAP)
    before = await contents(redis_backend.raw)
    longer = lease(request, held.fence, SERVER, OVERLAP, lock_ttl=900.0)

    assert list(await store.renew([longer])) == [Renewal.HELD]
    assert await contents(redis_backend.raw) == before
    assert await ttl(redis_backend, LOCKS + "server") == pytest.approx(900, abs=2)
    assert await ttl(redis_backend, LOCKS + "overlap") == pytest.approx(900, abs=2)
    assert await ttl(redis_backend, LOCKS + "tick") == pytest.approx(50, abs=2)


async def test_prefixes_separate_clusters(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    one, two = redis_backend.store(prefix="one:"), redis_backend.store(prefix="two:")
    await won(one, tick(now, no_overlap=True))
    await one.set_paused("report", True)
    await two.refresh()

    assert not two.is_paused("report")
    assert await verdict(two, tick(now, "n2:r1", no_overlap=True)) is Verdict.WON
    names = set(await contents(redis_backend.raw))
    assert {name[:16] for name in names} == {"one:schedule:job", "two:schedule:job"}
    assert "one:schedule:jobLock:report:tick" in names


async def test_the_fence_floor_counts(redis_backend: RedisBackend) -> None:
    ahead = redis_backend.now_us() + 3_600 * SECOND  # the server's clock was set back an hour since
    await redis_backend.raw.hset(STATE, "fence", str(ahead))
    store = redis_backend.store()

    assert (await won(store, tick(redis_backend.now_us()))).fence == ahead + 1
    assert (await won(store, trigger("n1:r2"))).fence == ahead + 2


async def test_the_records_fence_counts_where_the_floor_is_gone(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    ahead = now + 3_600 * SECOND
    record = {"tick": str(now - 1), "run": "n1:r1", "fence": str(ahead), "granted": "1"}
    await redis_backend.raw.hset(LOCKS + "tick", mapping=record)

    assert (await won(redis_backend.store(), tick(now, "n2:r1"))).fence == ahead + 1


WRONG_TYPE = ["state", "tick", "server", "start", "overlap"]
GOOD_RECORD = {"tick": "5", "run": "n1:r1", "fence": "7", "granted": "1"}


def key_of(part: str) -> str:
    return STATE if part == "state" else LOCKS + part


async def claim_with_neighbours(backend: RedisBackend, part: str) -> list[tuple[Verdict, str]]:
    """Claim the job whose ``part`` is foreign, between two others."""
    now = backend.now_us()
    asked = start("n2:r1", no_overlap=True) if part == "start" else tick(now, "n2:r1", no_overlap=True)
    requests = [tick(now, job="before"), asked, tick(now, job="after")]
    return [(answer.verdict, answer.detail) for answer in await backend.store().claim(requests)]


async def check_corrupt(backend: RedisBackend, part: str) -> None:
    before = await contents(backend.raw)
    first, (answer, detail), last = await claim_with_neighbours(backend, part)

    assert (first[0], last[0]) == (Verdict.WON, Verdict.WON)
    assert answer is Verdict.CORRUPT
    assert f"the {part} key" in detail
    after = await contents(backend.raw)
    assert {key: value for key, value in after.items() if "report" in key} == before


@pytest.mark.parametrize("part", WRONG_TYPE)
async def test_a_key_of_another_type_is_corrupt_and_left_alone(redis_backend: RedisBackend, part: str) -> None:
    await redis_backend.raw.rpush(key_of(part), "foreign")

    await check_corrupt(redis_backend, part)


@pytest.mark.parametrize("part", ["server", "start", "overlap"])
@pytest.mark.parametrize(
    "value", ["", "foreign", "n1:r1|", "|7", "n1|r1|7x", "n1:r1|1.7e+15", "n1:r1|99999999999999999"]
)
async def test_a_lock_that_names_no_owner_and_fence_is_corrupt(
    redis_backend: RedisBackend, part: str, value: str
) -> None:
    await redis_backend.raw.set(key_of(part), value)

    await check_corrupt(redis_backend, part)


@pytest.mark.parametrize(
    "change",
    [
        {"tick": "1.7e+15"},
        {"tick": "-5"},
        {"tick": "9007199254740993"},
        {"fence": "x"},
        {"granted": "2"},
        {"granted": None},
        {"run": None},
        {"fence": None},
        {"tick": None},
    ],
)
async def test_a_record_that_cannot_be_read_is_corrupt(
    redis_backend: RedisBackend, change: dict[str, str | None]
) -> None:
    record = {key: value for key, value in (GOOD_RECORD | change).items() if value is not None}
    await redis_backend.raw.hset(LOCKS + "tick", mapping=record)

    await check_corrupt(redis_backend, "tick")


@pytest.mark.parametrize("value", ["", "x", "1.5", "0x10"])
async def test_a_floor_that_is_no_number_is_corrupt(redis_backend: RedisBackend, value: str) -> None:
    await redis_backend.raw.hset(STATE, "fence", value)

    await check_corrupt(redis_backend, "state")


async def test_a_record_of_the_far_future_is_corrupt(redis_backend: RedisBackend) -> None:
    # Taken for decided, it would stop the job in silence, and every node would remember it.
    day = 24 * 3_600 * SECOND
    await redis_backend.raw.hset(LOCKS + "tick", mapping=GOOD_RECORD | {"tick": str(redis_backend.now_us() + 2 * day)})

    await check_corrupt(redis_backend, "tick")


@pytest.mark.parametrize("part", ["state", "tick"])
async def test_a_fence_that_cannot_rise_is_corrupt(redis_backend: RedisBackend, part: str) -> None:
    record = GOOD_RECORD | {"fence": str(2**53 - 1)} if part == "tick" else {"fence": str(2**53 - 1)}
    await redis_backend.raw.hset(key_of(part), mapping=record)

    await check_corrupt(redis_backend, part)


async def test_a_pause_that_cannot_be_written_is_not_half_written(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.rpush(STATE, "foreign")
    store = redis_backend.store()
    before = await contents(redis_backend.raw)
    for paused in (True, False):
        with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
            await store.set_paused("report", paused)

    assert await contents(redis_backend.raw) == before


async def test_a_record_of_ours_is_read(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.hset(LOCKS + "tick", mapping=GOOD_RECORD)

    assert await verdict(redis_backend.store(), tick(5, "n2:r1")) is Verdict.ELSEWHERE
    assert await verdict(redis_backend.store(), tick(6, "n2:r1")) is Verdict.WON


async def test_foreign_keys_are_neither_renewed_nor_released(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    for part in ("tick", "server", "overlap"):
        await redis_backend.raw.rpush(key_of(part), "foreign")
    store = redis_backend.store()
    before = await contents(redis_backend.raw)
    leases = [lease(tick(now), 1, SERVER), lease(tick(now), 1, SERVER, OVERLAP), lease(tick(now), 1, OVERLAP)]

    assert list(await store.renew(leases)) == [Renewal.LOST] * 3
    assert list(await store.release(leases)) == [False] * 3
    assert await contents(redis_backend.raw) == before


async def test_a_foreign_index_of_pauses_is_an_error(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.set("schedule:jobs:paused", "foreign")
    store = redis_backend.store()

    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        await store.refresh()
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        await store.set_paused("report", True)


async def test_a_claim_delivered_after_its_deadline_writes_nothing(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    keys = [STATE, LOCKS + "tick", LOCKS + "server"]
    argv = [now - 1, 5_000, "", "-", 1, "TR", now, 1_000, 1_000, 0, 0, "n1:r1"]
    answer = await redis_backend.raw.eval(_scripts.CLAIM.text, len(keys), *keys, *argv)

    assert answer[1:] == [b"l"]
    assert await contents(redis_backend.raw) == {}
