"""Owns the way to one Redis server: the client, the time bound, and running scripts. Knows no keys and no
grants."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from asyncsched._tasks import is_being_cancelled
from asyncsched.exceptions import ConfigurationError, StoreUnavailableError
from asyncsched.stores._settings import masked
from asyncsched.stores._tls import check_tls, tls_options
from asyncsched.stores._wire import UnexpectedReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from asyncsched.stores._scripts import Script
    from asyncsched.stores._wire import Call

MAX_CONNECTIONS = 4
"""Connections of a client of our own: a claim, a renewal, a release and a refresh may be under way
together."""


class UndecidedError(Exception):
    """The server has answered, but what it says does not count yet."""


class ClientFaultError(Exception):
    """The client, or what gives it its credentials, raised an error of no kind that a client should raise."""


FAILURES = (RedisError, OSError, TimeoutError, UnexpectedReplyError, UndecidedError, ClientFaultError)
"""What a server or the way to it can do to an operation."""

Command = tuple[str | int, ...]


class Link:
    """A client of our own for a URL, made on first use, or one that the service has and keeps.

    Args:
        source: a URL (``redis://``, ``rediss://``, ``unix://``) or a ``redis.asyncio.Redis``.
        operation_timeout: longest time, in seconds, that one operation may take as a whole.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, source: str | redis.asyncio.Redis, *, operation_timeout: float) -> None:
        self.operation_timeout = operation_timeout
        self._url = source if isinstance(source, str) else None
        self._client = None if isinstance(source, str) else source
        self._loop: asyncio.AbstractEventLoop | None = None
        self.where = masked(source) if isinstance(source, str) else _address(source)
        if self._url is not None:
            _check_url(self._url)

    @asynccontextmanager
    async def deciding(self, what: str) -> AsyncIterator[None]:
        """Bound all that is done inside by ``operation_timeout``.

        The client's own timeouts and retries do not suffice: with redis-py's defaults one command to a hung
        server takes 59 s.

        Raises:
            StoreUnavailableError: the server, or the way to it, failed; ``what`` is undecided.
        """
        try:
            async with asyncio.timeout(self.operation_timeout) as bound:
                yield
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            raise StoreUnavailableError(f"{self.where} could not {what}: the client cancelled it") from error
        except FAILURES as error:
            reason = self._reason(error, out_of_time=bound.expired())
            raise StoreUnavailableError(f"{self.where} could not {what}: {reason}") from error

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send ``commands`` in one round trip, on one connection, outside of any transaction.

        An error of the server stands among the replies as an exception.
        """
        pipeline = self._connected().pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except FAILURES:
            raise
        except Exception as error:
            # A client that decodes may meet foreign bytes; a provider of credentials may raise anything. Its text may
            # be anything as well, so only its type is told.
            raise ClientFaultError(f"the client raised {type(error).__name__}") from error
        if len(replies) != len(commands):
            raise UnexpectedReplyError(f"{len(replies)} replies to {len(commands)} commands")
        return replies

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send ``commands`` in one round trip.

        Raises:
            RedisError: the first error that the server answered.
        """
        return _without_errors(await self.send(commands))

    async def run(self, script: Script, calls: Sequence[Call], *, then: Sequence[Command] = ()) -> list[Any]:
        """Run ``script`` once for each of ``calls``, in order, and ``then`` behind them on the same
        connection.

        A server that does not remember the script has not run it: those calls alone are sent again, with its
        text.

        Returns:
            The calls' replies, then those of ``then``, once for each of the (at most two) round trips.
        """
        replies = await self.send([*(_command("EVALSHA", script.sha, call) for call in calls), *then])
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self.send([*(_command("EVAL", script.text, calls[index]) for index in unknown), *then])
            for index, reply in zip(unknown, again, strict=False):
                replies[index] = reply
            replies += again[len(unknown) :]
        return _without_errors(replies)

    async def close(self) -> None:
        """Close the client if it is our own. The next use makes a new one, on the loop that runs then."""
        if self._url is None or self._client is None:
            return
        client, self._client = self._client, None
        with suppress(*FAILURES):
            async with asyncio.timeout(self.operation_timeout):
                await client.connection_pool.disconnect()

    def _reason(self, error: Exception, *, out_of_time: bool) -> str:
        if out_of_time:
            return f"no answer within {self.operation_timeout:g} s"
        if isinstance(error, UnexpectedReplyError):
            return f"unexpected answer: {error}"
        if isinstance(error, UndecidedError | ClientFaultError):
            return str(error)
        return f"{type(error).__name__}: {error}"

    def _connected(self) -> redis.asyncio.Redis:
        if self._url is None:
            assert self._client is not None
            return self._client
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:  # connections are bound to the loop they were made on
            self._loop = loop
            self._client = _own_client(self._url, self.operation_timeout)
        return self._client


def _command(name: str, script: str, call: Call) -> Command:
    keys, argv = call
    return (name, script, len(keys), *keys, *argv)


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _own_client(url: str, operation_timeout: float) -> redis.asyncio.Redis:
    """Return a client with few connections and no retries: the callers retry, and they know for how long.

    RESP 2 needs no ``HELLO`` and brings no notifications of maintenance: fewer commands for a restricted
    user.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=operation_timeout,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=operation_timeout,
        protocol=2,
        **tls_options(url),
    )
    return redis.asyncio.Redis(connection_pool=pool)


def _check_url(url: str) -> None:
    """Refuse at once what would only fail, or be ignored, when the first connection is made."""
    connection = _unconnected(url)
    if connection is None:
        raise ConfigurationError(f"store: {masked(url)!r} is not a valid Redis URL")
    check_tls(connection, masked(url))
    if url.startswith("unix://"):
        if not getattr(connection, "path", None):
            raise ConfigurationError(f"store: {masked(url)!r} names no socket: unix:///path/to/redis.sock")
        return
    database = url.partition("://")[2].partition("?")[0].rpartition("@")[2].partition("/")[2].strip("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ConfigurationError(f"store: {masked(url)!r}: the path is not a database number")


def _unconnected(url: str) -> Any:
    """Return a connection for ``url``, not opened, or ``None``: the error's own text may quote a part of the password,
    so it must not even be the context of another one."""
    try:
        url.encode()
        pool = _own_client(url, 1.0).connection_pool
        return pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, AttributeError, RedisError):
        return None


def _address(client: redis.asyncio.Redis) -> str:
    """Return where a client connects to, for messages: never its repr, which may one day show more."""
    options = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if options.get("path"):
        return f"unix://{options['path']}"
    if options.get("host"):
        return f"redis://{options['host']}:{options.get('port', 6379)}/{options.get('db', 0)}"
    return type(client).__name__
