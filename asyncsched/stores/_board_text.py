"""Owns how long what boards show is kept, how much of it is read, and which of it is read at all. Knows no store.

What stands on a board is not trusted: what is not of its shape, or too long, is left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from asyncsched._records import LONGEST_ENDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

A_DAY = 86_400.0
REPORT_KEPT = A_DAY
"""Seconds after which a node's report is deleted, and definitions that nobody has posted since."""
FIRE_TIME_KEPT = A_DAY
"""Seconds after it has passed, in which nobody has posted a newer one."""
SUCCESS_KEPT = 400 * A_DAY
"""A job that runs once a year has the last one still."""
ORDER_KEPT = 60.0
"""Seconds for which an order waits for somebody to take it, and its answer for its reader."""

MOST_NODES = 1_000
"""Reports that are read."""
MOST_CATALOGUES = 100
"""Versions of definitions that are read."""
MOST_JOBS = 100_000
"""Fire times that are read, successes, and notes."""
MOST_ORDERS = 1_000
"""Open orders that are read, and that there may be."""
MOST_ENDINGS = 10_000
"""Endings that are read in one round trip."""
LONGEST_REPORT = 256 * 1_024
"""Characters; of an order, a note and an answer too."""
LONGEST_CATALOGUE = 4 * 1_024 * 1_024
"""Characters; longer ones are not posted."""

LATEST_US = 2**53
"""Of all instants, in microseconds since the epoch."""

_ENDING = re.compile(r'\{"at":([0-9]{1,16}),')
_NAME = re.compile(r"[^\s{}*?\[\]]{1,200}")
_TOKEN = re.compile(r"[0-9A-Za-z_-]{1,100}")


def is_name(text: str) -> bool:
    """Return whether ``text`` can be the name of a job, or of a node."""
    return _NAME.fullmatch(text) is not None and text.isprintable()


def is_token(text: str) -> bool:
    """Return whether ``text`` can be a digest, or the id of an order: it becomes a part of a key."""
    return _TOKEN.fullmatch(text) is not None


def ended_us(text: object) -> int | None:
    """Return when something ended, in microseconds since the epoch; ``None``: the text is no ending."""
    if not isinstance(text, str) or len(text) > LONGEST_ENDING:
        return None
    match = _ENDING.match(text)
    return None if match is None else int(match[1])


def newest_first(texts: Iterable[object], most: int) -> Sequence[str]:
    """Return the newest ``most`` of those texts that are endings. Of equal instants, what comes first stays so."""
    found = [(at_us, text) for text in texts if (at_us := ended_us(text)) is not None and isinstance(text, str)]
    return [text for _, text in sorted(found, key=lambda entry: -entry[0])[:most]]
