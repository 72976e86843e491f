"""Owns what people see of what was: endings, why a tick did or did not run, what became of an order, what a doctor
found. Records become tables and sentences; nothing is asked, decided or printed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from asyncsched.cli._layout import INDENT, Piece, Row, Table
from asyncsched.cli._tables import SHORT, STYLES
from asyncsched.cli._text import glued, one_line, plural
from asyncsched.cli._times import span

if TYPE_CHECKING:
    from asyncsched._records import Ending, Explanation, Finding, OrderAnswer
    from asyncsched.cli._tables import View

LATE = 1.0
"""Seconds after its fire time from which on a start is called late."""
ANSWERS = {"started": "has started", "cancelling": "is asked to end", "skipped": "was skipped", "failed": "has failed"}
LEVELS = {"ok": "good", "warning": "warn", "error": "bad"}


def history_table(endings: Sequence[Ending], view: View, *, none: str) -> Table:
    """Return endings, newest first: below each one what explains it."""
    rows = [Row(_ending_cells(ending, view), list(_ending_notes(ending, view))) for ending in endings]
    return Table(["ENDED", "JOB", "OUTCOME", "TOOK", "NODE"], rows, none=none, right=frozenset({"TOOK"}))


def _ending_cells(ending: Ending, view: View) -> list[Piece]:
    return [
        Piece(view.when(ending.at)),
        Piece(one_line(ending.job), "name"),
        Piece(glued(outcome_of(ending)), STYLES.get(ending.outcome, "")),
        Piece("" if ending.started_at is None else glued(span(ending.duration))),
        Piece(one_line(ending.node)),
    ]


def outcome_of(ending: Ending) -> str:
    """Return how it ended, with the reason of a skip, or how many were missed."""
    if ending.reason:
        return f"{ending.outcome}: {ending.reason}"
    return f"{ending.outcome} {plural(ending.count, 'tick')}" if ending.count > 1 else ending.outcome


def _ending_notes(ending: Ending, view: View) -> Iterator[Piece]:
    yield Piece(", ".join(_facts(ending, view)), "dim")
    if ending.error:
        yield Piece(one_line(ending.error), "bad")


def _facts(ending: Ending, view: View) -> Iterator[str]:
    yield glued(f"{ending.kind} of {view.clock(ending.fire_time)}")
    if ending.last_fire_time is not None and ending.count > 1:
        yield glued(f"last of {view.clock(ending.last_fire_time)}")
    if ending.late_by is not None and ending.late_by >= LATE:
        yield glued(f"started {span(ending.late_by)} late")
    if ending.attempt > 1:
        yield glued(f"attempt {ending.attempt}")
    if ending.by:
        yield glued(f"by {ending.by}") + (f": {one_line(ending.why)}" if ending.why else "")
    if ending.run_id:
        yield glued(f"run {ending.run_id[:SHORT]}")
    if ending.trace_id:
        yield glued(f"trace {ending.trace_id}")


def explanation_lines(explanation: Explanation, view: View) -> list[Piece]:
    """Return the verdict, and then the reasons, the most telling first."""
    tick = "no tick" if explanation.tick is None else f"the tick {view.when(explanation.tick)}"
    style = {"ran": "good", "running": "good", "waiting": "", "unknown": "warn"}.get(explanation.verdict, "bad")
    head = Piece(f"{one_line(explanation.job)}, {tick}: {explanation.verdict.upper()}", style)
    return [head, *(Piece(one_line(sentence), indent=INDENT) for sentence in explanation.because)]


def finding_table(findings: Sequence[Finding]) -> Table:
    """Return what was looked at: below each finding what to do."""
    rows = []
    for finding in findings:
        cells = [Piece(finding.level, LEVELS.get(finding.level, "")), Piece(one_line(finding.what))]
        rows.append(Row(cells, [Piece(f"-> {one_line(finding.advice)}")] * bool(finding.advice)))
    return Table(["LEVEL", "WHAT"], rows, none="nothing was found to look at")


def answer_text(answer: OrderAnswer) -> str:
    """Return what became of an order, in a sentence."""
    run = f"run {one_line(answer.run_id)}" if answer.run_id else "the run"
    detail = f": {one_line(answer.detail)}" if answer.detail else ""
    return f"{run} {ANSWERS.get(answer.outcome, answer.outcome)} on {one_line(answer.node)}{detail}"


def ending_text(ending: Ending) -> str:
    """Return how a run ended, in a sentence."""
    took = "" if ending.started_at is None else f" after {span(ending.duration)}"
    error = f": {one_line(ending.error)}" if ending.error else ""
    return f"run {one_line(ending.run_id)} {outcome_of(ending)}{took} on {one_line(ending.node)}{error}"
