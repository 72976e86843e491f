"""Owns what can go wrong between a store and its servers, and what a server's error means. No I/O."""

from __future__ import annotations

import re
from typing import NamedTuple

from redis.exceptions import AskError, MovedError, ReadOnlyError, RedisError

from asyncsched.stores._wire import UnexpectedReplyError


class UndecidedError(Exception):
    """What was asked is not decided: the answer does not count yet, or there is nobody to ask."""


class ClientFaultError(Exception):
    """The client, or what gives it its credentials, raised an error of no kind that a client should raise."""


FAILURES = (RedisError, OSError, TimeoutError, UnexpectedReplyError, UndecidedError, ClientFaultError)
"""What a server or the way to it can do to an operation."""

_REDIRECT = re.compile(r"(MOVED|ASK) (\d+) (\S*):(\d+)")


class Redirect(NamedTuple):
    """Where a member of a Cluster says that a slot is."""

    slot: int
    host: str
    """Empty: the host of the member that says so."""
    port: int
    is_ask: bool
    """For this one command only: the slot is on its way there."""


def redirect_in(error: object) -> Redirect | None:
    """Return where ``error`` sends the asker, if it does.

    Older clients have no classes for a Cluster's errors, unless they are made for a Cluster: the text counts.
    """
    if isinstance(error, AskError):  # a MovedError is one too
        return Redirect(error.slot_id, error.host, error.port, not isinstance(error, MovedError))
    match = _REDIRECT.fullmatch(str(error)) if isinstance(error, RedisError) else None
    return None if match is None else Redirect(int(match[2]), match[3], int(match[4]), match[1] == "ASK")


def says_cluster(error: object) -> bool:
    """Return whether only a member of a Cluster answers so."""
    return redirect_in(error) is not None or (
        isinstance(error, RedisError) and "CROSSSLOT" in f"{type(error).__name__} {error}".upper()
    )


def says_read_only(reply: object) -> bool:
    """Return whether a server refused a write because it is a replica, now.

    Before Redis 7.0 a script's error hides this behind words of its own.
    """
    return isinstance(reply, ReadOnlyError) or (isinstance(reply, RedisError) and "READONLY" in str(reply))


def reason(error: BaseException) -> str:
    """Return why something is not decided, in words for a message."""
    if isinstance(error, UnexpectedReplyError):
        return f"unexpected answer: {error}"
    if isinstance(error, UndecidedError | ClientFaultError):
        return str(error)
    return f"{type(error).__name__}: {error}"
