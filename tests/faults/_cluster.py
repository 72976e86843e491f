"""Owns the real processes of the fault harness: the nodes, and the store: Redis and the ways to it, or a file.

Starts, ends and steers them. Knows nothing of when, nor of what should come of it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from _fenced_table import FencedTable, is_free
from _history import FILE, LOG, TABLE, Fault
from _jobs import JobSpec, job_table
from _processes import ROOT, Program, is_stopped
from _proxy import Proxy
from _redis_server import RedisServer
from redis.asyncio import Redis

NODE_PROGRAM = Path(__file__).parent / "_node.py"
SKEWS = (0.0, 0.04, -0.3, 2.3, -1.1)
"""Seconds by which the nodes' clocks are wrong, node by node."""
REDIS_OPTIONS = (
    *("--appendonly", "yes", "--appendfsync", "no"),  # "no": what was acknowledged survives a kill -9, without waiting
    *("--enable-debug-command", "local", "--maxmemory-policy", "noeviction"),
)
STOP_WITHIN = 30.0
"""Seconds in which a node must end that was asked to: it may drain for 10, and wait for Redis for 3."""

LEFT_BEHIND = re.compile(
    r"Future exception was never retrieved\n"
    r"future: <Future finished exception=(?:BrokenPipeError|ConnectionResetError)\(.*\)>\n"
    r"Traceback \(most recent call last\):\n(?: .*\n)+(?:BrokenPipeError|ConnectionResetError): .*\n"
)
"""What asyncio's streams may say of a connection that broke and was given up unread: the future by which they tell its
end is awaited by nobody, and whether their own finalizer or the future's comes first is left to the collector."""


@dataclass
class Node:
    """The process that has a node's place now."""

    name: str
    program: Program

    @property
    def pid(self) -> int:
        return self.program.process.pid


