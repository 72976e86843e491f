"""TLS against a real server: who is believed, who is not, and what the scheduler does when nobody can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from _certificates import Authority, tls_url
from _contract import OVERLAP, SERVER, tick, won
from _redis_server import free_port
from redis.asyncio.connection import SSLConnection

from asyncsched import Scheduler
from asyncsched.events import Event, StoreLost
from asyncsched.exceptions import ConfigurationError, StoreUnavailableError
from asyncsched.stores._clients import client_of_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from asyncsched.stores.redis import RedisStore

OLD_REDIS_PY = "Error 1 connecting"
"""All that redis-py 5.0 says of a failed handshake."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signs the server's certificate, and the clients'."""
    return Authority(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """An authority that the server, or the client, knows nothing of."""
    return Authority(tmp_path, "stranger")


@pytest.fixture
def serve(make_redis_server: Any) -> Callable[..., int]:
    """Start a server that speaks TLS, and return its port."""

    def start(signer: Authority, **options: Any) -> int:
        port = free_port()
        make_redis_server(*signer.server_options(port, **options))
        return port

    return start


async def use(store: RedisStore) -> None:
    """Everything that a store asks its server."""
    await store.refresh()
    now = store.time()
    assert now is not None
    held = await won(store, tick(round(now * 1e6) - 10_000_000, no_overlap=True), SERVER, OVERLAP)
    assert list(await store.renew([held])) == ["held"]
    assert list(await store.release([held])) == [True]
    await store.set_paused("report", True)


@pytest.mark.redis
async def test_a_known_authority_suffices(connect: Any, serve: Any, authority: Authority) -> None:
    await use(connect(tls_url(serve(authority), ssl_ca_certs=authority.file)))


@pytest.mark.redis
async def test_an_unknown_authority_is_refused(
    connect: Any, serve: Any, authority: Authority, stranger: Authority
) -> None:
    port = serve(authority)
    for options in ({}, {"ssl_ca_certs": stranger.file}):
        with pytest.raises(StoreUnavailableError, match=rf"(?i)certificate.verify.failed|{OLD_REDIS_PY}"):
            await connect(tls_url(port, **options)).claim([tick(1)])


@pytest.mark.redis
async def test_another_hosts_certificate_is_refused(connect: Any, serve: Any, authority: Authority) -> None:
    port = serve(authority, host="other.example")
    with pytest.raises(StoreUnavailableError, match=f"(?i)hostname mismatch|{OLD_REDIS_PY}"):
        await connect(tls_url(port, ssl_ca_certs=authority.file)).claim([tick(1)])


@pytest.mark.redis
@pytest.mark.parametrize("options", [{"ssl_check_hostname": "false"}, {"ssl_cert_reqs": "none"}])
async def test_verification_ends_where_the_url_says_so(
    connect: Any, serve: Any, authority: Authority, options: dict[str, str]
) -> None:
    port = serve(authority, host="other.example")
    await use(connect(tls_url(port, ssl_ca_certs=authority.file, **options)))


@pytest.mark.redis
async def test_a_server_may_want_to_know_its_clients(
    connect: Any, serve: Any, authority: Authority, stranger: Authority
) -> None:
    port = serve(authority, asks_clients=True)

    def url(signer: Authority | None) -> str:
        if signer is None:
            return tls_url(port, ssl_ca_certs=authority.file)
        certificate, key = signer.issue("node-1")
        return tls_url(port, ssl_ca_certs=authority.file, ssl_certfile=certificate, ssl_keyfile=key)

    await use(connect(url(authority)))
    for signer in (None, stranger):
        with pytest.raises(StoreUnavailableError):
            await connect(url(signer)).claim([tick(1)])


@pytest.mark.redis
async def test_a_plain_server_is_no_tls_server(connect: Any, redis_server: Any) -> None:
    with pytest.raises(StoreUnavailableError):
        await connect(tls_url(redis_server.port), operation_timeout=1.0).refresh()


async def run_beside(scheduler: Scheduler, enough: Callable[[], bool]) -> None:
    async with scheduler, asyncio.timeout(30):
        while not enough():
            await asyncio.sleep(0.02)


@pytest.mark.redis
async def test_a_whole_scheduler_over_tls(serve: Any, authority: Authority) -> None:
    scheduler = Scheduler(tls_url(serve(authority), ssl_ca_certs=authority.file))
    ran: list[str] = []
    scheduler.add_job("guarded", lambda: ran.append("guarded")).per_seconds(0.1).on_one_server().without_overlapping()
    scheduler.add_job("once", lambda: ran.append("once")).immediate().on_one_server()

    await run_beside(scheduler, lambda: ran.count("guarded") >= 3 and "once" in ran)
    assert ran.count("once") == 1


@pytest.mark.redis
async def test_a_server_that_nobody_vouches_for_stops_only_what_it_guards(
    serve: Any, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(tls_url(serve(authority)))
    ran: list[str] = []
    heard: list[Event] = []
    scheduler.add_job("guarded", lambda: ran.append("guarded")).per_seconds(0.1).on_one_server()
    scheduler.add_job("plain", lambda: ran.append("plain")).per_seconds(0.1)
    scheduler.subscribe(heard.append, StoreLost)

    def enough() -> bool:
        return ran.count("plain") >= 5 and scheduler.snapshot().counters.get("store_unavailable", 0) >= 2

    await run_beside(scheduler, enough)
    assert "guarded" not in ran
    (lost,) = heard
    assert isinstance(lost, StoreLost)
    assert "certificate" in lost.error.lower() or OLD_REDIS_PY in lost.error
    assert sum("does not answer" in record.getMessage() for record in caplog.records) == 1


# What is decided before any connection


@pytest.mark.parametrize(
    ("query", "checked"),
    [("", True), ("?ssl_check_hostname=no", False), ("?ssl_cert_reqs=none", False), ("?ssl_cert_reqs=optional", True)],
)
def test_host_names_are_verified_unless_the_url_says_otherwise(query: str, checked: bool) -> None:
    pool = client_of_url(f"rediss://host{query}", 1.0).connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)

    assert isinstance(connection, SSLConnection)
    assert connection.ssl_context.get().check_hostname is checked


@pytest.mark.parametrize("query", ["ssl_ciphers=none-such", "ssl_min_version=99999", "ssl_ca_data=x"])
def test_options_that_can_never_work_are_refused_at_once(query: str) -> None:
    # At the first connection their errors would not be the server's, and would end the scheduler.
    with pytest.raises(ConfigurationError, match=r"TLS options cannot be used|not a valid Redis URL") as caught:
        Scheduler(f"rediss://:s3cr3t@host?{query}")
    assert "s3cr3t" not in str(caught.value)


def test_a_file_that_holds_no_certificate_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(ConfigurationError, match="its TLS options cannot be used: "):
        Scheduler(f"rediss://host?ssl_ca_certs={tmp_path / 'ca.pem'}")


async def test_a_file_that_is_not_there_yet_is_an_unavailable_store(connect: Any, tmp_path: Path) -> None:
    store = connect(tls_url(free_port(), ssl_ca_certs=tmp_path / "later.pem"))
    with pytest.raises(StoreUnavailableError):
        await store.refresh()
