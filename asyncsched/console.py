"""Owns ``Console``: one place from which a cluster is seen and steered, whether or not the caller is a node of it.

It reads what nodes have written down and asks the store, and knows nothing of any engine.
"""

from __future__ import annotations

import getpass
import socket
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from asyncsched._clock import checked_clock, sleep
from asyncsched._cluster_view import (
    Catalogues,
    cluster_state,
    endings_of,
    is_there,
    job_record,
    names_ever,
    names_in,
    newest_first,
    nodes_of,
)
from asyncsched._durations import Duration, seconds
from asyncsched._instants import require_aware
from asyncsched._job_settings import checked_name
from asyncsched._kinds import EVERY_JOB
from asyncsched._notes import checked_words, set_paused
from asyncsched._record_texts import answer_of, order_text
from asyncsched._records import (
    ActiveRun,
    ClusterState,
    Definition,
    Ending,
    Explanation,
    Finding,
    JobRecord,
    LockRecord,
    NodeRecord,
    Note,
    Order,
    OrderAnswer,
)
from asyncsched._why import MOST_READ, explain
from asyncsched.exceptions import ConfigurationError, SchedulerError, UnknownJobError
from asyncsched.stores import make_store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from redis.asyncio import Redis, RedisCluster

    from asyncsched._records import BoardText
    from asyncsched.protocols import Board, Clock, Store

__all__ = [
    "ActiveRun",
    "ClusterState",
    "Console",
    "Definition",
    "Ending",
    "Explanation",
    "Finding",
    "JobRecord",
    "LockRecord",
    "NodeRecord",
    "Note",
    "OrderAnswer",
]

MOST_ENDINGS = 10_000
"""That one answer has."""
LAST_READ = 5
"""Endings among which the newest one is looked for: nodes write theirs down at different times."""
LONGEST_WAIT = 50.0
"""Seconds for which an order may wait for a node that takes it: stores keep it for a little longer."""
ANSWER_WAIT = 10.0
"""Seconds for which the answer of a node is waited for that has taken an order."""


