"""Owns the fixtures that all tests share: the session's real redis-server, and its Redis Cluster.

Helper modules beside this file are imported by their plain names: ``from _redis_server import RedisServer``.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder of its own

from _redis_cluster import RedisCluster
from _redis_sentinel import SentinelService
from _redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs that tests start inherit that it is not ignored


@pytest.fixture
def ended_program() -> Iterator[None]:
    """Whatever a loop that was interrupted leaves behind is complained of here, and not in a later test."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server that tests share. Don't stop it: ``make_redis_server`` gives you one of your own."""
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty server."""
    redis_server.command("FLUSHALL")
    return redis_server.url


@pytest.fixture
def make_redis_server() -> Iterator[Callable[..., RedisServer]]:
    """Start a server of the test's own, with more command line options; it ends with the test."""
    servers: list[RedisServer] = []

    def make(*options: str) -> RedisServer:
        server = RedisServer(*options)
        server.start()
        servers.append(server)
        return server

    try:
        yield make
    finally:
        for server in servers:
            server.stop()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """The three primaries that tests share. Don't stop one: ``make_redis_cluster`` gives you some of your own."""
    cluster = RedisCluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def make_redis_cluster() -> Iterator[Callable[..., RedisCluster]]:
    """Start a Cluster of the test's own; it ends with the test."""
    clusters: list[RedisCluster] = []

    def make(*options: str, **numbers: int) -> RedisCluster:
        clusters.append(RedisCluster(*options, **numbers))
        clusters[-1].start()
        return clusters[-1]

    try:
        yield make
    finally:
        for cluster in clusters:
            cluster.stop()


@pytest.fixture
def make_sentinel_service() -> Iterator[Callable[..., SentinelService]]:
    """Start a primary, a replica and three Sentinels of the test's own; they end with the test."""
    services: list[SentinelService] = []

    def make(*options: str, **more: Any) -> SentinelService:
        services.append(SentinelService(*options, **more))
        services[-1].start()
        return services[-1]

    try:
        yield make
    finally:
        for service in services:
            service.stop()
