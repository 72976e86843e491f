"""Owns what is asked of servers when somebody wants to know whether they are set up well. Judges nothing itself.

The user's rights are tried out, on a key of its own that is gone at the end: ``ACL`` commands would need rights that no
scheduler should have.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoPermissionError

from asyncsched._clock import SystemClock, boottime
from asyncsched.stores import _findings, _questions, _safety, _scripts, _wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncsched._records import Finding
    from asyncsched.stores._keys import Keys
    from asyncsched.stores._link import Link
    from asyncsched.stores._server import Command, Server

ROUND_TRIPS = 5
INFO: Command = ("INFO",)
SNAPSHOTS: Command = ("CONFIG", "GET", "save")


async def look(link: Link, keys: Keys, *, replica_ack: int) -> Sequence[Finding]:
    """Ask every server, and judge its answers.

    Raises:
        StoreUnavailableError: one did not answer in time.
    """
    found: list[Finding] = []
    async with link.deciding("be looked at"):
        servers = list(await link.look())
    for server in servers:
        async with link.deciding("be looked at"):
            found += await _look_at(server, replica_ack)
    async with link.deciding("try the user's rights"):
        found.append(_findings.rights(await _refused(link, keys, replica_ack)))
    return found


async def _look_at(server: Server, replica_ack: int) -> list[Finding]:
    where = server.where
    round_trips = []
    for _ in range(ROUND_TRIPS):
        sent_at = boottime()
        (clock,) = await server.ask([_questions.TIME])
        round_trips.append(boottime() - sent_at)
    skew = SystemClock().time() - round_trips[-1] / 2 - _wire.server_time_us(clock) / 1e6
    info_reply, save = await server.send([INFO, SNAPSHOTS])
    info = {} if isinstance(info_reply, Exception) else _safety.fields(info_reply)
    found = [
        _findings.latency(where, round_trips),
        _findings.skew(where, skew),
        _findings.version(info),
        *(_findings.warning(text, "Set maxmemory-policy to noeviction.") for text in _safety.warnings(info)),
        _findings.memory(info),
        _findings.persistence(info, _snapshots(save)),
        _findings.replicas(info, replica_ack),
        _transport(server),
    ]
    if not info:
        found.append(_findings.warning(f"{where} does not tell of itself", "Allow INFO (+info) to the user."))
    return [finding for finding in found if finding is not None]


def _snapshots(reply: object) -> str | None:
    """Return what ``save`` is set to; ``None``: the server does not tell."""
    if isinstance(reply, dict):
        reply = [word for pair in reply.items() for word in pair]
    if not isinstance(reply, list | tuple) or len(reply) != 2:
        return None
    return _wire.text(reply[1])


def _transport(server: Server) -> Finding | None:
    connection = server.new_connection()
    host = getattr(connection, "host", "")
    kind = type(connection).__name__
    if not host and not kind.startswith("UnixDomainSocket"):
        return None
    return _findings.transport(server.where, host, is_local=not host or _is_loopback(host), is_encrypted="SSL" in kind)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _refused(link: Link, keys: Keys, replica_ack: int) -> list[str]:
    """Return the commands that the user may not run."""
    tries = _tries(keys.check, f"{keys.decided}:check", replica_ack)
    replies: list[Any] = await link.settle(
        [(keys.check, words) for words in tries], lambda order: order[0], _questions.command, patient=True
    )
    refused = [str(words[0]) for words, reply in zip(tries, replies, strict=True) if _is_refused(reply)]
    return list(dict.fromkeys(refused))


def _is_refused(reply: object) -> bool:
    cause = reply.__cause__ if isinstance(reply, Exception) and reply.__cause__ is not None else reply
    return isinstance(cause, NoPermissionError)


def _tries(key: str, channel: str, replica_ack: int) -> list[Command]:
    """Return every command that is needed, on one key that is gone at the end. What is no right is the only answer that
    counts: that a script is not known is none."""
    return [
        ("EVALSHA", _scripts.CLAIM.sha, 1, key, 0, 0, ""),
        ("EVAL", "return 1", 1, key),
        ("SET", key, "1", "PX", 1_000),
        ("GET", key),
        ("PTTL", key),
        ("PEXPIRE", key, 1_000),
        ("DEL", key),
        ("HSET", key, "a", "1"),
        ("HGET", key, "a"),
        ("HMGET", key, "a"),
        ("HGETALL", key),
        ("HDEL", key, "a"),
        ("SADD", key, "a"),
        ("SMEMBERS", key),
        ("SREM", key, "a"),
        ("ZADD", key, 1, "a"),
        ("ZRANGEBYSCORE", key, "-inf", "+inf"),
        ("ZREMRANGEBYSCORE", key, 2, 3),
        ("ZREM", key, "a"),
        ("LPUSH", key, "a"),
        ("LRANGE", key, 0, 0),
        ("LTRIM", key, 1, 0),
        ("PUBLISH", channel, ""),
        *([("WAIT", 0, 1)] if replica_ack else []),
    ]
