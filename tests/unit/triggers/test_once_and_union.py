"""``Once`` and ``Union``: sets of instants, and the ``|`` that joins triggers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from asyncsched.exceptions import ConfigurationError
from asyncsched.triggers import Cron, Daily, Every, Once, Union

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Noons:
    """A user's trigger: it inherits nothing."""

    def next_fire_time(self, after: datetime) -> datetime | None:
        noon = after.astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
        return noon if noon > after else noon + timedelta(days=1)


class Answers:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    def next_fire_time(self, after: datetime) -> datetime | None:
        return self.answer  # type: ignore[return-value]

    def __repr__(self) -> str:
        return "Answers()"


class TestOnce:
    def test_each_instant_in_order_then_never(self) -> None:
        once = Once(NOON + HOUR, NOON, NOON.astimezone(ZoneInfo("Asia/Tokyo")))
        assert once.next_fire_time(NOON - HOUR) == NOON
        assert once.next_fire_time(NOON) == NOON + HOUR
        assert once.next_fire_time(NOON + HOUR) is None

    def test_answers_in_utc(self) -> None:
        answer = Once(NOON.astimezone(ZoneInfo("Asia/Tokyo"))).next_fire_time(NOON - HOUR)
        assert answer is not None
        assert answer.tzinfo is UTC

    def test_fold_is_heeded(self) -> None:
        wall = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
        assert Once(wall.replace(fold=1)).next_fire_time(wall) == wall.astimezone(UTC) + HOUR

    @pytest.mark.parametrize(
        ("instants", "message"),
        [
            ((), "Once(): no instant given; at least one aware datetime is needed"),
            ((NOON, datetime(2026, 1, 1)), "Once(): datetime.datetime(2026, 1, 1, 0, 0) is naive"),
            (("2026-01-01",), "Once(): '2026-01-01' is not a datetime"),
            ((NOON.date(),), "Once(): datetime.date(2026, 3, 1) is not a datetime"),
            ((datetime.max.replace(tzinfo=timezone(-HOUR)),), "is outside the years 1 to 9999 in UTC"),
            ((datetime.min.replace(tzinfo=timezone(HOUR)),), "is outside the years 1 to 9999 in UTC"),
        ],
    )
    def test_refused(self, instants: tuple[datetime, ...], message: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Once(*instants)
        assert message in str(caught.value)


class TestUnion:
    def test_earliest_member_answers_in_its_own_zone(self) -> None:
        union = Daily("14:00", timezone="Europe/Berlin") | Cron("30 12 * * *")
        answers = [union.next_fire_time(NOON), union.next_fire_time(NOON + HOUR / 2)]
        assert [answer.isoformat() for answer in answers if answer] == [
            "2026-03-01T12:30:00+00:00",
            "2026-03-01T14:00:00+01:00",
        ]

    def test_same_instant_of_two_members_is_one_fire_time(self) -> None:
        union = Every(60) | Every(90)
        assert [union.next_fire_time(NOON + timedelta(seconds=s)) for s in (90, 120, 179, 180)] == [
            NOON + timedelta(seconds=s) for s in (120, 180, 180, 240)
        ]

    def test_members_of_one_zone_are_compared_as_instants(self) -> None:
        """02:40 of the first pass is earlier than 02:10 of the second, though its wall time is later."""
        union = Cron("10 */2 * * *", "Europe/Berlin") | Cron("40 2 * * *", "Europe/Berlin")
        after = datetime(2026, 10, 25, 2, 10, tzinfo=ZoneInfo("Europe/Berlin"))
        answers = []
        for _ in range(3):
            after = union.next_fire_time(after) or after
            answers.append(after.isoformat())
        assert answers == [
            "2026-10-25T02:40:00+02:00",
            "2026-10-25T02:10:00+01:00",
            "2026-10-25T04:10:00+01:00",
        ]

    def test_ends_when_all_members_have(self) -> None:
        union = Once(NOON) | Once(NOON + HOUR)
        assert union.next_fire_time(NOON) == NOON + HOUR
        assert union.next_fire_time(NOON + HOUR) is None

    def test_unions_are_flattened(self) -> None:
        a, b, c, d = Every(1), Every(2), Every(3), Every(4)
        assert ((a | b) | (c | d)).triggers == (a, b, c, d)
        assert Union(a, Union(b, c)) == Union(a, b, c)

    @pytest.mark.parametrize("own", [Every(5), Daily("09:00"), Cron("@daily"), Once(NOON), Union(Every(5))])
    def test_any_trigger_joins_on_either_side(self, own: Every) -> None:
        user = Noons()
        assert (own | user).triggers[1] is user
        assert (user | own).triggers[0] is user
        assert (own | Every(7)).triggers[1] == Every(7)

    @pytest.mark.parametrize("other", [5, None, "@daily", Noons, object()])
    def test_other_things_do_not_join(self, other: object) -> None:
        with pytest.raises(TypeError, match="unsupported operand"):
            Every(5) | other  # type: ignore[operator]
        with pytest.raises(TypeError, match="unsupported operand"):
            other | Every(5)  # type: ignore[operator]

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ((), "Union(): no trigger given; at least one is needed"),
            ((Every(5), 5), "Union(): 5 is not a trigger: it has no next_fire_time(after) method"),
            ((None,), "Union(): None is not a trigger"),
            ((Noons,), "(a class: call it first)"),
        ],
    )
    def test_refused(self, members: tuple[Every, ...], message: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            Union(*members)
        assert message in str(caught.value)

    def test_answers_of_users_triggers_are_checked(self) -> None:
        with pytest.raises(ConfigurationError, match=r"trigger Answers\(\): .* the answer must be strictly later"):
            (Every(1) | Answers(NOON)).next_fire_time(NOON)
