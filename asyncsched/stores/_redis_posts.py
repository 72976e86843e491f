"""Owns what the nodes of this store write on the board, within each refresh: which commands go along, and what their
answers mean. No I/O.

What is refused, or foreign, is said once and disturbs nothing else. A node's endings, and whatever else it has to say
only once, wait until they are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis.exceptions import NoPermissionError, NoScriptError, OutOfMemoryError, ResponseError

from asyncsched.stores import _board_text, _board_wire, _questions, _scripts, _wire
from asyncsched.stores._board_wire import Aside, Piece
from asyncsched.stores._failures import redirect_in, says_read_only

if TYPE_CHECKING:
    from asyncsched._records import Posting
    from asyncsched.stores._keys import Keys
    from asyncsched.stores._link import Outcome
    from asyncsched.stores._outbox import Outbox
    from asyncsched.stores._questions import Order
    from asyncsched.stores._server import Server

RETRY_AFTER = 30.0
"""Seconds in which nothing but reports is posted after something was refused: it would be, again."""
UPKEEP_INTERVAL = 3_600.0
"""Seconds between two deletions of what nobody posts any more: each node's definitions come more often."""
MOST_SAID = 100
"""Things that are said: each job may have something foreign."""


class Refusal:
    """What a server said instead of carrying out an aside.

    Args:
        error: its error.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.is_foreign = "WRONGTYPE" in str(error)
        self.is_unknown_script = isinstance(error, NoScriptError)


async def leniently(
    server: Server, batches: Sequence[Sequence[Order]], asking: bool
) -> Sequence[Outcome[object | Refusal]]:
    """Carry out plain commands. That an aside is refused says nothing about the server: it stands as a ``Refusal``
    among the answers."""
    outcomes = await _questions.command(server, batches, asking)
    return [_judged(batch, outcome) for batch, outcome in zip(batches, outcomes, strict=True)]


def _judged(batch: Sequence[Order], outcome: Outcome[object]) -> Outcome[object | Refusal]:
    answers = [outcome] * len(batch) if isinstance(outcome, Exception) else list(outcome)
    moved = [answer for answer in answers if isinstance(answer, Exception) and redirect_in(answer)]
    if moved and len(moved) == len(answers):
        return moved[0]
    judged = [
        Refusal(answer) if isinstance(order, Aside) and isinstance(answer, Exception) and _refuses(answer) else answer
        for order, answer in zip(batch, answers, strict=True)
    ]
    failures = [answer for answer in judged if isinstance(answer, Exception)]
    return failures[0] if len(judged) == 1 and failures else judged


def _refuses(answer: Exception) -> bool:
    """Return whether this is said of the one command, and not of the server, which may be about to change."""
    is_refusal = type(answer) in (ResponseError, NoPermissionError, NoScriptError, OutOfMemoryError)
    return is_refusal and not redirect_in(answer) and not says_read_only(answer)


class Post:
    """What one refresh takes along.

    Args:
        letters: what each outbox has to say.
        orders: the commands, all of them.
    """

    def __init__(self, posts: Posts, letters: Sequence[Letter], now: float) -> None:
        self._posts = posts
        self._letters = letters
        self._now = now
        self.orders: list[Aside] = [order for letter in letters for order in letter.orders]

    def take(self, answers: Sequence[object]) -> None:
        """Take in the answers to ``orders``."""
        at = 0
        for letter in self._letters:
            self._posts.take(letter, answers[at : at + len(letter.orders)], self._now)
            at += len(letter.orders)


class Letter:
    """What one outbox has to say now.

    Args:
        outbox: whose it is.
        posting: all of it.
        head: what is written each time, and read.
        pieces: what is written once.
        waiting: what waits for the next time.
        tail: what deletes.
    """

    def __init__(
        self,
        outbox: Outbox,
        posting: Posting,
        head: Sequence[Aside],
        pieces: Sequence[Piece],
        waiting: Sequence[Piece],
        tail: Sequence[Aside],
    ) -> None:
        self.outbox = outbox
        self.posting = posting
        self.head = head
        self.pieces = pieces
        self.waiting = waiting
        self.tail = tail
        self.orders = [*head, *(piece.order for piece in pieces), *tail]


class Posts:
    """What is posted by all nodes of a store.

    Args:
        keys: the keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.outboxes: list[Outbox] = []
        self._stale: list[Aside] = []
        """What deletes what the last upkeep has found."""
        self._not_before = 0.0
        self._next_upkeep = 0.0
        self._is_script_unknown = True
        self._tended: set[str] = set()
        """Jobs whose histories were looked after lately."""
        self._tended_since = 0.0
        self._said: set[str] = set()
        self._unsaid: list[str] = []

    def news(self) -> list[str]:
        """Return what there is to say to people, each once."""
        news, self._unsaid = self._unsaid, []
        return news

    @contextmanager
    def going(self, outboxes: Sequence[Outbox], now: float, *, farewell: bool = False) -> Iterator[Post]:
        """Yield what to send now, by the server's clock; while it is on its way, nothing of it goes another way."""
        asked = [outbox for outbox in outboxes if farewell or not outbox.is_asked]
        letters = [letter for outbox in asked if (letter := self._letter(outbox, now, farewell)) is not None]
        for letter in letters:
            letter.outbox.is_asked = True
        try:
            yield Post(self, letters, now)
        finally:
            for letter in letters:
                letter.outbox.is_asked = False

    def _letter(self, outbox: Outbox, now: float, farewell: bool) -> Letter | None:
        posting = outbox.collect()
        if posting is None:
            return None
        keys, upkeep = self._keys, self._stale
        self._stale = []
        if not 0.0 <= now - self._tended_since < _board_wire.TENDED_FOR:
            self._tended, self._tended_since = set(), now
        pieces = _board_wire.pieces(
            keys, posting, _scripts.RECORD, self._tended, with_text=self._is_script_unknown, now=now
        )
        sent, waiting = _parted(pieces, 0 if now < self._not_before else _board_wire.MOST_POSTED)
        if farewell:
            return Letter(outbox, posting, _board_wire.withdrawals(keys, [posting.node]), sent, waiting, upkeep)
        head = [
            _board_wire.report(keys, posting, outbox.digest, now),
            Aside(keys.orders, ("HGETALL", keys.orders)),
        ]
        if now >= self._next_upkeep and any(piece.catalogue for piece in sent):
            self._next_upkeep = now + UPKEEP_INTERVAL
            upkeep = [*_board_wire.upkeep(keys, now), *upkeep]
        return Letter(outbox, posting, head, sent, waiting, upkeep)

    def take(self, letter: Letter, answers: Sequence[object], now: float) -> None:
        """Take in the answers to one letter."""
        heads, rest = answers[: len(letter.head)], answers[len(letter.head) :]
        written, ends = rest[: len(letter.pieces)], rest[len(letter.pieces) :]
        for order, answer in zip([*letter.head, *letter.tail], [*heads, *ends], strict=True):
            self._is_done(order, answer, now)
        outcomes = [self._is_written(piece, answer, now) for piece, answer in zip(letter.pieces, written, strict=True)]
        if any(isinstance(each, Refusal) and each.is_unknown_script for each in written):
            self._is_script_unknown = True
        elif any(piece.endings and is_through for piece, is_through in zip(letter.pieces, outcomes, strict=True)):
            self._is_script_unknown = False
        if not any(outcomes) and all(isinstance(answer, Exception | Refusal) for answer in answers):
            return  # nobody has answered: the reporter keeps it
        left = [piece for piece, is_through in zip(letter.pieces, outcomes, strict=True) if not is_through]
        rest_now = _board_wire.rest_of(letter.posting, [*left, *letter.waiting])
        letter.outbox.posted(rest_now, self._orders_in(letter, heads, now))
        if heads and heads[0] in (0, 1):  # fields that HSET has made
            letter.outbox.reported(is_new=heads[0] == 1)
        if letter.outbox.dropped:
            self._say("endings of ticks could not be written down for too long, and the oldest were dropped")
        self._look_for_stale(letter, ends, now)

    def _orders_in(self, letter: Letter, answers: Sequence[object], now: float) -> list[str]:
        for order, answer in zip(letter.head, answers, strict=True):
            if order.words[0] == "HGETALL" and not isinstance(answer, Exception | Refusal):
                return _board_wire.open_orders(answer, now)[0]
        return []

    def _look_for_stale(self, letter: Letter, answers: Sequence[object], now: float) -> None:
        """Find the reports of nodes that are long gone, once they were asked for."""
        for order, answer in zip(letter.tail, answers, strict=True):
            if order.words[0] == "HGETALL" and not isinstance(answer, Exception | Refusal):
                gone = _board_wire.stale_nodes(answer, now - _board_text.REPORT_KEPT)
                self._stale += _board_wire.withdrawals(self._keys, gone)

    def _is_written(self, piece: Piece, answer: object, now: float) -> bool:
        """Return whether a piece need not be sent again."""
        if not self._is_done(piece.order, answer, now):
            return False
        if isinstance(answer, str | bytes) and piece.endings:
            self._tended.update([job for job, _ in piece.endings])
            letters = _wire.text(answer)
            for (job, _), letter in zip(piece.endings if "f" in letters else (), letters, strict=False):
                if letter == "f":
                    self._say_foreign(self._keys.history(job))
        return True

    def _is_done(self, order: Aside, answer: object, now: float) -> bool:
        if not isinstance(answer, Refusal):
            return not isinstance(answer, Exception)
        if answer.is_foreign:
            self._say_foreign(order.place)
            return True
        if not answer.is_unknown_script:
            self._not_before = now + RETRY_AFTER
            self._say(f"the cluster's state cannot be kept: {answer.error} ({order.words[0]} of {order.place})")
        return False

    def _say_foreign(self, key: str) -> None:
        self._say(f"{key} holds something foreign, so the cluster's state lacks what would stand there; delete the key")

    def _say(self, what: str) -> None:
        if what not in self._said and len(self._said) < MOST_SAID:
            self._said.add(what)
            self._unsaid.append(what)


def _parted(pieces: Iterator[Piece], most: int) -> tuple[list[Piece], list[Piece]]:
    """Part pieces into those that go now, and those that wait: after the first that waits, all of them do, so that a
    job's endings stay in order."""
    now: list[Piece] = []
    later: list[Piece] = []
    size = 0
    for piece in pieces:
        if size < most and not later:
            now.append(piece)
            size += piece.size
        else:
            later.append(piece)
    return now, later
