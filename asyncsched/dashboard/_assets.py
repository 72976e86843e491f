"""Owns the files that pages load: read once, and kept by browsers until they change."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

TYPES = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@lru_cache(maxsize=1)
def contents() -> dict[str, bytes]:
    """Return the files by name."""
    return {name: (Path(__file__).parent / "static" / name).read_bytes() for name in TYPES}


@lru_cache(maxsize=1)
def version() -> str:
    """Return what changes when a file does."""
    return hashlib.sha256(b"".join(contents().values())).hexdigest()[:12]


async def asset(request: Request) -> Response:
    """Answer with a file."""
    name = request.path_params["name"]
    if name not in TYPES:
        raise HTTPException(404)
    kept = {"Cache-Control": "public, max-age=31536000, immutable"} if request.url.query == version() else {}
    return Response(contents()[name], media_type=TYPES[name], headers=kept)
