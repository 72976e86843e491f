"""Owns the judgement over the fenced table: no write of an overtaken run is accepted, no other is refused.

Who has overtaken whom is judged by the ticks, where each is run by one node, and not by the fences alone: those are
what is being tested.
"""

from __future__ import annotations

from _checker import by_job
from _history import History


def stale_writes_accepted(history: History) -> list[str]:
    """Return the accepted writes that came after one of a newer run."""
    specs = history.specs()
    newest: dict[str, tuple[int, int]] = {}
    found = []
    for write in history.writes:
        tick_us = write.tick_us if specs[write.job].on_one_server and write.attempt == 1 else 0
        fence, newest_us = newest.get(write.job, (0, 0))
        if write.fence < fence or (tick_us and tick_us < newest_us):
            found.append(f"{write} after fence={fence} tick={newest_us}")
        newest[write.job] = max(write.fence, fence), max(tick_us, newest_us)
    return found


def writes_refused_wrongly(history: History) -> list[str]:
    """Return the refused writes of runs that nobody had overtaken."""
    jobs, runs = by_job(history.runs), {run.run: run for run in history.runs}
    return [
        str(refused)
        for refused in history.records.refused
        if not any(other.fence > runs[refused.run].fence and other.start <= refused.at for other in jobs[refused.job])
    ]
