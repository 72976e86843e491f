"""What the benchmarks make of their measurements: medians, ratios, bars, and what became slower. Measures nothing."""

from __future__ import annotations

import pytest
from benchmarks import _chart, _markdown
from benchmarks._bars import BARS, Bar
from benchmarks._model import OURS, Case, Contestant, Measurement, Metric, Scenario
from benchmarks._ratios import Results, Spread, percentile
from benchmarks._regressions import changes, slower
from benchmarks._rounds import rotated
from benchmarks._scenarios import SCENARIOS

SPEED = Metric("speed", "starts per second", "1/s", 0, higher_is_better=True)
COST = Metric("cost", "CPU per fire", "us")
LIMITED = Scenario(
    "run",
    "Running",
    (Case("small"),),
    (Contestant(OURS, "ours", "x"), Contestant("limit", "limit", "x"), Contestant("peer", "peer", "x")),
    (SPEED, COST),
    limit="limit",
)
ALONE = Scenario("rest", "Resting", (Case("small"),), (Contestant(OURS, "ours", "x"),), (COST,))


def measured(contestant: str, *rounds: dict[str, float], scenario: str = "run") -> list[Measurement]:
    return [Measurement(scenario, "small", contestant, index, values) for index, values in enumerate(rounds)]


def of_costs(ours: float, limit: float, speed: float = 1.0) -> Results:
    return Results(
        measured(OURS, {"cost": ours, "speed": speed})
        + measured("limit", {"cost": limit, "speed": 1.0})
        + measured(OURS, {"cost": ours}, scenario="rest")
    )


def test_a_ratio_pairs_the_values_of_one_round() -> None:
    results = Results(
        measured(OURS, {"cost": 10.0}, {"cost": 40.0}, {"cost": 33.0})
        + measured("limit", {"cost": 5.0}, {"cost": 20.0}, {"cost": 11.0})
    )
    ratio = results.ratio("run", ("small", OURS), ("small", "limit"), "cost")
    assert ratio == Spread(2.0, 2.0, 3.0, 3)  # the medians alone would say 3


def test_a_round_that_one_of_them_lacks_is_no_pair() -> None:
    results = Results(measured(OURS, {"cost": 10.0}, {"cost": 40.0}) + measured("limit", {}, {"cost": 20.0}))
    assert results.ratio("run", ("small", OURS), ("small", "limit"), "cost") == Spread(2.0, 2.0, 2.0, 1)
    assert results.ratio("run", ("small", OURS), ("small", "peer"), "cost") is None
    assert results.value("run", "small", "peer", "cost") is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_nearest_ranks(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_the_percentile_of_one_value_is_that() -> None:
    assert percentile([7], 0.5) == percentile([7], 0.99) == 7


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar("", "run", "small", "cost", at_most=2, to="limit"), True),
        (Bar("", "run", "small", "cost", at_most=1.9, to="limit"), False),
        (Bar("", "run", "small", "cost", at_least=2, to=("small", "limit")), True),
        (Bar("", "run", "small", "cost", at_most=7, unit="us"), False),
    ],
)
def test_a_bar_is_met_by_the_median(bar: Bar, met: bool) -> None:
    spread = bar.measured(of_costs(8.0, 4.0))
    assert spread is not None
    assert bar.is_met(spread) is met


def test_every_bar_names_something_that_is_measured() -> None:
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    for bar in BARS:
        scenario = by_name[bar.scenario]
        to = (bar.case, bar.to) if isinstance(bar.to, str) else bar.to or (bar.case, bar.contestant)
        assert {bar.case, to[0]} <= {case.name for case in scenario.cases}
        assert {bar.contestant, to[1]} <= {contestant.name for contestant in scenario.contestants}
        assert bar.metric in {metric.key for metric in scenario.metrics}
        assert (bar.at_least is None) != (bar.at_most is None)


def test_every_limit_takes_part() -> None:
    for scenario in SCENARIOS:
        assert scenario.limit is None or scenario.limit in {each.name for each in scenario.contestants}


def test_a_slower_machine_is_no_regression() -> None:
    found = changes([LIMITED], of_costs(8.0, 4.0), of_costs(80.0, 40.0))
    assert {change.factor for change in found} == {1.0}
    assert slower(found) == []


