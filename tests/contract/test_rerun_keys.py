"""What stands in Redis of jobs that are run again, exactly, and what is done about keys that cannot be read."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from _contract import OVERLAP, RUN, SERVER, decide, rerun, start, survey, tick, trigger, verdict, won

from asyncsched._grants import Renewal, Verdict

if TYPE_CHECKING:
    from _contract import RedisBackend

SECOND = 1_000_000
LOCKS = "schedule:jobLock:report:"
STATE = "schedule:job:report"


async def keys(backend: RedisBackend) -> set[str]:
    return {name.decode() for name in await backend.raw.keys("*")}


async def ttl(backend: RedisBackend, key: str) -> float:
    return (await backend.raw.pttl(key)) / 1_000


async def value(backend: RedisBackend, key: str) -> Any:
    if await backend.raw.type(key) == b"hash":
        return {name.decode(): item.decode() for name, item in (await backend.raw.hgetall(key)).items()}
    return (await backend.raw.get(key)).decode()


async def snapshot(backend: RedisBackend) -> dict[str, Any]:
    """Everything on the server, with what it costs to change it."""
    return {key: await backend.raw.dump(key) for key in sorted(await keys(backend))}


async def test_a_first_grant(redis_backend: RedisBackend) -> None:
    now = redis_backend.now_us()
    request = tick(now, no_overlap=True, lock_ttl=600.0, retain_for=700_000.0, max_attempts=2)
    held = await won(redis_backend.store(), request)

    assert await value(redis_backend, LOCKS + "open") == {str(now): "1|n1:r1"}
    assert await value(redis_backend, f"{LOCKS}run:{now}") == f"n1:r1|{held.fence}"
    assert await keys(redis_backend) == {
        STATE,
        *(LOCKS + lock for lock in ("tick", "server", "overlap", "open", f"run:{now}")),
    }
    assert await ttl(redis_backend, LOCKS + "open") == pytest.approx(700_000, abs=2)
    assert await ttl(redis_backend, f"{LOCKS}run:{now}") == pytest.approx(600, abs=2)


async def test_a_rerun(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    held = await won(store, tick(now, no_overlap=True, retain_for=50.0, max_attempts=3), SERVER, RUN, OVERLAP)
    record = await value(redis_backend, LOCKS + "tick")
    await store.release([held])
    again = await won(store, rerun(now, no_overlap=True, lock_ttl=300.0, retain_for=900.0))

    assert await value(redis_backend, LOCKS + "open") == {str(now): "2|n2:r1"}
    assert await value(redis_backend, f"{LOCKS}run:{now}") == f"n2:r1|{again.fence}"
    assert await value(redis_backend, LOCKS + "overlap") == f"n2:r1|{again.fence}"
    assert await value(redis_backend, STATE) == {"fence": str(again.fence), "tick": str(now)}
    assert await value(redis_backend, LOCKS + "tick") == record, "the record is the first claim's"
    assert LOCKS + "server" not in await keys(redis_backend)
    assert await ttl(redis_backend, LOCKS + "open") == pytest.approx(900, abs=2)
    assert await ttl(redis_backend, f"{LOCKS}run:{now}") == pytest.approx(300, abs=2)
    assert await ttl(redis_backend, LOCKS + "overlap") == pytest.approx(300, abs=2)
    assert await ttl(redis_backend, LOCKS + "tick") == pytest.approx(50, abs=2)


async def test_a_renewal_extends_the_run_and_not_the_open_ticks(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    held = await won(store, tick(now, retain_for=50.0, max_attempts=2), SERVER, RUN)
    before = await keys(redis_backend)

    assert list(await store.renew([replace(held, lock_ttl=900.0)])) == [Renewal.HELD]
    assert await keys(redis_backend) == before
    assert await ttl(redis_backend, f"{LOCKS}run:{now}") == pytest.approx(900, abs=2)
    assert await ttl(redis_backend, LOCKS + "server") == pytest.approx(900, abs=2)
    assert await ttl(redis_backend, LOCKS + "open") == pytest.approx(50, abs=2)


async def test_a_finished_run_leaves_what_any_run_leaves(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    held = await won(store, tick(now, no_overlap=True, max_attempts=2), SERVER, RUN, OVERLAP)
    await store.release([replace(held, finished=True)])

    assert await keys(redis_backend) == {STATE, LOCKS + "tick"}


async def test_an_unfinished_one_stays_open(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    await store.release([await won(store, tick(now, max_attempts=2), SERVER, RUN)])

    assert await keys(redis_backend) == {STATE, LOCKS + "tick", LOCKS + "open", "schedule:jobs:handed"}


async def test_an_exhausted_tick_leaves_nothing_open(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    await won(store, tick(now, max_attempts=2), SERVER, RUN)
    await redis_backend.lose("report", RUN, now)
    assert await verdict(store, rerun(now, max_attempts=1)) is Verdict.EXHAUSTED

    assert await keys(redis_backend) == {STATE, LOCKS + "tick", LOCKS + "server"}


async def test_refused_reruns_and_surveys_of_known_jobs_write_nothing(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    await won(store, tick(now, no_overlap=True, max_attempts=2), SERVER, RUN, OVERLAP)
    await won(store, tick(now, job="free", max_attempts=2), SERVER, RUN)
    await redis_backend.lose("free", RUN, now)
    await won(store, trigger("n9:r1", job="free"))
    await won(store, tick(now, job="paused", max_attempts=2), SERVER, RUN)
    await redis_backend.lose("paused", RUN, now)
    await store.set_paused("paused", True)
    before = await snapshot(redis_backend)

    assert await verdict(store, survey()) is Verdict.ELSEWHERE
    assert await verdict(store, rerun(now)) is Verdict.ELSEWHERE
    assert await verdict(store, rerun(now + 1)) is Verdict.ELSEWHERE
    assert await verdict(store, rerun(now, job="free", no_overlap=True)) is Verdict.OVERLAP
    assert await verdict(store, rerun(now, job="paused")) is Verdict.PAUSED
    assert await snapshot(redis_backend) == before


async def test_jobs_that_are_not_run_again_have_no_such_keys(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    held = await won(store, tick(now, no_overlap=True), SERVER, OVERLAP)
    assert not [key for key in await keys(redis_backend) if key.endswith(":open") or ":run:" in key]

    assert await verdict(store, survey(max_attempts=0)) is Verdict.ELSEWHERE
    await store.release([replace(held, finished=True)])
    await won(store, start("n1:r2"))
    assert await keys(redis_backend) == {STATE, LOCKS + "tick", LOCKS + "start"}


async def test_every_key_matches_the_one_pattern_that_a_user_needs(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(prefix="app:"), redis_backend.now_us()
    for job in ("report", "a:run:5", "run", "größe"):
        held = await won(store, tick(now, job=job, no_overlap=True, max_attempts=2), SERVER, RUN, OVERLAP)
        await store.renew([held])
    await store.release([held])

    names = await keys(redis_backend)
    assert [name for name in names if not fnmatchcase(name, "app:schedule:job*")] == []
    assert len(names) == 3 * 6 + 3 + 1


async def test_names_that_look_like_keys_do_not_meet(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    jobs = ["a", "a:run", "a:open", f"a:run:{now}", "a:tick"]
    await store.claim([tick(now, job=job, no_overlap=True, max_attempts=2) for job in jobs])

    answers = await store.claim([survey(job) for job in jobs])
    assert [answer.open_us for answer in answers] == [(now,)] * len(jobs)


# What cannot be read


async def check_corrupt(backend: RedisBackend, part: str, now: int) -> None:
    store = backend.store()
    before = {key: dump for key, dump in (await snapshot(backend)).items() if "report" in key}
    requests = [
        tick(now, job="before", max_attempts=2),
        tick(now, max_attempts=2),
        rerun(now),
        tick(now, job="after", max_attempts=2),
    ]
    first, asked, again, last = await store.claim(requests)

    assert (first.verdict, last.verdict) == (Verdict.WON, Verdict.WON)
    assert (first.open_us, last.open_us) == ((now,), (now,))
    for answer in (asked, again):
        assert answer.verdict is Verdict.CORRUPT
        assert f"the {part} key" in answer.detail
    assert {key: dump for key, dump in (await snapshot(backend)).items() if "report" in key} == before


@pytest.mark.parametrize("part", ["open", "run"])
async def test_a_key_of_another_type_is_corrupt_and_left_alone(redis_backend: RedisBackend, part: str) -> None:
    now = redis_backend.now_us()
    await redis_backend.raw.rpush(LOCKS + ("open" if part == "open" else f"run:{now}"), "foreign")

    await check_corrupt(redis_backend, part, now)


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("5", ""),
        ("5", "foreign"),
        ("5", "1|"),
        ("5", "|n1:r1"),
        ("5", "x|n1:r1"),
        ("5", "1.7e+15|n1:r1"),
        ("5", "99999999999999999|n1:r1"),
        ("", "1|n1:r1"),
        ("x", "1|n1:r1"),
        ("-5", "1|n1:r1"),
        ("9007199254740993", "1|n1:r1"),
    ],
)
async def test_an_open_tick_that_cannot_be_read_is_corrupt(
    redis_backend: RedisBackend, field: str, content: str
) -> None:
    await redis_backend.raw.hset(LOCKS + "open", field, content)

    await check_corrupt(redis_backend, "open", redis_backend.now_us())


@pytest.mark.parametrize("content", ["", "foreign", "n1:r1|", "|7", "n1|r1|7x"])
async def test_a_runs_lease_that_cannot_be_read_is_corrupt(redis_backend: RedisBackend, content: str) -> None:
    now = redis_backend.now_us()
    await redis_backend.raw.set(f"{LOCKS}run:{now}", content)

    await check_corrupt(redis_backend, "run", now)


async def test_a_survey_of_what_cannot_be_read_is_corrupt(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.set(LOCKS + "open", "foreign")
    store = redis_backend.store()

    assert await verdict(store, survey()) is Verdict.CORRUPT
    assert await verdict(store, survey(max_attempts=0)) is Verdict.ELSEWHERE


async def test_foreign_keys_are_neither_renewed_nor_released(redis_backend: RedisBackend) -> None:
    store, now = redis_backend.store(), redis_backend.now_us()
    held = await won(store, tick(now, max_attempts=2), RUN)
    for key in ("open", f"run:{now}"):
        await redis_backend.raw.delete(LOCKS + key)
        await redis_backend.raw.rpush(LOCKS + key, "foreign")
    before = await snapshot(redis_backend)

    assert list(await store.renew([held])) == [Renewal.LOST]
    assert list(await store.release([held, replace(held, finished=True)])) == [False, False]
    assert await snapshot(redis_backend) == before


async def test_an_open_tick_of_ours_is_read(redis_backend: RedisBackend) -> None:
    await redis_backend.raw.hset(LOCKS + "open", "5", "1|n|1:r|1")  # whatever stands in the owner

    answer = await decide(redis_backend.store(), rerun(5))
    assert (answer.verdict, answer.attempt, answer.open_us) == (Verdict.WON, 2, (5,))
