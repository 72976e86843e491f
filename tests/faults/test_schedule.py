"""The faults of a run are a function of its seed, and none is left out."""

from __future__ import annotations

from itertools import islice

from _driver import OF_NODES, OF_THE_FILE, OF_THE_STORE, SCENARIOS, Plan
from _jobs import GUARDED, JobSpec, job_table
from _schedule import steps

POOL = ["a", "b", "c", "d"]


def test_the_same_seed_makes_the_same_faults() -> None:
    def first(seed: int, lane: str) -> list[object]:
        return list(islice(steps(seed, lane, POOL, (0.5, 3.0)), 50))

    assert first(1, "nodes") == first(1, "nodes")
    assert first(1, "nodes") != first(2, "nodes")
    assert first(1, "nodes") != first(1, "store")


def test_each_fault_comes_once_in_each_round() -> None:
    names = [step.fault for step in islice(steps(1, "nodes", POOL, (0.5, 3.0)), 12)]
    assert [sorted(names[at : at + 4]) for at in (0, 4, 8)] == [POOL] * 3


def test_pauses() -> None:
    assert all(0.5 <= step.pause <= 3.0 for step in islice(steps(1, "nodes", POOL, (0.5, 3.0)), 100))


def test_plans() -> None:
    assert Plan(60).lanes() == {"nodes": OF_NODES, "store": OF_THE_STORE}
    assert Plan(60).redis_is_absent_at_start
    assert Plan(60, only="kill").lanes() == {"nodes": {"kill": OF_NODES["kill"]}}
    assert Plan(60, only="calm").lanes() == {}
    assert Plan(60, store="sqlite").lanes() == {"nodes": OF_NODES, "store": OF_THE_FILE}
    assert not Plan(60, store="sqlite").redis_is_absent_at_start
    assert not Plan(60, only="calm").redis_is_absent_at_start
    assert len(SCENARIOS) == len(set(SCENARIOS)) == len(OF_NODES) + len(OF_THE_STORE) + len(OF_THE_FILE) + 2


def test_ticks_of_a_job() -> None:
    spec = JobSpec("j", 0.5, phase=0.1)
    assert list(spec.ticks_us(10.0, 11.1)) == [10_100_000, 10_600_000, 11_100_000]
    assert list(spec.ticks_us(10.1, 10.2)) == [10_100_000]


def test_the_jobs_have_names_of_their_own_and_every_kind() -> None:
    jobs = job_table(40)
    assert len({spec.name for spec in jobs}) == len(jobs) == 42
    assert {spec.name.partition("-")[0] for spec in jobs} >= {spec.name for spec in GUARDED}
