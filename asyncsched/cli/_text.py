"""Owns texts that come from elsewhere, made fit for a terminal. Knows nothing of what they mean.

What a store holds is not trusted: an error's message, or a reason, could hold sequences that steer the terminal.
"""

from __future__ import annotations

GLUE = "\N{NO-BREAK SPACE}"
"""A space at which no line is folded; shown as a space."""


def one_line(text: str) -> str:
    """Return ``text`` in one line of printable characters: others are shown as ``repr`` shows them."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() or c == GLUE else repr(c)[1:-1] for c in words)


def glued(text: str) -> str:
    """Return ``text`` in one line that is folded nowhere, unless it is longer than its column."""
    return one_line(text).replace(" ", GLUE)


def plural(number: int, word: str) -> str:
    """Return ``3 jobs``, ``1 job``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def listed(words: list[str], most: int = 5) -> str:
    """Return words with commas between them; of many the first ones, and how many more there are."""
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown
