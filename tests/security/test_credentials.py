"""No credential is ever shown: in no error, repr, traceback, log record or event, however odd the URL is."""

from __future__ import annotations

import asyncio
import logging
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import redis.asyncio
import redis.credentials
from hypothesis import example, given
from hypothesis import strategies as st

from asyncsched import Scheduler
from asyncsched.events import StoreLost, StoreRecovered
from asyncsched.exceptions import ConfigurationError, StoreUnavailableError
from asyncsched.stores._settings import masked
from asyncsched.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _redis_server import RedisServer

HEAD, TAIL = "Zq7Kx", "Wv9Jy"
"""The ends of every secret below, which occur nowhere else."""


def shows_secret(text: str) -> bool:
    return HEAD in text or TAIL in text


def told(error: BaseException | None) -> str:
    """All that a program can print of an error and of what led to it."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


# What a URL shows

QUOTED = ["redis://user:{}@host/0", "rediss://:{}@host:6379", "redis://{}@host", "unix://user:{}@/run/redis.sock"]
MALFORMED = [
    "redis://user:{}@host:port/0",
    "redis://user:{}@host/zero",
    "redis://user:{}@host:6379:1/0",
    "redis://user:{}@[::1/0",
    "redis://host/0?password={}",
    "redis://host/0?colour={}",
    "redis:///user:{}@host/0",
    "redis:/user:{}@host/0",
    "redis:user:{}@host/0",
    "user:{}@host:6379",
    "http://user:{}@host/0",
    "redis+cluster://user:{}@host/0",
    "redis+sentinel://user:{}@h1:26379,h2:26379/main/0",
]
WITHOUT_HOST = ["redis://user:{}", "redis://:{}", "redis:user:{}", "user:{}"]


@given(st.sampled_from(QUOTED + MALFORMED), st.text(max_size=12), st.booleans())
@example("redis://{}@host", "://", False)
@example("user:{}@host:6379", "://", False)
@example("redis://user:{}@host/0", "/", False)
@example("redis://user:{}@host/0", "#", False)
@example("redis://user:{}@host/0", "\udc80", False)
@example("redis://user:{}@host/0", "\n", False)
def test_no_url_shows_its_password(form: str, middle: str, is_quoted: bool) -> None:
    secret = HEAD + middle + TAIL
    url = form.format(quote(secret, safe="", errors="replace") if is_quoted else secret)

    assert not shows_secret(masked(url))
    try:
        shown = repr(Scheduler(url))
    except ConfigurationError as error:
        shown = told(error)
    assert not shows_secret(shown)


@given(st.sampled_from(WITHOUT_HOST), st.text(max_size=12).filter(lambda text: "@" not in text))
def test_a_url_that_ends_with_its_password_does_not_show_it(form: str, middle: str) -> None:
    url = form.format(HEAD + middle + TAIL)

    with pytest.raises(ConfigurationError) as caught:
        Scheduler(url)
    assert not shows_secret(told(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pass@redis-1.example:6379/2?ssl_ca_certs=/ca.pem", "redis://***@redis-1.example:6379/2"),
        ("rediss://[::1]:6379", "rediss://[::1]:6379"),
        ("redis+sentinel://:p@h1:26379,[::1]:2,h3/main/0", "redis+sentinel://***@h1:26379,[::1]:2,h3/main/0"),
        ("unix:///run/redis/a-b.sock?db=1", "unix:///run/redis/a-b.sock"),
        ("localhost:6379", "localhost:6379"),
        ("http://host", "http://host"),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


# What a refused password leaves behind


class Overheard(logging.Handler):
    """Keeps every record of every logger, as text with its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {record.__dict__}")


