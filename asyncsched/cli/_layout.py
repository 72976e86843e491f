"""Owns tables as lines of a given width: columns are folded, never cut, as names are there to be copied.

Knows nothing of what the tables say, nor of terminals: a line is pieces of text with the name of a style.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len, chop_cells

from asyncsched.cli._text import GLUE

GAP = 2
"""Columns of the terminal between two columns."""
INDENT = "  "
"""In front of what is said below a row."""
LEAST = 6
"""No column is made narrower to fit, whatever the terminal."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A text, and the name of its style; empty: none."""

    text: str
    style: str = ""
    indent: str = ""
    """Of a sentence of its own: in front of each of its lines."""


Line = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, and what is said below it, over the whole width."""

    cells: Sequence[Piece]
    notes: Sequence[Piece] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Titles and rows. A column that is empty in each row is left out."""

    titles: Sequence[str]
    rows: Sequence[Row]
    none: str
    """What is said instead of a table without rows."""
    right: frozenset[str] = field(default=frozenset())
    """Titles of columns of numbers."""


def lines_of(table: Table, width: int | None) -> list[Line]:
    """Return the table as lines of at most ``width`` columns; ``None``: however long, nothing is folded."""
    if not table.rows:
        return [(Piece(table.none),)]
    kept = [
        number
        for number, title in enumerate(table.titles)
        if not title or any(row.cells[number].text for row in table.rows)
    ]
    titles = [table.titles[number] for number in kept]
    head = [Piece(title, "title") for title in titles]
    body = [[row.cells[number] for number in kept] for row in table.rows]
    widths = _fitting([[cells[n].text for cells in [head, *body]] for n in range(len(kept))], width)
    flush = [title in table.right for title in titles]
    lines = _row(head, widths, flush)
    for row, cells in zip(table.rows, body, strict=True):
        lines += _row(cells, widths, flush)
        for note in row.notes:
            lines += paragraph(replace(note, indent=INDENT), width)
    return lines


def folded(text: str, width: int | None) -> list[str]:
    """Return ``text`` as lines of at most ``width`` columns, folded between words where that is possible."""
    if width is None or cell_len(text) <= width:
        return [text.replace(GLUE, " ")]
    lines, line = [], ""
    for word in _words(text, width):
        if not line or cell_len(line) + 1 + cell_len(word) <= width:
            line = f"{line} {word}" if line else word
        else:
            lines.append(line)
            line = word
    return [part.replace(GLUE, " ") for part in [*lines, line]]


def paragraph(said: Piece, width: int | None) -> list[Line]:
    """Return a sentence as lines."""
    room = None if width is None else max(width - len(said.indent), LEAST)
    return [(Piece(said.indent + part, said.style),) for part in folded(said.text, room)]


def _words(text: str, width: int) -> Iterator[str]:
    """Yield the words; one that is longer than a line is parted where it was glued, or anywhere."""
    for word in text.split(" "):
        if cell_len(word) <= width:
            yield word
        elif GLUE in word:
            yield from _words(word.replace(GLUE, " "), width)
        else:
            yield from chop_cells(word, width)


def _fitting(columns: list[list[str]], width: int | None) -> list[int]:
    """Return the widths of columns: the widest ones are narrowed until all fit, first without parting a word. What
    folding then leaves over goes to those that need least to be folded no more."""
    wanted = [max(map(cell_len, column)) for column in columns]
    if width is None:
        return wanted
    room = width - GAP * (len(columns) - 1)
    words = [max(cell_len(word) for text in column for word in text.split(" ")) for column in columns]
    fitting = _narrowed(_narrowed(wanted, words, room), [LEAST] * len(columns), room)
    needed = [_longest_line(column, most) for column, most in zip(columns, fitting, strict=True)]
    for number in sorted(range(len(columns)), key=lambda number: wanted[number] - needed[number]):
        if sum(needed) - needed[number] + wanted[number] <= room:
            needed[number] = wanted[number]
    return needed


def _narrowed(widths: list[int], least: list[int], room: int) -> list[int]:
    """Return widths that fit into ``room``, or come as near to that as ``least`` lets them; the widest ones give."""
    narrowed = list(widths)
    while sum(narrowed) > room:
        giving = max(range(len(narrowed)), key=lambda number: (narrowed[number] > least[number], narrowed[number]))
        if narrowed[giving] <= least[giving]:
            break
        narrowed[giving] -= 1
    return narrowed


def _longest_line(texts: Iterable[str], width: int) -> int:
    return max(cell_len(line) for text in texts for line in folded(text, width))


def _row(cells: Sequence[Piece], widths: Sequence[int], flush: Sequence[bool]) -> list[Line]:
    columns = [folded(cell.text, width) for cell, width in zip(cells, widths, strict=True)]
    lines: list[Line] = []
    for number in range(max(map(len, columns))):
        pieces: list[Piece] = []
        for cell, column, width, right in zip(cells, columns, widths, flush, strict=True):
            text = column[number] if number < len(column) else ""
            room = " " * (width - cell_len(text))
            pieces += [
                Piece(room + text if right else text, cell.style),
                Piece("" if right else room),
                Piece(" " * GAP),
            ]
        lines.append(_without_trailing_space(pieces))
    return lines


def _without_trailing_space(pieces: list[Piece]) -> Line:
    while pieces and not pieces[-1].text.strip():
        pieces.pop()
    return tuple(piece for piece in pieces if piece.text)
