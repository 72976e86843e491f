"""Owns how clients are made, and what of a client that the service has is taken over. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import hiredis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection, ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores._settings import masked
from asyncsched.stores._tls import check_tls, tls_options
from asyncsched.stores._urls import Address, shown

Options = dict[str, Any]
"""What every connection of a client is made with, but for its address."""

ClientMaker = Callable[[], redis.asyncio.Redis]

TAKEN_OVER = {"connection_class", "credential_provider", "username", "password", "client_name"}


def client_of_url(url: str, operation_timeout: float) -> redis.asyncio.Redis:
    """Return a client with few connections for a plain URL."""
    settings = _defaults(operation_timeout) | tls_options(url)
    return redis.asyncio.Redis(connection_pool=_packing(ConnectionPool.from_url(url, **settings)))


def client_at(address: Address, options: Options, operation_timeout: float) -> redis.asyncio.Redis:
    """Return a client with few connections for the server at an address."""
    host, port = address
    settings = _defaults(operation_timeout) | options | {"host": host, "port": port}
    return redis.asyncio.Redis(connection_pool=_packing(ConnectionPool(**settings)))


class _Packing:
    """Packs commands in C. What redis-py's own connections do in Python costs more than all else about a claim."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """Return a command as it is sent. Its name may be of several words."""
        return [hiredis.pack_command((*args[0].split(), *args[1:]))]


def _packing(pool: ConnectionPool) -> ConnectionPool:
    pool.connection_class = _packing_class(pool.connection_class)  # type: ignore[arg-type]  # a class is hashable
    return pool


@cache
def _packing_class(base: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(base.__name__, (_Packing, base), {})


def _defaults(operation_timeout: float) -> Options:
    """Return settings without retries: the callers retry, and they know for how long.

    RESP 2 needs no ``HELLO`` and brings no notifications of maintenance: fewer commands for a restricted
    user.
    """
    return {
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": operation_timeout,
        "socket_timeout": None,  # each operation is bounded as a whole
        "protocol": 2,
    }


def without_notices(options: Options) -> Options:
    """Return options for a connection on which nothing is told but what was subscribed to: see ``_defaults``."""
    return {name: value for name, value in options.items() if not name.startswith("maint_")} | {"protocol": 2}


def options_of(plain_url: str, *, given: str) -> Options:
    """Return what ``plain_url`` says of connections; the user has written ``given``.

    Raises:
        ConfigurationError: an option is unknown, or its value is wrong. Both would only show, or be ignored, when
            the first connection is made.
    """
    options = _options(plain_url)
    connection = None if options is None else _unconnected(lambda: client_at(("localhost", 0), options, 1.0))
    if options is None or connection is None:
        raise ConfigurationError(f"store: {masked(given)!r}: an option is unknown, or its value is wrong")
    check_tls(connection, masked(given))
    return options


def _options(plain_url: str) -> Options | None:
    try:
        options: Options = tls_options(plain_url) | dict(parse_url(plain_url))
    except ValueError:
        return None
    return {name: value for name, value in options.items() if name not in ("host", "port")}


def check_url(url: str) -> None:
    """Refuse a plain URL that would only fail, or be ignored, when the first connection is made.

    Raises:
        ConfigurationError: the URL cannot be read.
    """
    connection = _unconnected(lambda: client_of_url(url, 1.0))
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


def _unconnected(make: ClientMaker) -> Any:
    """Return a connection of a client, not opened, or ``None``: the error's own text may quote a part of the password,
    so it must not even be the context of another one."""
    try:
        pool = make().connection_pool
        return pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, AttributeError, RedisError):
        return None


def check_client(client: redis.asyncio.Redis) -> None:
    """Refuse a client that leads to replicas.

    Raises:
        ConfigurationError: it does.
    """
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool) and not pool.is_master:
        raise ConfigurationError("store: a client of Sentinel.slave_for reads replicas only; use Sentinel.master_for")


def address_of(client: redis.asyncio.Redis) -> str:
    """Return where a client connects to, for messages: never its repr, which may one day show more."""
    pool = getattr(client, "connection_pool", None)
    options = getattr(pool, "connection_kwargs", {})
    if isinstance(pool, SentinelConnectionPool):
        return f"redis+sentinel://{_addresses(pool.sentinel_manager.sentinels)}/{pool.service_name}"
    if options.get("path"):
        return f"unix://{options['path']}"
    if options.get("host"):
        return f"redis://{shown((options['host'], options.get('port', 6379)))}/{options.get('db', 0)}"
    return type(client).__name__


def _addresses(clients: list[redis.asyncio.Redis]) -> str:
    found = (client.connection_pool.connection_kwargs for client in clients)
    return ",".join(shown((options["host"], options["port"])) for options in found)


def members_of(client: redis.asyncio.RedisCluster) -> list[Address]:
    """Return all members of the Cluster that a client was told of, or has found."""
    manager = client.nodes_manager
    nodes = [*manager.startup_nodes.values(), *manager.nodes_cache.values()]
    return list(dict.fromkeys((str(node.host), int(node.port)) for node in nodes))


def remapped(client: redis.asyncio.RedisCluster, address: Address) -> Address:
    """Return where a member is reached from here, if the client was told so (``address_remap``)."""
    host, port = client.nodes_manager.remap_host_port(*address)
    return host, port


def options_of_cluster(client: redis.asyncio.RedisCluster) -> Options:
    """Return what connections like those of ``client`` are made with: credentials, encryption and keep-alive."""
    settings = client.get_connection_kwargs()
    return {
        name: value
        for name, value in settings.items()
        if value is not None and (name in TAKEN_OVER or name.startswith(("ssl_", "socket_keepalive")))
    }
