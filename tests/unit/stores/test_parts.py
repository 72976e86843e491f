"""The pure parts of the stores: names without secrets, strict answers, estimated time."""

from __future__ import annotations

from typing import Any

import pytest

from asyncsched._grants import ClaimAnswer, LockType, Renewal, Verdict
from asyncsched.stores import _scripts, _wire
from asyncsched.stores._keys import Keys
from asyncsched.stores._server_time import ServerTime
from asyncsched.stores._settings import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://u:p@h:1/2?db=3", "redis://***@h:1/2"),
        ("redis://:p@h", "redis://***@h"),
        ("unix://u:p@/run/r.sock?password=p", "unix://***@/run/r.sock"),
        ("redis://:p/q@h", "redis://***"),
        ("redis://:p?q@h", "redis://***"),
        ("redis://:p#q@h", "redis://***"),
        ("redis://h?password=a@b", "redis://***"),
        ("redis://u:p@[h", "redis://***"),
        ("u:p@h", "***"),
        ("h:1", "h:1"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_keys() -> None:
    keys = Keys("app:")

    assert keys.lock("a:b", LockType.TICK) == "app:schedule:jobLock:a:b:tick"
    assert keys.state("a:b") == "app:schedule:job:a:b"
    assert keys.paused == "app:schedule:jobs:paused"


@pytest.mark.parametrize("script", [_scripts.CLAIM, _scripts.RENEW, _scripts.RELEASE, _scripts.PAUSE])
def test_every_script_says_what_it_takes_and_gives(script: _scripts.Script) -> None:
    head = script.text.split("\n\n", maxsplit=1)[0]

    assert all(word in head for word in ("-- KEYS ", "-- ARGV ", "-- Answer "))
    assert len(script.sha) == 40


def test_chunks_keep_order_and_lose_nothing() -> None:
    items = list(range(401))
    cut = list(_wire.chunks(items))

    assert [len(chunk) for chunk in cut] == [200, 200, 1]
    assert [item for chunk in cut for item in chunk] == items


@pytest.mark.parametrize(("seconds", "ms"), [(0.0, 1), (0.0001, 1), (0.0015, 2), (600.0, 600_000)])
def test_expiries_are_whole_milliseconds_and_never_nothing(seconds: float, ms: int) -> None:
    assert _wire.milliseconds(seconds) == ms


@pytest.mark.parametrize("won", ["won", b"won"])
def test_claim_answers_are_read(won: object) -> None:
    reply = [1_000, won, 7, 5, 0, "early", 2_500_000, 4, 0, "corrupt", b"tick", 0, 0, "elsewhere", 0, 9, 0]
    reply += ["elsewhere", 1_500, 9, b"2 9 7", "exhausted", 0, 0, "3"]

    assert _wire.claim_answers(reply, 6) == (
        1_000,
        [
            ClaimAnswer(Verdict.WON, fence=7, newest_us=5),
            ClaimAnswer(Verdict.EARLY, wait=2.5, newest_us=4),
            ClaimAnswer(Verdict.CORRUPT, detail="the tick key holds something foreign"),
            ClaimAnswer(Verdict.ELSEWHERE, newest_us=9),
            ClaimAnswer(Verdict.ELSEWHERE, wait=0.0015, newest_us=9, attempt=2, open_us=(7, 9)),
            ClaimAnswer(Verdict.EXHAUSTED, attempt=3),
        ],
    )


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "OK",
        b"OK",
        1,
        [],
        [1],
        ["1", "won", 1, 1, 0],
        [1, "won", 1, 1],
        [1, "won", 1, 1, 0, "won", 1, 1, 0],
        [1, "WON", 1, 1, 0],
        [1, None, 1, 1, 0],
        [1, 1, 1, 1, 0],
        [1, "won", "1", 1, 0],
        [1, "won", True, 1, 0],
        [1, "won", 1.0, 1, 0],
        [1, "won", 1, None, 0],
        [1, "early", "1", 1, 0],
        [1, "corrupt", None, 0, 0],
        [1, "won", 1, 1, None],
        [1, "won", 1, 1, ""],
        [1, "won", 1, 1, "1 x"],
    ],
)
def test_other_claim_answers_decide_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.claim_answers(reply, 1)


def test_renewals_and_releases_are_read() -> None:
    assert _wire.renewals([b"held", "lost"], 2) == [Renewal.HELD, Renewal.LOST]
    assert _wire.releases([0, 2], 2) == [False, True]


@pytest.mark.parametrize("reply", [None, [], ["held", "held"], ["kept"], [None], [1]])
def test_other_renewals_decide_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.renewals(reply, 1)


@pytest.mark.parametrize("reply", [None, [], [1, 1], ["1"], [None], [True]])
def test_other_releases_decide_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.releases(reply, 1)


@pytest.mark.parametrize("reply", [(1, 5), [1, 5], [b"1", b"5"], ["1", "5"]])
def test_the_servers_time_is_read_in_any_form(reply: Any) -> None:
    assert _wire.server_time_us(reply) == 1_000_005


@pytest.mark.parametrize("reply", [None, 1, [1], [1, 2, 3], ["x", "1"], [None, 1]])
def test_another_time_decides_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.server_time_us(reply)


@pytest.mark.parametrize("reply", [{"a", "b"}, {b"a", b"b"}, ["a", "b"], (b"a", "b")])
def test_a_set_is_read_in_any_form(reply: Any) -> None:
    assert _wire.names(reply) == {"a", "b"}


@pytest.mark.parametrize("reply", [None, "ab", {"a": 1}, [None]])
def test_another_set_decides_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.names(reply)


def test_server_time_is_unknown_at_first_and_carried_on_from_the_middle_of_the_round_trip() -> None:
    server_time = ServerTime()
    assert server_time.at(50.0) is None
    server_time.sample(1_000_000_000, sent_at=10.0, received_at=12.0)
    assert server_time.at(11.0) == 1_000.0
    assert server_time.at(61.0) == 1_050.0
    server_time.sample(500_000_000, sent_at=20.0, received_at=20.0)

    assert server_time.at(20.0) == 500.0
