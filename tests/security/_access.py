"""Owns what the tests know of access: the documented user, read from the page, and a tour of all that a store asks.

The page is the one source: a command that a release needs goes there, and into a step of the tour here.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import redis.asyncio
from _contract import OVERLAP, SERVER, lease, start, tick, trigger, verdict, won
from _pages import BY_NAME
from _reporter import Reporter, ending

from asyncsched._grants import EVERY_JOB, ClaimKind, LockType
from asyncsched._tasks import cancel_until_ended
from asyncsched.exceptions import StoreUnavailableError
from asyncsched.stores import _questions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from _redis_server import RedisServer

    from asyncsched.stores._questions import Order
    from asyncsched.stores.redis import RedisStore

    Connect = Callable[..., RedisStore]
    Step = Callable[[Connect, str], Awaitable[object]]

(_LINE,) = re.findall(r"^ACL SETUSER (\S+) (.*)$", BY_NAME["docs/cluster.md"].text, re.MULTILINE)
USER, WORDS = _LINE[0], _LINE[1].split()
COMMANDS = [word[1:] for word in WORDS if word.startswith("+")]
(PATTERN,) = [word[1:] for word in WORDS if word.startswith("~")]
(SECRET,) = [word[1:] for word in WORDS if word.startswith(">")]
OPTIONAL = {"info", "config"}
"""What is asked, and may be refused as far as the page says."""
PREFIX = PATTERN.removesuffix("schedule:job*")


@contextmanager
def user(server: RedisServer, *, without: str = "") -> Iterator[str]:
    """Make the documented user, or one that lacks a command; yield the URL of its login."""
    words = [word for word in WORDS if word != f"+{without}"]
    assert server.command("ACL", "SETUSER", USER, "reset", *words) == "+OK"
    server.command("ACL", "LOG", "RESET")
    server.command("SCRIPT", "FLUSH")
    try:
        yield f"redis://{USER}:{SECRET}@127.0.0.1:{server.port}/0"
    finally:
        server.command("ACL", "DELUSER", USER)


async def refused(server: RedisServer) -> set[str]:
    """Return the commands and keys that the server has refused since, in scripts or out of them.

    Neither what is optional nor the way in which redis-py introduces itself to newer servers (``CLIENT SETINFO``).
    """
    admin = redis.asyncio.Redis.from_url(server.url, decode_responses=True)
    try:
        entries = await admin.acl_log()
    finally:
        await admin.connection_pool.disconnect()
    names = {entry["object"] for entry in entries if not entry["object"].startswith("client")}
    return {name for name in names if name.partition("|")[0] not in OPTIONAL}


RUN = LockType.RUN


def now_us() -> int:
    return round(time.time() * 1e6) - 1_000_000


async def _leases(connect: Connect, url: str) -> object:
    store = connect(url, prefix=PREFIX)
    held = await won(store, tick(now_us(), no_overlap=True), SERVER, OVERLAP)
    second = await verdict(store, trigger("n2:r1"))
    return second, await store.renew([held]), await store.release([held]), await verdict(store, trigger("n2:r2"))


async def _overtaken(connect: Connect, url: str) -> object:
    store, now = connect(url, prefix=PREFIX), now_us()
    first = tick(now - 1, "n1:r1", job="overtaken")
    held = await won(store, first, SERVER)
    return await verdict(store, tick(now, "n2:r1", job="overtaken")), await store.renew([held])


async def _immediate(connect: Connect, url: str) -> object:
    store = connect(url, prefix=PREFIX)
    return [await verdict(store, start(owner, job="immediate", no_overlap=True)) for owner in ("n1:r1", "n2:r1")]


async def _pause(connect: Connect, url: str) -> object:
    store, told = connect(url, prefix=PREFIX), []
    for paused in (True, False):
        await store.set_paused("paused", paused)
        await store.refresh()
        told.append((store.is_paused("paused"), await verdict(store, tick(now_us(), f"n1:{paused}", job="paused"))))
    await store.set_paused(EVERY_JOB, True)
    await store.refresh()
    was_maintained = store.is_paused(EVERY_JOB)
    await store.set_paused(EVERY_JOB, False)
    await store.refresh()
    return [*told, (was_maintained, store.is_paused(EVERY_JOB))]


async def _replicas(connect: Connect, url: str) -> object:
    # The server has none, so it must get as far as saying that.
    try:
        await connect(url, prefix=PREFIX, replica_ack=1, operation_timeout=1.0).claim([tick(now_us(), job="copied")])
    except StoreUnavailableError as error:
        return "0 of 1 replicas" in str(error)
    return False


async def _late_return(connect: Connect, url: str) -> object:
    # A grant whose answer never arrived is released by the owner's name alone.
    store = connect(url, prefix=PREFIX)
    request = tick(now_us(), job="unheard", no_overlap=True)
    await won(store, request)
    return await store.release([lease(request, 0, SERVER, OVERLAP)])


async def _rerun(connect: Connect, url: str) -> object:
    # One run ends by itself; one is interrupted by a clean stop and handed over, and the other node runs it again.
    store, other, now = connect(url, prefix=PREFIX), connect(url, prefix=PREFIX), now_us()
    heard: list[tuple[str, int]] = []
    other.listen(lambda job, tick_us: heard.append((job, tick_us)))
    first = replace(tick(now, "n1:r1", job="repeated"), max_attempts=2)
    granted = (await store.claim([first]))[0]
    held = replace(lease(first, granted.fence, SERVER, RUN), tick_us=now)
    waiting = (await other.claim([replace(first, owner="n2:r1", kind=ClaimKind.RERUN)]))[0]
    told = [await store.renew([held]), await store.release([held])]
    await other.refresh()
    again = replace(first, owner="n2:r2", kind=ClaimKind.RERUN)
    attempt = (await other.claim([again]))[0]
    freed = await other.release([replace(lease(again, attempt.fence, RUN), tick_us=now, finished=True)])
    survey = (await store.claim([replace(first, owner="n1:r2", kind=ClaimKind.SURVEY)]))[0]
    return [waiting.wait > 0, *told, heard == [("repeated", now)], attempt.attempt, freed, list(survey.open_us)]


async def _turns(connect: Connect, url: str) -> object:
    # Two nodes see each other; one hears what the other's claim decided, and one leaves. An old entry is removed.
    stores, heard = [connect(url, prefix=PREFIX) for _ in "ab"], []
    places = [
        store.attend(lambda name=name: name, lambda jobs, tick_us: heard.extend((job, tick_us) for job in jobs))
        for store, name in zip(stores, "ab", strict=True)
    ]
    key = stores[0]._keys.nodes
    await _ask(stores[0], (key, ("ZADD", key, "1", "gone")))
    for store in stores * 2:
        await store.refresh()
    hearing = asyncio.ensure_future(places[1].hear())
    own = asyncio.ensure_future(places[0].hear())
    await _until(lambda: all(place.hears for place in places))
    await stores[0].claim([tick(now_us(), job="told")])
    await _until(lambda: heard)
    (entries,) = await _ask(stores[0], (key, ("ZRANGEBYSCORE", key, "-inf", "+inf")))
    seen = [len(places[0].nodes), {job for job, _ in heard}, len(entries) if isinstance(entries, list) else entries]
    await places[1].leave()
    await stores[0].refresh()
    await cancel_until_ended(hearing, own)
    return [*seen, len(places[0].nodes)]


async def _board(connect: Connect, url: str) -> object:
    # A node posts all that there is, another reads it, somebody orders something, and the node leaves.
    store, other, now = connect(url, prefix=PREFIX), connect(url, prefix=PREFIX), now_us()
    node = Reporter(history=1)
    node.fire_times, node.successes = {"shown": now, "never": 0}, {"shown": now}
    node.endings["shown"] += [ending(now - 1), ending(now)]
    leave = store.board.attach(node)
    await other.board.place_order("o1", "{}")
    await other.board.set_note("shown", "{}")
    said = [*await store.refresh(), *await store.refresh()]
    heard = len(node.orders)
    found, texts = await other.board.read(), await other.board.history(["shown"], 2)
    told = [len(found.reports), len(found.catalogues), len(found.fire_times), len(found.successes), len(found.notes)]
    taken = await store.board.take_order("o1")
    await store.board.answer_order("o1", "{}")
    await other.board.set_note("shown", None)
    held = await won(store, replace(tick(now, job="shown"), max_attempts=2))
    locks = len(await other.board.locks([held.job]))
    answer = await other.board.answer_to("o1")
    await leave()
    left = len((await other.board.read()).reports)
    return [*told, len(texts["shown"]), heard, taken, answer, locks, left, said]


async def _rights(connect: Connect, url: str) -> object:
    # A check of the set-up finds whatever the user may not do.
    found = await connect(url, prefix=PREFIX, replica_ack=1).board.check()
    return [each.what for each in found if each.level == "error" and each.what.startswith("rights")]


async def _ask(store: RedisStore, order: Order) -> list[Any]:
    return await store._link.settle([order], lambda order: order[0], _questions.command)


async def _until(condition: Callable[[], object]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            while not condition():
                await asyncio.sleep(0.01)


TOUR: dict[str, tuple[Step, str]] = {
    "leases": (_leases, "(overlap, [held], [True], won)"),
    "overtaken": (_overtaken, "(won, [superseded])"),
    "immediate": (_immediate, "[won, elsewhere]"),
    "pause": (_pause, "[(True, paused), (False, won), (True, False)]"),
    "replicas": (_replicas, "True"),
    "rerun": (_rerun, "[True, [held], [True], True, 2, [True], []]"),
    "turns": (_turns, "[2, {'told'}, 2, 1]"),
    "late return": (_late_return, "[True]"),
    "board": (_board, "[1, 1, 1, 1, 1, 1, 1, True, {}, 4, 0, []]"),
    "rights": (_rights, "[]"),
}
"""Steps by name, each with what it answers a user who may do all of it. Every documented command is used by one."""


async def tour(connect: Connect, url: str) -> list[str]:
    """Take all steps; return what went otherwise than it should."""
    failed = []
    for name, (step, expected) in TOUR.items():
        try:
            answer = shown(await step(connect, url))
        except (StoreUnavailableError, AssertionError) as error:
            answer = f"{type(error).__name__}: {error}"
        if answer != expected:
            failed.append(f"{name}: {answer}")
    return failed


def shown(value: Any) -> str:
    """Return ``value`` with the members of enums by their plain names."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    return str(value)
