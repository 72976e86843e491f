"""Owns what the tests of the examples share: the helper for real programs, and the examples' own modules."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

# importlib mode adds no folder of its own
sys.path[:0] = [str(TESTS / "processes"), str(TESTS.parent / "examples")]
