"""Owns the protocols that users and stores implement. Knows no implementation of any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from asyncsched._grants import ClaimAnswer, ClaimRequest, Lease, Renewal
    from asyncsched._records import BoardText, Finding, LockRecord, Posting
    from asyncsched._run import Run, RunContext


@runtime_checkable
class Trigger(Protocol):
    """A rule that yields fire times: a pure function of ``after``, without state and without a clock."""

    def next_fire_time(self, after: datetime) -> datetime | None:
        """Return the first fire time strictly later than ``after`` (both aware), or ``None`` for never again.

        The answer is the same in every process and at every time of asking.
        """
        ...


@runtime_checkable
class Handler(Protocol):
    """What a job does, as three awaitables; see ``docs/handlers.md`` for the life of a run."""

    async def exec(self, ctx: RunContext) -> None:
        """Do the work. Raising fails the run at once."""
        ...

    async def error(self) -> Exception:
        """Wait for the next error that the work reports. The run goes on, and will end as ``failed``."""
        ...

    async def done(self) -> None:
        """Wait until the work says that it is complete. The run ends when this and ``exec`` have returned."""
        ...


class Tracing(Protocol):
    """Gives runs their trace ids, and their handlers what they run in: see ``Scheduler.trace_runs``."""

    def trace_id(self, run: Run) -> str:
        """Return the run's trace id. Called once, when it is first asked for: of a triggered run, in the context of who
        triggers it."""
        ...

    def enter(self, run: Run) -> None:
        """Set up, in the task of the run, what its handler finds there, such as context variables. The task ends with
        the run, so nothing need be undone."""
        ...


class Timer(Protocol):
    """What ``Clock.call_at`` and ``Clock.call_later`` return."""

    def cancel(self) -> None:
        """Forget the call. Harmless after it was made, and when repeated."""
        ...


class Clock(Protocol):
    """All that the engine knows of time. Wall time decides *when*, monotonic time decides *how long*."""

    def time(self) -> float:
        """Return the wall clock: seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never set back, and counting the time a system sleeps."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call back once ``time()`` has reached ``when``, never before; a step of the wall clock counts within 1 s."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Call back once ``monotonic()`` has risen by ``delay`` seconds, never before."""
        ...


class Store(Protocol):
    """Where a cluster decides. Every waiting method is bounded in time by the store itself.

    A method that cannot decide raises ``StoreUnavailableError``: the caller then knows nothing, and either repeats
    the same request or releases what it may have won. A store of several parts, of which one is away, answers what it
    can; the rest is ``UNDECIDED`` (of a release: ``None``), which means the same for that one item.
    """

    @property
    def refresh_interval(self) -> float | None:
        """Seconds between two calls of ``refresh``; ``None``: never needed: the store is in this process, and what it
        knows is never lost."""
        ...

    async def refresh(self) -> Sequence[str]:
        """Fetch what ``time`` and ``is_paused`` answer from.

        Returns:
            What is unsafe about the store's set-up, in words; each once.
        """
        ...

    def time(self) -> float | None:
        """Return the store's wall clock now, in seconds since the epoch; ``None`` before the first contact."""
        ...

    def is_paused(self, job: str) -> bool:
        """Return whether the job is paused, as of the last ``refresh`` or ``set_paused``.

        ``*``, which is no job's name, stands for the maintenance of the whole cluster: claims do not look at that.
        """
        ...

    async def set_paused(self, job: str, paused: bool) -> None:
        """Pause or resume a job, or ``*``, for every node, until further notice."""
        ...

    async def claim(self, requests: Sequence[ClaimRequest]) -> Sequence[ClaimAnswer]:
        """Decide all ``requests``, each atomically; the answers stand in the same order.

        A ``SURVEY`` of a job that the store does not know makes it known: where data can be lost, no tick is granted
        that came due before that.
        """
        ...

    async def renew(self, leases: Sequence[Lease]) -> Sequence[Renewal]:
        """Extend each lease by its ``lock_ttl`` if it is still its owner's. Never creates a missing key."""
        ...

    async def release(self, leases: Sequence[Lease]) -> Sequence[bool | None]:
        """Free what is still the owner's; answer, for each lease, whether anything was; ``None``: nothing is known.

        A store may have a method ``release_along(leases, within)`` that does the same together with its next call, or
        after so many seconds.
        """
        ...

    def listen(self, callback: Callable[[str, int], None]) -> Callable[[], None]:
        """Call back, with job and tick, when a node gives back the lease of a tick's run that was interrupted; from
        within ``refresh`` where news come by that.

        Returns:
            A function that ends it.
        """
        ...

    async def close(self) -> None:
        """Give back what the store made for itself. It may be used again afterwards."""
        ...


