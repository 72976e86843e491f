"""Claims that the store does not decide: asked again, put back to the timeline, or given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY, WON, Work, no_overlap, one_server

from asyncsched._grants import ClaimAnswer, ClaimKind, Verdict
from asyncsched._patience import FIRST_BACKOFF, LONGEST_BACKOFF, TRIGGER_PATIENCE, backoff
from asyncsched._run import Outcome, SkipReason

if TYPE_CHECKING:
    from _scripted import Parts

    from asyncsched._job import Job

Policies = tuple["Callable[[Job], object]", ...]


class TestAskingAgain:
    async def test_the_same_request_is_sent_after_growing_pauses(self, parts: Parts) -> None:
        parts.store.claims = [AWAY] * 20
        run, _ = parts.submit(parts.state(Work(), one_server))
        await parts.clock.advance(30)

        assert run.outcome is Outcome.SUCCEEDED
        assert len(parts.store.claimed) == 21
        assert {request for call in parts.store.claimed for request in call} == {parts.store.claimed[0][0]}
        pauses = [b - a for a, b in zip(parts.store.called_at, parts.store.called_at[1:21], strict=False)]
        for number, pause in enumerate(pauses):
            longest = min(FIRST_BACKOFF * 2**number, LONGEST_BACKOFF)
            assert longest / 2 - 1e-9 <= pause <= longest + 1e-9
        assert parts.outages == ["lost", "recovered"]

    def test_nodes_do_not_come_back_together(self) -> None:
        assert len({backoff(0) for _ in range(10)}) == 10

    def test_a_very_long_outage_does_not_overflow(self) -> None:
        assert LONGEST_BACKOFF / 2 <= backoff(100_000) <= LONGEST_BACKOFF

    @pytest.mark.parametrize(("wait", "pause"), [(0.0, 0.0), (0.2, 0.2), (0.5, 0.5)])
    async def test_a_little_too_early(self, parts: Parts, wait: float, pause: float) -> None:
        parts.store.wall = parts.clock.time()
        parts.store.claims = [ClaimAnswer(Verdict.EARLY, wait=wait)]
        run, _ = parts.submit(parts.state(Work(), one_server))
        await parts.clock.advance(1)

        assert run.outcome is Outcome.SUCCEEDED
        assert parts.store.called_at[:2] == pytest.approx([0.0, pause])
        assert parts.put_back == []

    async def test_far_too_early_by_a_store_whose_time_is_not_known_yet(self, parts: Parts) -> None:
        parts.store.claims = [ClaimAnswer(Verdict.EARLY, wait=500.0)]
        parts.submit(parts.state(Work(), one_server))
        await parts.clock.advance(1)

        assert parts.store.called_at[:2] == [0.0, 0.5]
        assert parts.put_back == []

    async def test_far_too_early_the_tick_is_put_back_and_not_accounted(self, parts: Parts) -> None:
        parts.store.wall = parts.clock.time() - 500
        parts.store.claims = [ClaimAnswer(Verdict.EARLY, wait=500.0)]
        state = parts.state(Work(), one_server, no_overlap)
        run, claim = parts.submit(state)
        await parts.clock.settle()
        await parts.claimer.wait_decided(claim)

        assert parts.put_back == [state]
        assert run.outcome is None
        assert parts.tally == {}
        assert state.claims is None
        assert state.overlap_lock is not None
        assert not state.overlap_lock.locked()
        await parts.clock.advance(5)
        assert len(parts.store.claimed) == 1

    @pytest.mark.parametrize("first", [AWAY, ClaimAnswer(Verdict.EARLY, wait=0.4)])
    async def test_a_tick_that_comes_due_again_has_one_claim_and_one_account(self, parts: Parts, first: object) -> None:
        """Once by a clock that was wrong, and once by the store's."""
        parts.store.claims = [first, WON]
        state = parts.state(Work(), one_server, grace=5.0)
        tick = parts.now_us
        _, claim = parts.submit(state, at=tick)
        await parts.clock.settle()
        assert claim.timer is not None
        _, again = parts.submit(state, at=tick, late_by=-3.0)
        await parts.clock.settle()

        assert again is claim
        assert claim.give_up_at == pytest.approx(parts.clock.monotonic() + 8.0)
        assert parts.store.called_at[:2] == [0.0, 0.0]
        (asked,), (asked_again,) = parts.store.claimed
        assert asked == asked_again
        assert claim.run.outcome is Outcome.SUCCEEDED
        assert parts.tally == {"succeeded": 1}

    async def test_a_request_past_its_deadline_is_sent_again_at_once(self, parts: Parts) -> None:
        parts.store.claims = [ClaimAnswer(Verdict.LATE)]
        run, _ = parts.submit(parts.state(Work(), one_server))
        await parts.clock.advance(0)

        assert run.outcome is Outcome.SUCCEEDED
        assert parts.store.claimed[0] == parts.store.claimed[1]

    async def test_what_is_foreign_is_said_once_and_asked_again(
        self, parts: Parts, caplog: pytest.LogCaptureFixture
    ) -> None:
        corrupt = ClaimAnswer(Verdict.CORRUPT, detail="key x is a list")
        parts.store.claims = [AWAY, corrupt, corrupt, corrupt, WON, corrupt]
        state = parts.state(Work(), one_server)

        def complaints() -> int:
            return sum("key x is a list" in record.getMessage() for record in caplog.records)

        parts.submit(state)
        await parts.clock.advance(2.5)
        assert complaints() == 1
        await parts.clock.advance(2.5)
        assert len(parts.store.claimed) == 5
        parts.submit(state)
        await parts.clock.advance(5)
        assert complaints() == 2

    async def test_what_is_foreign_for_good_leaves_the_tick_undecided(self, parts: Parts) -> None:
        parts.store.claims = [ClaimAnswer(Verdict.CORRUPT, detail="x")] * 100
        run, _ = parts.submit(parts.state(Work(), one_server, grace=5.0))
        await parts.clock.advance(20)

        assert run.skip_reason is SkipReason.STORE_UNAVAILABLE
        assert parts.store.released == []  # the store has said that it granted nothing


