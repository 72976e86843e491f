"""Owns the pages' parts, kept for all browsers that look at the same page, and how they become HTML. Knows no HTTP."""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jinja2
from markupsafe import Markup

from asyncsched.dashboard import _texts
from asyncsched.dashboard._drawing import Drawing
from asyncsched.dashboard._lanes import HEIGHT, SPAN
from asyncsched.dashboard._parts import Parts

if TYPE_CHECKING:
    from asyncsched.dashboard._poller import Poller
    from asyncsched.dashboard._source import Source

MOST_PAGES = 64
"""Pages of jobs whose parts are kept."""
ACTS = "act-"
"""Begins the ids of the parts that are for those who may act."""


class Page(NamedTuple):
    """Which page."""

    kind: str
    """``overview``, ``nodes``, ``job``."""
    job: str = ""


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """Return the templates: everything that they are given is escaped, and what they are not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=_texts.duration, moment=_texts.moment, local=_texts.local, number=_texts.number, spaced=_spaced
    )
    environment.globals.update(lane_width=2 * SPAN, lane_height=HEIGHT)
    return environment


def _spaced(word: str) -> str:
    return word.replace("_", " ")


def rendered(name: str, value: object) -> Markup:
    """Return a part as HTML: the macro that has the beginning of its id as its name."""
    macro = name.partition(":")[0].replace("-", "_")
    markup: Markup = getattr(templates().get_template("parts.html").module, macro)(name, value)
    return markup


def filled(html: str, *, window: int, token: str) -> str:
    """Return HTML with what differs from browser to browser, or each second. What is replaced cannot come from a value:
    those are escaped."""
    return html.replace('"<window>', f'"{window}').replace('"<token>"', f'"{token}"')


class Views:
    """The parts of the pages that are looked at."""

    def __init__(self, source: Source, poller: Poller) -> None:
        self._poller = poller
        self.drawing = Drawing(source, poller.archive)
        self._pages: OrderedDict[Page, Parts] = OrderedDict()

    def parts(self, page: Page) -> Parts:
        """Return the parts of a page, as of what is known now.

        Raises:
            UnknownJobError: the cluster has no such job.
        """
        known = self._poller.known
        parts = self._pages.get(page) or Parts(rendered)
        if parts.version != known.version or not known.version:
            drawing = self.drawing
            drawing.take(known)
            make = {"overview": drawing.overview, "nodes": drawing.nodes}.get(page.kind)
            parts.update(known.version, drawing.job(known, page.job) if make is None else make(known))
        self._pages[page] = parts
        self._pages.move_to_end(page)
        if len(self._pages) > MOST_PAGES:
            self._pages.popitem(last=False)
        return parts
