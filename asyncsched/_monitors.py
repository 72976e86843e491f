"""Owns telling monitors outside of the start and the end of runs, beside them: no run waits for it, or fails by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncsched._clock import TimeLimit, sleep
from asyncsched._pings import crons, httpx, ssl_context

if TYPE_CHECKING:
    from asyncsched._logs import SafeLogger
    from asyncsched._pings import Ping
    from asyncsched._run import Run
    from asyncsched._run_policies import RunPolicies
    from asyncsched._side_tasks import SideTasks
    from asyncsched.protocols import Clock

PING_TIMEOUT = 15.0
"""Seconds for which a ping is tried, all in all."""
PING_TRIES = 3
"""The n-th try is followed by a wait of n seconds."""
TRY_TIMEOUT = 5.0
"""Seconds, of real time, for each step of a try."""
CONNECTIONS = 20
"""At once. What finds none free waits."""


class Monitors:
    """Tells the monitors of one scheduler's jobs."""

    def __init__(self, clock: Clock, logger: SafeLogger, beside: SideTasks) -> None:
        self._clock = clock
        self._logger = logger
        self._beside = beside
        self._transport: Any = None

    def watch(self, policies: RunPolicies, run: Run) -> Watch:
        """Tell that a run has started, and return what is to be told of its end."""
        return Watch(self, policies, run, self._clock)

    def ping(self, pings: tuple[Ping, ...], on: str, job: str, after: asyncio.Task[None] | None) -> asyncio.Task[None]:
        """Call the URLs for one moment, beside everything else, ``after`` those for an earlier one."""
        return self._beside.start(self._ping_each([ping for ping in pings if ping.on == on], job, after))

    def check_in(self, slug: str, job: str, **what: Any) -> str | None:
        """Hand a check-in to Sentry's client, which sends it, and return its id."""
        try:
            check_in_id: str | None = crons().capture_checkin(monitor_slug=slug, **what)
        except Exception:
            self._logger.exception("job=%s check-in of the monitor %s failed", job, slug)
            return None
        return check_in_id

    async def _ping_each(self, pings: list[Ping], job: str, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait([after])
        for ping in pings:
            failure = "the scheduler has stopped"
            try:
                with TimeLimit(self._clock, PING_TIMEOUT) as limit:
                    failure = await self._ping(ping)
                if limit.is_over:
                    failure = f"no answer within {PING_TIMEOUT:g} s"
            finally:
                if failure:
                    self._logger.warning("job=%s %s failed: %s", job, ping, failure)

    async def _ping(self, ping: Ping) -> str:
        """Call a URL, more than once if need be; return why it failed at last, or nothing."""
        failure = ""
        for tries in range(1, PING_TRIES + 1):
            try:
                status = await self._get(ping.url)
            except Exception as error:
                failure = type(error).__name__  # its text may have the URL in it
            else:
                if 200 <= status < 300:
                    return ""
                failure = f"the answer is {status}"
            if tries < PING_TRIES:
                await sleep(self._clock, tries)
        return failure

    async def _get(self, url: str) -> int:
        """Call a URL and return the answer's status. Below the client of httpx, which logs every URL."""
        client = httpx()
        if self._transport is None:
            limits = client.Limits(max_connections=CONNECTIONS, max_keepalive_connections=0)
            self._transport = client.AsyncHTTPTransport(verify=ssl_context(), limits=limits)
        timeout = client.Timeout(TRY_TIMEOUT, pool=None).as_dict()
        request = client.Request("GET", url, headers={"User-Agent": "asyncsched"}, extensions={"timeout": timeout})
        if request.url.userinfo:
            request = next(client.BasicAuth(request.url.username, request.url.password).auth_flow(request))
        response = await self._transport.handle_async_request(request)
        await response.aclose()
        return int(response.status_code)

    async def close(self) -> None:
        """Close what connections there are."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()


class Watch:
    """What monitors are told of one run."""

    def __init__(self, monitors: Monitors, policies: RunPolicies, run: Run, clock: Clock) -> None:
        self._monitors = monitors
        self._policies = policies
        self._job = run.job
        self._clock = clock
        self._began_at = clock.monotonic()
        self._started = monitors.ping(policies.pings, "start", run.job, None) if policies.pings else None
        self._check_in_id: str | None = None
        if policies.check_in is not None:
            self._check_in_id = monitors.check_in(policies.check_in, run.job, status="in_progress")

    def ended(self, *, well: bool) -> None:
        """Tell that the run has ended."""
        policies = self._policies
        if policies.pings:
            self._monitors.ping(policies.pings, "success" if well else "failure", self._job, self._started)
        if policies.check_in is not None:
            duration = self._clock.monotonic() - self._began_at
            status = "ok" if well else "error"
            self._monitors.check_in(
                policies.check_in, self._job, check_in_id=self._check_in_id, status=status, duration=duration
            )
