"""Fences rise whatever happens, and a store that has lost its data repeats nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _contract import OVERLAP, SERVER, SHORT_TTL, TICK, decide, lease, start, tick, trigger, verdict, won

from asyncsched._grants import ClaimAnswer, Renewal, Verdict

if TYPE_CHECKING:
    from _contract import Backend

    from asyncsched.protocols import Store

SECOND = 1_000_000


async def test_fences_rise_with_every_grant_of_every_kind(store: Store, other: Store, now: int) -> None:
    held = [
        await won(store, tick(now - 2)),
        await won(other, start("n2:r1")),
        await won(store, trigger("n1:r2", no_overlap=False)),
        await won(other, tick(now - 1, "n2:r2")),
        await won(store, trigger("n1:r3"), OVERLAP),
    ]
    await store.release(held[-1:])
    held.append(await won(other, tick(now, "n2:r3", no_overlap=True)))

    fences = [each.fence for each in held]
    assert fences == sorted(set(fences))


async def test_fences_rise_within_one_batch(store: Store) -> None:
    answers = await store.claim([trigger(f"n1:r{index}", no_overlap=False) for index in range(300)])

    fences = [answer.fence for answer in answers]
    assert fences == sorted(set(fences))


async def test_a_consumed_tick_does_not_move_the_fence(store: Store, now: int) -> None:
    # A run that only the `server` key names is superseded by newer grants, not by ticks that nobody runs.
    joined = await won(store, tick(now - 2, "n1:r1"), SERVER)
    await won(store, trigger("n1:r2"), OVERLAP)
    assert await verdict(store, tick(now, "n1:r3", no_overlap=True)) is Verdict.OVERLAP

    assert list(await store.renew([joined])) == [Renewal.HELD]
    assert list(await store.release([joined])) == [True]
    assert list(await store.renew([joined])) == [Renewal.LOST]


async def test_fences_rise_after_every_record_has_expired(backend: Backend, store: Store, now: int) -> None:
    request = tick(now, lock_ttl=SHORT_TTL, retain_for=SHORT_TTL)
    older = await won(store, request)
    await backend.pass_time(SHORT_TTL * 1.5)

    assert (await won(store, tick(backend.now_us(), "n2:r1"))).fence > older.fence


async def test_fences_rise_after_a_loss_of_everything(backend: Backend, store: Store, now: int) -> None:
    before = [await won(store, tick(now)), await won(store, trigger("n1:r2"), OVERLAP)]
    await backend.lose_everything()
    await backend.pass_time(0.001)
    after = [await won(store, tick(now, "n2:r1")), await won(store, trigger("n2:r2"), OVERLAP)]

    assert min(each.fence for each in after) > max(each.fence for each in before)


async def test_after_a_loss_a_remembered_tick_is_not_repeated(backend: Backend, store: Store, now: int) -> None:
    await won(store, tick(now))
    await backend.lose_everything()

    assert await verdict(store, tick(now, "n2:r1", remembered_us=now)) is Verdict.ELSEWHERE


async def test_after_a_loss_the_next_tick_is_consumed_and_the_one_after_runs(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    await won(store, tick(now - 2))
    await backend.lose_everything()

    consumed = await decide(store, tick(now - 1, "n1:r2", remembered_us=now - 2))
    assert (consumed.verdict, consumed.newest_us) == (Verdict.LOST_RECORD, now - 1)
    assert await verdict(other, tick(now - 1, "n2:r1")) is Verdict.ELSEWHERE
    await backend.pass_time(0.001)
    assert await verdict(other, tick(backend.now_us(), "n2:r2", remembered_us=now - 1)) is Verdict.WON


async def test_after_a_loss_a_late_node_opens_no_way_to_what_was_granted_before(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    """It was frozen, asks for the tick that it had in mind, which is used up, and then for the newest one."""
    await won(store, tick(now - 1))
    await backend.lose_everything()
    assert await verdict(other, tick(now - 2, "n2:r1", remembered_us=now - 3)) is Verdict.LOST_RECORD

    # no answer says that it ran, as nobody can tell: each tick up to then is used up by the first who asks for it
    lost = await decide(other, tick(now - 1, "n2:r2", remembered_us=now - 2))
    assert (lost.verdict, lost.newest_us) == (Verdict.LOST_RECORD, now - 1), "it must not pass for newer ones"
    assert await decide(other, tick(now - 1, "n2:r2", remembered_us=now - 2)) == lost
    assert await verdict(store, tick(now - 1, "n1:r2")) is Verdict.ELSEWHERE
    assert await verdict(store, tick(now, "n1:r3", remembered_us=now)) is Verdict.ELSEWHERE
    assert await verdict(store, tick(now, "n1:r4")) is Verdict.LOST_RECORD
    await backend.pass_time(0.001)
    assert await verdict(store, tick(backend.now_us(), "n1:r5", remembered_us=now)) is Verdict.WON


async def test_after_a_loss_an_older_tick_than_the_one_that_was_used_up_is_in_doubt_too(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    """The nodes that had it in mind were late, and one that had just started was asked about a newer one first."""
    await won(store, tick(now - 3))
    await backend.lose_everything()
    assert await verdict(other, tick(now - 1, "n2:r1", remembered_us=now - 4)) is Verdict.LOST_RECORD

    older = tick(now - 2, "n1:r2", remembered_us=now - 3)
    lost = await decide(store, older)
    assert (lost.verdict, lost.newest_us) == (Verdict.LOST_RECORD, now - 1), "nobody has it, and nobody runs it"
    assert await decide(store, older) == lost
    assert await verdict(store, tick(now - 2, "n3:r1", remembered_us=now - 2)) is Verdict.ELSEWHERE, "that one knows"
    assert await verdict(store, tick(now - 1, "n1:r3", remembered_us=now - 3)) is Verdict.ELSEWHERE

    await backend.pass_time(0.001)
    await won(store, tick(backend.now_us(), "n1:r4", remembered_us=now - 1))
    assert await verdict(other, tick(now - 2, "n2:r2")) is Verdict.ELSEWHERE, "a newer one was granted since"


async def test_a_new_job_has_lost_nothing(store: Store, now: int) -> None:
    assert await verdict(store, tick(now, remembered_us=0)) is Verdict.WON


async def test_a_node_that_remembers_nothing_may_claim_after_a_loss(backend: Backend, store: Store, now: int) -> None:
    await won(store, tick(now - 1))
    await backend.lose_everything()

    assert await verdict(store, tick(now, "n2:r1")) is Verdict.WON


async def test_a_record_that_alone_was_lost_repeats_nothing_even_if_nobody_remembers(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    """A node that has just started, with a clock that is behind, remembers nothing and asks for older ticks."""
    await won(store, tick(now - 1))
    await backend.lose("report", TICK)

    assert await verdict(other, tick(now - 2, "n2:r1")) is Verdict.ELSEWHERE
    assert await verdict(other, tick(now - 1, "n2:r2")) is Verdict.ELSEWHERE
    assert await verdict(other, tick(now, "n2:r3")) is Verdict.WON


async def test_a_record_that_alone_was_lost_costs_no_tick(
    backend: Backend, store: Store, other: Store, now: int
) -> None:
    await won(store, tick(now - 1))
    await backend.lose("report", TICK)

    assert await verdict(store, tick(now, "n1:r2", remembered_us=now - 1)) is Verdict.WON


async def test_a_lost_record_is_not_written_for_a_tick_ahead(backend: Backend, store: Store) -> None:
    now = backend.now_us()
    ahead = tick(now + SECOND, remembered_us=now - SECOND)
    assert await verdict(store, ahead) is Verdict.EARLY

    assert await verdict(store, tick(now, "n2:r1")) is Verdict.WON


async def test_a_lost_record_grants_no_lease(store: Store, now: int) -> None:
    asked = tick(now, no_overlap=True, remembered_us=now - SECOND)
    assert await verdict(store, asked) is Verdict.LOST_RECORD

    assert list(await store.release([lease(asked, 0, SERVER, OVERLAP)])) == [False]


async def test_a_loss_loses_every_lease(backend: Backend, store: Store, now: int) -> None:
    held = [
        await won(store, tick(now, job="a"), SERVER),
        await won(store, tick(now, job="b", no_overlap=True), SERVER, OVERLAP),
    ]
    await backend.lose_everything()

    assert list(await store.renew(held)) == [Renewal.LOST, Renewal.LOST]


async def test_remembering_means_nothing_to_runs_without_a_record(store: Store, now: int) -> None:
    request = tick(now, one_server=False, no_overlap=True, remembered_us=now)
    answer = await decide(store, request)

    assert answer == ClaimAnswer(Verdict.WON, fence=answer.fence)
