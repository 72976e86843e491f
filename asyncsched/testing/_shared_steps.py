"""Owns the fire times that the nodes of a simulated cluster have in common: each is found once, not by every node anew.

A trigger is a pure function, so equal ones have equal answers, whoever asks. What cannot be compared shares nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncsched.protocols import Trigger
    from asyncsched.triggers._stepping import Step

MOST_ANSWERS = 16
"""Answers of one trigger that are kept: nodes ask the same within the time by which their clocks differ."""


class SharedSteps:
    """The integer forms of triggers, each remembering its newest answers."""

    def __init__(self) -> None:
        self._steps: dict[Trigger, Step] = {}

    def shared(self, trigger: Trigger, step: Step) -> Step:
        """Return the form of an equal trigger that was given before, or else of this one, which is ``step``."""
        try:
            return self._steps.setdefault(trigger, remembering(step))
        except TypeError:  # it has no hash
            return step


def remembering(step: Step) -> Step:
    """Return a step that is taken once for each of the newest questions. What it raises is raised each time anew."""
    answers: dict[int, int | None] = {}

    def remembered(after_us: int) -> int | None:
        if after_us in answers:
            return answers[after_us]
        answer = answers[after_us] = step(after_us)
        if len(answers) > MOST_ANSWERS:
            del answers[next(iter(answers))]
        return answer

    return remembered
