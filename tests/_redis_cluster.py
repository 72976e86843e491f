"""Owns a real Redis Cluster of the tests' own: its servers on loopback, its slots, gone when the tests are."""

from __future__ import annotations

from itertools import islice

from _redis_server import RedisServer, free_port, wait_until
from redis.crc import key_slot

SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
"""After so long without a sign of life, members take one for dead."""


def slot_of(job: str) -> int:
    """Return the slot of all keys of a job."""
    return key_slot(job.encode())


class RedisCluster:
    """Primaries that share the slots in equal parts, and replicas of the first of them.

    Slots whose primary is away do not keep the others from answering (``cluster-require-full-coverage no``).
    """

    def __init__(self, *options: str, primaries: int = 3, replicas: int = 0) -> None:
        self._bus_ports: dict[RedisServer, int] = {}
        self.primaries = [self._server(*options) for _ in range(primaries)]
        self.replicas = [self._server(*options) for _ in range(replicas)]

    def _server(self, *options: str) -> RedisServer:
        bus_port = free_port()
        bus = ("--cluster-enabled", "yes", "--cluster-port", str(bus_port))
        calm = ("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--cluster-require-full-coverage", "no")
        server = RedisServer(*bus, *calm, "--repl-diskless-sync-delay", "0", *options)
        self._bus_ports[server] = bus_port
        return server

    @property
    def servers(self) -> list[RedisServer]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.primaries)

    def start(self) -> None:
        """Start all, have them meet, and wait until every one of them knows who serves what."""
        for server in self.servers:
            server.start()
        share = SLOTS // len(self.primaries)
        for index, server in enumerate(self.primaries):
            last = SLOTS - 1 if server is self.primaries[-1] else (index + 1) * share - 1
            server.command("CLUSTER", "SET-CONFIG-EPOCH", str(index + 1))
            assert server.command("CLUSTER", "ADDSLOTSRANGE", str(index * share), str(last)) == "+OK"
        for server in self.servers[1:]:
            meet = ("CLUSTER", "MEET", "127.0.0.1", str(server.port), str(self._bus_ports[server]))
            assert self.primaries[0].command(*meet) == "+OK"
        wait_until(self._is_complete, "the members know each other")
        for replica in self.replicas:
            assert replica.command("CLUSTER", "REPLICATE", self.id_of(self.primaries[0])) == "+OK"
        wait_until(self._is_replicated, "the replicas follow")

    def _is_complete(self) -> bool:
        return all(
            "cluster_state:ok" in info
            and f"cluster_slots_ok:{SLOTS}" in info
            and f"cluster_known_nodes:{len(self.servers)}" in info
            for info in (server.text("CLUSTER", "INFO") for server in self.servers)
        )

    def _is_replicated(self) -> bool:
        return all("master_link_status:up" in replica.text("INFO", "replication") for replica in self.replicas) and (
            not self.replicas or all("slave" in server.text("CLUSTER", "NODES") for server in self.servers)
        )

    def id_of(self, server: RedisServer) -> str:
        """Return the name by which members know a server."""
        return server.text("CLUSTER", "MYID")

    def owner_of(self, job: str) -> RedisServer:
        """Return the primary that serves a job, as the slots were shared out."""
        return self.primaries[min(slot_of(job) // (SLOTS // len(self.primaries)), len(self.primaries) - 1)]

    def job_of(self, server: RedisServer, number: int = 0) -> str:
        """Return the name of a job that ``server`` serves; of different numbers, different ones."""
        jobs = (f"job{index}" for index in range(10_000))
        return next(islice((job for job in jobs if self.owner_of(job) is server), number, None))

    def flush(self) -> None:
        """Empty it."""
        for server in self.primaries:
            assert server.command("FLUSHALL") == "+OK"

    def stop(self) -> None:
        """End all of it. Harmless when repeated."""
        for server in self.servers:
            server.stop()
