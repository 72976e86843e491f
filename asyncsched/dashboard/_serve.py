"""Owns the dashboard as a program of its own: on which address it may be, and who acts there."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from asyncsched._extras import needed
from asyncsched.dashboard._app import dashboard
from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from starlette.applications import Starlette

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


def serve(
    url: Any,
    prefix: str = "",
    host: str = "127.0.0.1",
    port: int = 8210,
    root_path: str = "",
    actions: bool = False,
    *,
    exposed: bool = False,
    hosts: Sequence[str] = (),
) -> None:
    """Serve the dashboard of a store until Ctrl-C or SIGTERM.

    Args:
        url: of the store, or whatever ``Scheduler`` takes as one.
        prefix: of the keys.
        host: the address to listen on. One that other machines reach needs ``exposed``: there is no login.
        port: 0 to 65 535; 0: one that is free.
        root_path: under which a proxy shows it, such as ``/jobs``.
        actions: whether who looks may act as well, as the user of this process. On loopback addresses only.
        exposed: that it is meant to be seen by everybody who reaches ``host``.
        hosts: further names by which it may be asked for, such as that of a proxy. On a loopback address it answers to
            the names of this machine's loopback alone; elsewhere to all names, unless some are given.

    Raises:
        ConfigurationError: an argument against its rule, or ``uvicorn`` is not installed.
    """
    uvicorn = needed("uvicorn", "uvicorn", "dashboard", "dashboards of their own")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigurationError(f"serve(port={port!r}): the rule is a whole number in 0-65535")
    if root_path and (not root_path.startswith("/") or root_path.endswith("/")):
        raise ConfigurationError(f"serve(root_path={root_path!r}): the rule is a path such as '/jobs'")
    app = app_for(url, prefix, host, actions=actions, exposed=exposed, hosts=hosts)
    uvicorn.run(
        app,
        host=host,
        port=port,
        root_path=root_path,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )


def app_for(url: Any, prefix: str, host: str, *, actions: bool, exposed: bool, hosts: Sequence[str] = ()) -> Starlette:
    """Return the app for an address, if it may be there."""
    is_local = is_loopback(host)
    if not is_local and not exposed:
        raise ConfigurationError(
            f"serve(host={host!r}): other machines reach it, and there is no login; the rule is a loopback address, or "
            "exposed=True"
        )
    if actions and (not is_local or hosts):
        raise ConfigurationError(
            f"serve(actions=True, host={host!r}, hosts={tuple(hosts)!r}): whoever reaches it may act; the rule is a "
            "loopback address and no further names. A service that knows its users may mount dashboard(…, actions=…)"
        )
    known = (*LOOPBACK_NAMES, host, *hosts) if is_local else (tuple(hosts) or None)
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return dashboard(url, prefix=prefix, actions=(lambda _: who) if actions else None, hosts=known)


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
