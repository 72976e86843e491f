"""Jobs of which n runs may be in progress at once: each of n slots excludes as the one of a job does that must not
overlap."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from _contract import LOCK_TTL, OVERLAP, SERVER, SHORT_TTL, SqliteBackend, decide, start, tick, trigger, verdict

from asyncsched._grants import ClaimAnswer, Lease, Renewal, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from _contract import Backend, RedisBackend

    from asyncsched._grants import ClaimRequest
    from asyncsched.protocols import Store

MET = Verdict.OVERLAP


def among(request: ClaimRequest, slots: int = 2) -> ClaimRequest:
    return replace(request, no_overlap=True, slots=slots)


async def won(store: Store, request: ClaimRequest) -> Lease:
    answer = await decide(store, request)
    assert answer.verdict is Verdict.WON
    locks = (SERVER, OVERLAP) if request.one_server and request.tick_us else (OVERLAP,)
    held = Lease(request.job, request.owner, answer.fence, locks, request.lock_ttl, request.tick_us)
    return replace(held, slots=(answer.slot,))


async def test_n_runs_are_granted_and_no_more(store: Store, other: Store) -> None:
    held = [await won(node, among(trigger(f"n1:r{nth}"), 3)) for nth, node in enumerate((store, other, store))]
    assert [lease.slots for lease in held] == [(0,), (1,), (2,)]
    assert held[0].fence < held[1].fence < held[2].fence
    assert await verdict(other, among(trigger("n2:late"), 3)) is MET

    assert await other.release([held[1]]) == [True]
    again = await won(store, among(trigger("n2:again"), 3))
    assert again.slots == (1,)
    assert again.fence > held[2].fence
    assert await verdict(other, among(trigger("n2:late"), 3)) is MET


async def test_of_many_that_ask_at_once_n_are_granted(store: Store, other: Store) -> None:
    asked = [[among(trigger(f"n{node}:r{nth}"), 5) for nth in range(20)] for node in (1, 2)]
    answers = await asyncio.gather(store.claim(asked[0]), other.claim(asked[1]))
    slots = [answer.slot for each in answers for answer in each if answer.verdict is Verdict.WON]
    assert sorted(slots) == [0, 1, 2, 3, 4]
    assert {answer.verdict for each in answers for answer in each} == {Verdict.WON, MET}


async def test_a_tick_runs_beside_the_one_before_and_is_used_up_by_n(store: Store, other: Store, now: int) -> None:
    first = await won(store, among(tick(now - 4, "n1:r1")))
    await won(other, among(tick(now - 3, "n2:r1")))
    assert await decide(store, among(tick(now - 2, "n1:r2"))) == ClaimAnswer(MET, newest_us=now - 2)
    assert await verdict(store, among(tick(now - 2, "n1:r2"))) is MET
    assert await verdict(other, among(tick(now - 2, "n2:r2"))) is Verdict.ELSEWHERE

    await store.release([first])
    assert await verdict(other, among(tick(now - 2, "n2:r2"))) is Verdict.ELSEWHERE
    assert (await won(store, among(tick(now - 1, "n1:r3")))).slots == (0,)


async def test_the_same_claim_wins_the_same_slot_again(store: Store, other: Store, now: int) -> None:
    first = await won(other, among(tick(now - 1, "n2:r1"), 3))
    request = among(tick(now, "n1:r1"), 3)
    answer = await decide(store, request)
    await other.release([first])  # so an earlier slot is free now
    assert await decide(store, request) == answer
    assert answer.slot == 1

    assert (await won(other, among(trigger("n2:r2"), 3))).slots == (0,)
    assert (await won(other, among(trigger("n2:r3"), 3))).slots == (2,)


async def test_a_repeated_claim_whose_slot_has_ended_takes_no_other(
    store: Store, other: Store, backend: Backend, now: int
) -> None:
    request = among(tick(now, "n1:r1", lock_ttl=SHORT_TTL))
    await won(store, request)
    await backend.pass_time(2 * SHORT_TTL)
    assert await verdict(store, request) is Verdict.LOST_RECORD
    assert [(await won(other, among(trigger(f"n2:r{nth}")))).slots for nth in range(2)] == [(0,), (1,)]


async def test_leases_of_all_slots_are_renewed_by_their_owners(store: Store, other: Store) -> None:
    held = [await won(store, among(trigger(f"n1:r{nth}"))) for nth in range(2)]
    assert await other.renew(held) == [Renewal.HELD, Renewal.HELD]
    swapped = [replace(lease, slots=(1 - nth,)) for nth, lease in enumerate(held)]
    assert await store.renew(swapped) == [Renewal.LOST, Renewal.LOST]
    assert await store.release(swapped) == [False, False]
    assert await store.release(held[1:]) == [True]
    assert await store.renew(held) == [Renewal.HELD, Renewal.LOST]


async def test_a_tick_of_one_server_that_loses_its_slot_has_lost_its_lease(
    store: Store, other: Store, now: int
) -> None:
    await won(store, among(tick(now - 1, "n1:r1")))
    held = await won(store, among(tick(now, "n1:r2")))
    assert held.slots == (1,)
    assert await store.renew([held]) == [Renewal.HELD]
    await other.release([replace(held, locks=(OVERLAP,))])
    assert await store.renew([held]) == [Renewal.LOST]


async def test_a_run_goes_on_beside_that_of_a_newer_tick(store: Store, other: Store, now: int) -> None:
    older = await won(store, among(tick(now - 1, "n1:r1")))
    newer = await won(other, among(tick(now, "n2:r1")))
    assert await store.renew([older, newer]) == [Renewal.HELD, Renewal.HELD]
    assert await store.renew([replace(older, slots=())]) == [Renewal.LOST], "it would have to be alone"
    assert await store.release([older]) == [True]
    assert await store.renew([older, newer]) == [Renewal.LOST, Renewal.HELD]


async def test_a_run_whose_server_lock_is_gone_for_no_newer_tick_has_lost_its_lease(
    store: Store, backend: Backend, now: int
) -> None:
    held = await won(store, among(tick(now, "n1:r1")))
    await backend.lose("report", SERVER)
    assert await store.renew([held]) == [Renewal.LOST]


async def test_a_slot_is_free_when_its_lease_has_ended(store: Store, other: Store, backend: Backend) -> None:
    kept = [await won(store, among(trigger(f"n1:r{nth}"), 3)) for nth in (0, 1)]
    short = await won(store, replace(among(trigger("n1:r2"), 3), lock_ttl=SHORT_TTL))
    assert short.slots == (2,)
    assert await verdict(other, among(trigger("n2:r1"), 3)) is MET
    await backend.pass_time(2 * SHORT_TTL)
    assert (await won(other, among(trigger("n2:r1"), 3))).slots == (2,)
    assert await store.renew([short, *kept]) == [Renewal.LOST, Renewal.HELD, Renewal.HELD]


async def test_whoever_does_not_know_the_slot_gives_back_whichever_it_is(store: Store, other: Store) -> None:
    held = [await won(store, among(trigger(f"n1:r{nth}"), 3)) for nth in range(3)]
    unknown = replace(held[1], fence=0, slots=(0, 1, 2))
    assert await other.release([unknown]) == [True]
    assert await other.release([unknown]) == [False]
    assert await store.renew(held) == [Renewal.HELD, Renewal.LOST, Renewal.HELD]


async def test_a_claim_that_must_be_alone_shares_the_first_slot(store: Store, other: Store, now: int) -> None:
    """A job whose policy changes from one to the other, node by node, never has more than the larger of the two."""
    await won(store, among(trigger("n1:r1")))
    assert await verdict(other, trigger("n2:r1")) is MET
    await won(other, among(trigger("n2:r2")))
    assert await verdict(store, among(trigger("n1:r2"))) is MET


async def test_the_immediate_run_takes_a_slot(store: Store, other: Store) -> None:
    await won(store, among(trigger("n1:r1")))
    answer = await decide(store, among(start("n1:r2")))
    assert (answer.verdict, answer.slot) == (Verdict.WON, 1)
    assert await verdict(other, among(start("n2:r1"))) is Verdict.ELSEWHERE
    assert await verdict(other, among(trigger("n2:r2"))) is MET


async def test_jobs_with_and_without_slots_in_one_call(store: Store, now: int) -> None:
    requests = [
        among(tick(now, "n1:a", "a")),
        tick(now, "n1:b", "b", no_overlap=True),
        among(tick(now, "n1:c", "c", one_server=False), 100),
        tick(now, "n1:d", "d"),
        among(tick(now, "n1:e", "a", one_server=False)),
        among(tick(now, "n1:f", "f"), 3),
    ]
    answers = await store.claim(requests)
    assert [answer.verdict for answer in answers] == [Verdict.WON] * 6
    assert [answer.slot for answer in answers] == [0, 0, 0, 0, 1, 0]
    leases = [
        replace(
            Lease(request.job, request.owner, answer.fence, (OVERLAP,), LOCK_TTL, request.tick_us),
            slots=(answer.slot,),
            locks=(OVERLAP,) if request.no_overlap else (SERVER,),
        )
        for request, answer in zip(requests, answers, strict=True)
    ]
    assert await store.renew(leases) == [Renewal.HELD] * 6
    assert await store.release(leases) == [True] * 6


async def test_the_keys(redis_backend: RedisBackend) -> None:
    store = redis_backend.store()
    held = [await won(store, among(trigger(f"n1:r{nth}"))) for nth in range(2)]
    names = ("schedule:jobLock:report:overlap", "schedule:jobLock:report:overlap:1")
    assert [await redis_backend.raw.get(name) for name in names] == [
        f"{lease.owner}|{lease.fence}".encode() for lease in held
    ]


@pytest.mark.parametrize("value", ["nonsense", "n2:r1|x", "n2:r1|", ""])
async def test_a_foreign_value_in_a_slot_stops_that_job_alone(redis_backend: RedisBackend, value: str) -> None:
    store = redis_backend.store()
    await redis_backend.raw.set("schedule:jobLock:report:overlap:1", value)
    first, second = await store.claim([among(trigger("n1:r1")), among(trigger("n1:r2", "other"))])
    assert (first.verdict, first.detail) == (Verdict.CORRUPT, "the overlap:1 key holds something foreign")
    assert second.verdict is Verdict.WON
    await redis_backend.raw.delete("schedule:jobLock:report:overlap:1")
    await redis_backend.raw.rpush("schedule:jobLock:report:overlap:1", "x")
    assert await verdict(store, among(trigger("n1:r1"))) is Verdict.CORRUPT


@pytest.mark.parametrize("lock", ["overlap:0", "overlap:01", "overlap:", "overlap:100", "overlap:-1", "overlap:١"])
async def test_a_foreign_slot_in_a_row_stops_that_job_alone(tmp_path: Path, lock: str) -> None:
    backend = SqliteBackend(tmp_path)
    store = backend.store()
    held = [await won(store, among(trigger(f"n1:r{nth}", "other"), 3)) for nth in range(2)]
    until_us = round((backend.clock.monotonic() + 60) * 1e6)
    backend.execute(f"INSERT INTO locks VALUES ('report', '{lock}', 'n2:r1', 5, {until_us})")
    first, second = await store.claim([among(trigger("n1:r1")), among(trigger("n1:r2", "other"), 3)])
    assert (first.verdict, second.verdict, second.slot) == (Verdict.CORRUPT, Verdict.WON, 2)
    rows = backend.execute("SELECT lock, owner FROM locks WHERE job = 'other' ORDER BY lock")
    assert rows == [("overlap", held[0].owner), ("overlap:1", held[1].owner), ("overlap:2", "n1:r2")]
    await backend.close()
