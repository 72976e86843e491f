"""What a cluster keeps of itself for people: it is there for whoever reads it, capped, and in nobody's way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, SERVER, ClusterBackend, RedisBackend, SqliteBackend, tick, won
from _reporter import Reporter, ending

from asyncsched.testing import FakeClock

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched.protocols import Store

SECOND = 1_000_000


def board_of(store: Any) -> Any:
    return store.board


async def post(*stores: Store) -> None:
    """Let what each store's nodes have to say be written down. One in memory asks them when it is read."""
    for store in stores:
        await store.refresh()
        if store.refresh_interval is None:
            await board_of(store).read()


async def history(store: Store, job: str = "report", most: int = 100) -> list[str]:
    return list((await board_of(store).history([job], most)).get(job, ()))


# Nodes and what they say


async def test_what_a_node_says_is_read_by_others(store: Store, other: Store, now: int) -> None:
    node = Reporter()
    node.fire_times = {"report": now + SECOND, "once": now}
    node.successes = {"report": now - SECOND}
    node.endings["report"] += [ending(now - SECOND, "first"), ending(now, "second")]
    board_of(store).attach(node)
    await post(store, store)

    found = await board_of(other).read()
    text, age = found.reports["a"]
    assert (text, list(found.reports)) == (node.report, ["a"])
    assert 0 <= age < 5
    assert found.catalogues == {"d1": '{"jobs":[]}'}
    assert found.fire_times == {"report": now + SECOND, "once": now}
    assert found.successes == {"report": now - SECOND}
    assert (found.notes, found.paused) == ({}, frozenset())
    assert abs(found.now * 1e6 - now) < 60 * SECOND
    assert await history(other) == [ending(now, "second"), ending(now - SECOND, "first")]
    assert await history(other, most=1) == [ending(now, "second")]
    assert await history(other, "nobody") == []
    assert not any(node.endings.values())
    assert node.catalogue is None


async def test_what_is_known_already_stays_when_it_is_said_no_more(store: Store, other: Store, now: int) -> None:
    node = Reporter()
    node.fire_times = {"report": now + SECOND}
    board_of(store).attach(node)
    await post(store, store)
    node.fire_times = {"another": now}
    node.report = '{"node":"is better"}'
    await post(store)

    found = await board_of(other).read()
    assert found.fire_times == {"report": now + SECOND, "another": now}
    assert found.catalogues == {"d1": '{"jobs":[]}'}
    assert found.reports["a"][0] == '{"node":"is better"}'


async def test_a_job_that_is_never_due_again_has_no_fire_time(store: Store, now: int) -> None:
    node = Reporter()
    board_of(store).attach(node)
    for at_us in (now + SECOND, 0):
        node.fire_times = {"report": at_us}
        await post(store, store)

    assert not (await board_of(store).read()).fire_times.get("report")


async def test_two_nodes_stand_beside_each_other(store: Store, other: Store, now: int) -> None:
    first, second = Reporter("a"), Reporter("b")
    second.catalogue = ("d2", '{"jobs":["report"]}')
    for nth, (node, each) in enumerate(((first, store), (second, other))):
        node.endings["report"].append(ending(now + nth, node.node))
        node.successes = {"report": now + 10 - nth, node.node: now}
        board_of(each).attach(node)
    await post(store, store, other, other)

    found = await board_of(store).read()
    assert set(found.reports) == {"a", "b"}
    assert set(found.catalogues) == {"d1", "d2"}
    assert found.successes == {"report": now + 10, "a": now, "b": now}, "the newest of a job counts"
    assert await history(store) == [ending(now + 1, "b"), ending(now, "a")]


async def test_two_nodes_of_one_store(store: Store, other: Store, now: int) -> None:
    nodes = [Reporter(name) for name in "ab"]
    for node in nodes:
        node.endings["report"].append(ending(now, node.node))
        board_of(store).attach(node)
    await post(store, store)

    assert set((await board_of(other).read()).reports) == {"a", "b"}
    assert len(await history(other)) == 2


async def test_a_node_that_leaves_says_its_last_and_is_gone(store: Store, other: Store, now: int) -> None:
    node = Reporter()
    leave = board_of(store).attach(node)
    await post(store, store)
    node.endings["report"].append(ending(now, "last"))
    await leave()
    await leave()

    assert (await board_of(other).read()).reports == {}
    assert await history(other) == [ending(now, "last")]
    await post(store)
    assert (await board_of(other).read()).reports == {}, "it reports no more"


