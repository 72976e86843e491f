"""Owns what about a server's set-up is unsafe for locks. Asks nothing itself."""

from __future__ import annotations

from asyncsched.stores import _wire

QUESTION = ("INFO", "memory")


def warnings(reply: object) -> tuple[str, ...]:
    """Return what ``INFO memory`` gives cause to warn of; nothing where the server does not tell (it may refuse)."""
    found = fields(reply)
    policy, limit = (str(found.get(name, "")) for name in ("maxmemory_policy", "maxmemory"))
    if policy in ("", "noeviction") or limit in ("", "0"):
        return ()
    return (f"maxmemory-policy is {policy}: a full Redis evicts locks and records; set it to noeviction",)


def fields(reply: object) -> dict[str, str]:
    """Return what ``INFO`` says, by its names; of anything else, nothing."""
    if isinstance(reply, dict):
        return {str(name): str(value) for name, value in reply.items()}
    if not isinstance(reply, str | bytes):
        return {}
    lines = (line.partition(":") for line in _wire.text(reply).splitlines())
    return {name: value for name, colon, value in lines if colon}
