"""Owns the list of contestants. What each does stands in ``contestants/``, why it is set up so in
``docs/benchmarks.md``."""

from __future__ import annotations

from dataclasses import replace

from benchmarks._bars import APS3, BARE
from benchmarks._model import OURS, Contestant

BURST_SETUP = {"apscheduler3": 150, "apscheduler4": 500, "aiocron": 150, "schedule": 100}
"""Microseconds to allow for registering one job before a burst."""

ours = Contestant(OURS, "ours", "asyncsched")
ours_uvloop = Contestant("asyncsched, uvloop", "ours", "asyncsched", needs="uvloop", loop="uvloop", quick=False)
bare = Contestant(BARE, "limit", "bare")
bare_uvloop = Contestant("bare loop, uvloop", "limit", "bare", needs="uvloop", loop="uvloop", quick=False)
call_at = Contestant("loop.call_at", "limit", "call_at")
aps3 = Contestant(APS3, "peer", "apscheduler3", needs="apscheduler3")
aps3_in_full = replace(aps3, quick=False)
aps4 = Contestant("APScheduler 4 alpha", "peer", "apscheduler4", needs="apscheduler4", quick=False)
aiocron = Contestant("aiocron", "peer", "aiocron", needs="aiocron", quick=False)
schedule = Contestant("schedule", "peer", "schedule", needs="schedule", quick=False)

LOCAL = (ours, bare, aps3_in_full, aps4, aiocron, schedule)

EAGER = (
    Contestant("asyncsched, not eager", "ours", "asyncsched", options={"eager": False}),
    Contestant("asyncsched, eager", "ours", "asyncsched"),
    Contestant(BARE, "limit", "bare"),
    Contestant("bare loop, eager", "limit", "bare", loop="eager", quick=False),
)

CRON = (
    Contestant(OURS, "ours", "asyncsched"),
    Contestant("cronsim", "limit", "cronsim"),
    Contestant("croniter", "peer", "croniter", needs="croniter"),
)

IMPORTS = (
    *(
        Contestant(name, kind, "", needs=needs, options={"package": package})
        for name, kind, needs, package in (
            (OURS, "ours", None, "asyncsched"),
            ("asyncio alone", "limit", None, "asyncio"),
            (APS3, "peer", "apscheduler3", "apscheduler.schedulers.asyncio"),
            ("APScheduler 4 alpha", "peer", "apscheduler4", "apscheduler"),
            ("aiocron", "peer", "aiocron", "aiocron"),
            ("schedule", "peer", "schedule", "schedule"),
        )
    ),
    Contestant(
        "asyncsched and a Scheduler()", "ours", "", options={"package": "asyncsched", "then": "asyncsched.Scheduler()"}
    ),
)

SCRIPT, ON_A_FILE = "bare loop, one script a batch", "asyncsched on a SQLite file"
CLUSTER = (
    Contestant(OURS, "ours", "cluster_asyncsched"),
    Contestant(ON_A_FILE, "ours", "cluster_sqlite", quick=False),
    Contestant(SCRIPT, "limit", "cluster_bare"),
    Contestant("bare loop, asyncsched's protocol", "limit", "cluster_protocol", quick=False),
    Contestant("the same, with failover", "limit", "cluster_failover", quick=False),
    Contestant("the same, with runs supervised and accounted for", "limit", "cluster_accounted", quick=False),
    Contestant("static partition", "limit", "cluster_partition", quick=False),
    Contestant(
        "taskiq",
        "peer",
        "cluster_taskiq",
        needs="taskiq",
        options={"extra": ["scheduler"], "settle": 3.5},
        quick=False,
    ),
    Contestant("docket", "peer", "cluster_docket", needs="docket", options={"settle": 3.5}, quick=False),
    Contestant("arq", "peer", "cluster_arq", needs="arq", options={"settle": 2.5}, quick=False),
    Contestant("SAQ", "peer", "cluster_saq", needs="saq", options={"settle": 2.5}, quick=False),
    Contestant("streaq", "peer", "cluster_streaq", needs="streaq", options={"settle": 2.5}, quick=False),
)

SPREAD = {"groups": 100}
CLIMB = (
    Contestant(OURS, "ours", "cluster_asyncsched", options=SPREAD),
    Contestant(ON_A_FILE, "ours", "cluster_sqlite", options=SPREAD, quick=False),
    Contestant(SCRIPT, "limit", "cluster_bare", options=SPREAD),
    Contestant("static partition", "limit", "cluster_partition", options=SPREAD, quick=False),
    Contestant("asyncsched, all on the second", "ours", "cluster_asyncsched", quick=False),
    *(each for each in CLUSTER if each.kind == "peer"),
)
