"""Owns who may act, and that it was they who asked: the service's own authorisation, and the protection against
requests that another site makes a browser send. Knows nothing of what is done."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from asyncsched.exceptions import ConfigurationError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Authorise: TypeAlias = "Callable[[Request], str | Awaitable[str | None] | None]"

COOKIE = "asyncsched_dashboard"
LONGEST_WHO = 200


class Guard:
    """Says who acts.

    Forms carry a token that is made of a cookie: another site can make a browser send a form, but it can read neither
    the page nor the cookie, and browsers do not send the cookie with another site's requests. Nothing is kept, so a
    form of one process of a service may be answered by another.
    """

    def __init__(self, authorise: Authorise | None, origins: Sequence[str]) -> None:
        if authorise is not None and not callable(authorise):
            raise ConfigurationError(f"dashboard(actions={authorise!r}): the rule is a function that says who acts")
        if isinstance(origins, str) or not all(_is_origin(origin) for origin in origins):
            raise ConfigurationError(
                f"dashboard(origins={origins!r}): the rule is a list such as ['https://ops.example']"
            )
        self._authorise = authorise
        self._origins = frozenset(origins)

    @property
    def is_open(self) -> bool:
        """Whether anybody may act."""
        return self._authorise is not None

    async def who(self, request: Request) -> str | None:
        """Return who acts; ``None``: nobody who may.

        Raises:
            ConfigurationError: the service's function answers with something else.
        """
        if self._authorise is None:
            return None
        answer = self._authorise(request)
        who = await answer if inspect.isawaitable(answer) else answer
        if who is None:
            return None
        if not isinstance(who, str) or not who.strip() or len(who) > LONGEST_WHO or not who.isprintable():
            raise ConfigurationError(
                f"dashboard(actions=…): it answered {who!r}; the rule is None, or 1 to {LONGEST_WHO} printable letters"
            )
        return who

    def cookie_of(self, request: Request) -> str:
        """Return what the browser's token is made of; a new one if it has none."""
        return request.cookies.get(COOKIE, "") or secrets.token_urlsafe(32)

    def keep(self, request: Request, response: Response, cookie: str) -> None:
        """Let the browser have the cookie."""
        if request.cookies.get(COOKIE) != cookie:
            response.set_cookie(
                COOKIE,
                cookie,
                path=str(request.scope.get("root_path", "")) + "/",
                secure=request.url.scheme == "https",
                httponly=True,
                samesite="strict",
            )

    def refusal(self, request: Request, token: str) -> str:
        """Return why a form was not sent by a page of this dashboard; empty: it was."""
        origin = request.headers.get("origin", "")
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "the request comes from another site"
        if (origin not in self._origins and urlsplit(origin).netloc != request.headers.get("host", "")) or not origin:
            return "the request does not say that it comes from this site"
        cookie = request.cookies.get(COOKIE, "")
        if not cookie or not hmac.compare_digest(token_of(cookie).encode(), token.encode()):
            return "the form is not from this browser, or too old: load the page again"
        return ""


def token_of(cookie: str) -> str:
    """Return the token for the forms of the browser that has this cookie."""
    return hmac.new(cookie.encode(), b"asyncsched dashboard", hashlib.sha256).hexdigest()


def _is_origin(origin: object) -> bool:
    if not isinstance(origin, str):
        return False
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and origin == f"{parts.scheme}://{parts.netloc}"
