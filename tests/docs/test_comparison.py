"""The comparison of faults is complete: each fault says of each project what happens and where that stands."""

from __future__ import annotations

from _pages import BY_NAME

TITLES = ["project", "what happens", "where"]
PROJECTS = ["asyncsched", "APScheduler 3", "APScheduler 4", "docket", "arq", "taskiq", "ShedLock", "gocron"]


def test_every_fault_says_it_of_every_project() -> None:
    tables = [table for table in BY_NAME["docs/comparison-faults.md"].tables() if list(table[0]) == TITLES]

    assert len(tables) == 14
    for table in tables:
        assert [row["project"] for row in table] == PROJECTS


def test_every_claim_names_where_it_stands() -> None:
    rows = BY_NAME["docs/comparison-faults.md"].table(*TITLES)

    assert [row for row in rows if not row["where"] and not row["what happens"].startswith("not stated")] == []
