"""The table refuses late writers, and remembers in which order it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from _fenced_table import AcceptedWrite, FencedTable


@pytest.fixture
def table(tmp_path: Path) -> Iterator[FencedTable]:
    table = FencedTable.create(tmp_path / "table.db")
    yield table
    table.close()


def test_a_lower_fence_is_refused(table: FencedTable) -> None:
    assert table.write("j", 5, 50, 1)
    assert table.write("j", 5, 50, 1)
    assert table.write("j", 7, 60, 1)
    assert not table.write("j", 6, 55, 1)
    assert table.write("k", 1, 10, 1)
    assert table.history() == [
        AcceptedWrite("j", 5, 50, 1),
        AcceptedWrite("j", 5, 50, 1),
        AcceptedWrite("j", 7, 60, 1),
        AcceptedWrite("k", 1, 10, 1),
    ]


def test_another_process_in_mid_write_is_seen(table: FencedTable, tmp_path: Path) -> None:
    other = FencedTable(tmp_path / "table.db")
    assert table.is_free()
    other._database.execute("BEGIN IMMEDIATE")
    assert not table.is_free()
    other.close()
    assert table.is_free()
