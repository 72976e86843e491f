"""Owns what each page consists of, put together from what is known of the cluster. What has not changed is not made
again: it is drawn each second, on the event loop of a service. Knows no HTML and no HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from asyncsched.dashboard._archive import key_of
from asyncsched.dashboard._cells import (
    Banner,
    LastCell,
    colour,
    controls_of,
    job_url,
    name_cell,
    node_cell,
    runs_cell,
    state_cell,
    summary_of,
    usual_version,
    variants_of,
)
from asyncsched.dashboard._charts import charts_of
from asyncsched.dashboard._coming import Coming
from asyncsched.dashboard._lanes import SPAN, Lane, lane_of
from asyncsched.dashboard._parts import Contents
from asyncsched.exceptions import UnknownJobError

if TYPE_CHECKING:
    from asyncsched._records import ClusterState, Ending, JobRecord
    from asyncsched.dashboard._archive import Archive
    from asyncsched.dashboard._poller import Known
    from asyncsched.dashboard._source import Source

LANE_LASTS = 5
"""Seconds for which a lane is not drawn again: its marks are coarser."""
MOST_SHOWN = 100
"""Endings on the page of a job."""
COMING_SHOWN = 10
CELLS = ("name", "state", "last", "next", "lane")


@dataclass(slots=True)
class _Drawn:
    """A job as it was drawn last."""

    record: JobRecord
    values: dict[str, object]
    endings: tuple[Ending, ...]
    lane_at: float
    lane_until: float
    paused: bool


class Drawing:
    """Makes the contents of pages."""

    def __init__(self, source: Source, archive: Archive) -> None:
        self._source = source
        self._archive = archive
        self._coming = Coming(source.preview)
        self._drawn: dict[str, _Drawn] = {}
        self._colours: dict[str, int] = {}
        self.origin = 0

    def window(self, now: datetime) -> int:
        """Return where the picture of the timeline begins at that instant."""
        return int(now.timestamp()) - self.origin - SPAN

    def take(self, known: Known) -> None:
        """Take what is known by now, before contents are made of it."""
        if known.state is None:
            return
        if not self.origin:
            self.origin = int(known.state.taken_at.timestamp()) // SPAN * SPAN
        for node in known.state.nodes:
            self._colours.setdefault(node.node, len(self._colours))
        jobs = [record.job for record in known.state.jobs]
        self._coming.retain(jobs)
        for gone in self._drawn.keys() - set(jobs):
            del self._drawn[gone]

    def overview(self, known: Known) -> Contents:
        """Return the contents of the overview."""
        state = known.state
        values: dict[str, object] = {"banner": self._banner(known), "act-maintenance": _in_maintenance(state)}
        if state is None:
            return Contents({**values, "summary": None, "legend": ()}, {"jobs": ()})
        self._coming.begin()
        values["summary"] = summary_of(state, self._archive.in_last_hour(state.taken_at))
        values["legend"] = self._legend(state)
        for record in state.jobs:
            values.update(self._row(record, state))
        rows = {f"job:{record.job}": tuple(f"{cell}:{record.job}" for cell in CELLS) for record in state.jobs}
        return Contents(values, {"jobs": tuple(rows)}, rows)

    def nodes(self, known: Known) -> Contents:
        """Return the contents of the page of the nodes."""
        state = known.state
        values: dict[str, object] = {"banner": self._banner(known)}
        rows: dict[str, tuple[str, ...]] = {}
        nodes = () if state is None else state.nodes
        usual = usual_version(nodes)
        for node in nodes:
            cells = {
                "who": node_cell(node, self._colours, usual),
                "seen": node.seen_at.replace(microsecond=0),
                "skew": None if node.clock_skew is None else round(node.clock_skew, 2),
                "has": tuple((job, job_url(job)) for job in node.jobs),
                "runs": runs_cell(node.active),
            }
            values.update({f"{cell}:{node.node}": value for cell, value in cells.items()})
            rows[f"node:{node.node}"] = tuple(f"{cell}:{node.node}" for cell in cells)
        return Contents(values, {"nodes": tuple(rows)}, rows)

    def job(self, known: Known, job: str) -> Contents:
        """Return the contents of the page of a job.

        Raises:
            UnknownJobError: the cluster has no such job.
        """
        record = _record_of(known.state, job)
        assert known.state is not None
        endings = self._archive.of(job) or (() if record.last is None else (record.last,))
        shown = {
            _ending_id(ending): LastCell(ending, colour(self._colours, ending.node), "")
            for ending in endings[:MOST_SHOWN]
        }
        values: dict[str, object] = {
            "banner": self._banner(known),
            "head": (name_cell(record), state_cell(record, self._colours)),
            "facts": (record.next_fire_time, record.last_success_at, len(record.definitions), record.definition),
            "ahead": self._ahead(record, known.state.taken_at),
            "charts": charts_of(endings),
            "definitions": variants_of(record),
            "active": tuple((run, colour(self._colours, run.node)) for run in record.active),
            "act-job": controls_of(record),
        }
        return Contents({**values, **shown}, {"history": tuple(shown)})

    def _banner(self, known: Known) -> Banner:
        state = known.state
        at = None if state is None or not known.trouble else state.taken_at
        return Banner(known.trouble, at, None if state is None else state.maintenance)

    def _legend(self, state: ClusterState) -> tuple[tuple[str, int, str], ...]:
        return tuple((node.node, colour(self._colours, node.node), node.state) for node in state.nodes[:12])

    def _row(self, record: JobRecord, state: ClusterState) -> dict[str, object]:
        job, drawn = record.job, self._drawn.get(record.job)
        if drawn is None or (drawn.record is not record and drawn.record != record):
            ending = record.last
            values: dict[str, object] = {
                f"name:{job}": name_cell(record),
                f"state:{job}": state_cell(record, self._colours),
                f"last:{job}": LastCell(ending, colour(self._colours, ending.node) if ending else 0, job_url(job)),
                f"next:{job}": record.next_fire_time if record.paused is None else None,
            }
            lane: object = None if drawn is None else drawn.values[f"lane:{job}"]
            times = (0.0, 0.0, False) if drawn is None else (drawn.lane_at, drawn.lane_until, drawn.paused)
            endings = () if drawn is None else drawn.endings
            drawn = self._drawn[job] = _Drawn(record, {**values, f"lane:{job}": lane}, endings, *times)
        self._draw_lane(drawn, state)
        return drawn.values

    def _draw_lane(self, drawn: _Drawn, state: ClusterState) -> None:
        """Draw a job's lane anew if it has new marks, or old ones that no longer hold."""
        record, now_s, endings = drawn.record, state.taken_at.timestamp(), self._archive.of(drawn.record.job)
        paused = record.paused is not None or state.maintenance is not None
        is_due = now_s >= drawn.lane_until or paused != drawn.paused
        is_due = is_due or (endings is not drawn.endings and now_s >= drawn.lane_at + LANE_LASTS)
        if drawn.values[f"lane:{record.job}"] is not None and not is_due:
            return
        grain = 10 if record.active else 60
        now = state.taken_at - timedelta(seconds=now_s % grain)
        drawn.values[f"lane:{record.job}"] = self._lane(record, endings, now, paused=paused)
        drawn.endings, drawn.paused = endings, paused
        drawn.lane_at, drawn.lane_until = now_s, now.timestamp() + grain

    def _lane(self, record: JobRecord, endings: tuple[Ending, ...], now: datetime, *, paused: bool) -> Lane:
        ahead = self._coming.of(record.job, record.next_fire_time, now)
        return lane_of(endings, record.active, ahead, now=now, origin=self.origin, colours=self._colours, paused=paused)

    def _ahead(self, record: JobRecord, now: datetime) -> tuple[object, ...]:
        """Return the next fire times, as far as they are known: those of the job's own trigger, or the next one."""
        if record.next_fire_time is None:
            return ()
        before = min(record.next_fire_time, now.astimezone(record.next_fire_time.tzinfo)) - timedelta(microseconds=1)
        return tuple(self._source.preview(record.job, before, COMING_SHOWN)) or (record.next_fire_time,)


def _in_maintenance(state: ClusterState | None) -> bool:
    return state is not None and state.maintenance is not None


def _record_of(state: ClusterState | None, job: str) -> JobRecord:
    jobs = () if state is None else state.jobs
    for record in jobs:
        if record.job == job:
            return record
    raise UnknownJobError(job, [record.job for record in jobs])


def _ending_id(ending: Ending) -> str:
    at, node, run_id, outcome, fire_time = key_of(ending)
    return f"ending:{at.timestamp():.6f}:{run_id or node}:{outcome}:{fire_time.timestamp():.3f}"
