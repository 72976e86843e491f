"""Owns what the tests of security share: stores that are closed at the end, and the contract suite's requests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncsched.stores.redis import RedisStore

for folder in ("contract", "docs", "security"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., RedisStore]]:
    """Make stores whose clients are closed when the test ends, however it ends."""
    stores: list[RedisStore] = []

    def make(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore(url, **{"operation_timeout": 10.0, **options}))  # patient: the machine may be slow
        return stores[-1]

    yield make
    for store in stores:
        await store.close()
