"""Owns what the schedulers that share a store in memory keep for people. It asks them when somebody looks: without
readers, it costs nothing.

Knows nothing of what the texts say; the locks it reads as ``_decide`` has written them.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from asyncsched._instants import from_us
from asyncsched._records import BoardText, Finding, LockRecord
from asyncsched.exceptions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from asyncsched._records import Posting
    from asyncsched.protocols import Clock, Reporter
    from asyncsched.stores._decide import JobState, Lock

KEPT_FOR = 60.0
"""Seconds for which orders and answers are kept."""
DAY = 86_400.0
"""Seconds after which a node's last report, and a catalogue, is forgotten."""
MOST_ENDINGS = 100_000
"""Of all jobs together; each has its share of them."""


class MemoryBoard:
    """The board of one store in memory."""

    def __init__(self, clock: Clock, jobs: Mapping[str, JobState], paused: set[str]) -> None:
        self._clock = clock
        self._jobs = jobs
        self._paused = paused
        self._reporters: list[Reporter] = []
        self._reports: dict[str, tuple[str, float]] = {}
        self._catalogues: dict[str, tuple[str, float]] = {}
        self._fire_times: dict[str, int] = {}
        self._successes: dict[str, int] = {}
        self._notes: dict[str, str] = {}
        self._endings: dict[str, deque[str]] = {}
        self._orders: dict[str, tuple[str, float]] = {}
        self._answers: dict[str, tuple[str, float]] = {}

    def attach(self, reporter: Reporter) -> Callable[[], Awaitable[None]]:
        """Ask ``reporter`` whenever somebody looks, and now; return what ends that."""
        self._reporters.append(reporter)

        async def detach() -> None:
            if reporter in self._reporters:
                self._reporters.remove(reporter)
                node = self._ask(reporter)
                if node is not None:
                    self._reports.pop(node, None)

        return detach

    async def read(self) -> BoardText:
        """Return all that is written down, but for endings."""
        self._ask_all()
        now = self._clock.monotonic()
        return BoardText(
            now=self._clock.time(),
            reports={node: (text, now - at) for node, (text, at) in self._reports.items()},
            catalogues={digest: text for digest, (text, _) in self._catalogues.items()},
            fire_times=dict(self._fire_times),
            successes=dict(self._successes),
            notes=dict(self._notes),
            paused=frozenset(self._paused),
        )

    async def history(self, jobs: Sequence[str], most: int) -> Mapping[str, Sequence[str]]:
        """Return the newest endings of each of ``jobs``, at most ``most`` of each, the newest first."""
        self._ask_all()
        return {job: tuple(islice(reversed(self._endings[job]), most)) for job in jobs if job in self._endings}

    async def set_note(self, job: str, text: str | None) -> None:
        """Note who has paused a job, or ``*``; ``None``: forget that."""
        if text is None:
            self._notes.pop(job, None)
        else:
            self._notes[job] = text

    # Orders

    async def place_order(self, order_id: str, text: str) -> None:
        """Let every node hear of an order, now."""
        self._orders[order_id] = text, self._clock.monotonic() + KEPT_FOR
        self._ask_all()

    async def take_order(self, order_id: str) -> bool:
        """Remove an order; ``True`` for exactly one caller."""
        self._forget_old()
        return self._orders.pop(order_id, None) is not None

    async def answer_order(self, order_id: str, text: str) -> None:
        """Keep what became of an order."""
        self._forget_old()
        self._answers[order_id] = text, self._clock.monotonic() + KEPT_FOR

    async def answer_to(self, order_id: str) -> str | None:
        """Return what became of an order; ``None``: nothing is known yet."""
        self._forget_old()
        return self._answers[order_id][0] if order_id in self._answers else None

    # Locks and set-up

    async def locks(self, jobs: Sequence[str]) -> Sequence[LockRecord]:
        """Return the locks and records of these jobs."""
        found: list[LockRecord] = []
        for name in jobs:
            if (job := self._jobs.get(name)) is not None:
                found += self._locks_of(name, job)
        return found

    def _locks_of(self, name: str, job: JobState) -> list[LockRecord]:
        now, now_us = self._clock.monotonic(), round(self._clock.time() * 1e6)
        found = [
            _lock(name, lock, held.owner, fence=held.fence, ends_in=held.until - now)
            for lock, held in job.locks.items()
            if held.until > now
        ]
        record = job.record
        if record is not None and record.until_us > now_us:
            ends_in = (record.until_us - now_us) / 1e6
            found.append(_lock(name, "tick", record.run, record.tick_us, fence=record.fence, ends_in=ends_in))
        if job.open_until_us > now_us:
            ends_in = (job.open_until_us - now_us) / 1e6
            found += [_lock(name, "open", entry.owner, at, ends_in=ends_in) for at, entry in job.open.items()]
        return found

    async def check(self) -> Sequence[Finding]:
        """Say what the store is."""
        nodes = len(self._reporters)
        what = f"the store is in the memory of this process, and {nodes} running schedulers in it are the cluster"
        return (Finding(level="ok", what=what, advice=""),)

    # What the nodes say

    def _ask_all(self) -> None:
        self._forget_old()
        for reporter in tuple(self._reporters):
            self._ask(reporter)

    def _ask(self, reporter: Reporter) -> str | None:
        """Write down what a node has to say, and let it hear of the orders; return its name, if it can be reached."""
        try:
            posting = reporter.collect()
        except StoreUnavailableError:
            return None
        self._write(posting)
        reporter.posted([text for text, _ in self._orders.values()])
        return posting.node

    def _write(self, posting: Posting) -> None:
        now = self._clock.monotonic()
        self._reports[posting.node] = posting.report, now
        if posting.catalogue is not None:
            digest, text = posting.catalogue
            self._catalogues[digest] = text, now
        self._fire_times.update(posting.fire_times)
        for job, success_us in posting.successes.items():
            self._successes[job] = max(success_us, self._successes.get(job, 0))
        oldest_us = (self._clock.time() - posting.history_for) * 1e6
        for job, texts in posting.endings.items():
            before = self._endings.get(job, ())
            kept = self._endings[job] = deque(sorted((*before, *texts), key=_ended_us))
            most = min(posting.history, max(1, MOST_ENDINGS // len(self._endings)))
            while kept and (len(kept) > most or _ended_us(kept[0]) < oldest_us):
                kept.popleft()

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        for kept in (self._orders, self._answers):
            for order_id in [order_id for order_id, (_, until) in kept.items() if until <= now]:
                del kept[order_id]
        for stale in (self._reports, self._catalogues):
            for name in [name for name, (_, at) in stale.items() if now - at > DAY]:
                del stale[name]


def _ended_us(text: str) -> int:
    """Return when a tick ended, which stands first in its text."""
    return int(text[len('{"at":') : text.index(",")])


def _lock(
    job: str, lock: Lock, owner: str, tick_us: int | None = None, *, fence: int = 0, ends_in: float
) -> LockRecord:
    node, _, run_id = owner.rpartition(":")
    lock_type = lock if isinstance(lock, str) else "run"
    tick_us = lock if isinstance(lock, int) else tick_us
    return LockRecord(
        job=job,
        lock_type=lock_type.partition(":")[0],
        node=node,
        run_id=run_id,
        tick=None if tick_us is None else from_us(tick_us),
        fence=fence,
        ends_in=ends_in,
    )
