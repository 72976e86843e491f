"""What is warned of a server's set-up, whatever form its answer has."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from asyncsched.stores._safety import warnings

EVICTS = {"maxmemory": 52_428_800, "maxmemory_policy": "allkeys-lru"}
TEXT = "# Memory\r\nused_memory:1\r\nmaxmemory:52428800\r\nmaxmemory_policy:volatile-ttl\r\n\r\n"


@pytest.mark.parametrize(
    ("reply", "policy"),
    [
        (EVICTS, "allkeys-lru"),
        (EVICTS | {"maxmemory_policy": "volatile-lru"}, "volatile-lru"),
        (TEXT, "volatile-ttl"),
        (TEXT.encode(), "volatile-ttl"),
    ],
)
def test_an_eviction_policy_is_warned_of(reply: Any, policy: str) -> None:
    (said,) = warnings(reply)

    assert said == f"maxmemory-policy is {policy}: a full Redis evicts locks and records; set it to noeviction"


@pytest.mark.parametrize(
    "reply",
    [
        EVICTS | {"maxmemory_policy": "noeviction"},
        EVICTS | {"maxmemory": 0},
        {"maxmemory": 5},
        {"maxmemory_policy": "allkeys-lru"},
        {},
        TEXT.replace("volatile-ttl", "noeviction"),
        TEXT.replace("52428800", "0"),
        "",
        b"\xff",
        "maxmemory",
        None,
        5,
        ["maxmemory"],
        NoPermissionError("this user has no permissions to run the 'info' command"),
    ],
)
def test_nothing_else_is(reply: Any) -> None:
    assert warnings(reply) == ()
