"""The pure parts of the stores: names without secrets, strict answers, estimated time."""

from __future__ import annotations

import re
from typing import Any

import pytest

from asyncsched._grants import ClaimAnswer, ClaimKind, ClaimRequest, Lease, LockType, Renewal, Verdict
from asyncsched.stores import _scripts, _wire
from asyncsched.stores._keys import Keys, suffix
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

    assert keys.locks("a:b", [suffix(LockType.TICK), suffix(LockType.RUN, 5)]) == [
        "app:schedule:jobLock:a:b:tick",
        "app:schedule:jobLock:a:b:run:5",
    ]
    assert keys.state("a:b") == "app:schedule:job:a:b"
    assert keys.paused == "app:schedule:jobs:paused"


SCRIPTS = [each for each in vars(_scripts).values() if isinstance(each, _scripts.Script)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.sha[:7])
def test_every_script_says_what_it_takes_and_gives(script: _scripts.Script) -> None:
    for word in ("-- KEYS ", "-- ARGV ", "-- Answer "):
        assert len(re.findall(f"^{word}", script.text, re.MULTILINE)) == 1
    assert len(script.sha) == 40


def test_chunks_keep_order_and_lose_nothing() -> None:
    items = list(range(401))
    cut = list(_wire.chunks(items))

    assert [len(chunk) for chunk in cut] == [200, 200, 1]
    assert [item for chunk in cut for item in chunk] == items


@pytest.mark.parametrize(("seconds", "ms"), [(0.0, 1), (0.0001, 1), (0.0015, 2), (600.0, 600_000)])
def test_expiries_are_whole_milliseconds_and_never_nothing(seconds: float, ms: int) -> None:
    assert _wire.milliseconds(seconds) == ms


def asked(*ticks_us: int, kind: ClaimKind = ClaimKind.TICK, one_server: bool = True) -> list[ClaimRequest]:
    return [ClaimRequest("a", kind, f"n:{us}", us, one_server, True, 600.0, 1_000.0) for us in ticks_us]


def held(*owners: str, locks: tuple[LockType, ...] = (LockType.SERVER,), finished: bool = False) -> list[Lease]:
    return [Lease("a", owner, 7, locks, 600.0, 5, finished) for owner in owners]


def test_what_claims_have_in_common_is_said_once() -> None:
    together = asked(5, 5) + asked(6) + asked(6, kind=ClaimKind.RERUN)

    names, argv = _wire.claim_call(Keys(""), together, 9, "news", "me")

    same = (600_000, 1_000_000, 0, 0, 0)
    assert argv[:4] == [9, _wire.AHEAD_US, "news", "me"]
    assert argv[4:] == [2, "TRO", 5, *same, "n:5", "n:5", 1, "TRO", 6, *same, "n:6", 1, "XO", 6, *same, "n:6"]
    of_tick = ["schedule:job:a", *(f"schedule:jobLock:a:{lock}" for lock in ("tick", "server", "overlap"))]
    assert names == [*of_tick * 3, of_tick[0], of_tick[3]]


def test_what_leases_have_in_common_is_said_once() -> None:
    both = (LockType.SERVER, LockType.RUN)
    leases = held("n:1", "n:2") + held("n:3", locks=both, finished=True)

    assert _wire.renew_call(Keys(""), leases)[1] == [2, "R", 600_000, "n:1|7", "n:2|7", 1, "AR", 600_000, "n:3|7"]
    names, argv = _wire.release_call(Keys(""), leases)
    assert argv == [2, 1, "", "n:1", "n:2", 1, 2, 5, "n:3"]
    assert names == [f"schedule:jobLock:a:{end}" for end in ("server", "server", "server", "run:5", "open")]


