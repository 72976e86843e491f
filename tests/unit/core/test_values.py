"""Values: equal and hashable by what they hold, and never changed."""

from __future__ import annotations

import copy
import pickle

import pytest

from asyncsched._values import Value


class Point(Value):
    __slots__ = ("x", "y")

    x: int
    y: int

    def __init__(self, x: int, y: int) -> None:
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)


class Other(Value):
    __slots__ = ("x", "y")

    def __init__(self) -> None:
        object.__setattr__(self, "x", 1)
        object.__setattr__(self, "y", 2)


def test_equal_by_what_they_hold() -> None:
    assert Point(1, 2) == Point(1, 2)
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert len({Point(1, 2), Point(1, 2), Point(2, 1)}) == 2


def test_other_values_differ() -> None:
    assert Point(1, 2) != Point(2, 1)
    assert Point(1, 2) != Other()
    assert Point(1, 2) != (1, 2)


def test_a_value_does_not_change() -> None:
    point = Point(1, 2)
    with pytest.raises(AttributeError, match="Point cannot be changed: x = 3"):
        point.x = 3
    with pytest.raises(AttributeError, match="Point cannot be changed: del y"):
        del point.y
    assert point == Point(1, 2)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_is_equal(protocol: int) -> None:
    point = Point(1, 2)
    assert copy.copy(point) == copy.deepcopy(point) == pickle.loads(pickle.dumps(point, protocol)) == point
