"""Who hears of ticks whose run was interrupted by a clean stop: everybody who listens, once for each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, rerun, tick, won

from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _handover

if TYPE_CHECKING:
    from _contract import Backend, RedisBackend

    from asyncsched._grants import Lease
    from asyncsched.protocols import Store

HANDED = "schedule:jobs:handed"


class Ear:
    """One node that listens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.heard: list[tuple[str, int]] = []
        self.stop: Callable[[], None] = store.listen(lambda job, tick_us: self.heard.append((job, tick_us)))

    async def hear(self) -> list[tuple[str, int]]:
        """Return what was heard since the last time, by the next refresh at the latest."""
        await self._store.refresh()
        heard, self.heard = self.heard[:], []
        return heard


async def granted(store: Store, now: int, job: str = "report") -> Lease:
    return await won(store, tick(now, job=job, max_attempts=3), SERVER, RUN)


async def test_an_unfinished_run_is_heard_of_once(store: Store, other: Store, now: int) -> None:
    held = await granted(store, now)
    ears = [Ear(other), Ear(other)]
    assert [await ear.hear() for ear in ears] == [[], []]
    await store.release([held])

    assert [await ear.hear() for ear in ears] == [[("report", now)]] * 2
    assert [await ear.hear() for ear in ears] == [[], []]


async def test_the_node_that_hands_over_hears_of_it_too(store: Store, now: int) -> None:
    ear = Ear(store)
    await store.release([await granted(store, now)])

    assert await ear.hear() == [("report", now)]


async def test_a_second_hand_over_of_the_same_tick_is_heard_again(store: Store, other: Store, now: int) -> None:
    ear = Ear(other)
    await store.release([await granted(store, now)])
    assert await ear.hear() == [("report", now)]
    await store.release([await won(store, rerun(now), RUN)])

    assert await ear.hear() == [("report", now)]
    assert await ear.hear() == []


@pytest.mark.parametrize("how", ["finished", "without the run", "of another", "nothing left", "repeated"])
async def test_other_releases_are_not_heard_of(
    backend: Backend, store: Store, other: Store, now: int, how: str
) -> None:
    held = await granted(store, now)
    if how == "nothing left":
        await backend.lose("report", SERVER)
        await backend.lose("report", RUN, now)
    if how == "repeated":
        await store.release([held])
    ear = Ear(other)
    if how == "repeated":
        await ear.hear()
    released = {
        "finished": replace(held, finished=True),
        "without the run": replace(held, locks=(SERVER,)),
        "of another": replace(held, owner="n9:r1"),
    }
    await store.release([released.get(how, held)])

    assert await ear.hear() == []


async def test_many_are_heard_of_in_one_go(store: Store, other: Store, now: int) -> None:
    leases = [await granted(store, now, f"job{number}") for number in range(3)]
    plain = await won(store, tick(now, job="plain", no_overlap=True), SERVER, OVERLAP)
    ear = Ear(other)
    await store.release([leases[0], plain, replace(leases[1], finished=True), leases[2]])

    assert sorted(await ear.hear()) == [("job0", now), ("job2", now)]


async def test_who_listens_no_more_hears_nothing(store: Store, other: Store, now: int) -> None:
    ear, stays = Ear(other), Ear(other)
    ear.stop()
    await store.release([await granted(store, now)])

    assert await stays.hear() == [("report", now)]
    assert ear.heard == []


async def test_a_listener_may_leave_when_it_is_called(store: Store, other: Store, now: int) -> None:
    heard: list[str] = []

    def once(job: str, _: int) -> None:
        heard.append(job)
        leave()

    leave = other.listen(once)
    stays = Ear(other)
    await store.release([await granted(store, now)])
    assert await stays.hear() == [("report", now)]
    await store.release([await won(store, rerun(now), RUN)])
    await stays.hear()

    assert heard == ["report"]


# In Redis


async def test_a_hand_over_in_redis(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    await store.release([await granted(store, now, "a:b")])

    assert await redis_backend.raw.smembers(HANDED) == {f"{now} n1:r1 a:b".encode()}
    assert await redis_backend.raw.pttl(HANDED) == pytest.approx(_handover.KEPT_MS, abs=2_000)


async def test_who_begins_to_listen_hears_what_was_handed_over_shortly_before(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    await store.release([await granted(store, now)])

    assert await Ear(redis_backend.store()).hear() == [("report", now)]


async def test_who_does_not_listen_does_not_ask(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.set(HANDED, "foreign")
    store = redis_backend.store()
    await store.refresh()  # it does not look at the key

    Ear(store)
    with pytest.raises(StoreUnavailableError, match="WRONGTYPE"):
        await store.refresh()


GARBAGE = ["", "x", "5", "5 ", "5 n1:r1", "5 n1:r1 ", "x n1:r1 report", "-5 n1:r1 report", "1.5 n1:r1 report"]
MORE_GARBAGE = ["٥ n1:r1 report", "12345678901234567 n1:r1 report", b"\xff\xfe 1 2", "²5 n1:r1 report"]


async def test_what_is_no_hand_over_is_passed_over(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.sadd(HANDED, *GARBAGE, *MORE_GARBAGE, "7 n1:r1 report")

    assert await Ear(redis_backend.store()).hear() == [("report", 7)]


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}])
async def test_hand_overs_are_read_through_any_client(redis_backend: RedisBackend, options: dict[str, Any]) -> None:
    from asyncsched.stores.redis import RedisStore

    writer, now = redis_backend.store(), redis_backend.now_us()
    await writer.release([await granted(writer, now)])

    assert await Ear(RedisStore(redis_backend.client(**options))).hear() == [("report", now)]


async def test_a_hand_over_that_fails_costs_no_release(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.set(HANDED, "foreign")
    store, now = redis_backend.store(), redis_backend.now_us()

    assert list(await store.release([await granted(store, now)])) == [True]
    assert await redis_backend.raw.get(HANDED) == b"foreign"


async def test_prefixes_separate_hand_overs(redis_backend: RedisBackend) -> None:
    one, two = redis_backend.store(prefix="one:"), redis_backend.store(prefix="two:")
    ears = Ear(one), Ear(two)
    now = redis_backend.now_us()
    await one.release([await granted(one, now)])

    assert [await ear.hear() for ear in ears] == [[("report", now)], []]
