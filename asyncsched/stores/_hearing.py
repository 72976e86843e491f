"""Owns how a node hears what is decided: a subscription to one channel, on a connection of its own.

A message is ``<sender> <tick_us> <state key> <state key> … <tick_us> <state key> …``: the ticks that one script call
decided, each with the keys of its jobs behind it. ``claim.lua`` sends it for those who hear themselves; the answer
tells the sender the same. Nothing rests on it: a node that hears nothing asks.

The channel's name ends in the number of the database: channels, unlike keys, are the same in all of them.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncsched.stores import _wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncsched.stores._keys import Keys
    from asyncsched.stores._link import Link
    from asyncsched.stores._server import Server

QUIET = 5.0
"""Seconds without a message after which the server is asked for a sign of life; and after as many more, the connection
is given up."""


class Hearing:
    """One node's subscription.

    Args:
        link: the way to the server that decides.
        keys: the keys, and the channel's name.
        heard: is called with jobs and the tick of theirs that was decided.
    """

    def __init__(self, link: Link, keys: Keys, heard: Callable[[Sequence[str], int], None]) -> None:
        self._link = link
        self._keys = keys
        self._heard = heard
        self._server: Server | None = None
        self.channel = ""
        """While subscribed: its full name."""
        self.mark = secrets.token_hex(4)
        """This node as a sender."""
        self.is_wanted = asyncio.Event()
        """Whether there is anybody to hear of."""

    @property
    def is_on(self) -> bool:
        """Whether the server that decides is being listened to."""
        return self._server is not None and self._server in self._link.servers

    async def listen(self) -> bool:
        """Subscribe as soon as that is wanted, and tell what is heard until the connection fails, or leads to a server
        that decides no more. Returns whether it had begun."""
        await self.is_wanted.wait()
        has_begun = False
        connection: Any = None
        with suppress(Exception):  # a client may raise anything, and nothing rests on it
            try:
                server = self._link.servers[0]
                connection = server.new_connection()
                async with asyncio.timeout(self._link.operation_timeout):
                    self.channel = await self._subscribe(connection)
                self._server, has_begun = server, True
                await self._read(connection)
            finally:
                self._server, self.channel = None, ""
                if connection is not None:
                    await connection.disconnect(nowait=True)
        return has_begun

    async def _subscribe(self, connection: Any) -> str:
        await connection.connect()
        channel = f"{self._keys.decided}:{connection.db}"
        await connection.send_command("SUBSCRIBE", channel, check_health=False)
        await connection.read_response(disable_decoding=True)
        return channel

    async def _read(self, connection: Any) -> None:
        has_asked = False
        while self.is_on:
            reply = await connection.read_response(disable_decoding=True, timeout=QUIET)
            if reply is not None:
                has_asked = False
                self._tell(reply)
            elif has_asked:
                return
            else:
                await connection.send_command("SUBSCRIBE", self.channel, check_health=False)
                has_asked = True

    def _tell(self, reply: object) -> None:
        """Tell of the ticks in a message. What is none of ours is passed over."""
        if not isinstance(reply, list | tuple) or len(reply) != 3 or _wire.text(reply[0]) != "message":
            return
        words = _wire.text(reply[2]).split(" ")
        if words[0] == self.mark:
            return
        before = self._keys.before_job
        length = len(before)
        tick_us, jobs = 0, list[str]()
        for word in islice(words, 1, None):
            if word.startswith(before):
                if len(word) > length:
                    jobs.append(word[length:])
                continue
            if tick_us:
                self._heard(jobs, tick_us)
            tick_us, jobs = int(word) if word.isascii() and word.isdigit() and len(word) <= 16 else 0, []
        if tick_us:
            self._heard(jobs, tick_us)