class Cluster:
    """Several nodes, each with a proxy of its own in front of the one Redis; or all of them on one file.

    Args:
        folder: for logs, the fenced table and the store's file.
        nodes: number of places; a node that ended is followed by another in the same place.
        jobs: number of guarded jobs.
        store: ``redis`` or ``sqlite``.
    """

    def __init__(self, folder: Path, *, nodes: int, jobs: int, store: str = "redis") -> None:
        self.log = folder / LOG
        self.log.mkdir()
        self._table_path = folder / TABLE
        self.table = FencedTable.create(self._table_path)
        self.jobs = job_table(jobs)
        self._guarded = jobs
        self.file = folder / FILE
        self._store = store
        self.server = RedisServer(*REDIS_OPTIONS)
        self.redis: Redis = Redis.from_url(self.server.url, decode_responses=True)
        self.places = range(nodes)
        self.proxies = [Proxy(self.server.port) for _ in self.places if store == "redis"]
        self.nodes: list[Node] = []
        self._started = 0
        self._programs: list[Program] = []
        self.deaths: dict[str, float] = {}
        self.stops: dict[str, float] = {}
        self.complaints: list[str] = []

    @property
    def guarded_jobs(self) -> list[JobSpec]:
        return [spec for spec in self.jobs if spec.is_guarded]

    async def start_store(self) -> None:
        """Start what the nodes share; a file needs no start."""
        if self._store == "redis":
            await self.start_redis()

    async def start_redis(self) -> None:
        """Start Redis and return once it answers. Its port may be taken for a moment by one of many connections."""
        await self.redis.connection_pool.disconnect()  # those of ours that ended with the server before
        for _ in range(20):
            with suppress(RuntimeError):
                await asyncio.to_thread(self.server.start)
                return
            await asyncio.sleep(0.1)
        await asyncio.to_thread(self.server.start)

    async def start_nodes(self) -> None:
        for proxy in self.proxies:
            await proxy.start()
        self.nodes = [self._new_node(place) for place in self.places]
        await self.wait_until_born()

    async def wait_until_born(self) -> None:
        """Wait until each node's scheduler has started."""
        give_up_at = time.monotonic() + 60.0
        while not all(_has_lines(self.log / f"{node.name}.jsonl") for node in self.nodes):
            assert time.monotonic() < give_up_at, "\n".join(node.program.told() for node in self.nodes)
            await asyncio.sleep(0.05)

    def _new_node(self, place: int) -> Node:
        self._started += 1
        name = f"node{place}-{self._started}"
        program = Program(
            *(NODE_PROGRAM, "--name", name, "--store", self._url(place)),
            *("--log", self.log, "--table", self._table_path, "--jobs", self._guarded, "--clock", self.skew(place)),
            environment={"PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
            steered=True,
        )
        self._programs.append(program)
        return Node(name, program)

    def _url(self, place: int) -> str:
        if self._store == "sqlite":
            return f"sqlite://{self.file}"
        return f"redis://127.0.0.1:{self.proxies[place].port}/0"

    def skew(self, place: int) -> float:
        if self._store == "sqlite":
            return 0.0  # the processes of one host have one clock; its faults are steps
        return SKEWS[place % len(SKEWS)]

    def start_node(self, place: int) -> None:
        """Put a new node into a place whose node has ended."""
        self.nodes[place] = self._new_node(place)

    def kill_node(self, place: int) -> None:
        node = self.nodes[place]
        node.program.send(signal.SIGKILL)
        node.program.wait()
        self.deaths[node.name] = time.time()
        self._hear(node)

    async def stop_node(self, place: int) -> None:
        node = self.nodes[place]
        self.stops[node.name] = time.time()
        node.program.send(signal.SIGTERM)
        code = await asyncio.to_thread(node.program.wait, STOP_WITHIN)
        if code != 0:
            self.complaints.append(f"{node.name} ended with {code} when it was stopped")
        self._hear(node)

    def _hear(self, node: Node) -> None:
        """Keep what a node that has ended had to complain about."""
        complaint = complaint_in(node.program.err)
        if complaint:
            self.complaints.append(f"{node.name} printed:\n{complaint}")

    async def freeze_node(self, place: int) -> None:
        """Stop a node in mid-air, but not in mid-write: it would hold a lock, of the table or of the store's file, and
        thereby all other nodes."""
        node = self.nodes[place]
        while True:
            node.program.send(signal.SIGSTOP)
            while not is_stopped(node.pid):  # until then, it may still take a lock
                await asyncio.sleep(0.001)
            if self.table.is_free() and self._file_is_free():
                return
            node.program.send(signal.SIGCONT)
            await asyncio.sleep(0.01)

    def _file_is_free(self) -> bool:
        if not self.file.exists():
            return True
        with closing(sqlite3.connect(self.file, isolation_level=None)) as database:
            return is_free(database)

    def thaw_node(self, place: int) -> None:
        self.nodes[place].program.send(signal.SIGCONT)

    async def stop(self) -> None:
        """Ask all nodes to stop, and wait for their ends."""
        for place, node in enumerate(self.nodes):
            if node.program.process.poll() is not None:
                self.complaints.append(f"{node.name} ended by itself with {node.program.process.returncode}")
            self.thaw_node(place)
        await asyncio.gather(*(self.stop_node(place) for place in self.places))

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for program in self._programs:
            program.__exit__()
        for proxy in self.proxies:
            await proxy.close()
        await self.redis.aclose()
        self.server.stop()
        self.table.close()

    def fault(self, name: str, since: float, *, node: str = "", jobs: tuple[str, ...] = ()) -> Fault:
        """Return the record of a fault that is over now."""
        return Fault(name, since, time.time(), node, jobs)


def complaint_in(said: str) -> str:
    """Return what a node has printed around a traceback, if any; that of ``LEFT_BEHIND`` does not count."""
    said = LEFT_BEHIND.sub("", said)
    at = said.find("Traceback")
    return said[max(0, at - 300) : at + 3000] if at >= 0 else ""


def _has_lines(path: Path) -> bool:
    """Whether a node has written anything: a file without a line may be that of one that is killed before its first."""
    return path.exists() and path.stat().st_size > 0
