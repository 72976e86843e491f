"""Owns the measured Redis: the server's process, and what it counts of itself."""

from __future__ import annotations

import socket

from _redis_server import RedisServer

SCRIPTS = ("evalsha", "eval", "fcall")
NOT_COUNTED = ("info",)


def command_counts(server: RedisServer) -> dict[str, int]:
    """Return how often each command was called so far, those that scripts call included."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as connection:
        connection.sendall(b"*2\r\n$4\r\nINFO\r\n$12\r\ncommandstats\r\n")
        with connection.makefile("rb") as answer:
            lines = answer.read(int(answer.readline()[1:])).decode().splitlines()
    counts = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if name.startswith("cmdstat_"):
            counts[name.removeprefix("cmdstat_").split("|")[0]] = int(rest.split(",")[0].removeprefix("calls="))
    return counts


def calls_between(before: dict[str, int], after: dict[str, int]) -> tuple[int, int]:
    """Return how many commands were called, and how many of them were scripts."""
    grown = {name: calls - before.get(name, 0) for name, calls in after.items() if name not in NOT_COUNTED}
    return sum(grown.values()), sum(grown.get(name, 0) for name in SCRIPTS)
