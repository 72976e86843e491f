"""Leases while they are held: renewed in time, trusted no longer than they last, told once when lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY, turns

from asyncsched._grants import Lease, LockType, Renewal
from asyncsched._lease import RETRY_INTERVAL, renewal_interval, trust_window

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._lease import HeldLease


def lease(job: str = "j", ttl: float = 60.0) -> Lease:
    return Lease(job, f"n1:{job}", 1, (LockType.OVERLAP,), ttl)


@pytest.mark.parametrize(
    ("ttl", "interval", "window"),
    [
        (1.0, 1 / 3, 0.8),
        (5.0, 5 / 3, 4.0),
        (10.0, 10 / 3, 8.0),
        (30.0, 10.0, 28.0),
        (60.0, 20.0, 58.0),
        (200.0, 20.0, 198.0),
        (600.0, 20.0, 594.0),
        (86_400.0, 20.0, 85_536.0),
    ],
)
def test_intervals(ttl: float, interval: float, window: float) -> None:
    assert renewal_interval(ttl) == pytest.approx(interval)
    assert trust_window(ttl) == pytest.approx(window)
    assert renewal_interval(ttl) * 2 < trust_window(ttl) < ttl


class Holder:
    """Holds a lease and remembers what it was told."""

    def __init__(self, parts: Parts, of: Lease, sent_at: float | None = None) -> None:
        self.lost: list[tuple[str, float]] = []
        self._parts = parts
        sent_at = parts.clock.monotonic() if sent_at is None else sent_at
        self.held: HeldLease = parts.keeper.hold(of, sent_at, self._lose)

    def _lose(self, why: str) -> None:
        self.lost.append((why, self._parts.clock.monotonic()))


async def test_all_that_is_due_is_renewed_in_one_call(parts: Parts) -> None:
    holders = [Holder(parts, lease(f"j{number}")) for number in range(5)]
    await parts.clock.advance(19.9)
    assert parts.store.renewed == []
    await parts.clock.advance(0.1)

    assert len(parts.store.renewed) == 1
    assert {each.job for each in parts.store.renewed[0]} == {f"j{number}" for number in range(5)}
    await parts.clock.advance(600)
    assert len(parts.store.renewed) == 31
    assert all(not holder.lost for holder in holders)


async def test_those_that_are_nearly_due_are_renewed_with_those_that_are(parts: Parts) -> None:
    for number in range(40):  # one each half second, so that each is due at an instant of its own
        Holder(parts, lease(f"j{number}"))
        await parts.clock.advance(0.5)
    parts.store.renewed.clear()
    await parts.clock.advance(20)

    assert {each.job for call in parts.store.renewed for each in call} == {f"j{number}" for number in range(40)}
    assert 8 <= len(parts.store.renewed) <= 11
    assert min(map(len, parts.store.renewed)) > 1


async def test_each_is_renewed_at_its_own_interval(parts: Parts) -> None:
    Holder(parts, lease("slow", 60.0))
    Holder(parts, lease("quick", 6.0))
    await parts.clock.advance(20)

    jobs = [each.job for call in parts.store.renewed for each in call]
    assert jobs.count("quick") == 10
    assert jobs.count("slow") == 1


async def test_one_whose_holder_may_be_asked_to_end_is_renewed_each_second_whatever_the_others_do(parts: Parts) -> None:
    asked = lease("asked", 600.0)
    asked.cancellable = True
    Holder(parts, asked)
    Holder(parts, lease("busy", 0.9))  # looked at each 0.3 s
    await parts.clock.advance(20)

    jobs = [each.job for call in parts.store.renewed for each in call]
    assert 20 <= jobs.count("asked") <= 23
    assert jobs.count("busy") >= 60


async def test_trust_is_counted_from_the_sending(parts: Parts) -> None:
    answer = asyncio.get_running_loop().create_future()
    parts.store.renewals = [answer]
    holder = Holder(parts, lease())
    await parts.clock.advance(20)
    await parts.clock.advance(15)
    answer.set_result(Renewal.HELD)
    await parts.clock.settle()

    assert holder.held.valid_until == 20 + 58
    assert holder.held.renew_at == 20 + 20


async def test_an_answer_so_late_that_the_next_renewal_is_due_is_followed_by_it_at_once(parts: Parts) -> None:
    answer = asyncio.get_running_loop().create_future()
    parts.store.renewals = [answer]
    holder = Holder(parts, lease())
    await parts.clock.advance(50)
    answer.set_result(Renewal.HELD)
    await parts.clock.advance(0)

    assert len(parts.store.renewed) == 2
    assert holder.held.valid_until == 50 + 58


async def test_a_lost_lease_is_told_once_and_not_renewed_again(parts: Parts) -> None:
    parts.store.renewals = [Renewal.LOST]
    holder = Holder(parts, lease())
    await parts.clock.advance(200)

    assert holder.lost == [("its key is gone or another's", 20.0)]
    assert len(parts.store.renewed) == 1


async def test_a_superseded_lease_is_forgotten_without_a_word(parts: Parts) -> None:
    parts.store.renewals = [Renewal.SUPERSEDED]
    holder = Holder(parts, lease())
    await parts.clock.advance(200)

    assert holder.lost == []
    assert len(parts.store.renewed) == 1


async def test_answers_are_taken_in_the_order_of_the_leases(parts: Parts) -> None:
    first, second, third = (Holder(parts, lease(job)) for job in "abc")
    answers = asyncio.get_running_loop().create_future()
    parts.store.renewals = [answers]
    await parts.clock.advance(20)
    by_job = {"a": Renewal.HELD, "b": Renewal.LOST, "c": Renewal.SUPERSEDED}
    answers.set_result([by_job[each.job] for each in parts.store.renewed[0]])
    await parts.clock.advance(20)

    assert [len(holder.lost) for holder in (first, second, third)] == [0, 1, 0]
    assert [each.job for each in parts.store.renewed[1]] == ["a"]


async def test_a_store_that_comes_back_in_time_costs_nothing(parts: Parts) -> None:
    parts.store.renewals = [AWAY] * 10
    holder = Holder(parts, lease())
    await parts.clock.advance(120)

    assert holder.lost == []
    assert parts.store.called_at[:11] == [20.0 + RETRY_INTERVAL * number for number in range(11)]
    assert parts.outages == ["lost", "recovered"]
    assert parts.store.called_at[11] == 50.0


async def test_short_leases_are_tried_again_sooner(parts: Parts) -> None:
    parts.store.renewals = [AWAY]
    Holder(parts, lease(ttl=6.0))
    await parts.clock.advance(2.5)

    assert parts.store.called_at == [2.0, 2.5]


async def test_a_store_that_stays_away_loses_the_lease_at_the_end_of_trust(parts: Parts) -> None:
    parts.store.renewals = [AWAY] * 1000
    holder = Holder(parts, lease())
    await parts.clock.advance(200)

    assert holder.lost == [("it could not be renewed in time", 58.0)]
    assert parts.store.called_at[-1] <= 58.0


@pytest.mark.parametrize("answer", list(Renewal))
async def test_trust_ends_while_a_renewal_is_on_its_way(parts: Parts, answer: Renewal) -> None:
    on_its_way = asyncio.get_running_loop().create_future()
    parts.store.renewals = [on_its_way]
    holder = Holder(parts, lease())
    await parts.clock.advance(100)
    assert holder.lost == [("it could not be renewed in time", 58.0)]

    on_its_way.set_result(answer)
    await parts.clock.advance(100)
    assert len(holder.lost) == 1
    assert len(parts.store.renewed) == 1


@pytest.mark.parametrize("answer", [*Renewal, AWAY])
async def test_what_is_dropped_while_it_is_renewed_stays_dropped(parts: Parts, answer: object) -> None:
    on_its_way = asyncio.get_running_loop().create_future()
    parts.store.renewals = [on_its_way]
    holder = Holder(parts, lease())
    await parts.clock.advance(20)
    parts.keeper.drop(holder.held)
    on_its_way.set_result(answer)
    await parts.clock.advance(200)

    assert holder.lost == []
    assert len(parts.store.renewed) == 1
    assert parts.store.released == [[lease()]]


async def test_a_lease_dropped_just_before_its_renewal_is_not_renewed(parts: Parts) -> None:
    first = asyncio.get_running_loop().create_future()
    parts.store.renewals = [first]
    Holder(parts, lease("a"))
    await parts.clock.advance(5)
    second = Holder(parts, lease("b"))
    await parts.clock.advance(20)  # `b` is due while the call for `a` is on its way
    parts.keeper.drop(second.held)
    first.set_result(Renewal.HELD)
    await parts.clock.settle()

    assert [[each.job for each in call] for call in parts.store.renewed] == [["a"]]


async def test_a_check_beats_the_timer(parts: Parts) -> None:
    holder = Holder(parts, lease())
    parts.keeper.check(holder.held)
    assert holder.lost == []

    parts.clock.elapsed = 58.0  # a suspend: time went on and no timer fired
    parts.keeper.check(holder.held)
    parts.keeper.check(holder.held)
    assert holder.lost == [("it could not be renewed in time", 58.0)]


async def test_a_dropped_lease_is_not_lost_by_a_check(parts: Parts) -> None:
    holder = Holder(parts, lease())
    parts.keeper.drop(holder.held)
    parts.clock.elapsed = 100.0
    parts.keeper.check(holder.held)

    assert holder.lost == []


async def test_a_lease_whose_answer_took_longer_than_its_trust_is_lost_at_once(parts: Parts) -> None:
    await parts.clock.advance(100)
    holder = Holder(parts, lease(), sent_at=10.0)
    await parts.clock.advance(0)

    assert holder.lost == [("it could not be renewed in time", 100.0)]


async def test_a_nearer_lease_is_looked_at_before_a_further_one(parts: Parts) -> None:
    Holder(parts, lease("far", 600.0))
    Holder(parts, lease("near", 3.0))
    await parts.clock.advance(1)

    assert [[each.job for each in call] for call in parts.store.renewed] == [["near"]]


async def test_a_closed_keeper_renews_nothing_and_tells_nobody(parts: Parts) -> None:
    holder = Holder(parts, lease())
    parts.keeper.close()
    await parts.clock.advance(200)

    assert holder.lost == []
    assert parts.store.renewed == []
    parts.keeper.drop(holder.held)
    await turns()
    assert parts.store.released == [[lease()]]


async def test_a_keeper_that_held_nothing_closes(parts: Parts) -> None:
    parts.keeper.close()

    assert await parts.keeper.release_pending()
    assert parts.store.released == []
