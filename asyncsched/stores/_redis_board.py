"""Owns the board in Redis: where it is read, and where people's orders and notes are written.

What nodes write on it goes with their refresh: see ``_redis_posts``.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from asyncsched._records import BoardText
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _board_text, _board_wire, _lock_records, _questions, _redis_check, _scripts, _wire
from asyncsched.stores._board_wire import Aside
from asyncsched.stores._link import check_all
from asyncsched.stores._outbox import Outbox
from asyncsched.stores._redis_posts import Posts, Refusal, leniently

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from asyncsched._records import Finding, LockRecord
    from asyncsched.protocols import Reporter
    from asyncsched.stores._keys import Keys
    from asyncsched.stores._link import Link, Outcome
    from asyncsched.stores._questions import Order
    from asyncsched.stores._redis_posts import Post
    from asyncsched.stores._server import Server

LAST_ROUNDS = 3
"""Round trips that a node has to write down what is left when it leaves: a server may have forgotten the script."""
LOCKS_AT_ONCE = 20
"""Jobs in one script call: of each, all slots are looked at, and 20 take about a millisecond."""
LOCKS_IN_ONE_TRIP = 2_000
"""Jobs in one round trip."""


class RedisBoard:
    """The board on the servers of a store.

    Args:
        link: the way to them.
        keys: the keys.
        time: tells the servers' time, as far as it is known.
        replica_ack: what the store is set to.
    """

    def __init__(self, link: Link, keys: Keys, time: Callable[[], float | None], *, replica_ack: int) -> None:
        self._link = link
        self._keys = keys
        self._time = time
        self._replica_ack = replica_ack
        self._posts = Posts(keys)

    # What nodes write

    def attach(self, reporter: Reporter) -> Callable[[], Awaitable[None]]:
        """Let a node write down what ``reporter`` collects, with each refresh; return what ends that."""
        outbox = Outbox(reporter)
        self._posts.outboxes.append(outbox)
        return partial(self._leave, outbox)

    def posting(self, now: float) -> AbstractContextManager[Post]:
        """Return what goes with a refresh, at the servers' time ``now``."""
        return self._posts.going(self._posts.outboxes, now)

    def news(self) -> Sequence[str]:
        """Return what there is to say of it to people, each thing once."""
        return self._posts.news()

    async def _leave(self, outbox: Outbox) -> None:
        if outbox not in self._posts.outboxes:
            return
        self._posts.outboxes.remove(outbox)
        with suppress(StoreUnavailableError):
            async with self._link.deciding("write down the last endings"):
                for _ in range(LAST_ROUNDS):
                    if (now := self._time()) is None:
                        return  # it was never reached
                    with self._posts.going([outbox], now, farewell=True) as post:
                        post.take(await self._settle(post.orders))
                    if not outbox.has_rest:
                        return

    # What people read

    async def read(self) -> BoardText:
        """Return all that is written down, but for endings.

        Raises:
            StoreUnavailableError: a server did not answer, or refused.
        """
        keys = self._keys
        async with self._link.deciding("read the cluster's state"):
            times: list[Order] = [(server, _questions.TIME) for server in await self._link.look()]
            reports, fire_times, successes, notes, paused, *_ = await self._ask(
                Aside(keys.reports, ("HGETALL", keys.reports)),
                _scores(keys.fire_times),
                _scores(keys.successes),
                Aside(keys.notes, ("HGETALL", keys.notes)),
                Aside(keys.paused, ("SMEMBERS", keys.paused)),
                *times,
            )
            found = _board_wire.reports(reports)
            digests = list(dict.fromkeys(each.digest for each in found.values() if each.digest))
            catalogues = await self._catalogues(digests[: _board_text.MOST_CATALOGUES])
        now = self._time() or 0.0
        return BoardText(
            now=now,
            reports={node: (each.text, max(0.0, now - each.at)) for node, each in found.items()},
            catalogues=catalogues,
            fire_times=_board_wire.instants(fire_times),
            successes=_board_wire.instants(successes),
            notes={job: text for job, text in _board_wire.pairs(notes).items() if _is_note(job, text)},
            paused=frozenset() if paused is None else _wire.names(paused),
        )

    async def _catalogues(self, digests: Sequence[str]) -> dict[str, str]:
        keys = [self._keys.catalogue(digest) for digest in digests]
        texts = await self._ask(*(Aside(key, ("GET", key)) for key in keys))
        return {
            digest: text
            for digest, found in zip(digests, texts, strict=True)
            if found is not None and len(text := _wire.text(found)) <= _board_text.LONGEST_CATALOGUE
        }

    async def history(self, jobs: Sequence[str], most: int) -> Mapping[str, Sequence[str]]:
        """Return the newest endings of each job.

        Raises:
            StoreUnavailableError: a server did not answer, or refused.
        """
        if most <= 0:
            return dict.fromkeys(jobs, ())
        found: dict[str, Sequence[str]] = {}
        at_once = max(1, min(_wire.CHUNK, _board_text.MOST_ENDINGS // most))
        for start in range(0, len(jobs), at_once):
            some = jobs[start : start + at_once]
            keys = [self._keys.history(job) for job in some]
            async with self._link.deciding(f"read the history of {len(some)} jobs"):
                replies = await self._ask(*(Aside(key, ("LRANGE", key, 0, most - 1)) for key in keys))
            for job, reply in zip(some, replies, strict=True):
                found[job] = _board_text.newest_first(_board_wire.strings(reply), most)
        return found

    # What people write, and nodes answer

    async def set_note(self, job: str, text: str | None) -> None:
        """Note who has paused a job, and why; ``None``: forget that."""
        key = self._keys.notes
        async with self._link.deciding("write a note"):
            await self._ask(Aside(key, ("HDEL", key, job) if text is None else ("HSET", key, job, text)), is_vital=True)

    async def place_order(self, order_id: str, text: str) -> None:
        """Let every node hear of an order with its next refresh."""
        key = self._keys.orders
        async with self._link.deciding("place an order"):
            now = await self._known_time()
            entry = _board_wire.order(text, now + _board_text.ORDER_KEPT)
            _, _, found = await self._ask(
                Aside(key, ("HSET", key, order_id, entry)),
                Aside(key, ("PEXPIRE", key, _wire.milliseconds(2 * _board_text.ORDER_KEPT))),
                Aside(key, ("HGETALL", key)),
                is_vital=True,
            )
            _, dead = _board_wire.open_orders(found, now)
            if dead:
                await self._ask(Aside(key, ("HDEL", key, *dead[: _board_wire.MOST_FIELDS])))

    async def take_order(self, order_id: str) -> bool:
        """Remove an order; ``True`` for exactly one caller."""
        key = self._keys.orders
        async with self._link.deciding("take an order"):
            (taken,) = await self._ask(Aside(key, ("HDEL", key, order_id)), is_vital=True)
        return taken == 1

    async def answer_order(self, order_id: str, text: str) -> None:
        """Keep what became of an order."""
        key = self._keys.answer(order_id)
        async with self._link.deciding("answer an order"):
            await self._ask(
                Aside(key, ("SET", key, text, "PX", _wire.milliseconds(_board_text.ORDER_KEPT))), is_vital=True
            )

    async def answer_to(self, order_id: str) -> str | None:
        """Return what became of an order; ``None``: nothing is known yet."""
        key = self._keys.answer(order_id)
        async with self._link.deciding("read an answer"):
            (found,) = await self._ask(Aside(key, ("GET", key)))
        text = None if found is None else _wire.text(found)
        return None if text is None or len(text) > _board_text.LONGEST_REPORT else text

    # What stands there of claims

    async def locks(self, jobs: Sequence[str]) -> Sequence[LockRecord]:
        """Return the locks and records of these jobs, in one round trip to each server."""
        records: list[LockRecord] = []
        for start in range(0, len(jobs), LOCKS_IN_ONE_TRIP):
            some = jobs[start : start + LOCKS_IN_ONE_TRIP]
            async with self._link.deciding(f"read the locks of {len(some)} jobs"):
                answers = await self._link.settle(some, self._keys.state, self._locks)
                check_all(answers)
            records += [record for found in answers if not isinstance(found, Exception) for record in found]
        return records

    async def _locks(
        self, server: Server, batches: Sequence[Sequence[str]], asking: bool
    ) -> Sequence[Outcome[Sequence[LockRecord]]]:
        groups = [(nth, batch[start : start + LOCKS_AT_ONCE]) for nth, batch in enumerate(batches)
                  for start in range(0, len(batch), LOCKS_AT_ONCE)]  # fmt: skip
        calls = [_lock_records.call(self._keys, group) for _, group in groups]
        replies, _ = await server.run(_scripts.LOCKS, calls, asking=asking)
        outcomes: list[list[Sequence[LockRecord]] | Exception] = [[] for _ in batches]
        for (nth, group), reply in zip(groups, replies, strict=True):
            if isinstance(reply, Exception):
                outcomes[nth] = reply
            elif isinstance(so_far := outcomes[nth], list):
                so_far += _lock_records.of_reply(reply, group)
        return outcomes

    async def check(self) -> Sequence[Finding]:
        """Look at the set-up of the servers."""
        return await _redis_check.look(self._link, self._keys, replica_ack=self._replica_ack)

    # Asking

    async def _known_time(self) -> float:
        if self._time() is None:
            times: list[Order] = [(server, _questions.TIME) for server in await self._link.look()]
            check_all(await self._settle(times))
        return self._time() or 0.0

    async def _ask(self, *orders: Order, is_vital: bool = False) -> list[object | None]:
        """Carry out ``orders``; ``None`` is the answer of a key that holds something foreign.

        Raises:
            RedisError, OSError, …: somebody did not answer, or refused; if it ``is_vital``, because of such a key too.
        """
        answers = await self._settle(orders)
        check_all(answers)
        for answer in answers:
            if isinstance(answer, Refusal) and (is_vital or not answer.is_foreign):
                raise answer.error
        return [None if isinstance(answer, Refusal) else answer for answer in answers]

    async def _settle(self, orders: Sequence[Order]) -> list[object | Exception]:
        return await self._link.settle(orders, _place_of, leniently, patient=True) if orders else []


def _place_of(order: Order) -> str | Server:
    return order[0]


def _scores(key: str) -> Aside:
    return Aside(key, ("ZRANGEBYSCORE", key, "-inf", "+inf", "WITHSCORES", "LIMIT", 0, _board_text.MOST_JOBS))


def _is_note(job: str, text: str) -> bool:
    return (job == "*" or _board_text.is_name(job)) and len(text) <= _board_text.LONGEST_REPORT
