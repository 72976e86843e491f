"""Owns the measured Redis: the server's process, and what it counts of itself."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from _redis_server import RedisServer

SCRIPTS = ("evalsha", "eval", "fcall")
NOT_COUNTED = ("info",)


@dataclass(frozen=True)
class Usage:
    """What was asked of a server.

    Attributes:
        commands: commands, those that scripts call included.
        scripts: how many of them were scripts.
        script_us: microseconds that scripts took.
        moved: bytes that it has read and written.
    """

    commands: int
    scripts: int
    script_us: int
    moved: int

    def each(self, fires: int) -> dict[str, float]:
        """Return the figures for each fire."""
        return {
            "commands": self.commands / fires,
            "scripts": self.scripts / fires,
            "script_us": self.script_us / fires,
            "moved": self.moved / fires,
        }


@dataclass(frozen=True)
class Count:
    """What a server counts since its start: of each command its calls and their microseconds; bytes."""

    commands: dict[str, tuple[int, int]]
    moved: int


def count(server: RedisServer) -> Count:
    """Ask a server for its counts."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as connection:
        connection.sendall(b"INFO commandstats\r\nINFO stats\r\n")
        with connection.makefile("rb") as answer:
            of_commands, of_all = (answer.read(int(answer.readline()[1:]) + 2).decode().split() for _ in range(2))
    commands = {}
    for line in of_commands:
        name, _, rest = line.partition(":")
        if name.startswith("cmdstat_"):
            fields = dict(field.split("=") for field in rest.split(","))
            calls, us = commands.get(key := name.removeprefix("cmdstat_").split("|")[0], (0, 0))
            commands[key] = calls + int(fields["calls"]), us + int(fields["usec"])
    totals = dict(line.split(":", 1) for line in of_all if ":" in line)
    return Count(commands, int(totals["total_net_input_bytes"]) + int(totals["total_net_output_bytes"]))


def usage(before: Count, after: Count) -> Usage:
    """Return what was asked between two counts."""
    calls, us = {}, {}
    for name, (calls_after, us_after) in after.commands.items():
        if name not in NOT_COUNTED:
            calls_before, us_before = before.commands.get(name, (0, 0))
            calls[name], us[name] = calls_after - calls_before, us_after - us_before
    scripts, script_us = (sum(of.get(name, 0) for name in SCRIPTS) for of in (calls, us))
    return Usage(sum(calls.values()), scripts, script_us, after.moved - before.moved)
