"""An app for the command line: ``_shop:scheduler`` on the store at ``SHOP_URL``; none: in memory."""

from __future__ import annotations

import asyncio
import os

from asyncsched import RunContext, Scheduler

scheduler = Scheduler(
    os.environ.get("SHOP_URL"), prefix="shop:" if "SHOP_URL" in os.environ else "", shutdown_timeout=1
)


@scheduler.job("tick").per_seconds(1).on_one_server()
async def tick() -> None: ...


@scheduler.job("broken").per_seconds(1).on_one_server()
async def broken() -> None:
    raise ValueError("it is broken")


@scheduler.job("long").per_hours(24).without_overlapping()
async def long(ctx: RunContext) -> None:
    ctx.progress(1, 2, "halves")
    await asyncio.sleep(60)
