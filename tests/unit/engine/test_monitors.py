"""Pings and check-ins: monitors outside are told of each run, beside it, and no secret of theirs is shown."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import sentry_sdk
from _engine_doubles import ScriptedStore, Work, counted, guarded, plain, quick, running
from sentry_sdk.transport import Transport

from asyncsched import Job, Outcome, Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncsched.testing import FakeClock

SECRET = "5f0e1b2c-key"
URL = f"https://hc.example/{SECRET}"


class Internet:
    """What is called, and what it answers: a status, an error, or an event that it waits for."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.headers: list[httpx.Headers] = []
        self.answers: deque[Any] = deque()

    async def answer(self, _transport: object, request: httpx.Request) -> httpx.Response:
        self.called.append(str(request.url).removeprefix(URL))
        self.headers.append(request.headers)
        answer = self.answers.popleft() if self.answers else 200
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = 200
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, request=request)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    made = Internet()
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", lambda *args: made.answer(*args))
    return made


def watched(job: Job) -> Job:
    return job.ping(f"{URL}/start", on="start").ping(URL).ping(f"{URL}/fail", on="failure")


async def fail() -> None:
    raise ValueError


async def give_up() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("handler", "called"),
    [(quick, ["/start", ""]), (fail, ["/start", "/fail"]), (give_up, ["/start", "/fail"])],
)
async def test_pings_of_a_run(
    scheduler: Scheduler, clock: FakeClock, internet: Internet, handler: Any, called: list[str]
) -> None:
    plain(scheduler, handler)
    watched(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(10)
    assert internet.called == called
    assert {headers["user-agent"] for headers in internet.headers} == {"asyncsched"}


async def test_the_end_is_told_after_the_start_and_the_run_waits_for_neither(
    scheduler: Scheduler, clock: FakeClock, internet: Internet
) -> None:
    may_answer = asyncio.Event()
    internet.answers.append(may_answer)
    plain(scheduler, quick, seconds=100)
    watched(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(100)
        assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
        assert internet.called == ["/start"]
        may_answer.set()
        await clock.settle()
        assert internet.called == ["/start", ""]


async def test_a_lost_lease_is_a_failure(
    scheduler: Scheduler, store: ScriptedStore, clock: FakeClock, internet: Internet
) -> None:
    work = Work(deaf=True)
    guarded(scheduler, work, seconds=100)
    watched(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(101)
        store.lose("a")
        await clock.advance(20)
        work.finish()
        await clock.settle()
        assert internet.called == ["/start", "/fail"]


async def test_a_ping_is_tried_again(scheduler: Scheduler, clock: FakeClock, internet: Internet) -> None:
    internet.answers.extend([503, httpx.ConnectError(f"cannot reach {URL}")])
    plain(scheduler, quick, seconds=100)
    scheduler.get_job("a").ping(URL)
    async with running(scheduler, clock):
        await clock.advance(100)
        assert len(internet.called) == 1
        await clock.advance(1)
        assert len(internet.called) == 2
        await clock.advance(1.9)
        assert len(internet.called) == 2
        await clock.advance(50)
        assert len(internet.called) == 3


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (404, "the answer is 404"),
        (302, "the answer is 302"),
        (httpx.ConnectError(f"cannot reach {URL}"), "ConnectError"),
    ],
)
async def test_a_ping_that_fails_is_a_line_in_the_log_and_nothing_else(
    scheduler: Scheduler, clock: FakeClock, internet: Internet, caplog: pytest.LogCaptureFixture, answer: Any, why: str
) -> None:
    caplog.set_level(logging.DEBUG)
    internet.answers.extend([answer] * 3)
    plain(scheduler, quick, seconds=100)
    scheduler.get_job("a").ping(URL)
    async with running(scheduler, clock):
        await clock.advance(110)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line == f"job=a ping('https://hc.example/***', on='success') failed: {why}"
    assert SECRET not in caplog.text


async def test_a_monitor_that_does_not_answer(
    scheduler: Scheduler, clock: FakeClock, internet: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    internet.answers.append(asyncio.Event())
    plain(scheduler, quick, seconds=100)
    scheduler.get_job("a").ping(URL).ping(f"{URL}/second")
    async with running(scheduler, clock):
        await clock.advance(114.9)
        assert (internet.called, caplog.text) == ([""], "")
        await clock.advance(0.1)
        assert internet.called == ["", "/second"]
    assert "failed: no answer within 15 s" in caplog.text


async def test_a_stop_waits_no_longer_than_5_seconds(
    scheduler: Scheduler, clock: FakeClock, internet: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    internet.answers.append(asyncio.Event())
    plain(scheduler, quick, seconds=100)
    watched(scheduler.get_job("a"))
    async with running(scheduler, clock):
        await clock.advance(100)
        stopping = asyncio.ensure_future(scheduler.stop())
        await clock.advance(4.9)
        assert not stopping.done()
        await clock.advance(0.1)
        await stopping
    assert "failed: the scheduler has stopped" in caplog.text


async def test_a_user_in_the_url(scheduler: Scheduler, clock: FakeClock, internet: Internet) -> None:
    plain(scheduler, quick)
    job = scheduler.get_job("a").ping("https://me:pass%20word@[::1]:8000/key?q=1")
    assert job.policies == ("ping('https://[::1]:8000/***', on='success')",)
    async with running(scheduler, clock):
        await clock.advance(10)
    assert internet.headers[0]["authorization"] == httpx.BasicAuth("me", "pass word")._auth_header


async def test_over_a_real_socket(scheduler: Scheduler, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.put_nowait(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        plain(scheduler, quick)
        scheduler.get_job("a").ping(f"http://127.0.0.1:{port}/{SECRET}")
        async with running(scheduler, clock):
            await clock.advance(10)
            line = await asyncio.wait_for(lines.get(), 10)
            while asyncio.all_tasks() & scheduler._bus.beside._tasks:
                await asyncio.sleep(0.001)
    assert line == f"GET /{SECRET} HTTP/1.1\r\n".encode()
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("ftp://host/secret",), "the rule for the URL is http:// or https://, and a host"),
        (("secret",), "the rule for the URL is http:// or https://, and a host"),
        (("http:///secret",), "the rule for the URL is http:// or https://, and a host"),
        (("http://host:secret/",), "the URL is malformed"),
        (("http://host/\x00secret",), "the URL is malformed"),
        ((b"http://host/secret",), "the URL is no string, but of the type bytes"),
        ((None,), "the URL is no string, but of the type NoneType"),
        (("http://host/secret", "end"), "on='end': the rule is 'start', 'success' or 'failure'"),
        (("http://host/secret", None), "on=None: the rule"),
        (("http://host/secret", ["start"]), r"on=['start']: the rule"),
    ],
)
def test_pings_refused(arguments: Any, rule: str) -> None:
    job = Job("j", quick)
    with pytest.raises(ValueError) as caught:
        job.ping(*arguments)
    assert str(caught.value).startswith(f"job 'j': ping(): {rule}")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert job.policies == ()


def test_the_url_is_shown_nowhere() -> None:
    job = watched(watched(Job("j", quick)))
    assert len(job.policies) == 3, "each once"
    assert SECRET not in repr(job) + repr(job.run_policies)


@pytest.mark.parametrize(
    ("module", "call", "rule"),
    [
        ("httpx", lambda job: job.ping(URL), r"pings need the package httpx: pip install 'asyncsched\[ping\]'"),
        (
            "sentry_sdk.crons",
            lambda job: job.sentry_checkin("m"),
            r"check-ins need the package sentry-sdk: pip install 'asyncsched\[sentry\]'",
        ),
    ],
)
def test_without_the_package(
    monkeypatch: pytest.MonkeyPatch, module: str, call: Callable[[Job], Job], rule: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rule):
        call(Job("j", quick))


# Sentry


@pytest.fixture
def check_ins() -> Iterator[list[dict[str, Any]]]:
    """What Sentry's client would send."""
    sent: list[dict[str, Any]] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            sent.extend(item.payload.json for item in envelope.items if item.type == "check_in")

    sentry_sdk.init(
        "http://key@127.0.0.1/1", transport=Kept, default_integrations=False, auto_enabling_integrations=False
    )
    yield sent
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


@pytest.mark.parametrize(("handler", "status"), [(quick, "ok"), (fail, "error"), (give_up, "error")])
async def test_check_ins_of_a_run(
    scheduler: Scheduler, clock: FakeClock, check_ins: list[dict[str, Any]], handler: Any, status: str
) -> None:
    plain(scheduler, handler)
    scheduler.get_job("a").sentry_checkin("nightly")
    async with running(scheduler, clock):
        await clock.advance(10)
    assert [(each["monitor_slug"], each["status"], each["duration"]) for each in check_ins] == [
        ("nightly", "in_progress", None),
        ("nightly", status, 0.0),
    ]
    assert len({each["check_in_id"] for each in check_ins}) == 1


async def test_a_check_in_that_fails(
    scheduler: Scheduler, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("no client")

    monkeypatch.setattr(sentry_sdk.crons, "capture_checkin", refuse)
    plain(scheduler, quick)
    scheduler.get_job("a").sentry_checkin("nightly")
    async with running(scheduler, clock):
        await clock.advance(10)
    assert counted(scheduler) == {Outcome.SUCCEEDED: 1}
    assert caplog.text.count("job=a check-in of the monitor nightly failed") == 2


@pytest.mark.parametrize("slug", ["", "a b", "a/b", "x" * 51, None, 5, "ä"], ids=repr)
def test_slugs_refused(slug: Any) -> None:
    with pytest.raises(ValueError, match=r"job 'j': sentry_checkin\(.*\): the rule for a slug is 1 to 50 ASCII"):
        Job("j", quick).sentry_checkin(slug)


def test_a_second_slug() -> None:
    job = Job("j", quick).sentry_checkin("one").sentry_checkin("one")
    assert job.policies == ("sentry_checkin('one')",)
    with pytest.raises(ValueError, match="it was given before with the value 'one'"):
        job.sentry_checkin("two")