class Attendance(Protocol):
    """One node's place among those that share a store: it is there, sees who else is, and hears what is decided.

    A store may have a method ``attend(name, heard)`` that gives one: ``name`` is called for the node's name, which may
    change, and ``heard`` with jobs and a tick when that tick of theirs is decided and another node has asked for it,
    perhaps also of this node's own. Nothing rests on it: news may come twice, late, or not at all. Without it, all ask
    for each tick.
    """

    @property
    def nodes(self) -> Sequence[str]:
        """The names of all nodes that are there, in order; the same object until they change; empty: not known."""
        ...

    @property
    def hears(self) -> bool:
        """Whether this node hears, as far as is known, and there are others."""
        ...

    async def hear(self) -> bool:
        """Hear, until that fails. Returns whether it had begun."""
        ...

    async def leave(self) -> None:
        """Be there no more, as far as the store can be told. Never raises."""
        ...


class Reporter(Protocol):
    """What a running scheduler has to say of itself, for a board to write down."""

    def collect(self) -> Posting:
        """Return what is to be written down now. Called again before ``posted``, it has the same endings in it.

        Raises:
            StoreUnavailableError: it cannot be reached, and is left alone until the next time.
        """
        ...

    def posted(self, orders: Sequence[str]) -> None:
        """Hear that what was collected last is written down, and which orders are open: JSON texts, its own and
        others', the same ones again until somebody takes them."""
        ...

    def forgotten(self) -> None:
        """Hear that the store has lost what was written down before, so that all of it is to be said again."""
        ...


class Board(Protocol):
    """Where a cluster keeps what people want to know of it: who is there, how ticks ended, what was asked for.

    A store may have one as its attribute ``board``. No decision about a tick rests on it: what goes wrong with it never
    fails or delays a claim, a lease or a refresh. Every waiting method is bounded in time and raises
    ``StoreUnavailableError`` when it has no answer. All texts are JSON to those who write and read them, and nothing
    but texts here.
    """

    def attach(self, reporter: Reporter) -> Callable[[], Awaitable[None]]:
        """Write down what ``reporter`` collects, within each ``refresh`` of the store from now on; a store in this
        process does so when it is read. Never raises.

        Returns:
            A function that does so once more, as far as that can be, and then removes the node's report. Never raises.
        """
        ...

    async def read(self) -> BoardText:
        """Return all that is written down, but for endings."""
        ...

    async def history(self, jobs: Sequence[str], most: int) -> Mapping[str, Sequence[str]]:
        """Return the newest endings of each of ``jobs``, at most ``most`` of each: those first that
        were written down last."""
        ...

    async def set_note(self, job: str, text: str | None) -> None:
        """Note who has paused a job, or ``*``, and why; ``None``: forget that."""
        ...

    async def place_order(self, order_id: str, text: str) -> None:
        """Let every node hear of an order, within its next refresh, until somebody takes it; 60 s at most."""
        ...

    async def take_order(self, order_id: str) -> bool:
        """Remove an order; ``True`` for exactly one caller, who may carry it out. So it is withdrawn, too."""
        ...

    async def answer_order(self, order_id: str, text: str) -> None:
        """Keep what became of an order, for 60 s."""
        ...

    async def answer_to(self, order_id: str) -> str | None:
        """Return what became of an order; ``None``: nothing is known yet."""
        ...

    async def locks(self, jobs: Sequence[str]) -> Sequence[LockRecord]:
        """Return the locks and records of these jobs, as they stand."""
        ...

    async def check(self) -> Sequence[Finding]:
        """Look at the set-up of the store, and return what there is to say of it: what is well, too."""
        ...
