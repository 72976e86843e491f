"""One console for many people: a service's own, on which each acts by name."""

from __future__ import annotations

from collections.abc import Callable

from asyncsched.console import Console
from asyncsched.testing import Cluster


async def test_someone_else_acts_on_the_same_store_and_closes_nothing(
    make: Callable[..., Cluster], console_of: Callable[[Cluster], Console]
) -> None:
    async with make() as cluster:
        console = console_of(cluster)
        async with console.acting("bo@ops") as other:
            await other.pause("work", why="a test")
        note = (await console.job("work")).paused
        await console.pause("nightly")
        own = (await console.job("nightly")).paused
    assert note is not None
    assert (note.by, note.why) == ("bo@ops", "a test")
    assert own is not None
    assert own.by == "ada@desk"
