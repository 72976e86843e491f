"""Owns which store a value given to the scheduler means. Imports ``redis`` or ``sqlite3`` only for one that
uses it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn, cast

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores._settings import checked_prefix, checked_replica_ack, masked

if TYPE_CHECKING:
    from asyncsched.protocols import Clock, Store

__all__ = ["make_store"]

SQLITE = "sqlite://"
SCHEMES = (SQLITE, "redis://", "rediss://", "unix://", "redis+sentinel://", "redis+cluster://")
FORMS = (
    f"None (in memory), a URL ({', '.join(SCHEMES)}), a redis.asyncio.Redis or redis.asyncio.RedisCluster client, "
    "or a Store"
)
METHODS = ("refresh", "time", "is_paused", "set_paused", "claim", "renew", "release", "listen", "close")


def make_store(store: object, *, prefix: str, replica_ack: int, clock: Clock) -> Store:
    """Return the store that a scheduler's settings mean.

    Args:
        store: ``None`` for a new store in memory; a ``sqlite://`` URL for one in a file; another URL, a
            ``redis.asyncio.Redis`` or a ``redis.asyncio.RedisCluster`` client for one in Redis; or a store, which is
            returned as it is.
        prefix: stands in front of every key in Redis, and of every job's name in a file.
        replica_ack: number of Redis replicas that must acknowledge a grant before it counts.
        clock: the clock of a store in memory.

    Raises:
        ConfigurationError: ``store`` is none of these, or a setting does not fit it.
    """
    prefix = checked_prefix(prefix)
    replica_ack = checked_replica_ack(replica_ack)
    is_sqlite = isinstance(store, str) and store.startswith(SQLITE)
    if replica_ack and (store is None or is_sqlite):
        what = "a SQLite file" if is_sqlite else "the memory store"
        raise ConfigurationError(f"replica_ack: {replica_ack} needs a Redis store; {what} has no replicas")
    if store is None:
        from asyncsched.stores.memory import MemoryStore

        return MemoryStore(clock=clock)
    _refuse_unusable(store)
    if is_sqlite:
        return _sqlite_store(store, prefix)
    if isinstance(store, str) or any(_is_instance(store, "redis.asyncio", name) for name in ("Redis", "RedisCluster")):
        return _redis_store(store, prefix, replica_ack)
    if not _is_store(store):
        raise ConfigurationError(f"store: {_shown(store)} is none of these: {FORMS}")
    if prefix or replica_ack:
        raise ConfigurationError(f"store: {_shown(store)} has its own prefix and replica_ack: give them to the store")
    return cast("Store", store)


def _redis_store(store: object, prefix: str, replica_ack: int) -> Store:
    # Importing redis takes longer than all of asyncsched: services without it must not pay for it.
    from asyncsched.stores.redis import RedisStore

    return RedisStore(store, prefix=prefix, replica_ack=replica_ack)  # type: ignore[arg-type]


def _sqlite_store(store: object, prefix: str) -> Store:
    from asyncsched.stores.sqlite import SqliteStore

    return SqliteStore(store, prefix=prefix)  # type: ignore[arg-type]


def _refuse_unusable(store: object) -> None:
    """Refuse what looks like Redis and cannot be used, with the reason.

    Raises:
        ConfigurationError: a URL of another scheme or a blocking client.
    """
    if isinstance(store, str) and not store.startswith(SCHEMES):
        _refuse(f"{masked(store)!r} is not a supported URL")
    for name in ("Redis", "RedisCluster"):
        if _is_instance(store, "redis", name):
            _refuse(f"a blocking redis.{name} client would stop the event loop; use redis.asyncio.{name}")


def _refuse(reason: str) -> NoReturn:
    raise ConfigurationError(f"store: {reason}. Supported: {FORMS}")


def _is_instance(value: object, module: str, name: str) -> bool:
    """Tell whether ``value`` is an instance of a class of a module, without importing that module."""
    kind = getattr(sys.modules.get(module), name, None)  # not imported by anybody: then there are no instances
    return isinstance(kind, type) and isinstance(value, kind)


def _is_store(value: object) -> bool:
    has_methods = all(callable(getattr(value, method, None)) for method in METHODS)
    return not isinstance(value, type) and has_methods and hasattr(value, "refresh_interval")


def _shown(value: object) -> str:
    return f"{value!r:.80}" if isinstance(value, int | float | bool | type) else f"a {type(value).__name__}"
