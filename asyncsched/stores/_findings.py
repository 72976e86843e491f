"""Owns what is said of a store's set-up: for each thing that was looked at, whether it is well, and what to do if not.

Asks nothing itself: plain functions of what was found out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncsched._records import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SLOW = 0.05
"""Seconds: a round trip that takes longer makes guarded jobs late."""
MOST_SKEW = 1.0
"""Seconds by which clocks may differ."""
OLDEST_REDIS = (7, 0)
NEARLY_FULL = 0.8
"""Share of ``maxmemory`` from which on it is time to do something."""
LEAST_FREE = 100 * 1_024 * 1_024
"""Bytes of free disk."""
MUCH = 1_024 * 1_024 * 1_024
"""Bytes of a file."""


def ok(what: str) -> Finding:
    """Say that something is well."""
    return Finding(level="ok", what=what, advice="")


def warning(what: str, advice: str) -> Finding:
    """Say what could be better."""
    return Finding(level="warning", what=what, advice=advice)


def error(what: str, advice: str) -> Finding:
    """Say what does not work."""
    return Finding(level="error", what=what, advice=advice)


def latency(where: str, round_trips: Sequence[float]) -> Finding:
    """Judge the median of some round trips, in seconds."""
    median = sorted(round_trips)[len(round_trips) // 2]
    what = f"{where} answers within {median * 1_000:.1f} ms (median of {len(round_trips)})"
    if median <= SLOW:
        return ok(what)
    return warning(what, "Guarded jobs start later by as much: run the nodes nearer to the store.")


def skew(where: str, seconds: float) -> Finding:
    """Judge by how much this host's clock is ahead of a server's."""
    side = "ahead of" if seconds > 0 else "behind"
    if abs(seconds) <= MOST_SKEW:
        return ok(f"this host's clock and that of {where} differ by {abs(seconds):.3f} s")
    return warning(f"this host's clock is {abs(seconds):.1f} s {side} that of {where}", "Run NTP on both.")


def version(info: Mapping[str, str]) -> Finding | None:
    """Judge which Redis it is; ``None``: it does not say. Valkey says which Redis it can do what of."""
    text = info.get("redis_version", "")
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts[:2]):
        return None
    what = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {text}"
    if tuple(map(int, parts[:2])) >= OLDEST_REDIS:
        return ok(what)
    return error(what, "Use Redis 7.0 or newer, or Valkey.")


def memory(info: Mapping[str, str]) -> Finding | None:
    """Judge how much memory is left; ``None``: it does not say."""
    used, most = _number(info.get("used_memory")), _number(info.get("maxmemory"))
    if used is None or most is None:
        return None
    if not most:
        return ok(f"memory: {_size(used)} used, no limit")
    what = f"memory: {_size(used)} of {_size(most)} used"
    if used < NEARLY_FULL * most:
        return ok(what)
    return warning(what, "Raise maxmemory: when it is full, no tick is granted any more.")


def persistence(info: Mapping[str, str], snapshots: str | None) -> Finding | None:
    """Judge what a restart leaves; ``snapshots`` is what ``save`` is set to, ``None`` if that is not told."""
    is_on = info.get("aof_enabled")
    if is_on is None:
        return None
    if is_on == "1":
        return ok("persistence: append-only file")
    lost = "Set appendonly yes: "
    if snapshots:
        return warning(
            "persistence: snapshots only", f"{lost}a crash forgets pauses and ticks since the last snapshot."
        )
    if snapshots is None:
        return warning(
            "persistence: no append-only file, and whether there are snapshots is not told",
            f"{lost}what is lost in a restart are pauses, and the ticks that nodes cannot remember.",
        )
    return warning(
        "persistence: none",
        f"{lost}a restart forgets all pauses, and one tick of each job is skipped after it.",
    )


def replicas(info: Mapping[str, str], replica_ack: int) -> Finding | None:
    """Judge whether a failover can forget what was granted; ``None``: it does not say."""
    if info.get("role") not in ("master", "slave"):
        return None
    if info["role"] == "slave":
        return error("it is a replica", "Lead the scheduler to the primary; with Sentinels, use redis+sentinel://.")
    count = _number(info.get("connected_slaves")) or 0
    what = f"replicas: {count} connected, replica_ack={replica_ack}"
    if count < replica_ack:
        return error(what, "No tick is granted without that many replicas: connect them, or lower replica_ack.")
    if count and count == replica_ack:
        return warning(what, "Have one replica more than you wait for: if one is away, no tick is granted.")
    if count and not replica_ack:
        return warning(what, "Set replica_ack=1: without it, a failover may forget a tick, which then runs twice.")
    return ok(what)


def transport(where: str, host: str, *, is_local: bool, is_encrypted: bool) -> Finding:
    """Judge who can read along on the way to a server."""
    if is_local:
        return ok(f"the way to {where} stays on this host")
    if is_encrypted:
        return ok(f"the way to {where} is encrypted")
    return warning(f"the way to {host} is not encrypted", "Use rediss:// wherever others can read the network.")


def rights(refused: Sequence[str]) -> Finding:
    """Judge which commands the user may not run on our keys."""
    if not refused:
        return ok("rights: all commands that are needed, as far as they can be tried")
    return error(
        f"rights: the user may not run {', '.join(refused)}",
        "Give it the rights of the ACL line in docs/cluster.md, on keys with this prefix.",
    )


def free_disk(free: int) -> Finding:
    """Judge how much room a file has, in bytes."""
    what = f"disk: {_size(free)} free"
    return ok(what) if free >= LEAST_FREE else warning(what, "Make room: on a full disk, no tick is granted.")


def file_size(size: int) -> Finding:
    """Judge how large a file is, in bytes."""
    what = f"size: {_size(size)}"
    if size < MUCH:
        return ok(what)
    return warning(what, "Keep less: lower history= or history_for=, and VACUUM the file while the service is down.")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1_024:
            return f"{count:.0f} {unit}"
        count /= 1_024
    return f"{count:.1f} GiB"
