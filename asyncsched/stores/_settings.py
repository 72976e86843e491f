"""Owns what stores accept as settings, and how a server is named without its credentials. Imports no
client."""

from __future__ import annotations

import re

from asyncsched.exceptions import ConfigurationError

MASK = "***"
LONGEST_PREFIX = 200
PATTERN_CHARACTERS = frozenset("{}*?[]")


_SCHEME = r"[a-z]+(\+[a-z]+)?"
_HOSTS = r"(\[[0-9A-Fa-f:.]+\]|[\w.-]*)(:\d+)?(,(\[[0-9A-Fa-f:.]+\]|[\w.-]*)(:\d+)?)*"
_PATH = r"[\w./+~-]*"


def masked(url: str) -> str:
    """Return ``url`` for messages: without credentials and without its query, which may hold them too.

    Only what looks like hosts with ports, and like a path, is shown. Where an ``@`` stands anywhere but in front of
    the host, or a word where a port belongs, the URL was not quoted properly, or is only a part of one, so nobody can
    tell what of it is the password: then only the scheme is shown.
    """
    from urllib.parse import urlsplit

    scheme, separator, _ = url.partition("://")
    if not separator:
        return url if re.fullmatch(_HOSTS, url) else MASK
    if not re.fullmatch(_SCHEME, scheme):
        return MASK
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{scheme}://{MASK}"
    _, at, hosts = parts.netloc.rpartition("@")
    is_plain = (
        re.fullmatch(_HOSTS, hosts) and re.fullmatch(_PATH, parts.path) and "@" not in parts.query + parts.fragment
    )
    return f"{scheme}://{MASK + '@' if at else ''}{hosts}{parts.path}" if is_plain else f"{scheme}://{MASK}"


def checked_prefix(prefix: object) -> str:
    """Return ``prefix`` if it may stand in front of keys.

    Raises:
        ConfigurationError: it is not a string, longer than 200, or holds whitespace, an unprintable character
        or one
            of ``{}*?[]`` (they move a key to another slot of a cluster, or turn an ACL's key into a pattern).
    """
    if not isinstance(prefix, str):
        raise ConfigurationError(f"prefix: {prefix!r} is not a string")
    if len(prefix) > LONGEST_PREFIX:
        raise ConfigurationError(f"prefix: {prefix[:20]!r}... has {len(prefix)} characters, more than {LONGEST_PREFIX}")
    for character in prefix:
        if character.isspace() or not character.isprintable() or character in PATTERN_CHARACTERS:
            raise ConfigurationError(
                f"prefix: {prefix!r} holds {character!r}; only printable characters without whitespace and "
                "{}*?[] are allowed"
            )
    return prefix


def checked_replica_ack(replica_ack: object) -> int:
    """Return ``replica_ack`` if it is a number of replicas, 0 included.

    Raises:
        ConfigurationError: it is not an ``int``, or is negative.
    """
    if isinstance(replica_ack, bool) or not isinstance(replica_ack, int):
        raise ConfigurationError(f"replica_ack: {replica_ack!r} is not a whole number of replicas")
    if replica_ack < 0:
        raise ConfigurationError(f"replica_ack: {replica_ack} is below 0")
    return replica_ack