@pytest.fixture
def overheard() -> Iterator[Overheard]:
    """All that anybody logs."""
    handler, root = Overheard(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


async def live_through_outage(scheduler: Scheduler, until: Callable[[], bool]) -> str:
    """Run until it is so, steer it meanwhile, and return all that the scheduler showed."""
    shown: list[str] = []
    scheduler.subscribe(lambda event: shown.append(repr(event)))
    async with scheduler:
        async with asyncio.timeout(30):
            while not until():
                await asyncio.sleep(0.02)
        for steer in (scheduler.pause, scheduler.resume):
            with pytest.raises(StoreUnavailableError) as caught:
                await steer("guarded")
            shown.append(told(caught.value))
        run = await scheduler.trigger("plain")
        shown += [repr(run), repr(scheduler), repr(scheduler.snapshot()), repr(scheduler.jobs)]
    return "\n".join(shown)


def busy(store: Any, ran: list[str]) -> Scheduler:
    scheduler = Scheduler(store, shutdown_timeout=1)
    scheduler.add_job("guarded", lambda: ran.append("guarded")).per_seconds(0.1).on_one_server().without_overlapping()
    scheduler.add_job("plain", lambda: ran.append("plain")).per_seconds(0.1)
    return scheduler


SECRETS = [HEAD + TAIL, f"{HEAD}:/?#[]@!%20&{TAIL}", f"{HEAD}é{TAIL}"]


@pytest.mark.redis
@pytest.mark.parametrize("secret", SECRETS)
async def test_a_wrong_password_is_said_once_and_never_shown(
    redis_server: RedisServer, overheard: Overheard, secret: str
) -> None:
    ran: list[str] = []
    url = f"redis://nobody:{quote(secret, safe='')}@127.0.0.1:{redis_server.port}/0"
    scheduler = busy(url, ran)

    def outage_is_old() -> bool:
        return ran.count("plain") > 5 and scheduler.snapshot().counters.get("store_unavailable", 0) > 1

    shown = await live_through_outage(scheduler, outage_is_old)

    assert "guarded" not in ran
    said = [line for line in overheard.lines if "the store does not answer" in line]
    assert len(said) == 1
    assert "invalid username-password pair" in said[0]
    assert not shows_secret(shown + "\n".join(overheard.lines))


@pytest.mark.redis
@pytest.mark.parametrize("secret", SECRETS)
async def test_a_quoted_password_is_the_password(connect: Any, make_redis_server: Any, secret: str) -> None:
    server = make_redis_server()
    assert server.command("ACL", "SETUSER", "scheduler", "on", f">{secret}", "~*", "+@all") == "+OK"

    await connect(f"redis://scheduler:{quote(secret, safe='')}@127.0.0.1:{server.port}/0").refresh()
    with pytest.raises(StoreUnavailableError):
        await connect(f"redis://scheduler:x{quote(secret, safe='')}@127.0.0.1:{server.port}/0").refresh()


@pytest.mark.redis
async def test_an_outage_ends_when_the_password_is_right_again(redis_server: RedisServer, redis_url: str) -> None:
    ran: list[str] = []
    scheduler = busy(redis_url.replace("redis://", f"redis://scheduler:{HEAD}@"), ran)
    heard: list[type] = []
    scheduler.subscribe(lambda event: heard.append(type(event)), StoreLost, StoreRecovered)
    try:
        async with scheduler, asyncio.timeout(30):
            while not heard:
                await asyncio.sleep(0.02)
            redis_server.command("ACL", "SETUSER", "scheduler", "on", f">{HEAD}", "~schedule:job*", "+@all")
            while "guarded" not in ran or len(heard) < 2:
                await asyncio.sleep(0.02)
    finally:
        redis_server.command("ACL", "DELUSER", "scheduler")
    assert heard == [StoreLost, StoreRecovered]


class Broken(redis.credentials.CredentialProvider):
    """Credentials from a service that is away."""

    def get_credentials(self) -> Any:
        raise LookupError(f"no lease for {HEAD}")

    async def get_credentials_async(self) -> Any:
        return self.get_credentials()


@pytest.mark.redis
async def test_a_failing_provider_of_credentials_is_an_outage(make_redis_server: Any, overheard: Overheard) -> None:
    server = make_redis_server("--requirepass", "another")
    client = redis.asyncio.Redis(port=server.port, credential_provider=Broken())
    store = RedisStore(client)
    try:
        with pytest.raises(StoreUnavailableError, match="the client raised LookupError") as caught:
            await store.refresh()
        assert not shows_secret(str(caught.value))
        ran: list[str] = []
        await live_through_outage(busy(client, ran), lambda: ran.count("plain") > 5)
        assert set(ran) == {"plain"}
        assert not shows_secret("\n".join(overheard.lines))
    finally:
        await client.connection_pool.disconnect()