def test_what_lost_against_its_limit_is_slower() -> None:
    (worst,) = slower(changes([LIMITED], of_costs(8.0, 4.0), of_costs(10.0, 4.0)))
    assert (worst.factor, worst.before, worst.after) == (1.25, 2.0, 2.5)
    assert "CPU per fire" in worst.where
    assert slower([worst], threshold=1.3) == []


def test_fewer_starts_per_second_are_slower() -> None:
    (worst,) = slower(changes([LIMITED], of_costs(8.0, 4.0, speed=0.8), of_costs(8.0, 4.0, speed=0.4)))
    assert worst.factor == 2.0
    assert "starts per second" in worst.where


def test_what_has_no_limit_is_compared_by_itself() -> None:
    (worst,) = slower(changes([ALONE], of_costs(8.0, 4.0), of_costs(80.0, 40.0)))
    assert worst.factor == 10.0


def test_something_after_nothing_is_slower() -> None:
    (worst,) = slower(changes([ALONE], of_costs(0.0, 4.0), of_costs(1.0, 4.0)))
    assert worst.factor == float("inf")
    assert slower(changes([ALONE], of_costs(0.0, 4.0), of_costs(0.0, 4.0))) == []


@pytest.mark.parametrize(("after", "is_clear"), [((11.0, 12.0, 13.0), True), ((9.0, 12.0, 13.0), False)])
def test_what_overlaps_with_the_earlier_rounds_is_not_clear(after: tuple[float, ...], is_clear: bool) -> None:
    before, now = (
        Results(measured(OURS, *({"cost": cost} for cost in costs), scenario="rest"))
        for costs in ((8.0, 9.0, 10.0), after)
    )
    (worst,) = slower(changes([ALONE], before, now))
    assert worst.is_clear is is_clear


def test_what_only_one_run_has_is_not_compared() -> None:
    assert changes([LIMITED, ALONE], Results([]), of_costs(8.0, 4.0)) == []


def test_each_contestant_is_first_once() -> None:
    contestants = LIMITED.contestants
    assert [rotated(contestants, index)[0] for index in range(3)] == list(contestants)
    assert all(len(rotated(contestants, index)) == len(contestants) for index in range(4))


def test_no_row_is_dropped() -> None:
    results = Results(
        [
            *measured(OURS, {"cost": 8.0, "speed": 1234.0}),
            *measured("limit", {"cost": 4.0}),
            Measurement("run", "small", "peer", 0, why="not installed: no such version"),
        ]
    )
    table = _markdown.scenario_table(LIMITED, results)
    assert table.splitlines() == [
        "| case | contestant | starts per second, 1/s | CPU per fire, us |",
        "| --- | --- | --- | --- |",
        "| small | asyncsched | 1 234 | 8.0 = 2.00x |",
        "| small | limit |  | 4.0 |",
        "| small | peer | not installed: no such version |  |",
    ]


def test_a_size_that_nobody_was_measured_at_is_one_row() -> None:
    why = "not in the quick form"
    results = Results([Measurement("run", "small", name, 0, why=why) for name in (OURS, "limit", "peer")])
    assert _markdown.scenario_table(LIMITED, results).endswith(f"\n| small | all | {why} |  |")


def test_a_bar_that_was_not_measured_says_so() -> None:
    table = _markdown.bars_table({"burst"}, Results([]))
    assert table.count("not measured") == table.count("\n") - 1


def test_tables_take_the_place_of_older_ones_on_a_page() -> None:
    page = _markdown.below_mark(f"# Title\n\n{_markdown.MARK}\n\nold", "new\n\n## Bars\n")
    assert page == f"# Title\n\n{_markdown.MARK}\n\nnew\n\n### Bars\n"
    assert _markdown.below_mark(page, "new\n\n## Bars\n") == page
    with pytest.raises(SystemExit, match="no line"):
        _markdown.below_mark("# Title", "new")


def test_the_picture_shows_what_was_measured() -> None:
    results = Results([Measurement("burst", "10 000", OURS, 0, {"starts_per_s": 54_321.0})])
    picture = _chart.svg(results)
    assert picture.startswith("<svg")
    assert "54 321" in picture
    assert "CPU per fire" not in picture