class TestGivingUp:
    @pytest.mark.parametrize(
        ("kind", "grace", "late_by", "patience"),
        [
            (ClaimKind.TICK, 7.0, 0.0, 7.0),
            (ClaimKind.TICK, 7.0, 3.0, 4.0),
            (ClaimKind.START, 7.0, 0.0, 7.0),
            (ClaimKind.TRIGGER, 7.0, 0.0, TRIGGER_PATIENCE),
            (ClaimKind.TRIGGER, None, 0.0, TRIGGER_PATIENCE),
        ],
    )
    async def test_when_the_grace_is_over(
        self, parts: Parts, kind: ClaimKind, grace: float | None, late_by: float, patience: float
    ) -> None:
        parts.store.claims = [AWAY] * 1000
        run, _ = parts.submit(parts.state(Work(), one_server, grace=grace), kind, late_by=late_by)
        await parts.clock.advance(patience - 0.01)
        assert run.outcome is None
        await parts.clock.advance(LONGEST_BACKOFF + 0.02)

        assert run.skip_reason is SkipReason.STORE_UNAVAILABLE
        assert len(parts.store.claimed) < 1000 - len(parts.store.claims) + 1

    async def test_a_step_of_the_wall_clock_is_no_reason(self, parts: Parts) -> None:
        parts.store.claims = [AWAY]
        run, _ = parts.submit(parts.state(Work(), one_server, grace=60.0))
        await parts.clock.settle()
        parts.clock.shift(86_400)
        await parts.clock.advance(1)

        assert run.outcome is Outcome.SUCCEEDED

    async def test_without_a_grace_not_before_the_next_tick(self, parts: Parts) -> None:
        parts.store.claims = [AWAY] * 40
        run, _ = parts.submit(parts.state(Work(), one_server, grace=None))
        await parts.clock.advance(100)

        assert run.outcome is Outcome.SUCCEEDED

    @pytest.mark.parametrize("how", ["ready", "undecided"])
    async def test_a_job_that_was_removed(self, parts: Parts, how: str) -> None:
        parts.store.claims = [AWAY] * 10
        state = parts.state(Work(), one_server)
        run, _ = parts.submit(state)
        if how == "undecided":
            await parts.clock.settle()
        state.retired = True
        await parts.clock.advance(2)

        assert run.skip_reason is SkipReason.SHUTTING_DOWN
        assert len(parts.store.claimed) <= 2