async def test_a_node_that_is_cut_off_is_left_alone(store: Store, other: Store, now: int) -> None:
    away, here = Reporter("away"), Reporter("here")
    away.is_away = True
    away.endings["report"].append(ending(now))
    leave = board_of(store).attach(away)
    board_of(store).attach(here)
    await post(store, store)
    assert set((await board_of(other).read()).reports) == {"here"}

    away.is_away = False
    await post(store)
    assert set((await board_of(other).read()).reports) == {"away", "here"}
    assert await history(other) == [ending(now)]
    await leave()


# Caps and ages


async def test_only_the_newest_endings_are_kept(store: Store, other: Store, now: int) -> None:
    node = Reporter(history=3)
    board_of(store).attach(node)
    await post(store)
    for nth in range(5):
        node.endings["report"].append(ending(now + nth))
        node.endings["other"].append(ending(now + nth))
        if nth % 2:
            await post(store)
    await post(store)

    assert await history(other) == [ending(now + nth) for nth in (4, 3, 2)]
    assert await history(other, "other") == [ending(now + nth) for nth in (4, 3, 2)]


async def test_old_endings_are_dropped_with_the_next_one(store: Store, other: Store, now: int) -> None:
    node = Reporter(history_for=60.0)
    board_of(store).attach(node)
    node.endings["report"] += [ending(now - 120 * SECOND, "old"), ending(now - 61 * SECOND, "old")]
    await post(store, store)
    node.endings["report"].append(ending(now))
    await post(store)

    assert await history(other) == [ending(now)]


async def test_many_endings_at_once(store: Store, other: Store, now: int) -> None:
    node = Reporter(history=1_000)
    for nth in range(650):
        node.endings["report"].append(ending(now + nth, "x" * 100))
    for nth in range(350):
        node.endings[f"job{nth}"].append(ending(now + nth))
    board_of(store).attach(node)
    await post(store, store, store)

    assert await history(other, most=1_000) == [ending(now + nth, "x" * 100) for nth in reversed(range(650))]
    jobs = [f"job{nth}" for nth in range(350)]
    found = await board_of(other).history(jobs, 5)
    assert [list(found[job]) for job in jobs] == [[ending(now + nth)] for nth in range(350)]


async def test_many_fire_times_at_once(store: Store, other: Store, now: int) -> None:
    node = Reporter()
    node.fire_times = {f"job{nth}": now + nth for nth in range(1_200)}
    node.successes = {f"job{nth}": now - nth for nth in range(1_200)}
    board_of(store).attach(node)
    await post(store, store)

    found = await board_of(other).read()
    assert found.fire_times == {f"job{nth}": now + nth for nth in range(1_200)}
    assert found.successes == {f"job{nth}": now - nth for nth in range(1_200)}


# Notes and pauses


async def test_notes_and_pauses(store: Store, other: Store) -> None:
    await store.set_paused("report", True)
    await board_of(store).set_note("report", '{"by":"me"}')
    await board_of(store).set_note("*", '{"by":"you"}')
    found = await board_of(other).read()
    assert (found.notes, found.paused) == ({"report": '{"by":"me"}', "*": '{"by":"you"}'}, {"report"})

    await board_of(store).set_note("report", None)
    await board_of(store).set_note("unknown", None)
    await board_of(store).set_note("*", '{"by":"them"}')
    assert (await board_of(other).read()).notes == {"*": '{"by":"them"}'}


# Orders


async def test_every_node_hears_of_an_order_until_it_is_taken(store: Store, other: Store) -> None:
    nodes = [Reporter("a"), Reporter("b")]
    for node, each in zip(nodes, (store, other), strict=True):
        board_of(each).attach(node)
    await post(store, other)
    await board_of(store).place_order("o1", '{"id":"o1"}')
    await board_of(other).place_order("o2", '{"id":"o2"}')
    await post(store, other)
    await board_of(store).read()
    assert [sorted(node.orders) for node in nodes] == [['{"id":"o1"}', '{"id":"o2"}']] * 2

    assert await board_of(other).take_order("o1")
    await post(store, other)
    await board_of(store).read()
    assert [list(node.orders) for node in nodes] == [['{"id":"o2"}']] * 2


async def test_of_many_takers_one_gets_an_order(backend: Backend, store: Store) -> None:
    await board_of(store).place_order("o1", "{}")
    boards = [board_of(backend.store()) for _ in range(4)]
    taken = await asyncio.gather(*(board.take_order("o1") for board in boards * 5))

    assert sorted(taken) == [False] * 19 + [True]
    assert not await board_of(store).take_order("never placed")


async def test_answers(store: Store, other: Store) -> None:
    assert await board_of(other).answer_to("o1") is None
    await board_of(store).answer_order("o1", '{"outcome":"started"}')

    assert await board_of(other).answer_to("o1") == '{"outcome":"started"}'
    assert await board_of(other).answer_to("o2") is None


