"""The parts of a board by themselves: what waits to be written, how it is cut, and how replies are read."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ResponseError

from asyncsched._records import Posting
from asyncsched.stores import _board_text, _board_wire, _lock_records, _outbox, _redis_posts, _scripts
from asyncsched.stores._keys import Keys
from asyncsched.stores._outbox import Outbox
from asyncsched.stores._wire import UnexpectedReplyError


def posting(**changes: Any) -> Posting:
    given: dict[str, Any] = {
        "node": "a",
        "report": "{}",
        "catalogue": None,
        "fire_times": {},
        "endings": {},
        "successes": {},
        "history": 100,
        "history_for": 60.0,
    }
    return Posting(**{**given, **changes})


class Fixed:
    """Says the same each time."""

    def __init__(self, **said: Any) -> None:
        self.said = posting(**said)
        self.times = 0

    def forgotten(self) -> None:
        raise AssertionError("nothing was lost")

    def collect(self) -> Posting:
        return self.said

    def posted(self, orders: object) -> None:
        self.times += 1


# What waits


def test_what_was_not_written_comes_first_the_next_time() -> None:
    reporter = Fixed(endings={"a": ["3"], "b": ["4"]}, fire_times={"a": 2}, successes={"b": 2})
    outbox = Outbox(reporter)
    outbox.posted(
        posting(endings={"a": ["1", "2"]}, fire_times={"a": 1, "b": 1}, successes={"a": 1}, catalogue=("d", "x")), ()
    )
    assert outbox.has_rest
    found = outbox.collect()
    assert found is not None
    assert found.endings == {"a": ("1", "2", "3"), "b": ("4",)}
    assert found.fire_times == {"a": 2, "b": 1}
    assert found.successes == {"a": 1, "b": 2}
    assert found.catalogue == ("d", "x")

    outbox.posted(None, ())
    assert not outbox.has_rest
    assert outbox.collect() is reporter.said


def test_what_history_would_not_keep_is_no_loss() -> None:
    outbox = Outbox(Fixed())
    outbox.posted(posting(endings={"a": ["1", "2", "3"]}, history=2), ())
    found = outbox.collect()
    assert found is not None
    assert (found.endings, outbox.dropped) == ({"a": ("2", "3")}, 0)


def test_of_too_many_the_oldest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outbox, "MOST_WAITING", 4)
    outbox = Outbox(Fixed())
    outbox.posted(posting(endings={"a": ["1", "2", "3"], "b": ["4", "5", "6"]}), ())
    found = outbox.collect()
    assert found is not None
    assert (found.endings, outbox.dropped) == ({"a": ("2", "3"), "b": ("5", "6")}, 2)

    outbox.posted(posting(endings={str(nth): ["x"] for nth in range(6)}, history=0), ())
    found = outbox.collect()
    assert found is not None
    assert found.endings == {}, "without a history, none is kept"


# How it is cut


def cut(keys: Keys, **changes: Any) -> list[_board_wire.Piece]:
    return list(_board_wire.pieces(keys, posting(**changes), _scripts.RECORD, with_text=False, now=1_000.0))


def test_pieces_are_small_and_miss_nothing() -> None:
    endings = {"a": [str(nth) for nth in range(250)], "b": ["x" * 60_000, "y" * 60_000, "z"], "c": []}
    pieces = cut(Keys(""), endings=endings, fire_times={f"j{nth}": nth for nth in range(1_001)})

    rest = _board_wire.rest_of(posting(), pieces)
    assert rest is not None
    assert rest.endings == {"a": endings["a"], "b": endings["b"]}
    assert rest.fire_times == {f"j{nth}": nth for nth in range(1_001)}
    for piece in pieces:
        assert sum(len(texts) for _, texts in piece.endings) <= _board_wire.MOST_TEXTS
        assert all(texts for _, texts in piece.endings)
        assert len(piece.fire_times) <= _board_wire.MOST_FIELDS
    calls = [piece.order.words for piece in pieces if piece.endings]
    assert [call[:3] for call in calls] == [
        ("EVALSHA", _scripts.RECORD.sha, 1),
        ("EVALSHA", _scripts.RECORD.sha, 2),
        ("EVALSHA", _scripts.RECORD.sha, 1),
    ]
    assert _board_wire.rest_of(posting(), []) is None


def test_what_was_looked_after_lately_stands_behind() -> None:
    endings = {job: [job.upper()] for job in "abc"}
    (piece,) = _board_wire.pieces(
        Keys(""), posting(endings=endings), _scripts.RECORD, {"a", "c"}, with_text=False, now=1_000.0
    )
    assert [job for job, _ in piece.endings] == ["b", "a", "c"]
    names = [f"schedule:jobHistory:{job}" for job in "bac"]
    assert piece.order.words[2:] == (3, *names, 100, 940_000_000, 90_000, 1, 1, "B", 1, "A", 1, "C")


def test_a_call_on_a_cluster_has_keys_of_one_slot() -> None:
    endings = {job: ["x"] for job in ("a", "b", "c")}
    calls = [piece.order.words for piece in cut(Keys("", in_braces=True), endings=endings)]
    assert [call[2:4] for call in calls] == [(1, f"schedule:jobHistory:{{{job}}}") for job in "abc"]


def test_what_is_never_due_again_is_removed() -> None:
    (piece,) = cut(Keys("p:"), fire_times={"a": 0})
    assert piece.order == ("p:schedule:jobs:fireTimes", ("ZREM", "p:schedule:jobs:fireTimes", "a"))


def test_nobody_gone_is_nothing_to_delete() -> None:
    assert _board_wire.withdrawals(Keys(""), []) == []


# How replies are read


@pytest.mark.parametrize("reply", [None, 7, "x", [[b"a", b"b"], b"c"], [b"a"], [None, None]])
def test_a_foreign_reply_is_nothing(reply: object) -> None:
    assert _board_wire.reports(reply) == {}
    assert _board_wire.instants(reply) == {}
    assert _board_wire.open_orders(reply, 0.0)[0] == []


@pytest.mark.parametrize(
    "reply",
    [[b"a", b"17", b"b", b"1.5e1"], [(b"a", 17.0), (b"b", 15.0)], [["a", 17.0], ["b", 15.0], ["c"], ["d", None]]],
)
def test_scores_in_all_forms(reply: object) -> None:
    assert _board_wire.instants(reply) == {"a": 17, "b": 15}


@pytest.mark.parametrize("reply", [{b"a": b"1 d {}"}, {"a": "1 d {}"}, [b"a", b"1 d {}"]])
def test_hashes_in_all_forms(reply: object) -> None:
    assert _board_wire.reports(reply) == {"a": (1.0, "d", "{}")}
    assert _board_wire.stale_nodes(reply, 2.0) == ["a"]
    assert _board_wire.stale_nodes(reply, 1.0) == []


def test_of_too_many_reports_the_newest_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_board_text, "MOST_NODES", 2)
    assert list(_board_wire.reports({f"n{nth}": f"{nth} - x" for nth in range(5)})) == ["n3", "n4"]


@pytest.mark.parametrize("reply", [None, [1], ["x", "server", "n:r|1", 1], [0, "server", b"n:r|1", "x"]])
def test_a_foreign_answer_of_locks_is_an_error(reply: Any) -> None:
    with pytest.raises(UnexpectedReplyError):
        _lock_records.of_reply(reply, ["a"])


@pytest.mark.parametrize(
    "entry", [("other", "n:r|1"), ("run:x", "n:r|1"), ("server", "n:r"), ("tick", "0|1|n:r"), ("tick", "x")]
)
def test_what_is_no_lock_is_left_out(entry: tuple[str, str]) -> None:
    assert _lock_records.of_reply([0, *entry, 5], ["a"]) == [[]]


def test_owners_and_ticks() -> None:
    reply = [0, "tick", "9000000000000000|3|-", 5_000, 0, "run:7", "n:1:r|2", -1]
    ((tick, run),) = _lock_records.of_reply(reply, ["a"])
    assert (tick.node, tick.run_id, tick.fence, tick.ends_in) == ("", "", 3, 5.0)
    assert tick.tick is not None
    assert (run.node, run.run_id, run.fence, run.ends_in) == ("n:1", "r", 2, None)


# What is said of an aside


def test_an_aside_that_is_elsewhere_now_is_no_refusal() -> None:
    moved, refused = ResponseError("MOVED 7 10.0.0.1:7000"), ResponseError("WRONGTYPE x")
    aside = _board_wire.Aside("k", ("GET", "k"))
    judged = _redis_posts._judged
    assert judged([aside, aside], [moved, moved]) is moved, "the whole batch follows"
    assert judged([aside], moved) is moved
    mixed = judged([aside, aside, ("k", ("GET", "k"))], [moved, refused, refused])
    assert isinstance(mixed, list)
    assert mixed[0] is moved
    assert isinstance(mixed[1], _redis_posts.Refusal)
    assert mixed[2] is refused, "what is needed fails as ever"
    assert judged([("k", ("GET", "k"))], [refused]) is refused


# What is an ending


@pytest.mark.parametrize(
    "text", ["", "{}", '{"at":x,', ' {"at":1,', '{"at":12345678901234567,', '{"at":1}', 7, None, b"x"]
)
def test_what_is_no_ending(text: object) -> None:
    assert _board_text.ended_us(text) is None


def test_the_newest_first() -> None:
    texts = [f'{{"at":{at},"n":{nth}}}' for nth, at in enumerate((5, 9, 5, 7))]
    found = _board_text.newest_first([*texts, "x", 7], 3)
    assert found == [texts[1], texts[3], texts[0]]
