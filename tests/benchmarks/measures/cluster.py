"""Three processes and one Redis, jobs due each second of which each tick belongs to one process."""

from __future__ import annotations

from benchmarks.measures._local import Order
from benchmarks.measures._trial import Trial, run_trial


def trial_of(order: Order, jobs: int, window: int) -> Trial:
    """Return the trial that the order asks for, at one number of jobs."""
    options = order.get("options", {})
    return Trial(
        order["contestant"],
        jobs=jobs,
        window=window,
        groups=options.get("groups", 1),
        extra=tuple(options.get("extra", ())),
        settle=options.get("settle", 1.5),
    )


def measure(order: Order) -> dict[str, float]:
    params = order["params"]
    return run_trial(trial_of(order, params["jobs"], params["window"])).values()
