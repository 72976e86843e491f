"""Lets these tests import the helper modules beside them by their plain names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from _line import Line


@pytest.fixture
def line() -> Line:
    """Command lines on a terminal of 80 columns, against the canned cluster."""
    return Line()
