"""Owns the fixture that the tests of the command line share."""

from __future__ import annotations

import pytest
from _command_line import Line


@pytest.fixture
def line() -> Line:
    """Command lines on a terminal of 80 columns, against the canned cluster."""
    return Line()
