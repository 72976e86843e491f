"""Owns what the nodes of a store on a file write on its board, within each refresh. What fails disturbs nothing else,
is said once, and is tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from asyncsched.stores import _board_rows
from asyncsched.stores._database import FAILURES, is_passing

if TYPE_CHECKING:
    import sqlite3

    from asyncsched._records import Posting
    from asyncsched.protocols import Clock
    from asyncsched.stores._database import Database
    from asyncsched.stores._decide import Now
    from asyncsched.stores._outbox import Outbox

REPORT_INTERVAL = 5.0
"""Seconds between two reports of a node of which nothing has changed: a write costs more than all else in a refresh."""
RETRY_AFTER = 30.0
"""Seconds in which nothing is posted after something other than a locked, or full, file was in the way."""
PATIENCE = 0.1
"""Seconds that a posting waits for another process: claims may be waiting behind it."""


@dataclass(slots=True)
class Letter:
    """What one outbox has to say now."""

    outbox: Outbox
    posting: Posting
    with_report: bool
    is_farewell: bool
    is_written: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        posting = self.posting
        some = posting.catalogue or posting.fire_times or posting.successes or posting.endings
        return not (self.with_report or self.is_farewell or some)


class Post:
    """What one refresh takes along.

    Args:
        letters: what each outbox has to say.
        posts: where they come from.
    """

    def __init__(self, letters: Sequence[Letter], posts: Posts) -> None:
        self._letters = letters
        self._posts = posts
        self._orders: list[str] = []
        self._failure: Exception | None = None

    def write(self, database: Database) -> None:
        """Write all of it, and read which orders are open. In the thread; never raises."""
        if not self._letters:
            return
        try:
            for letter in self._letters:
                if not letter.is_empty:
                    database.write_at_leisure(partial(self._posts.write, letter), patience=PATIENCE)
                letter.is_written = True
            self._orders = database.read(partial(_board_rows.orders, self._posts.prefix))
        except FAILURES as error:
            self._failure = error

    def take(self) -> None:
        """Tell what became of it."""
        self._posts.take(self._letters, self._orders, self._failure)


class Posts:
    """What is posted by all nodes of a store.

    Args:
        prefix: stands in front of every name.
        clock: tells how long ago something was.
    """

    def __init__(self, prefix: str, clock: Clock) -> None:
        self.prefix = prefix
        self._clock = clock
        self.outboxes: list[Outbox] = []
        self._reported: dict[Outbox, tuple[str, float]] = {}
        """The last report of each, and the monotonic instant of it."""
        self._not_before = float("-inf")
        self._said: set[str] = set()
        self._unsaid: list[str] = []

    def name(self, name: str) -> str:
        """Return how a job, a node or an order is named in the file."""
        return self.prefix + name

    def news(self) -> list[str]:
        """Return what there is to say to people, each once."""
        news, self._unsaid = self._unsaid, []
        return news

    @contextmanager
    def going(self, outboxes: Sequence[Outbox], *, farewell: bool = False) -> Iterator[Post]:
        """Yield what to write now; while it is being written, nothing of it is written another time."""
        is_time = self._clock.monotonic() >= self._not_before
        asked = [outbox for outbox in outboxes if farewell or (is_time and not outbox.is_asked)]
        letters = [letter for outbox in asked if (letter := self._letter(outbox, farewell)) is not None]
        for letter in letters:
            letter.outbox.is_asked = True
        try:
            yield Post(letters, self)
        finally:
            for letter in letters:
                letter.outbox.is_asked = False

    def _letter(self, outbox: Outbox, farewell: bool) -> Letter | None:
        posting = outbox.collect()
        if posting is None:
            return None
        text, at = self._reported.get(outbox, ("", float("-inf")))
        is_due = posting.report != text or self._clock.monotonic() >= at + REPORT_INTERVAL
        return Letter(outbox, posting, is_due, farewell)

    def write(self, letter: Letter, connection: sqlite3.Connection, now: Now) -> None:
        """Write one letter, in the thread."""
        _board_rows.post(
            letter.posting, letter.outbox.digest, self.name, letter.with_report, letter.is_farewell, connection, now
        )

    def take(self, letters: Sequence[Letter], orders: Sequence[str], failure: Exception | None) -> None:
        """Take in what became of them."""
        now = self._clock.monotonic()
        for letter in letters:
            if letter.is_written:
                if letter.is_farewell:
                    self._reported.pop(letter.outbox, None)
                elif letter.with_report:
                    self._reported[letter.outbox] = (letter.posting.report, now)
                letter.outbox.posted(None, orders)
        if failure is not None and not is_passing(failure):
            self._not_before = now + RETRY_AFTER
            self._say(f"the cluster's state cannot be kept: {failure}")

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._unsaid.append(what)