@pytest.mark.parametrize("won", ["won", b"won"])
def test_claim_answers_are_read(won: object) -> None:
    reply = [1_000, b"??????", won, 7, 5, 0, "early", 2_500_000, 4, 0, "corrupt", b"tick", 0, 0, "elsewhere", 0, 9, 0]
    reply += ["elsewhere", 1_500, 9, b"2 9 7", "exhausted", 0, 0, "3"]

    assert _wire.claim_answers(reply, asked(1, 2, 3, 4, 5, 6)) == (
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


@pytest.mark.parametrize("letters", ["wewe?ll", b"wewe?ll"])
def test_common_claim_answers_are_letters(letters: object) -> None:
    requests = [*asked(5, 5, 6, 6, 6), *asked(0, kind=ClaimKind.TRIGGER), *asked(5)]

    assert _wire.claim_answers([1_000, letters, "paused", 0, 4, 0], requests) == (
        1_000,
        [
            ClaimAnswer(Verdict.WON, fence=1_000, newest_us=5),
            ClaimAnswer(Verdict.ELSEWHERE, newest_us=5),
            ClaimAnswer(Verdict.WON, fence=1_000, newest_us=6),
            ClaimAnswer(Verdict.ELSEWHERE, newest_us=6),
            ClaimAnswer(Verdict.PAUSED, newest_us=4),
            ClaimAnswer(Verdict.LATE),
            ClaimAnswer(Verdict.LATE),
        ],
    )


@pytest.mark.parametrize(
    "requests", [asked(0, kind=ClaimKind.TRIGGER), asked(0, kind=ClaimKind.START), asked(5, one_server=False)]
)
def test_a_grant_of_what_is_not_recorded_tells_no_tick(requests: list[ClaimRequest]) -> None:
    assert _wire.claim_answers([1_000, "w"], requests)[1] == [ClaimAnswer(Verdict.WON, fence=1_000)]


@pytest.mark.parametrize(
    "reply",
    [
        None,
        "OK",
        b"OK",
        1,
        [],
        [1],
        ["1", "w"],
        [1, None],
        [1, 7],
        [1, ["w"]],
        [1, ""],
        [1, "ww"],
        [1, "x"],
        [1, "w", 1],
        [1, "?"],
        ["1", "?", "won", 1, 1, 0],
        [1, "?", "won", 1, 1],
        [1, "?", "won", 1, 1, 0, "won", 1, 1, 0],
        [1, "w", "won", 1, 1, 0],
        [1, "?", "WON", 1, 1, 0],
        [1, "?", None, 1, 1, 0],
        [1, "?", 1, 1, 1, 0],
        [1, "?", "won", "1", 1, 0],
        [1, "?", "won", True, 1, 0],
        [1, "?", "won", 1.0, 1, 0],
        [1, "?", "won", 1, None, 0],
        [1, "?", "early", "1", 1, 0],
        [1, "?", "corrupt", None, 0, 0],
        [1, "?", "won", 1, 1, None],
        [1, "?", "won", 1, 1, ""],
        [1, "?", "won", 1, 1, "1 x"],
    ],
)
def test_other_claim_answers_decide_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.claim_answers(reply, asked(5))


@pytest.mark.parametrize("decoded", [True, False])
def test_renewals_and_releases_are_read(decoded: bool) -> None:
    leases = held("n:1", "n:2", "n:3")

    renewals: list[Renewal] = _wire.renewals("hsl" if decoded else b"hsl", leases)
    assert renewals == [Renewal.HELD, Renewal.SUPERSEDED, Renewal.LOST]
    assert _wire.releases("012" if decoded else b"012", leases) == [False, True, True]


@pytest.mark.parametrize("reply", [None, [], "", "hh", "k", b"\xff", [None], ["h"], 1])
def test_other_renewals_decide_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.renewals(reply, held("n:1"))


@pytest.mark.parametrize("reply", [None, [], "", "11", "x", "٣", [1], 1, True])
def test_other_releases_decide_nothing(reply: Any) -> None:
    with pytest.raises(_wire.UnexpectedReplyError):
        _wire.releases(reply, held("n:1"))


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


@pytest.mark.parametrize(
    ("server_s", "sent_at", "received_at", "then"),
    [
        (1_003.0, 13.0, 13.01, 1_002.995),  # as precise as the one before, if that has aged
        (1_002.5, 12.4, 13.4, 1_003.0),  # it agrees, and says less: it lay unread
        (1_003.3, 12.4, 13.4, 1_003.0),
        (1_002.3, 12.4, 13.4, 1_002.4),  # it does not agree: the server's clock was set back
        (1_004.0, 12.4, 13.4, 1_004.1),  # or forward
        (1_102.3, 112.0, 113.0, 1_002.8),  # as little as the one before, when that has aged for long
    ],
)
def test_a_sample_of_a_servers_clock_that_says_less_than_the_one_before_does_not_count(
    server_s: float, sent_at: float, received_at: float, then: float
) -> None:
    server_time = ServerTime()
    server_time.sample(1_000_000_000, sent_at=10.0, received_at=10.0)
    server_time.sample(round(server_s * 1e6), sent_at=sent_at, received_at=received_at)
    assert server_time.at(13.0) == pytest.approx(then)


def test_server_time_is_unknown_at_first_and_carried_on_from_the_middle_of_the_round_trip() -> None:
    server_time = ServerTime()
    assert server_time.at(50.0) is None
    server_time.sample(1_000_000_000, sent_at=10.0, received_at=12.0)
    assert server_time.at(11.0) == 1_000.0
    assert server_time.at(61.0) == 1_050.0
    server_time.sample(500_000_000, sent_at=20.0, received_at=20.0)

    assert server_time.at(20.0) == 500.0
