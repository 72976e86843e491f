"""Owns numbers that every process draws alike: ``hash()`` of a text differs from one process to the next."""

from __future__ import annotations

from hashlib import blake2b


def fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on ``parts`` alone, evenly spread over different parts."""
    text = "\n".join(map(str, parts))
    drawn = int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
    return (drawn >> 11) / (1 << 53)  # as many bits as a float holds exactly
