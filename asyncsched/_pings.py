"""Owns what a job tells monitors outside: URLs to call, and the check-ins of Sentry. Knows nothing of telling it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from asyncsched._extras import needed
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

MOMENTS = ("start", "success", "failure")
_SLUG = re.compile(r"[A-Za-z0-9_-]{1,50}")


@dataclass(frozen=True, slots=True, repr=False)
class Ping:
    """A URL that is called at a moment of each run. It is shown without what may be secret."""

    url: str
    on: str
    shown: str
    """The URL without user, password, path and query: in the path of a ping stands the key of its check."""

    def __str__(self) -> str:
        """Tell it as it is called."""
        return f"ping('{self.shown}', on='{self.on}')"

    __repr__ = __str__


def checked_ping(url: object, on: object) -> Ping:
    """Return the ping of these values.

    Raises:
        ConfigurationError: a value against its rule, or httpx is not installed. The message does not show the URL.
    """
    if on not in MOMENTS or not isinstance(on, str):
        raise ConfigurationError(f"on={on!r}: the rule is 'start', 'success' or 'failure'")
    if not isinstance(url, str):
        raise ConfigurationError(f"the URL is no string, but of the type {type(url).__name__}")
    client = httpx()
    ssl_context()
    try:
        parts = client.URL(url)
    except client.InvalidURL:
        raise ConfigurationError("the URL is malformed") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ConfigurationError("the rule for the URL is http:// or https://, and a host")
    port = "" if parts.port is None else f":{parts.port}"
    host = f"[{parts.host}]" if ":" in parts.host else parts.host
    return Ping(url, on, f"{parts.scheme}://{host}{port}/***")


def httpx() -> Any:
    """Return the package httpx."""
    return needed("httpx", "httpx", "ping", "pings")


@lru_cache
def ssl_context() -> SSLContext:
    """Return how servers are verified. To make it blocks for some milliseconds, so it is done ahead."""
    context: SSLContext = httpx().create_ssl_context()
    return context


def checked_slug(slug: object) -> str:
    """Return the slug of a monitor of Sentry.

    Raises:
        ConfigurationError: it is against the rule, or sentry-sdk is not installed.
    """
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise ConfigurationError("the rule for a slug is 1 to 50 ASCII letters, digits, '-' and '_'")
    crons()
    return slug


def crons() -> Any:
    """Return what sentry-sdk has for scheduled jobs."""
    return needed("sentry_sdk.crons", "sentry-sdk", "sentry", "check-ins")
