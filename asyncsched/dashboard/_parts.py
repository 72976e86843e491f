"""Owns which parts of a page have changed since when, so that a browser gets those alone. Each part is a value that is
rendered when it differs from before. Knows nothing of what the parts show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from markupsafe import Markup

Render: TypeAlias = "Callable[[str, object], Markup]"


class Change(NamedTuple):
    """What a browser lacks."""

    parts: Mapping[str, str]
    """HTML by id."""
    lists: Mapping[str, tuple[str, ...]]
    """The order of children, where it has changed."""

    def __bool__(self) -> bool:
        """Return whether it lacks anything."""
        return bool(self.parts or self.lists)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a page consists of."""

    values: Mapping[str, object]
    """By the id of the element."""
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Elements whose children come and go: the ids of these, in order. A child is a value, or a row."""
    rows: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A row consists of values, its cells: their ids, in order."""


@dataclass(slots=True)
class _Part:
    value: object
    html: Markup
    changed_at: int


class Parts:
    """The parts of one page."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._parts: dict[str, _Part] = {}
        self._lists: dict[str, tuple[tuple[str, ...], int]] = {}
        self._rows: dict[str, tuple[tuple[str, ...], int]] = {}
        self._changes: dict[int, Change] = {}
        self.version = 0

    def update(self, version: int, contents: Contents) -> None:
        """Take what the page is in ``version``; nothing that is equal to before is rendered again."""
        for name, value in contents.values.items():
            known = self._parts.get(name)
            if known is None or (known.value is not value and known.value != value):
                html = self._render(name, value)
                if known is None or known.html != html:
                    self._parts[name] = _Part(value, html, version)
                else:
                    known.value = value
        for gone in self._parts.keys() - contents.values.keys():
            del self._parts[gone]
        for kept, given in ((self._lists, contents.lists), (self._rows, contents.rows)):
            for name, ids in given.items():
                if name not in kept or kept[name][0] != ids:
                    kept[name] = ids, version
            for gone in kept.keys() - given.keys():
                del kept[gone]
        self._changes.clear()
        self.version = version

    def html(self, name: str) -> Markup:
        """Return one part."""
        return self._parts[name].html

    def row(self, name: str) -> Markup:
        """Return a row with its cells."""
        cells = Markup("").join(map(self.html, self._rows[name][0]))
        return Markup('<tr id="{}" role="row">{}</tr>').format(name, cells)

    def listed(self, name: str) -> Markup:
        """Return the children of a list."""
        ids = self._lists[name][0]
        return Markup("").join(self.row(child) if child in self._rows else self.html(child) for child in ids)

    def since(self, version: int) -> Change:
        """Return what has changed after ``version``; made once for all browsers that have the same."""
        change = self._changes.get(version)
        if change is None:
            change = self._changes[version] = self._since(version)
        return change

    def _since(self, version: int) -> Change:
        new_rows = {name for name, (_, changed_at) in self._rows.items() if changed_at > version}
        with_rows = {cell for name in new_rows for cell in self._rows[name][0]}
        parts = {
            name: str(part.html)
            for name, part in self._parts.items()
            if part.changed_at > version and name not in with_rows
        }
        lists = {name: ids for name, (ids, changed_at) in self._lists.items() if changed_at > version}
        return Change(parts | {name: str(self.row(name)) for name in new_rows}, lists)
