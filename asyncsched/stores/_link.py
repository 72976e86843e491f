"""Owns what all ways to the deciding servers have in common: the time bound, and how a failure is put; and the way to
a single server. Knows no keys and no grants.

    Link ──┬── SingleLink      one server, or whatever a client of the service leads to
           ├── SentinelLink    the primary that the Sentinels name           (_sentinel)
           └── ClusterLink     the primaries of a Cluster, each for its slots (_cluster)
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from redis.asyncio.sentinel import SentinelConnectionPool

from asyncsched._tasks import is_being_cancelled
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _clients, _wire
from asyncsched.stores._failures import FAILURES, reason, says_cluster
from asyncsched.stores._server import Server
from asyncsched.stores._settings import masked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import redis.asyncio

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Outcome = Sequence[Answer | Exception] | Exception
"""What became of one batch: an answer or a failure for each item, or a failure for all."""

Ask = Callable[[Server, Sequence[Sequence[Item]], bool], Awaitable[Sequence[Outcome[Answer]]]]
"""Asks one server for batches of items, each of which one script call may decide, in one round trip. The flag: the
server is to answer although the keys are still on their way to it."""

Place = Callable[[Item], str | Server]
"""Says where an item belongs: a key, or a server itself."""


class Link(ABC):
    """The way to whoever decides.

    Args:
        where: its name in messages.
        operation_timeout: longest time, in seconds, that one operation may take as a whole.
    """

    is_cluster = False
    """Whether keys are spread over several servers by their slots."""

    def __init__(self, where: str, *, operation_timeout: float) -> None:
        self.where = where
        self.operation_timeout = operation_timeout

    @asynccontextmanager
    async def deciding(self, what: str) -> AsyncIterator[None]:
        """Bound all that is done inside by ``operation_timeout``.

        The client's own timeouts and retries do not suffice: with redis-py's defaults one command to a hung
        server takes 59 s.

        Raises:
            StoreUnavailableError: the servers, or the way to them, failed; ``what`` is undecided.
        """
        try:
            async with asyncio.timeout(self.operation_timeout) as bound:
                yield
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise StoreUnavailableError(f"{self.where} could not {what}: the client cancelled it") from error
        except FAILURES as error:
            why = f"no answer within {self.operation_timeout:g} s" if bound.expired() else self.reason(error)
            raise StoreUnavailableError(f"{self.where} could not {what}: {why}") from error

    def reason(self, error: BaseException) -> str:
        """Return why something is undecided."""
        return reason(error)

    @property
    @abstractmethod
    def servers(self) -> Sequence[Server]:
        """All that decide, as far as is known."""
        ...

    @abstractmethod
    async def look(self) -> Sequence[Server]:
        """Find out who decides now."""
        ...

    @abstractmethod
    async def settle(
        self, items: Sequence[Item], place: Place[Item], ask: Ask[Item, Answer], *, patient: bool = False
    ) -> list[Answer | Exception]:
        """Have every item answered by the server that decides it; the answers stand in the same order.

        Args:
            items: what is asked.
            place: where each belongs.
            ask: asks one server.
            patient: whether servers that were slow before get the full time.

        Returns:
            An answer, or a failure, for each item.

        Raises:
            RedisError, OSError, …: nobody could be asked, or the one that was asked did not answer at all.
        """
        ...

    def check(self, answers: Sequence[object]) -> None:
        """Make sure that somebody answered something.

        Raises:
            RedisError, OSError, …: the first failure of those who did not.
        """
        if all(isinstance(answer, Exception) for answer in answers):
            check_all(answers)

    async def close(self) -> None:
        """Close the clients of our own. The next use makes new ones, on the loop that runs then."""
        for server in self.servers:
            await server.close()


async def ask_for_all(server: Server, items: Sequence[Item], ask: Ask[Item, Answer]) -> list[Answer | Exception]:
    """Ask one server for all ``items``, in as few batches as possible."""
    batches = list(_wire.chunks(items))
    answers: list[Answer | Exception] = []
    for batch, outcome in zip(batches, await ask(server, batches, False), strict=True):
        answers += [outcome] * len(batch) if isinstance(outcome, Exception) else outcome
    return answers


class SingleLink(Link):
    """The way to one server.

    Args:
        source: a URL (``redis://``, ``rediss://``, ``unix://``) or a ``redis.asyncio.Redis``.
        operation_timeout: longest time, in seconds, that one operation may take as a whole.

    Raises:
        ConfigurationError: the URL cannot be read, or the client leads to replicas.
    """

    def __init__(self, source: str | redis.asyncio.Redis, *, operation_timeout: float) -> None:
        self._pool: object = None
        if isinstance(source, str):
            _clients.check_url(source)
            super().__init__(masked(source), operation_timeout=operation_timeout)
            self.server = Server(self.where, lambda: _clients.client_of_url(source, operation_timeout))
        else:
            _clients.check_client(source)
            super().__init__(_clients.address_of(source), operation_timeout=operation_timeout)
            self._pool = getattr(source, "connection_pool", None)
            self.server = Server(self.where, source)

    @property
    def servers(self) -> Sequence[Server]:
        """The one."""
        return (self.server,)

    async def look(self) -> Sequence[Server]:
        """Have a client that follows Sentinels ask them: the old primary may still answer, and be the wrong one."""
        if isinstance(self._pool, SentinelConnectionPool):
            with suppress(*FAILURES):  # without them, it stays where it is
                async with asyncio.timeout(self.operation_timeout / 2):
                    await self._pool.get_master_address()  # type: ignore[no-untyped-call]
        return self.servers

    async def settle(
        self, items: Sequence[Item], place: Place[Item], ask: Ask[Item, Answer], *, patient: bool = False
    ) -> list[Answer | Exception]:
        """Ask the server."""
        return await ask_for_all(self.server, items, ask)

    def reason(self, error: BaseException) -> str:
        """Return why something is undecided."""
        if says_cluster(error):
            return f"it is a member of a Redis Cluster, and needs a redis+cluster:// URL ({error})"
        return reason(error)


def check_all(answers: Sequence[object]) -> None:
    """Raise the first failure, if there is one."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
