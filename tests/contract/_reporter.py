"""Owns a node that has something to say, without a scheduler."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from asyncsched._records import Posting
from asyncsched.exceptions import StoreUnavailableError


def ending(at_us: int, what: str = "") -> str:
    """A text as the engine writes it, as far as a board knows."""
    return f'{{"at":{at_us},"what":"{what}"}}'


class Reporter:
    """What a scheduler would have to say, as a test says it.

    Args:
        node: the node's name.
        history: endings that are kept of each job.
        history_for: seconds for which they are kept.
    """

    def __init__(self, node: str = "a", *, history: int = 200, history_for: float = 86_400.0) -> None:
        self.node = node
        self.history = history
        self.history_for = history_for
        self.report = '{"node":"is well"}'
        self.catalogue: tuple[str, str] | None = ("d1", '{"jobs":[]}')
        self.fire_times: dict[str, int] = {}
        self.successes: dict[str, int] = {}
        self.endings: defaultdict[str, list[str]] = defaultdict(list)
        self.orders: Sequence[str] = ()
        self.is_away = False
        self.posted_times = self.forgotten_times = 0

    def collect(self) -> Posting:
        if self.is_away:
            raise StoreUnavailableError(f"{self.node} is cut off")
        self._collected: dict[str, Any] = {
            "catalogue": self.catalogue,
            "fire_times": dict(self.fire_times),
            "successes": dict(self.successes),
            "endings": {job: tuple(texts) for job, texts in self.endings.items() if texts},
        }
        return Posting(
            node=self.node,
            report=self.report,
            history=self.history,
            history_for=self.history_for,
            **self._collected,
        )

    def posted(self, orders: Sequence[str]) -> None:
        self.posted_times += 1
        self.orders = orders
        if self._collected["catalogue"]:
            self.catalogue = None
        self.fire_times.clear()
        self.successes.clear()
        for job, texts in self._collected["endings"].items():
            del self.endings[job][: len(texts)]

    def forgotten(self) -> None:
        self.forgotten_times += 1
