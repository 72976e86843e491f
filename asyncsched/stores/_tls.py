"""Owns what TLS means for a client of our own: whose certificate is believed, and options that cannot work.

Opens no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio.connection import parse_url

from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


def tls_options(url: str) -> dict[str, Any]:
    """Return the client's options for ``url``, for which the URL's own query may have others.

    The name of the host is verified, as redis-py does by itself only from version 6 on: a certificate that is good
    for any other host must not do. Where the URL switches off verification, there is no name to verify.
    """
    if not url.startswith("rediss://"):
        return {}
    options: dict[str, Any] = dict(parse_url(url))
    return {"ssl_check_hostname": options.get("ssl_cert_reqs") != "none"}


def check_tls(connection: AbstractConnection, where: str) -> None:
    """Refuse TLS options that can never work: found at the first connection, they would stop the scheduler.

    Raises:
        ConfigurationError: a file holds no certificate or no key, or options contradict each other.
    """
    tls = getattr(connection, "ssl_context", None)
    if tls is None:
        return
    try:
        tls.get()
    except (FileNotFoundError, PermissionError):
        return  # it may be there before the server is: until then the store is unavailable
    except (OSError, ValueError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        return
    raise ConfigurationError(f"store: {where!r}: its TLS options cannot be used: {reason}")