async def test_an_order_and_an_answer_end(backend: Backend, store: Store, other: Store) -> None:
    if not isinstance(getattr(backend, "clock", None), FakeClock):
        pytest.skip("it would take a minute")
    node = Reporter()
    board_of(store).attach(node)
    await post(store)
    await board_of(store).place_order("o1", "{}")
    await board_of(store).answer_order("o0", "{}")
    await backend.pass_time(61)
    await board_of(store).place_order("o2", '{"id":"o2"}')
    await post(store)

    assert list(node.orders) == ['{"id":"o2"}']
    assert not await board_of(other).take_order("o1")
    assert await board_of(other).answer_to("o0") is None


# Locks


async def test_the_locks_of_a_job(store: Store, other: Store, now: int) -> None:
    held = await won(store, tick(now - SECOND, "n1:r1", no_overlap=True), SERVER, OVERLAP)
    await won(store, tick(now, "n2:r2", "quiet"), SERVER)
    found = {(each.job, each.lock_type): each for each in await board_of(other).locks(["report", "nobody", "quiet"])}

    assert set(found) == {
        ("report", "server"),
        ("report", "overlap"),
        ("report", "tick"),
        ("quiet", "server"),
        ("quiet", "tick"),
    }
    lock = found["report", "overlap"]
    assert (lock.node, lock.run_id, lock.fence, lock.tick) == ("n1", "r1", held.fence, None)
    assert lock.ends_in is not None
    assert 0 < lock.ends_in <= held.lock_ttl
    record = found["quiet", "tick"]
    assert (record.node, record.run_id, record.tick) == ("n2", "r2", datetime.fromtimestamp(now / 1e6, UTC))
    await store.release([held])
    assert {each.lock_type for each in await board_of(other).locks(["report"])} == {"tick"}


async def test_the_locks_of_runs_that_are_repeated_and_of_slots(store: Store, other: Store, now: int) -> None:
    request = tick(now - SECOND, "n1:r1", max_attempts=2)
    await won(store, request)
    limited = [tick(now - nth, f"n1:s{nth}", "limited", one_server=False, no_overlap=True) for nth in range(3)]
    for each in limited:
        each.slots = 3
        await won(store, each)
    found = await board_of(other).locks(["report", "limited"])

    at = datetime.fromtimestamp((now - SECOND) / 1e6, UTC)
    by_type = {each.lock_type: each for each in found if each.job == "report"}
    assert set(by_type) == {"server", "tick", "open", "run"}
    assert (by_type["open"].tick, by_type["run"].tick, by_type["run"].run_id) == (at, at, "r1")
    slots = [each for each in found if each.job == "limited"]
    assert {each.lock_type for each in slots} == {"overlap"}
    assert {each.run_id for each in slots} == {"s0", "s1", "s2"}


async def test_locks_of_many_jobs(store: Store, other: Store, now: int) -> None:
    jobs = [f"job{nth}" for nth in range(450)]
    await store.claim([tick(now, f"n1:r{nth}", job) for nth, job in enumerate(jobs)])
    found = {each.job: each for each in await board_of(other).locks(jobs) if each.lock_type == "server"}

    assert {job: each.run_id for job, each in found.items()} == {job: f"r{nth}" for nth, job in enumerate(jobs)}


# The set-up


async def test_a_check_says_something_of_a_good_store(store: Store) -> None:
    found = await board_of(store).check()

    assert found
    assert {each.level for each in found} <= {"ok", "warning"}
    assert all(each.advice for each in found if each.level != "ok")
    assert all(not each.advice for each in found if each.level == "ok")


# Prefixes


async def test_prefixes_keep_boards_apart(backend: Backend, now: int) -> None:
    if not isinstance(backend, SqliteBackend | RedisBackend | ClusterBackend):
        pytest.skip("a store in memory has no prefix")
    stores = [backend.store(prefix=prefix) for prefix in ("", "shop", "blog:")]
    for nth, store in enumerate(stores):
        node = Reporter(f"n{nth}")
        node.endings["report"].append(ending(now + nth))
        node.fire_times = {f"j{nth}": now}
        board_of(store).attach(node)
        await post(store, store)
        await board_of(store).set_note(f"j{nth}", "{}")
        await board_of(store).place_order("same", f'{{"id":"same","of":{nth}}}')

    for nth, store in enumerate(stores):
        found = await board_of(store).read()
        assert (set(found.reports), set(found.fire_times), set(found.notes)) == ({f"n{nth}"}, {f"j{nth}"}, {f"j{nth}"})
        assert await history(store) == [ending(now + nth)]
        assert await board_of(store).take_order("same")
