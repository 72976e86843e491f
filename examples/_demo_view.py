"""Owns what the demo shows: one line for each fact, a live table on a terminal, a summary. Runs nothing."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from _demo_jobs import Fact
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from asyncsched import Job

STYLES = {"succeeded": "green", "failed": "bold red", "skipped": "yellow", "missed": "magenta", "cancelled": "red"}

NUMBERS = frozenset({"runs", "failed", "skipped", "dup"})
WIDE = 110
"""Columns of a terminal from which on the table shows everything."""


@dataclass
class Account:
    """What is known of one job. A tick of a guarded job is one for all nodes; else each node has its own."""

    job: Job
    runs: Counter[str] = field(default_factory=Counter)
    """Runs by tick."""
    decided: set[str] = field(default_factory=set)
    """Ticks that a node ran, or skipped or missed for a reason of its own."""
    seen: set[str] = field(default_factory=set)
    """All ticks, those included of which a node only knows that another has them."""
    nodes: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    last: str = ""

    def book(self, fact: Fact) -> None:
        # An immediate run's instant is the start of its node, and so another one on each.
        tick = fact.tick if self.job.trigger is not None else "start"
        if not self.job.is_guarded:
            tick = f"{tick} {fact.node}"
        self.seen.add(tick)
        if fact.outcome == "skipped" and fact.note == "elsewhere":
            return
        self.decided.add(tick)
        self.last = fact.outcome
        if fact.outcome not in ("skipped", "missed"):
            self.runs[tick] += 1
            self.nodes[fact.node] += 1
            self.outcomes[fact.outcome] += 1

    @property
    def duplicates(self) -> int:
        return sum(self.runs.values()) - len(self.runs)

    @property
    def skipped(self) -> int:
        return len(self.decided - set(self.runs))

    @property
    def lost(self) -> int:
        """Ticks that some node took and of which nothing more was heard: in progress, or of a node that died."""
        return len(self.seen - self.decided)

    @property
    def next_at(self) -> str:
        trigger = self.job.trigger
        following = None if trigger is None else trigger.next_fire_time(datetime.now(UTC))
        return "-" if following is None else f"{following:%H:%M:%S}"

    @property
    def by_node(self) -> str:
        return "  ".join(f"{node} {runs}" for node, runs in sorted(self.nodes.items()))


class View:
    """Scrolling lines; on a terminal with a live table below them."""

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        self._accounts = {name: Account(job) for name, job in jobs.items()}
        self._console: Console | None = None
        self._live: Live | None = None
        self.is_closed = False
        """Whether the reader of a pipe has gone."""
        if sys.stdout.isatty():
            self._start_live()

    def _start_live(self) -> None:
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            return  # rich comes with the extra asyncsched[cli]; plain lines tell the same
        self._console = Console(highlight=False)
        # Refreshed by hand: a refreshing thread would read the accounts while they change.
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
            self.refresh()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self.refresh()
            self._live.stop()

    def show(self, fact: Fact) -> None:
        """Book a fact and print its line."""
        style = STYLES.get(fact.outcome, "")
        if fact.job:
            self._accounts[fact.job].book(fact)
            what = f"{fact.outcome} ({fact.note})"
            line = f"{fact.at[11:23]}  {fact.node:<7} {fact.job:<14} tick={_tick(fact.tick)}  {what}"
            style = "dim" if fact.note == "elsewhere" else style
        else:
            line = f"{fact.at[11:23]}  {fact.node:<7} {fact.note}"
        self._print(line, style)

    def say(self, line: str) -> None:
        """Print a line of the demo's own."""
        self._print(line, "bold")

    def _print(self, line: str, style: str) -> None:
        if self._console is not None:
            self._console.print(line, style=style, markup=False, soft_wrap=True)
            return
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self.is_closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def refresh(self) -> None:
        """Draw the table anew."""
        if self._live is not None:
            from rich.console import Group

            # The empty line is where a terminal echoes ^C: at the end of a full line it would shift the table.
            self._live.update(Group(self._table(), ""), refresh=True)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        assert self._console is not None
        is_wide = self._console.width >= WIDE
        table = Table(title=f"asyncsched demo, {datetime.now(UTC):%H:%M:%S} UTC", title_style="bold")
        for heading in ("job", "next", "runs", "failed", "skipped", "dup", "last"):
            table.add_column(heading, justify="right" if heading in NUMBERS else "left", no_wrap=True)
        if is_wide:
            table.add_column("by node")
            table.add_column("policies")
        for name, account in self._accounts.items():
            cells = [name, account.next_at, str(account.runs.total()), str(account.outcomes["failed"])]
            cells += [str(account.skipped), str(account.duplicates)]
            wide = [account.by_node, ", ".join(account.job.policies)] if is_wide else []
            table.add_row(*cells, Text(account.last, STYLES.get(account.last, "")), *wide)
        return table

    def summarise(self) -> None:
        """Print one line for each job, and the sum of what must not be."""
        self.say("summary:")
        for name, account in self._accounts.items():
            scope = "" if account.job.is_guarded else " (no guard: each node for itself)"
            self.say(
                f"  {name:<14} ticks={len(account.seen):<3} runs={account.runs.total():<3} "
                f"failed={account.outcomes['failed']:<2} skipped={account.skipped:<2} "
                f"duplicates={account.duplicates} lost={account.lost}  by node: {account.by_node or '-'}{scope}"
            )
        duplicates = sum(account.duplicates for account in self._accounts.values())
        lost = sum(account.lost for account in self._accounts.values())
        self.say(f"  all jobs: duplicates={duplicates} lost={lost}")


def _tick(iso: str) -> str:
    """Return a tick's time of day, with milliseconds only where it has some."""
    return iso[11:19] if iso[19:23] == ".000" else iso[11:23]
