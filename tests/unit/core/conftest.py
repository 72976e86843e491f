"""Owns the fixtures of the engine's tests: its parts, put together around a scripted store and a fake clock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder of its own

from _scripted import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    """Everything of an engine but its loop; runs that a test leaves behind are cancelled."""
    made = Parts()
    yield made
    await made.close()
