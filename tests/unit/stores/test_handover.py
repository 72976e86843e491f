"""What is told of interrupted ticks, where a release was cut off."""

from __future__ import annotations

from asyncsched._grants import Lease, LockType
from asyncsched.stores._handover import Handovers

LEASE = Lease("report", "n1:r1", 7, (LockType.SERVER, LockType.RUN), 60.0, tick_us=5)
ENTRY = "5 n1:r1 report"


def test_a_release_that_freed_something_is_told() -> None:
    handovers = Handovers()
    handovers.begin([LEASE])
    assert handovers.entries([LEASE], {LEASE}) == [ENTRY]


def test_one_that_was_cut_off_is_told_by_the_next_try_and_by_no_later_one() -> None:
    handovers = Handovers()
    for _ in range(2):
        handovers.begin([LEASE])
    assert handovers.entries([LEASE], set()) == [ENTRY]
    handovers.told([LEASE])
    handovers.begin([LEASE])
    assert handovers.entries([LEASE], set()) == []
