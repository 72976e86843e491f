"""Pauses reach every node and survive everything but their end; the store's clock is the cluster's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from _contract import decide, start, tick, trigger, verdict

from asyncsched._grants import EVERY_JOB, ClaimAnswer, Verdict
from asyncsched.protocols import Store as StoreProtocol

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched._grants import ClaimRequest
    from asyncsched.protocols import Store


def shapes(now: int) -> list[ClaimRequest]:
    return [
        tick(now),
        tick(now, no_overlap=True),
        tick(now, one_server=False, no_overlap=True),
        tick(now, one_server=False),
        start(no_overlap=True),
        trigger(),
    ]


async def test_a_paused_job_gets_no_run_of_any_kind(store: Store, other: Store, now: int) -> None:
    await store.set_paused("report", True)

    for request in shapes(now):
        assert await decide(other, request) == ClaimAnswer(Verdict.PAUSED)


async def test_a_paused_job_loses_nothing(store: Store, other: Store, now: int) -> None:
    await store.set_paused("report", True)
    assert await verdict(other, tick(now, no_overlap=True)) is Verdict.PAUSED
    await other.set_paused("report", False)

    assert await verdict(store, tick(now, no_overlap=True)) is Verdict.WON


async def test_a_paused_claim_still_tells_the_newest_tick(store: Store, now: int) -> None:
    await decide(store, tick(now - 1))
    await store.set_paused("report", True)

    assert await decide(store, tick(now, "n2:r1")) == ClaimAnswer(Verdict.PAUSED, newest_us=now - 1)


async def test_a_pause_concerns_one_job_only(store: Store, now: int) -> None:
    await store.set_paused("report", True)

    assert await verdict(store, tick(now, job="reports")) is Verdict.WON
    assert not store.is_paused("reports")


async def test_a_pause_is_known_at_once_to_the_node_that_made_it(store: Store) -> None:
    assert not store.is_paused("report")
    await store.set_paused("report", True)
    assert store.is_paused("report")
    await store.set_paused("report", False)
    assert not store.is_paused("report")


async def test_a_pause_is_known_to_the_others_after_a_refresh(store: Store, other: Store) -> None:
    await store.set_paused("report", True)
    await other.refresh()
    assert other.is_paused("report")
    await store.set_paused("report", False)
    await other.refresh()

    assert not other.is_paused("report")


async def test_pausing_and_resuming_may_be_repeated(store: Store, other: Store, now: int) -> None:
    await store.set_paused("report", True)
    await other.set_paused("report", True)
    await store.set_paused("report", False)
    await store.set_paused("report", False)
    await store.refresh()

    assert not store.is_paused("report")
    assert await verdict(store, tick(now)) is Verdict.WON


async def test_a_pause_outlives_the_stores_connection(store: Store) -> None:
    await store.set_paused("report", True)
    await store.close()
    await store.refresh()

    assert store.is_paused("report")


async def test_maintenance_is_known_to_all_and_outlives_the_connection(store: Store, other: Store) -> None:
    assert not store.is_paused(EVERY_JOB)
    for _ in range(2):
        await store.set_paused(EVERY_JOB, True)
        await store.close()
        for node in (store, other):
            await node.refresh()
            assert node.is_paused(EVERY_JOB)
    for _ in range(2):
        await other.set_paused(EVERY_JOB, False)
        assert not other.is_paused(EVERY_JOB)
    await store.refresh()

    assert not store.is_paused(EVERY_JOB)


async def test_maintenance_and_pauses_know_nothing_of_each_other(store: Store, other: Store, now: int) -> None:
    await store.set_paused("report", True)
    await store.set_paused(EVERY_JOB, True)
    await store.set_paused(EVERY_JOB, False)
    await other.refresh()
    assert other.is_paused("report")
    await store.set_paused(EVERY_JOB, True)
    await store.set_paused("report", False)
    await other.refresh()

    assert other.is_paused(EVERY_JOB)
    assert not other.is_paused("report")
    assert await verdict(other, tick(now)) is Verdict.WON  # a node asks its store before it claims


async def test_the_stores_time_is_the_servers(backend: Backend, store: Store) -> None:
    await store.refresh()
    before = backend.now_us()
    at = store.time()

    assert at is not None
    assert at * 1e6 == pytest.approx(before, abs=20_000)


async def test_the_stores_time_goes_on_between_refreshes(backend: Backend, store: Store) -> None:
    await store.refresh()
    first = store.time()
    await backend.pass_time(0.2)
    second = store.time()

    assert first is not None
    assert second is not None
    assert second - first == pytest.approx(0.2, abs=0.1)


async def test_every_store_keeps_the_protocol(store: Store) -> None:
    for name in vars(StoreProtocol):
        assert name.startswith("_") or hasattr(store, name)
    assert store.refresh_interval is None or store.refresh_interval > 0
    assert not store.is_paused("never heard of")


async def test_close_may_be_repeated(store: Store) -> None:
    await store.close()
    await store.close()
