"""Owns how tests ask the dashboard: over httpx for pages, and by hand for streams, which httpx would collect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

BASE = "http://dash.test"


def browser(app: Any, *, root_path: str = "", **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, root_path=root_path)
    return httpx.AsyncClient(transport=transport, base_url=BASE, **options)


class Stream:
    """One browser's stream of events."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.texts: list[str] = []
        self.ended = False
        self.reads = asyncio.Event()
        """Cleared: it takes nothing more."""
        self.reads.set()
        self.left = asyncio.Event()
        self.came = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        await self.reads.wait()
        self.ended = not message.get("more_body", False)
        self.texts.append(message.get("body", b"").decode())
        self.came.set()

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What it was told, each with its id."""
        told = []
        for text in self.texts:
            if "event: change" in text:
                lines = dict(line.split(": ", 1) for line in text.strip().split("\n"))
                told.append({**json.loads(lines["data"]), "id": lines["id"]})
        return told


@asynccontextmanager
async def listening(app: Any, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Stream]:
    """Listen to the stream at this address of an app until the end of the block."""
    path, _, query = path.partition("?")
    stream = Stream()
    given = {"host": "dash.test", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("dash.test", 80),
    }
    task = asyncio.ensure_future(app(scope, stream.receive, stream.send))
    try:
        yield stream
    finally:
        stream.left.set()
        stream.reads.set()
        await task
