"""What is said of the store: clocks that differ, set-ups that are unsafe, outages; each once, until it is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from _scripted import AWAY

from asyncsched import events
from asyncsched._store_health import FEW_NODES, FORGIVEN_SKEW, LARGEST_SKEW, LEAD, StoreHealth, skew_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _scripted import Parts


class Health:
    """The health of a scripted store, refreshed each second."""

    def __init__(self, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
        self.parts = parts
        self.refreshed = 0
        self._caplog = caplog
        self.subject = StoreHealth(parts.store, parts.clock, parts.ledger, parts.logger, parts.bus)
        self.task: asyncio.Future[None] | None = None

    def _count(self) -> None:
        self.refreshed += 1

    async def passing(self, seconds: float) -> None:
        """Begin to refresh, and let time pass."""
        self.task = self.task or asyncio.ensure_future(self.subject.refreshing(1.0, self._count))
        await self.parts.clock.advance(seconds)

    async def skewed(self, seconds: float | None, *, for_seconds: float = 3) -> list[str]:
        """Return what is said while this node's clock is ahead by ``seconds``."""
        self._caplog.clear()
        self.parts.store.behind = seconds
        await self.passing(for_seconds)
        return [record.getMessage() for record in self._caplog.records if record.name.startswith("asyncsched")]

    @property
    def skews(self) -> list[float]:
        return [round(event.skew, 3) for event in self.parts.of_type(events.ClockSkewed)]


@pytest.fixture
async def health(parts: Parts, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Health]:
    made = Health(parts, caplog)
    yield made
    if made.task is not None:
        made.task.cancel()
        await asyncio.wait([made.task])


class TestWhen:
    """A refresh that is nearly due goes just before a tick of guarded jobs."""

    @pytest.mark.parametrize(
        ("tick_in", "nodes", "refreshed"),
        [
            (0.95, FEW_NODES, True),
            (0.95, FEW_NODES + 1, False),
            (0.95, 0, False),
            (0.5, 3, False),
            (1.0, 3, True),
            (1.1, 3, False),
        ],
    )
    async def test_a_tick_draws_it_forward(self, health: Health, tick_in: float, nodes: int, refreshed: bool) -> None:
        await health.passing(0)
        assert health.refreshed == 1

        health.subject.expect(round((health.parts.clock.time() + tick_in) * 1e6), nodes)
        await health.passing(tick_in - LEAD - 0.001 if tick_in <= 1 else 0.999)
        assert health.refreshed == 1
        await health.passing(0.002 if tick_in <= 1 else 0.0)
        assert health.refreshed == (2 if refreshed else 1)
        await health.passing(max(0.0, 1.0 - tick_in) + 0.01)
        assert health.refreshed == 2

    async def test_each_is_drawn_forward_alone(self, health: Health) -> None:
        await health.passing(0)
        tick_us = round(health.parts.clock.time() * 1e6)
        for second in range(1, 6):
            health.subject.expect(tick_us + second * 1_000_000, 3)
            await health.passing(1.0)
        assert health.refreshed == 6

    async def test_before_the_first_there_is_none_to_draw(self, health: Health) -> None:
        health.subject.expect(round((health.parts.clock.time() + 0.95) * 1e6), 3)
        await health.passing(0)
        assert health.refreshed == 1


class TestSkew:
    @pytest.mark.parametrize(
        ("skew", "words"), [(1.2, "1.2 s ahead of the store's"), (-86_400.0, "86400.0 s behind the store's")]
    )
    async def test_it_is_said_once(self, health: Health, skew: float, words: str) -> None:
        (said,) = await health.skewed(skew, for_seconds=100)

        assert said.startswith(f"this node's clock is {words}:")
        assert health.skews == [skew]
        assert health.parts.of_type(events.ClockSkewed)[0].node == "n1"

    @pytest.mark.parametrize("skew", [0.0, 0.9, -0.9, LARGEST_SKEW - 0.001, 0.001 - LARGEST_SKEW, None])
    async def test_a_smaller_one_is_not(self, health: Health, skew: float | None) -> None:
        assert await health.skewed(skew) == []
        assert health.skews == []

    async def test_it_is_said_again_only_after_it_was_right(self, health: Health) -> None:
        assert len(await health.skewed(2.0)) == 1
        for skew in (FORGIVEN_SKEW + 0.01, 2.0, -3.0, -FORGIVEN_SKEW - 0.01, 2.0):
            assert await health.skewed(skew) == []
        assert await health.skewed(FORGIVEN_SKEW - 0.01) == []

        assert len(await health.skewed(-2.0)) == 1
        assert health.skews == [2.0, -2.0]

    async def test_it_is_said_at_the_first_answer(self, health: Health) -> None:
        assert len(await health.skewed(2.0, for_seconds=0)) == 1

    async def test_without_a_subscriber_it_is_logged_all_the_same(self, health: Health) -> None:
        health.parts.bus.wants = lambda _: False  # type: ignore[method-assign]

        assert len(await health.skewed(2.0)) == 1
        assert health.parts.events == []

    def test_what_is_not_known_is_none(self, parts: Parts) -> None:
        assert skew_of(parts.clock, parts.store) is None
        parts.store.behind = -2.5
        assert skew_of(parts.clock, parts.store) == pytest.approx(-2.5)


class TestRefreshing:
    async def test_it_asks_once_in_each_interval(self, health: Health) -> None:
        await health.passing(3.5)

        assert health.parts.store.refreshed_at == [0.0, 1.0, 2.0, 3.0]
        assert health.refreshed == 4

    async def test_an_outage_is_said_once_and_its_end_once(
        self, health: Health, caplog: pytest.LogCaptureFixture
    ) -> None:
        health.parts.store.refreshes = [AWAY] * 3
        await health.passing(2.5)
        assert health.refreshed == 0
        assert [type(event) for event in health.parts.events] == [events.StoreLost]
        await health.passing(5)

        assert [type(event) for event in health.parts.events] == [events.StoreLost, events.StoreRecovered]
        assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
        assert "the store does not answer: away" in caplog.text
        assert "the store answers again after 3.0 s" in caplog.text

    async def test_an_outage_that_nobody_listens_to_is_logged(
        self, health: Health, caplog: pytest.LogCaptureFixture
    ) -> None:
        health.parts.bus.wants = lambda _: False  # type: ignore[method-assign]
        health.parts.store.refreshes = [AWAY]
        await health.passing(2)

        assert len(caplog.records) == 2
        assert health.parts.events == []

    async def test_what_is_unsafe_is_said_once(self, health: Health, caplog: pytest.LogCaptureFixture) -> None:
        health.parts.store.refreshes = [[("its doors are open", "it is on fire")]]
        await health.passing(10)

        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            ("WARNING", "the store is not safe: its doors are open"),
            ("WARNING", "the store is not safe: it is on fire"),
        ]

    async def test_a_fault_of_the_store_itself_ends_it(self, health: Health) -> None:
        health.parts.store.refreshes = [ZeroDivisionError()]
        await health.passing(0)

        assert health.task is not None
        assert isinstance(health.task.exception(), ZeroDivisionError)
