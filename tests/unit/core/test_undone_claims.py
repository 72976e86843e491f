"""Claims that end without a decision: what they may have won is given back, and a stop leaves none behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from _scripted import AWAY, WON, Work, no_overlap, one_server, turns

from asyncsched import events
from asyncsched._grants import ClaimAnswer, ClaimKind, LockType, Verdict
from asyncsched._run import Outcome, SkipReason

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._job import Job

Policies = tuple["Callable[[Job], object]", ...]


class TestUndoing:
    @pytest.mark.parametrize(
        ("policies", "kind", "locks"),
        [
            ((one_server,), ClaimKind.TICK, (LockType.SERVER,)),
            ((no_overlap,), ClaimKind.TICK, (LockType.OVERLAP,)),
            ((one_server, no_overlap), ClaimKind.TICK, (LockType.SERVER, LockType.OVERLAP)),
            ((one_server,), ClaimKind.START, (LockType.START,)),
            ((one_server, no_overlap), ClaimKind.START, (LockType.OVERLAP, LockType.START)),
            ((no_overlap,), ClaimKind.START, (LockType.OVERLAP,)),
            ((no_overlap,), ClaimKind.TRIGGER, (LockType.OVERLAP,)),
            ((one_server,), ClaimKind.TRIGGER, None),
        ],
    )
    async def test_what_may_have_been_won_unheard_is_given_back(
        self, parts: Parts, policies: Policies, kind: ClaimKind, locks: tuple[LockType, ...] | None
    ) -> None:
        parts.store.claims = [AWAY] * 1000
        run, _ = parts.submit(parts.state(Work(), *policies, grace=2.0), kind)
        await parts.clock.advance(10)

        assert run.skip_reason is SkipReason.STORE_UNAVAILABLE
        if locks is None:
            assert parts.store.released == []
            return
        ((lease,),) = parts.store.released
        assert (lease.job, lease.fence, lease.owner) == ("j", 0, f"n1:{run.run_id}")
        assert sorted(lease.locks) == sorted(locks)
        assert [event.fire_time for event in parts.of_type(events.LateGrantReleased)] == [run.fire_time]

    async def test_a_win_that_was_none_is_not_told(self, parts: Parts) -> None:
        parts.store.claims, parts.store.releases = [AWAY] * 1000, [False]
        parts.submit(parts.state(Work(), one_server, grace=2.0))
        await parts.clock.advance(10)

        assert len(parts.store.released) == 1
        assert parts.of_type(events.LateGrantReleased) == []

    async def test_what_was_never_asked_is_not_given_back(self, parts: Parts) -> None:
        state = parts.state(Work(), one_server)
        parts.submit(state)
        state.retired = True
        await parts.clock.settle()

        assert parts.store.claimed == parts.store.released == []

    async def test_the_local_lock_is_free_again(self, parts: Parts) -> None:
        parts.store.claims = [AWAY] * 1000
        state = parts.state(Work(), no_overlap, grace=2.0)
        parts.submit(state)
        await parts.clock.advance(1)
        assert state.overlap_lock is not None
        assert state.overlap_lock.locked()
        await parts.clock.advance(5)

        assert not state.overlap_lock.locked()


class TestClosing:
    async def _close(self, parts: Parts) -> None:
        parts.claimer.close()
        await turns()
        await asyncio.wait_for(asyncio.shield(parts.tasks[0]), 1)
        parts.claimer.abandon()

    async def test_what_is_ready_is_not_asked_any_more(self, parts: Parts) -> None:
        await turns()
        run, _ = parts.submit(parts.state(Work(), one_server, no_overlap))
        await self._close(parts)

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        assert parts.store.claimed == parts.store.released == []

    @pytest.mark.parametrize(
        ("answer", "outcome", "released"),
        [
            (WON, Outcome.SUCCEEDED, 1),
            (AWAY, Outcome.SKIPPED, 1),
            (ClaimAnswer(Verdict.EARLY, wait=500.0), Outcome.SKIPPED, 0),
            (ClaimAnswer(Verdict.LATE), Outcome.SKIPPED, 0),
            (ClaimAnswer(Verdict.CORRUPT), Outcome.SKIPPED, 0),
        ],
    )
    async def test_the_answer_on_its_way_is_waited_for(
        self, parts: Parts, answer: Any, outcome: Outcome, released: int
    ) -> None:
        parts.store.wall = parts.clock.time()
        on_its_way = parts.call_on_its_way(parts.store.claims)
        run, _ = parts.submit(parts.state(Work(), one_server))
        await turns()
        parts.claimer.close()
        await turns()
        assert not parts.tasks[0].done()
        on_its_way.set_result(answer)
        await self._close(parts)
        await parts.clock.settle()

        assert run.outcome is outcome
        assert run.skip_reason is (SkipReason.SHUTTING_DOWN if outcome is Outcome.SKIPPED else None)
        assert len(parts.store.released) == released
        assert parts.put_back == []

    async def test_what_waits_to_ask_again_is_given_up_and_undone(self, parts: Parts) -> None:
        parts.store.claims = [AWAY]
        run, _ = parts.submit(parts.state(Work(), one_server))
        await turns()
        parts.claimer.close()

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        await parts.clock.advance(5)
        assert len(parts.store.claimed) == len(parts.store.released) == 1

    async def test_what_waits_behind_another_is_given_up(self, parts: Parts) -> None:
        on_its_way = parts.call_on_its_way(parts.store.claims)
        state = parts.state(Work(), one_server)
        first, _ = parts.submit(state)
        await turns()
        second, _ = parts.submit(state)
        third, _ = parts.submit(state, ClaimKind.TRIGGER)
        parts.claimer.close()
        on_its_way.set_result(WON)
        await self._close(parts)
        await turns()

        assert first.outcome is Outcome.SUCCEEDED
        assert [second.skip_reason, third.skip_reason] == [SkipReason.SHUTTING_DOWN] * 2
        assert len(parts.store.claimed) == 1

    async def test_an_answer_that_never_comes_is_abandoned_and_undone(self, parts: Parts) -> None:
        parts.call_on_its_way(parts.store.claims)
        run, _ = parts.submit(parts.state(Work(), one_server))
        await turns()
        parts.claimer.close()
        parts.tasks[0].cancel()
        await turns()
        parts.claimer.abandon()
        await turns()

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        assert [[lease.fence for lease in call] for call in parts.store.released] == [[0]]
