"""Nodes that meet in a store: who is there, and who hears of what is decided. Nothing rests on either."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import ClusterBackend, SqliteBackend, start, tick, trigger, verdict
from _ears import Ear, ears

from asyncsched._grants import Verdict

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched.protocols import Store


@pytest.fixture(autouse=True)
def only_where_nodes_meet(backend: Backend) -> None:
    if isinstance(backend, ClusterBackend | SqliteBackend):
        pytest.skip("on a Cluster, and on a file, every node asks")


async def test_all_see_who_is_there(store: Store, other: Store) -> None:
    async with ears(b=store, a=other) as (one, two):
        assert [list(ear.place.nodes) for ear in (one, two)] == [["a", "b"]] * 2
        assert one.place.nodes is one.place.nodes, "until somebody comes or goes"
        await one.place.leave()
        await other.refresh()
        assert list(two.place.nodes) == ["a"]
        assert not two.place.hears


async def test_all_others_hear_what_is_granted(store: Store, other: Store, now: int) -> None:
    async with ears(a=store, b=other, c=other) as (_, *others):
        await store.claim([tick(now - 1, job="one"), tick(now, job="two")])
        for ear in others:
            await ear.until(lambda ear=ear: len(ear.heard) == 2)
            assert ear.heard == [("one", now - 1), ("two", now)]


async def test_what_is_used_up_is_heard_of_too(store: Store, other: Store, now: int) -> None:
    async with ears(a=store, b=other) as (_, ear):
        await store.claim([trigger("n2:r1", job="overlapped"), tick(now, job="overlapped", no_overlap=True)])
        await ear.until(lambda: ear.heard)
        assert ear.heard == [("overlapped", now)]


async def test_what_is_used_up_because_of_a_loss_is_not_heard_of(store: Store, other: Store, now: int) -> None:
    """Who hears of a tick skips older ones as taken, and of these nobody can tell after a loss."""
    async with ears(a=store, b=other) as (_, ear):
        assert await verdict(store, tick(now, job="lost", remembered_us=now - 1)) is Verdict.LOST_RECORD
        await store.claim([tick(now, job="last")])
        await ear.until(lambda: ear.heard)
        assert ear.heard == [("last", now)]


async def test_nothing_else_is_told(store: Store, other: Store, now: int) -> None:
    async with ears(a=store, b=other) as (_, ear):
        await store.claim([tick(now, job="again", max_attempts=2), start(job="now"), trigger(job="asked")])
        await store.claim([tick(now, job="every", one_server=False, no_overlap=True)])
        await store.claim([tick(now + 10_000_000, job="early")])
        await store.set_paused("paused", True)
        await store.claim([tick(now, job="paused")])
        await store.claim([tick(now, job="told")])
        assert await verdict(store, tick(now, "n2:r1", job="told")) is Verdict.ELSEWHERE
        await store.claim([tick(now, job="last")])
        await ear.until(lambda: ("last", now) in ear.heard)
        assert ear.heard == [("told", now), ("last", now)]


async def test_a_repeated_claim_is_told_again(store: Store, other: Store, now: int) -> None:
    async with ears(a=store, b=other) as (_, ear):
        await store.claim([tick(now)])
        await store.claim([replace(tick(now), remembered_us=0)])
        await ear.until(lambda: len(ear.heard) == 2)
        assert set(ear.heard) == {("report", now)}


async def test_who_is_alone_hears_nothing(store: Store) -> None:
    ear = Ear(store, "a")
    await store.refresh()
    await store.refresh()
    assert not ear.place.hears
    await ear.place.leave()
    await ear.close()
