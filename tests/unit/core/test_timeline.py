"""The order in which items come due: a heap of instants, and lists that only forget, against a plain dict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncsched._timeline import LEAST_GARBAGE, Timeline


class Item:
    def __init__(self, name: int = 0) -> None:
        self.name = name
        self.entry: int | None = None

    def __lt__(self, other: object) -> bool:
        raise AssertionError("items themselves are never compared")


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "pop"]), st.integers(0, 5), st.integers(0, 20)), max_size=120
)


def by_instant(entry: tuple[int, int]) -> int:
    """Sort by it: entries of one instant stay in the order in which they were added."""
    return entry[1]


def names(due: list[tuple[int, list[Item]]]) -> list[int]:
    return [item.name for _, items in due for item in items]


@given(STEPS)
def test_it_behaves_as_a_dict_of_fire_times(steps: list[tuple[str, int, int]]) -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(6)]
    model: dict[int, int] = {}
    for step, name, us in steps:
        if step == "add":
            timeline.add(us, items[name])
            model.pop(name, None)
            model[name] = us
        elif step == "remove":
            timeline.remove(items[name])
            model.pop(name, None)
        else:
            popped = timeline.pop_due(us)
            assert [fire_us for fire_us, _ in popped] == sorted({fire_us for fire_us, _ in popped})
            due = [(fire_us, item) for fire_us, items_due in popped for item in items_due]
            assert [item.name for _, item in due] == [
                name for name, at in sorted(model.items(), key=by_instant) if at <= us
            ]
            expected = {name: at for name, at in model.items() if at <= us}
            assert {item.name: at for at, item in due} == expected
            assert len(due) == len(expected)
            model = {name: at for name, at in model.items() if at > us}
        assert len(timeline) == len(model)
        assert timeline.next_us() == min(model.values(), default=None)
        assert {item.name for item in items if item.entry is not None} == set(model)
        assert sorted(item.name for item in timeline.items()) == sorted(model)


def test_items_of_one_instant_come_in_the_order_in_which_they_were_added() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(5)]
    for item in reversed(items):
        timeline.add(7, item)

    assert names(timeline.pop_due(7)) == [4, 3, 2, 1, 0]


def test_a_fire_time_is_due_at_its_instant_and_not_before() -> None:
    timeline: Timeline[Item] = Timeline()
    item = Item()
    timeline.add(1_000_000, item)

    assert timeline.pop_due(999_999) == []
    assert timeline.pop_due(1_000_000) == [(1_000_000, [item])]
    assert timeline.pop_due(1_000_000) == []


def test_removing_twice_counts_once() -> None:
    timeline: Timeline[Item] = Timeline()
    kept, gone = Item(), Item()
    timeline.add(1, kept)
    timeline.add(2, gone)

    timeline.remove(gone)
    timeline.remove(gone)
    timeline.remove(Item())

    assert len(timeline) == 1


@pytest.mark.parametrize("number", [1, 3])
def test_an_item_that_was_removed_and_added_again_comes_last(number: int) -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(3)]
    for item in items:
        timeline.add(7, item)
    for _ in range(number):
        timeline.remove(items[0])
        timeline.add(7, items[0])

    assert len(timeline) == 3
    assert names(timeline.pop_due(7)) == [1, 2, 0]


def test_the_heap_is_rebuilt_once_most_of_it_is_forgotten() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(1000)]
    for item in items:
        timeline.add(1000 - item.name, item)
    for item in items[:900]:
        timeline.remove(item)

    assert len(timeline) == 100
    assert len(timeline._instants) <= 2 * 100 + LEAST_GARBAGE
    assert names(timeline.pop_due(2000)) == list(range(999, 899, -1))


def test_the_list_of_an_instant_is_rebuilt_once_most_of_it_is_forgotten() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(1000)]
    for item in items:
        timeline.add(7, item)
    for item in items[:900]:
        timeline.remove(item)

    (entries,) = timeline._due.values()
    assert isinstance(entries, list)
    assert len(entries) <= 2 * 100 + LEAST_GARBAGE
    assert names(timeline.pop_due(7)) == list(range(900, 1000))


def test_little_garbage_is_left_alone() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item() for _ in range(LEAST_GARBAGE)]
    for us, item in enumerate(items):
        timeline.add(us, item)
    for item in items:
        timeline.remove(item)

    assert len(timeline._instants) == LEAST_GARBAGE
    assert timeline.next_us() is None
    assert timeline._instants == []


def test_nothing_is_kept_of_an_instant_at_which_nothing_is_due() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item() for _ in range(10)]
    for item in items:
        timeline.add(1, item)
    for item in items:
        timeline.remove(item)

    assert (timeline._due, timeline._forgotten) == ({}, {})


@pytest.mark.parametrize("apart", [0, 1])
def test_rescheduling_one_item_for_ever_keeps_the_timeline_small(apart: int) -> None:
    timeline: Timeline[Item] = Timeline()
    timeline.add(10**6, Item())
    item = Item()
    for number in range(10 * LEAST_GARBAGE):
        timeline.add(10**6 - number * apart, item)

    assert len(timeline) == 2
    assert len(timeline._instants) <= 4 + LEAST_GARBAGE
    assert all(len(there) <= 4 + LEAST_GARBAGE for there in timeline._due.values() if isinstance(there, list))
