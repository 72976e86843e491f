"""Owns how URLs are read that name several servers: the Sentinels of a service, or members of a Cluster.

Imports no client: what a data server is to be told is handed on as a plain ``redis://`` URL.

    redis+sentinel://[user:password@]host[:port][,host[:port]]…/service[/db][?option=value&…]
    redis+cluster://[user:password@]host[:port][,host[:port]]…[?option=value&…]

Credentials stand once, before the first host, and are the data servers'. Options are those of a ``redis://``
URL, and ``ssl=true``; for the Sentinels' own credentials ``sentinel_username`` and ``sentinel_password``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import parse_qsl, quote, urlencode

from asyncsched.exceptions import ConfigurationError
from asyncsched.stores._settings import masked

SENTINEL, CLUSTER = "redis+sentinel://", "redis+cluster://"
SENTINEL_PORT, SERVER_PORT = 26379, 6379
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NOBODY = "host.invalid"
"""Stands where a plain URL needs a host and the host is not known yet."""

Address = tuple[str, int]
"""Host and port."""

_URL = re.compile(r"(?P<scheme>[^:]+://)(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?(?P<rest>#.*)?")
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:\[\]@]+)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """Who knows where a service's primary is."""

    sentinels: tuple[Address, ...]
    service: str
    server_url: str
    """Credentials, database and options of the primary, whose address is to be found out."""
    sentinel_url: str
    """Credentials and options of every Sentinel."""


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    """Members of a Cluster, any of which knows the others."""

    members: tuple[Address, ...]
    server_url: str
    """Credentials and options of every member."""


def shown(address: Address) -> str:
    """Return an address as it stands in URLs."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def sentinel_url(url: str) -> SentinelUrl:
    """Read a ``redis+sentinel://`` URL.

    Raises:
        ConfigurationError: it breaks a rule, which the message names.
    """
    credentials, hosts, path, options = _parts(url, SENTINEL_PORT)
    service, _, database = path.partition("/")
    if not re.fullmatch("[A-Za-z0-9._-]+", service):  # what a Sentinel allows
        _refuse(url, "after the hosts stands the service's name, of A-Z a-z 0-9 . _ -: redis+sentinel://h1,h2/service")
    if not re.fullmatch("[0-9]*", database):
        _refuse(url, "after the service stands nothing, or the number of a database: /service/0")
    user, password = options.pop("sentinel_username", ""), options.pop("sentinel_password", "")
    if user and not password:
        _refuse(url, "sentinel_username needs a sentinel_password")
    scheme = _scheme(url, options)
    shared = {name: value for name, value in options.items() if name.startswith(("ssl_", "socket_"))}
    own = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
    return SentinelUrl(
        hosts,
        service,
        server_url=f"{scheme}{credentials}{NOBODY}/{database}?{urlencode(options)}",
        sentinel_url=f"{scheme}{own}{NOBODY}?{urlencode(shared)}",
    )


def cluster_url(url: str) -> ClusterUrl:
    """Read a ``redis+cluster://`` URL.

    Raises:
        ConfigurationError: it breaks a rule, which the message names.
    """
    credentials, hosts, path, options = _parts(url, SERVER_PORT)
    if path:
        _refuse(url, "nothing stands after the hosts: a Cluster has no databases to choose from")
    scheme = _scheme(url, options)
    return ClusterUrl(hosts, server_url=f"{scheme}{credentials}{NOBODY}?{urlencode(options)}")


def _parts(url: str, port: int) -> tuple[str, tuple[Address, ...], str, dict[str, str]]:
    """Return the credentials with their ``@``, the hosts, the path without its slash, and the options."""
    match = _URL.fullmatch(url)
    if match is None or match["rest"]:
        _refuse(url, "it cannot be read; a / ? # @ or : in a password is written as %2F %3F %23 %40 %3A")
    credentials, at, hosts = match["authority"].rpartition("@")
    if "@" in credentials or "," in credentials.partition(":")[0]:
        _refuse(url, "credentials stand once, before the first host; an @ or a comma in them is written %40 or %2C")
    addresses = dict.fromkeys(_address(url, host, port) for host in hosts.split(","))
    return credentials + at, tuple(addresses), (match["path"] or "/")[1:], _options(url, match["query"] or "")


def _address(url: str, text: str, default_port: int) -> Address:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or default_port) if match else 0
    if match is None or not 0 < port < 65_536:
        _refuse(url, "hosts are host or host:port, IPv6 in [], with commas between them and no spaces")
    return match["host"].strip("[]"), port


def _options(url: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        _refuse(url, "options are ?name=value&name=value")
    options = dict(pairs)
    if len(options) < len(pairs):
        _refuse(url, "an option stands twice")
    if "db" in options:
        _refuse(url, "db is no option: a database of Sentinel's service stands after its name, a Cluster has one")
    return options


def _scheme(url: str, options: dict[str, str]) -> str:
    """Take ``ssl`` out of the options, and return the scheme of a plain URL that means it."""
    secure = TRUTHS.get(options.pop("ssl", "false").lower())
    if secure is None:
        _refuse(url, "ssl is true or false")
    return "rediss://" if secure else "redis://"


def _refuse(url: str, rule: str) -> NoReturn:
    # `from None`: the cause's own text may quote a part of the password.
    raise ConfigurationError(f"store: {masked(url)!r}: {rule}") from None
