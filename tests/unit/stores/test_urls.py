"""URLs that name several servers: what they mean, and the rule by which one is refused."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio.connection import SSLConnection

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores._clients import options_of
from asyncsched.stores._urls import cluster_url, sentinel_url, shown
from asyncsched.stores.redis import RedisStore

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("h1", (("h1", 26379),)),
        ("h1:1,h2,h3:3", (("h1", 1), ("h2", 26379), ("h3", 3))),
        ("h1,h1:26379", (("h1", 26379),)),
        ("10.0.0.1:65535,[::1]:1,[fe80::1]", (("10.0.0.1", 65535), ("::1", 1), ("fe80::1", 26379))),
    ],
)
def test_hosts(hosts: str, addresses: tuple[tuple[str, int], ...]) -> None:
    assert sentinel_url(f"redis+sentinel://{hosts}/main").sentinels == addresses


def test_a_members_port_is_a_servers() -> None:
    assert cluster_url("redis+cluster://h1,h2:7001").members == (("h1", 6379), ("h2", 7001))
    assert cluster_url("redis+cluster://h1/").members == (("h1", 6379),)


def test_addresses_are_shown_as_in_urls() -> None:
    assert [shown(("h", 1)), shown(("::1", 2))] == ["h:1", "[::1]:2"]


@pytest.mark.parametrize(
    ("path", "service", "options"),
    [
        ("/main", "main", {}),
        ("/main/", "main", {}),
        ("/main/7", "main", {"db": 7}),
        ("/Main.1-x_y/0", "Main.1-x_y", {"db": 0}),
    ],
)
def test_the_service_and_its_database(path: str, service: str, options: dict[str, Any]) -> None:
    url = sentinel_url(f"redis+sentinel://h{path}")

    assert url.service == service
    assert options_of(url.server_url, given="") == options


def test_credentials_are_the_data_servers() -> None:
    url = "redis+sentinel://us%2Cer:p%40ss%2F@h1,h2/main?sentinel_username=s%26&sentinel_password=a%3Ab%40c&socket_timeout=2"
    parsed = sentinel_url(url)

    data = {"username": "us,er", "password": "p@ss/", "socket_timeout": 2.0}
    assert options_of(parsed.server_url, given=url) == data
    watching = {"username": "s&", "password": "a:b@c", "socket_timeout": 2.0}
    assert options_of(parsed.sentinel_url, given=url) == watching


def test_sentinels_are_told_no_credentials_of_others() -> None:
    parsed = sentinel_url(f"redis+sentinel://:{SECRET}@h/main?health_check_interval=3")

    assert options_of(parsed.sentinel_url, given="") == {}
    assert options_of(parsed.server_url, given="") == {"password": SECRET, "health_check_interval": 3}


def test_a_password_alone_is_the_default_users() -> None:
    parsed = sentinel_url(f"redis+sentinel://h/main?sentinel_password={SECRET}")

    assert options_of(parsed.sentinel_url, given="") == {"password": SECRET}


@pytest.mark.parametrize("truth", ["true", "True", "yes", "1"])
def test_encryption_is_for_all_of_them(truth: str) -> None:
    query = f"ssl={truth}&ssl_ca_certs=/ca.pem"
    parsed = sentinel_url(f"redis+sentinel://h/main?{query}")
    expected = {"connection_class": SSLConnection, "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": True}

    assert options_of(parsed.server_url, given="") == expected
    assert options_of(parsed.sentinel_url, given="") == expected
    assert options_of(cluster_url(f"redis+cluster://h?{query}").server_url, given="") == expected


@pytest.mark.parametrize("untruth", ["false", "no", "0"])
def test_encryption_can_be_denied(untruth: str) -> None:
    assert options_of(cluster_url(f"redis+cluster://h?ssl={untruth}").server_url, given="") == {}


NO_SENTINEL = [
    ("h1,h2", "the service's name"),
    ("h1,h2/", "the service's name"),
    ("h1,h2//0", "the service's name"),
    ("h1,h2/my%20main", "the service's name"),
    (f"u:123/{SECRET}@h1/main", "the service's name"),
    ("h1,h2/main/zero", "number of a database"),
    ("h1,h2/main/-1", "number of a database"),
    ("h1,h2/main/0/1", "number of a database"),
    ("h/main?sentinel_username=u", "needs a sentinel_password"),
]
NO_CLUSTER = [
    ("h1,h2/0", "nothing stands after the hosts"),
    ("h1,h2/main", "nothing stands after the hosts"),
    ("h?sentinel_password=x", "an option is unknown"),
]
NEITHER = [
    ("", "hosts are"),
    ("h1,,h2", "hosts are"),
    ("h1, h2", "hosts are"),
    ("h1:0", "hosts are"),
    ("h1:65536", "hosts are"),
    ("h1:port", "hosts are"),
    ("h1:", "hosts are"),
    ("::1", "hosts are"),
    ("[::1", "hosts are"),
    (f"u:{SECRET}@h1,u:{SECRET}@h2", "credentials stand once"),
    (f"h1,u:{SECRET}@h2", "credentials stand once"),
    (f"u:{SECRET}@x@h1", "credentials stand once"),
    (f"u:{SECRET}/x@h1", "hosts are"),
    (f"u:{SECRET}#x@h1", "cannot be read"),
    ("h?ssl", "options are"),
    ("h?ssl=maybe", "ssl is true or false"),
    ("h?ssl=true&ssl=false", "stands twice"),
    ("h?db=1", "db is no option"),
    ("h?colour=blue", "an option is unknown"),
    ("h?socket_timeout=soon", "an option is unknown, or its value is wrong"),
    ("h?ssl=true&ssl_min_version=x", "an option is unknown, or its value is wrong"),
]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        *((f"redis+sentinel://{rest}", rule) for rest, rule in NO_SENTINEL),
        *((f"redis+cluster://{rest}", rule) for rest, rule in NO_CLUSTER),
        *((f"redis+cluster://{rest}", rule) for rest, rule in NEITHER),
        *((f"redis+sentinel://{rest.replace('?', '/main?')}", rule) for rest, rule in NEITHER if "?" in rest),
    ],
)
def test_what_breaks_a_rule_is_refused_at_once(url: str, rule: str) -> None:
    with pytest.raises(ConfigurationError, match=rule) as caught:
        RedisStore(url)
    assert str(caught.value).startswith(f"store: '{url[:13]}")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "url", [f"redis+sentinel://u:{SECRET}@h1,h2/main?sentinel_password={SECRET}", f"redis+cluster://:{SECRET}@h1,h2:1"]
)
def test_a_repr_shows_where_and_hides_who(url: str) -> None:
    shown = repr(RedisStore(url))

    assert "***@h1,h2" in shown
    assert SECRET not in shown
