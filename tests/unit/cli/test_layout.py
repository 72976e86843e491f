"""Tables as lines: they fit, and nothing is lost."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from asyncsched.cli._layout import Line, Piece, Row, Table, folded, lines_of
from asyncsched.cli._text import glued, one_line


def text(lines: list[Line]) -> list[str]:
    return ["".join(piece.text for piece in line) for line in lines]


def row(*cells: str, notes: tuple[str, ...] = ()) -> Row:
    return Row([Piece(cell) for cell in cells], [Piece(note) for note in notes])


TABLE = Table(
    ["JOB", "EMPTY", "WHAT IT SAYS", "N"],
    [
        row("cleanup", "", "a sentence of several words", "7", notes=("a note that is longer than all of the rest",)),
        row("b", "", "日本語の文字", "12"),
    ],
    none="nothing",
    right=frozenset({"N"}),
)


def test_a_table_with_room() -> None:
    assert text(lines_of(TABLE, None)) == [
        "JOB      WHAT IT SAYS                  N",
        "cleanup  a sentence of several words   7",
        "  a note that is longer than all of the rest",
        "b        日本語の文字                 12",
    ]


def test_a_table_is_folded_between_words() -> None:
    assert text(lines_of(TABLE, 28)) == [
        "JOB      WHAT IT SAYS    N",
        "cleanup  a sentence of   7",
        "         several words",
        "  a note that is longer than",
        "  all of the rest",
        "b        日本語の文字   12",
    ]


@pytest.mark.parametrize("width", range(22, 60))
def test_no_line_is_wider_than_asked_and_nothing_is_lost(width: int) -> None:
    lines = text(lines_of(TABLE, width))
    assert all(cell_len(line) <= width for line in lines)
    letters = re.sub(r"\s", "", "".join(text(lines_of(TABLE, None))))
    assert sorted(re.sub(r"\s", "", "".join(lines))) == sorted(letters)


def test_a_table_narrower_than_its_columns_can_be_is_wider_than_asked() -> None:
    assert max(map(cell_len, text(lines_of(TABLE, 5)))) == 6 + 2 + 6 + 2 + 2


def test_a_table_without_rows_says_so() -> None:
    assert text(lines_of(Table(["A"], [], none="nothing"), 80)) == ["nothing"]


@pytest.mark.parametrize(
    ("said", "width", "lines"),
    [
        ("", 5, [""]),
        ("one two", 7, ["one two"]),
        ("one two", 6, ["one", "two"]),
        (glued("one two") + " three", 9, ["one two", "three"]),
        (glued("one two three"), 8, ["one two", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("日本語", 4, ["日本", "語"]),
        (glued("one two"), None, ["one two"]),
    ],
)
def test_folding(said: str, width: int | None, lines: list[str]) -> None:
    assert folded(said, width) == lines


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("right\u202eleft", "right\\u202eleft"),
        ("übung [bold]", "übung [bold]"),
    ],
)
def test_nothing_steers_the_terminal(said: str, shown: str) -> None:
    assert one_line(said) == shown
