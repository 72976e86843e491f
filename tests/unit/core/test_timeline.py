"""The order in which items come due: a heap that only forgets, against a plain dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncsched import _timeline
from asyncsched._timeline import LEAST_GARBAGE, Timeline


class Item:
    def __init__(self, name: int = 0) -> None:
        self.name = name
        self.entry = 0

    def __lt__(self, other: object) -> bool:
        raise AssertionError("items themselves are never compared")


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "pop"]), st.integers(0, 5), st.integers(0, 20)), max_size=120
)


@given(STEPS)
def test_it_behaves_as_a_dict_of_fire_times(steps: list[tuple[str, int, int]]) -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(6)]
    model: dict[int, int] = {}
    for step, name, us in steps:
        if step == "add":
            timeline.add(us, items[name])
            model[name] = us
        elif step == "remove":
            timeline.remove(items[name])
            model.pop(name, None)
        else:
            due = timeline.pop_due(us)
            assert [fire_us for fire_us, _ in due] == sorted(fire_us for fire_us, _ in due)
            expected = {name: at for name, at in model.items() if at <= us}
            assert {item.name: at for at, item in due} == expected
            assert len(due) == len(expected)
            model = {name: at for name, at in model.items() if at > us}
        assert len(timeline) == len(model)
        assert timeline.next_us() == min(model.values(), default=None)
        assert {item.name for item in items if item.entry} == set(model)


def test_items_of_one_instant_come_in_the_order_in_which_they_were_added() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(5)]
    for item in reversed(items):
        timeline.add(7, item)

    assert [item.name for _, item in timeline.pop_due(7)] == [4, 3, 2, 1, 0]


def test_a_fire_time_is_due_at_its_instant_and_not_before() -> None:
    timeline: Timeline[Item] = Timeline()
    item = Item()
    timeline.add(1_000_000, item)

    assert timeline.pop_due(999_999) == []
    assert timeline.pop_due(1_000_000) == [(1_000_000, item)]
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


def test_the_heap_is_rebuilt_once_most_of_it_is_forgotten() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item(name) for name in range(1000)]
    for item in items:
        timeline.add(1000 - item.name, item)
    for item in items[:900]:
        timeline.remove(item)

    assert len(timeline) == 100
    assert len(timeline._heap) <= 2 * 100 + LEAST_GARBAGE
    assert [item.name for _, item in timeline.pop_due(2000)] == list(range(999, 899, -1))


def test_little_garbage_is_left_alone() -> None:
    timeline: Timeline[Item] = Timeline()
    items = [Item() for _ in range(LEAST_GARBAGE)]
    for item in items:
        timeline.add(1, item)
    for item in items:
        timeline.remove(item)

    assert len(timeline._heap) == LEAST_GARBAGE
    assert timeline.next_us() is None
    assert timeline._heap == []


def test_rescheduling_one_item_for_ever_keeps_the_heap_small() -> None:
    timeline: Timeline[Item] = Timeline()
    item = Item()
    for us in range(10 * _timeline.LEAST_GARBAGE):
        timeline.add(10**6 - us, item)

    assert len(timeline) == 1
    assert len(timeline._heap) <= 2 + LEAST_GARBAGE
