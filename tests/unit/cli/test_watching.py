"""The cluster again and again: in a pipe, and in a window."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from _canned_cluster import AWAY, MAINTENANCE, NOW, CannedConsole
from _command_line import Line

from asyncsched.cli._layout import Piece
from asyncsched.cli._tables import View
from asyncsched.cli._watching import cropped, frame

if TYPE_CHECKING:
    from asyncsched._records import ClusterState


def test_in_a_pipe_there_is_one_snapshot_after_the_other(line: Line) -> None:
    out = line.out("watch", "--count", "1")
    assert out.startswith("23:41:07 UTC  3 nodes, 5 jobs, 2 runs in progress, 1 vanished, 1 failing, 1\npaused\n")
    assert out.endswith("in 53 s         succeeded 21 s ago        2\n\n")
    assert "\x1b" not in out


def test_jobs_that_somebody_should_look_at_come_first(line: Line) -> None:
    line.width = 0
    jobs = [
        text.split()[0] for text in line.out("watch", "--count", "1").splitlines() if "Every(" in text or "'" in text
    ]
    assert jobs[:2] == ["invoice_mails", "price_import"]


def test_for_machines_it_is_one_line_each(line: Line) -> None:
    (told,) = line.out("watch", "--count", "1", "--json").splitlines()
    assert set(json.loads(told)) == {"taken_at", "maintenance", "nodes", "jobs"}


class Failing(CannedConsole):
    """Answers once."""

    async def state(self) -> ClusterState:
        state = await super().state()
        self.fails = AWAY
        return state


def test_a_store_that_stops_answering_does_not_end_it(line: Line) -> None:
    line.console = Failing()
    out = line.out("watch", "--count", "2", "--interval", "30")
    first, second = out.split("\n\n23:41:37 UTC", 1)
    assert "NO ANSWER" not in first
    assert "NO ANSWER since 23:41:07 UTC (30 s): redis://db:6379/0 could not read" in second
    assert "sync_orders" in second, "what is known is still shown"


def test_a_frame_says_what_is_wrong_first() -> None:
    said = [part.text for part in frame(MAINTENANCE, View(NOW, None), "") if isinstance(part, Piece)]
    assert [text.split()[0] for text in said if text][1:] == ["MAINTENANCE,", "VANISHED"]


@pytest.mark.parametrize(("height", "shown"), [(3, ["1", "2", "3"]), (2, ["1", "... 2 more"]), (1, ["... 3 more"])])
def test_a_small_window_says_what_it_does_not_show(height: int, shown: list[str]) -> None:
    lines = cropped([(Piece("1"),), (Piece("2"),), (Piece("3"),)], height)
    assert [line[0].text.partition(" lines")[0] for line in lines] == shown
    assert len(lines) <= height
