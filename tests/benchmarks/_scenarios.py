"""Owns the scenarios: which sizes, of whom, how often, and what is read off."""

from __future__ import annotations

from benchmarks import _contestants as who
from benchmarks._bars import APS3, BARE
from benchmarks._model import OURS, Case, Metric, Scenario

CPU = Metric("cpu_us", "CPU per fire", "us", 1)
DELIVERED = Metric("delivered", "ticks started", "%", 0, higher_is_better=True, compared=False)
P50_MS = Metric("p50_ms", "lateness p50", "ms", 1, compared=False)
P99_MS = Metric("p99_ms", "lateness p99", "ms", 1)
WRONG = Metric("wrong", "ticks lost or run twice", "", 0, compared=False)
SCRIPTS = Metric("scripts", "script calls per fire", "", 3)
COMMANDS = Metric("commands", "Redis commands per fire", "", 2)
SCRIPT_US = Metric("script_us", "script time per fire", "us", 1, compared=False)
MOVED = Metric("moved", "bytes to and from Redis per fire", "", 0)
STARTS = (
    Metric("starts_per_s", "starts per second", "", 0, higher_is_better=True),
    Metric("cpu_us", "CPU per start", "us", 1),
)


BURST = Scenario(
    "burst",
    "Jobs due at one instant",
    (
        Case("1 000", {"jobs": 1_000}),
        Case("10 000", {"jobs": 10_000}),
        Case("100 000", {"jobs": 100_000}, quick=False, peer_rounds=1),
    ),
    (who.ours, who.bare, who.ours_uvloop, who.bare_uvloop, who.call_at, who.aps3, who.aps4, who.aiocron, who.schedule),
    STARTS,
    limit=BARE,
    quick_rounds=3,
)
EAGER = Scenario(
    "eager",
    "The same with eager tasks (Python 3.12 and newer)",
    (
        Case("1 000", {"jobs": 1_000}, quick=False),
        Case("10 000", {"jobs": 10_000}),
        Case("100 000", {"jobs": 100_000, "interval": 2}, quick=False),
    ),
    who.EAGER,
    STARTS,
    limit=BARE,
    rounds=6,
    params={"bursts": 5, "interval": 1},
    quick_params={"bursts": 3},
    needs_eager=True,
)
SUSTAINED = Scenario(
    "sustained",
    "Jobs every second, all on the second",
    (Case("10 000 jobs", {"jobs": 10_000}),),
    who.LOCAL,
    (CPU, DELIVERED),
    limit=BARE,
    rounds=4,
    quick_rounds=1,
    params={"window": 5},
    quick_params={"window": 3},
)
GROWTH = Scenario(
    "growth",
    "100 fires a second from ever more registered jobs",
    (
        Case("1 000", {"jobs": 1_000}),
        Case("10 000", {"jobs": 10_000}, quick=False),
        Case("100 000", {"jobs": 100_000}, without=("APScheduler 4 alpha",), why="registering them takes too long"),
        Case(
            "1 000 000",
            {"jobs": 1_000_000},
            quick=False,
            without=(APS3, "APScheduler 4 alpha"),
            why="registering them takes too long",
        ),
    ),
    who.LOCAL,
    (CPU, DELIVERED),
    limit=BARE,
    rounds=3,
    quick_rounds=1,
    peer_rounds=1,
    params={"window": 5},
    quick_params={"window": 3},
)
REGISTRATION = Scenario(
    "registration",
    "Registering jobs",
    (
        Case("100 000", {"jobs": 100_000}),
        Case(
            "1 000 000",
            {"jobs": 1_000_000},
            quick=False,
            without=(APS3, "APScheduler 4 alpha", "aiocron", "schedule"),
            why="it takes too long; see 100 000",
        ),
    ),
    who.LOCAL,
    (
        Metric("add_us", "time per job until it is scheduled", "us", 1),
        Metric("before_start_us", "of which before the start", "us", 1, compared=False),
        Metric("bytes", "memory per job", "bytes", 0),
    ),
    limit=BARE,
    rounds=3,
    peer_rounds=1,
)
LATENESS = Scenario(
    "lateness",
    "Lateness with jobs at staggered phases of each second",
    (Case("1 000 jobs", {"jobs": 1_000}),),
    (who.ours, who.call_at, who.bare, who.aps3_in_full, who.aps4, who.aiocron, who.schedule),
    (
        Metric("p50_us", "p50", "us", 0),
        Metric("p99_us", "p99", "us", 0),
        Metric("max_us", "largest", "us", 0, compared=False),
        Metric("early", "early starts", "", 0, compared=False),
        DELIVERED,
    ),
    limit="loop.call_at",
    quick_rounds=1,
    params={"window": 6},
    quick_params={"window": 3},
)
IDLE = Scenario(
    "idle",
    "Nothing to do for an hour",
    (Case("100 jobs", {"jobs": 100}),),
    who.LOCAL,
    (Metric("cpu_percent", "CPU", "%", 3), Metric("wakeups", "wake-ups per second", "", 1)),
    rounds=3,
    quick_rounds=1,
    peer_rounds=1,
    params={"window": 10},
    quick_params={"window": 5},
)
CRON = Scenario(
    "cron",
    "Stepping through cron expressions",
    (Case("UTC", {"zone": "UTC"}), Case("Europe/Berlin", {"zone": "Europe/Berlin"})),
    who.CRON,
    (Metric("step_us", "CPU per fire time", "us", 1),),
    limit="cronsim",
    peer_rounds=5,
    params={"steps": 3000},
    quick_params={"steps": 1000},
)
IMPORT = Scenario(
    "import",
    "Importing it, above a bare interpreter",
    (Case("import"),),
    who.IMPORTS,
    (
        Metric("above_ms", "CPU time", "ms", 0),
        Metric("redis", "imports `redis` (1: yes)", "", 0, compared=False),
    ),
    rounds=3,
    params={"times": 7},
    quick_params={"times": 5},
)
CLUSTER = Scenario(
    "cluster",
    "Three processes, jobs of which each tick runs on one of them, all on the second",
    (Case("200 jobs", {"jobs": 200}),),
    who.CLUSTER,
    (
        WRONG,
        P50_MS,
        P99_MS,
        Metric("cpu_us", "CPU of the nodes per fire", "us", 0),
        COMMANDS,
        SCRIPTS,
        SCRIPT_US,
        MOVED,
    ),
    limit=who.SCRIPT,
    params={"window": 6},
    quick_params={"window": 4},
)
CLIMB = Scenario(
    "climb",
    "The same with ever more jobs: how many start in time (p99 below 100 ms), how many at all",
    (Case("3 nodes"),),
    who.CLIMB,
    (
        Metric("reached", "fires per second in time", "", 0, higher_is_better=True),
        Metric("kept", "fires per second with none lost", "", 0, higher_is_better=True),
        Metric("p99_ms", "lateness p99 there", "ms", 1, compared=False),
        Metric("cpu_us", "CPU of the nodes per fire there", "us", 0, compared=False),
    ),
    limit=who.SCRIPT,
    rounds=2,
    quick_rounds=1,
    peer_rounds=1,
    timeout=400,
    params={"window": 4},
    quick_params={"window": 3},
)
QUICK_SIZES = ((3, 0), (10, 0), (10, 1))
"""Nodes, and dead ones, in the quick form."""
SIZE = Scenario(
    "size",
    "Ever more nodes, 20 jobs each second, each at its own instant",
    tuple(
        Case(
            f"{nodes} nodes{', one more dead' * dead}",
            {"nodes": nodes, "jobs": 20, "dead": dead},
            quick=(nodes, dead) in QUICK_SIZES,
        )
        for nodes in (3, 10, 30, 100)
        for dead in (0, 1)
    ),
    (who.Contestant(OURS, "ours", ""),),
    (SCRIPTS, COMMANDS, P50_MS, P99_MS, Metric("cpu_us", "CPU of all nodes per fire", "us", 0), WRONG),
    rounds=3,
    quick_rounds=1,
    params={"window": 5},
    quick_params={"window": 3},
)
SCENARIOS = (
    BURST,
    EAGER,
    SUSTAINED,
    GROWTH,
    REGISTRATION,
    LATENESS,
    IDLE,
    CRON,
    IMPORT,
    CLUSTER,
    CLIMB,
    SIZE,
)


def climb_steps(contestant: str, *, quick: bool) -> tuple[int, ...]:
    """Return the numbers of jobs that a contestant climbs through."""
    if contestant == OURS:
        return (20_000,) if quick else (1_000, 2_000, 4_000, 6_000, 8_000, 10_000, 15_000, 20_000, 30_000)
    if contestant == who.SCRIPT:
        return (40_000,) if quick else (20_000, 30_000, 40_000, 60_000, 80_000)
    if contestant == "static partition":
        return (40_000, 80_000, 120_000)
    return (100, 200, 500, 1_000, 2_000, 4_000, 8_000)