class Console:
    """Shows and steers a cluster.

    Args:
        store: as ``Scheduler`` takes it: a URL, a client or a ``Store``. One that is made here is closed by ``close``.
        prefix: as the cluster's schedulers have it.
        by: who acts, for notes and orders; ``None``: this user at this host.
        clock: where time comes from, for tests.

    Raises:
        ConfigurationError: a value breaks its rule, or the store keeps nothing for people to see.
    """

    def __init__(
        self,
        store: str | Redis | RedisCluster | Store,
        *,
        prefix: str = "",
        by: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if store is None:
            raise ConfigurationError("Console: store None would be a new, empty store; the rule is the cluster's own")
        self._by = whoever() if by is None else checked_words(by, what="by")
        self._clock = checked_clock(clock)
        self._store = make_store(store, prefix=prefix, replica_ack=0, clock=self._clock)
        self._is_own = self._store is not store
        board: Board | None = getattr(self._store, "board", None)
        if board is None:
            raise ConfigurationError(f"Console: {self._store!r} has no board, so its cluster has no state to be seen")
        self._board = board

    def acting(self, by: str) -> Console:
        """Return a console on the same store for someone else who acts. It closes nothing.

        Raises:
            ConfigurationError: ``by`` is no name.
        """
        return Console(self._store, by=by, clock=self._clock)

    def __repr__(self) -> str:
        return f"<Console store={self._store!r} by={self._by!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the store, unless it is somebody else's."""
        if self._is_own:
            await self._store.close()

    # Seeing

    async def state(self) -> ClusterState:
        """Return the cluster as it is: its nodes, its jobs, the runs in progress.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        text = await self._board.read()
        nodes, _ = nodes_of(text)
        return cluster_state(text, await self._board.history(names_in(text, nodes), LAST_READ))

    async def job(self, name: str) -> JobRecord:
        """Return one job.

        Raises:
            UnknownJobError: no node that is known has it.
            StoreUnavailableError: the store does not answer.
        """
        text, nodes, definitions = await self._read()
        _check_known(name, text, nodes)
        endings = endings_of(name, (await self._board.history([name], LAST_READ)).get(name, ()))
        return job_record(name, text, nodes, definitions, endings)

    async def history(
        self,
        job: str | None = None,
        *,
        most: int = 200,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[Ending, ...]:
        """Return how ticks have ended, the newest first.

        Args:
            job: of which; it may be gone by now. ``None``: of all that are known, also after their nodes have left.
            most: how many, 1 to 10 000.
            since: the earliest end, itself included; aware; ``None``: any.
            until: the latest end, itself included; aware; ``None``: any.

        Raises:
            ConfigurationError: a value breaks its rule.
            StoreUnavailableError: the store does not answer.
        """
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_ENDINGS:
            raise ConfigurationError(f"history(): most {most!r} is not a whole number in 1-{MOST_ENDINGS}")
        since, until = _aware(since, "history(): since"), _aware(until, "history(): until")
        names: Sequence[str]
        if job is None:
            text, nodes, _ = await self._read()
            names = names_ever(text, nodes)
        else:
            names = [checked_name(job, what="job name")]
        read = await self._board.history(names, MOST_ENDINGS if until is not None else most + LAST_READ)
        endings = newest_first(ending for name, texts in read.items() for ending in endings_of(name, texts))
        wanted = (
            ending
            for ending in endings
            if (since is None or ending.at >= since) and (until is None or ending.at <= until)
        )
        return tuple(wanted)[:most]

    async def locks(self, job: str | None = None) -> tuple[LockRecord, ...]:
        """Return the locks and tick records of a job, as they stand in the store; ``None``: of all jobs.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        if job is None:
            text, nodes, _ = await self._read()
            return tuple(await self._board.locks(names_in(text, nodes)))
        return tuple(await self._board.locks([checked_name(job, what="job name")]))

    async def why(self, job: str, at: datetime | None = None) -> Explanation:
        """Return why a tick of a job did, or did not, run.

        Args:
            job: its name.
            at: the tick's fire time, aware; ``None``: the newest one that has come due.

        Raises:
            UnknownJobError: no node that is known has the job.
            ConfigurationError: ``at`` is no aware datetime.
            StoreUnavailableError: the store does not answer.
        """
        at = _aware(at, "why(): at")
        text, nodes, definitions = await self._read()
        endings = endings_of(job, (await self._board.history([job], MOST_READ)).get(job, ()))
        if not endings:
            _check_known(job, text, nodes)
        state = cluster_state(text, {})
        record = job_record(job, text, nodes, definitions, endings)
        return explain(state, record, at, endings, await self._board.locks([job]))

    async def check(self) -> tuple[Finding, ...]:
        """Look at the set-up of the store, and say what is well and what is not.

        Raises:
            StoreUnavailableError: the store does not answer.
        """
        return tuple(await self._board.check())

    # Steering

    async def pause(self, job: str, *, why: str = "") -> None:
        """Start no runs of the job on any node, within 2 s, until ``resume``; active ones go on.

        Raises:
            UnknownJobError: nodes report, and none of them has it.
            StoreUnavailableError: the store did not take it.
        """
        await self._pause(job, True, why)

    async def resume(self, job: str) -> None:
        """Undo ``pause``.

        Raises:
            UnknownJobError: nodes report, none of them has it, and it is not paused.
            StoreUnavailableError: the store did not take it.
        """
        await self._pause(job, False)

    async def _pause(self, job: str, paused: bool, why: str = "") -> None:
        why = checked_words(why, what="why")
        text, nodes, _ = await self._read()
        if nodes:
            _check_known(job, text, nodes)
        await set_paused(self._store, self._clock, checked_name(job, what="job name"), paused, by=self._by, why=why)

    async def maintenance(self, on: bool, *, why: str = "") -> None:
        """Put the whole cluster into maintenance, within 2 s, or end that: see ``Scheduler.maintenance``.

        Raises:
            ConfigurationError: ``on`` is neither ``True`` nor ``False``.
            StoreUnavailableError: the store did not take it.
        """
        if not isinstance(on, bool):
            raise ConfigurationError(f"maintenance({on!r}): the rule is True or False")
        why = checked_words(why, what="why")
        await set_paused(self._store, self._clock, EVERY_JOB, on, by=self._by, why=why)

    async def trigger(self, job: str, *, node: str | None = None, why: str = "", within: Duration = 5.0) -> OrderAnswer:
        """Let one node start a run of the job now, as ``Scheduler.trigger`` does, and return what became of that.

        Args:
            job: its name.
            node: which is to do it; ``None``: any that has the job.
            why: for the log of the node.
            within: seconds for which a node that takes it is waited for, up to 50. It is withdrawn then.

        Raises:
            UnknownJobError: no node that is known has the job.
            ConfigurationError: no such node is there, or it has not got the job; a value breaks its rule.
            SchedulerError: no node has taken it in that time, so it does not run; or the one that has taken it does
                not answer, and nobody knows.
            StoreUnavailableError: the store does not answer; nothing can be said of what the nodes do.
        """
        text, nodes, _ = await self._read()
        _check_known(job, text, nodes)
        if node is not None:
            _check_has(node, job, nodes)
        return await self._order("trigger", text, within, job=job, node=node or "", why=why)

    async def cancel(self, run_id: str, *, why: str = "", within: Duration = 5.0) -> OrderAnswer:
        """Let the node that carries out a run cancel it. It ends as ``cancelled``, and no other node runs its tick.

        Args:
            run_id: of a run in progress: it works, sleeps its random delay, or waits for its next attempt.
            why: for those who ask later.
            within: seconds for which the node is waited for, up to 50.

        Raises:
            ConfigurationError: a value breaks its rule.
            SchedulerError: no node has such a run, or the one that has taken the order does not answer.
            StoreUnavailableError: the store does not answer; nothing can be said of what the nodes do.
        """
        run_id = checked_name(run_id, what="run_id", most=100)
        text, _, _ = await self._read()
        return await self._order("cancel", text, within, run_id=run_id, why=why)

    async def _order(
        self,
        kind: str,
        text: BoardText,
        within: Duration,
        *,
        job: str = "",
        node: str = "",
        run_id: str = "",
        why: str,
    ) -> OrderAnswer:
        wait = seconds(within, what="within")
        if wait > LONGEST_WAIT:
            raise ConfigurationError(f"within: {within!r} is longer than {LONGEST_WAIT:g} s")
        order_id = uuid4().hex
        order = Order(
            order_id=order_id,
            kind=kind,
            job=job,
            node=node,
            run_id=run_id,
            by=self._by,
            why=checked_words(why, what="why"),
            until_us=round((text.now + wait) * 1e6),
        )
        await self._board.place_order(order_id, order_text(order))
        answer = await self._answer_to(order_id, wait)
        if answer is not None:
            return answer
        if await self._board.take_order(order_id):
            what = f"run {run_id}" if run_id else f"job {job!r}"
            raise SchedulerError(f"{kind} of {what}: no node has taken it within {wait:g} s; it was withdrawn")
        answer = await self._answer_to(order_id, ANSWER_WAIT)
        if answer is None:
            raise SchedulerError(f"{kind}: a node has taken it, and has not said what became of it")
        return answer

    async def _answer_to(self, order_id: str, wait: float) -> OrderAnswer | None:
        until = self._clock.monotonic() + wait
        pause = 0.01
        while True:
            text = await self._board.answer_to(order_id)
            if text is not None:
                return answer_of(text)
            left = until - self._clock.monotonic()
            if left <= 0:
                return None
            await sleep(self._clock, min(left, pause))
            pause = min(2 * pause, 0.2)

    async def _read(self) -> tuple[BoardText, tuple[NodeRecord, ...], Catalogues]:
        text = await self._board.read()
        return text, *nodes_of(text)


def whoever() -> str:
    """Return the user of this process, and its host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may know no name for its user
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def _aware(instant: datetime | None, what: str) -> datetime | None:
    return None if instant is None else require_aware(instant, what=what)


def _check_known(job: str, text: BoardText, nodes: Sequence[NodeRecord]) -> None:
    known = names_in(text, nodes)
    if job not in known:
        raise UnknownJobError(job, known)


def _check_has(node: str, job: str, nodes: Sequence[NodeRecord]) -> None:
    there = {each.node: each for each in nodes if is_there(each)}
    if node not in there:
        names = ", ".join(there) or "none"
        raise ConfigurationError(f"node {node!r} is not there; those that are: {names}")
    if job not in there[node].jobs:
        raise ConfigurationError(f"node {node!r} has no job {job!r}")
