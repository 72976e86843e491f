"""Owns how the tests read the Markdown pages: their code blocks, headings, links and tables. Runs none of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(?P<title>.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    info: str
    text: str
    line: int
    """Number of lines in front of its text."""


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return _FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[Block]:
        """The fenced blocks of one language, in order."""
        found = []
        for match in _FENCE.finditer(self.text):
            if match["info"].split(" ")[0] == language:
                line = self.text.count("\n", 0, match.start("text"))
                found.append(Block(match["info"], match["text"], line))
        return found

    @cached_property
    def links(self) -> list[str]:
        return [match["target"] for match in _LINK.finditer(self.prose)]

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        anchors: set[str] = set()
        for match in _HEADING.finditer(self.prose):
            words = re.sub(r"[^\w\- ]", "", match["title"].replace("`", "").lower())
            anchor, repeated = words.replace(" ", "-"), 0
            while anchor in anchors:
                repeated += 1
                anchor = f"{words.replace(' ', '-')}-{repeated}"
            anchors.add(anchor)
        return anchors

    def tables(self) -> list[list[dict[str, str]]]:
        """The tables, each as its rows by column title."""
        tables = []
        for chunk in re.findall(r"(?:^\|.*\|$\n?)+", self.prose, re.MULTILINE):
            head, _, *rows = [_cells(line) for line in chunk.splitlines()]
            tables.append([dict(zip(head, row, strict=True)) for row in rows])
        return tables

    def table(self, *titles: str) -> list[dict[str, str]]:
        """All rows of the tables that have exactly these columns."""
        found = [row for table in self.tables() if tuple(table[0]) == titles for row in table]
        assert found, f"{self.name} has no table with the columns {titles}"
        return found


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def code(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


TOP = [ROOT / "README.md", ROOT / "SECURITY.md"]
PAGES = [Page(path) for path in [*TOP, *sorted((ROOT / "docs").glob("**/*.md"))]]
BY_NAME = {page.name: page for page in PAGES}
