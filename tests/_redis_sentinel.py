"""Owns a real service of the tests' own that Sentinels watch: a primary, a replica and three Sentinels on loopback."""

from __future__ import annotations

from pathlib import Path

from _redis_server import RedisServer, wait_until

SERVICE = "main"
DOWN_AFTER_MS = 500
"""After so long without an answer, a Sentinel takes the primary for dead."""


class SentinelServer(RedisServer):
    """A Sentinel process; it writes what it learns into its configuration file."""

    def __init__(self, primary: RedisServer, *lines: str) -> None:
        super().__init__()
        self._lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 5000",
            *lines,
        ]

    def _arguments(self, folder: str) -> list[str]:
        path = Path(folder, "sentinel.conf")
        path.write_text("\n".join([*self._lines, f"dir {folder}", ""]), encoding="utf-8")
        return [str(path), "--sentinel"]


class SentinelService:
    """One service.

    Args:
        options: command line options of all data servers.
        replicas: number of replicas.
        lines: further lines of each Sentinel's configuration.
    """

    def __init__(self, *options: str, replicas: int = 1, lines: tuple[str, ...] = ()) -> None:
        self._options = ("--repl-diskless-sync-delay", "0", *options)
        self._lines = lines
        self.primary = RedisServer(*self._options)
        follow = ("--replicaof", f"127.0.0.1 {self.primary.port}")
        self.replicas = [RedisServer(*self._options, *follow) for _ in range(replicas)]
        self.sentinels: list[SentinelServer] = []

    @property
    def hosts(self) -> str:
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.hosts}/{SERVICE}/0"

    @property
    def addresses(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    def start(self) -> None:
        """Start all, and wait until every Sentinel knows the others and the replica."""
        self.primary.start()
        for replica in self.replicas:
            replica.start()
        wait_until(lambda: all(map(_follows, self.replicas)), "the replicas follow")
        for _ in range(3):
            self.sentinels.append(SentinelServer(self.primary, *self._lines))
            self.sentinels[-1].start()
        wait_until(lambda: all(map(self._knows_all, self.sentinels)), "the Sentinels know each other")

    def _knows_all(self, sentinel: SentinelServer) -> bool:
        return f"slaves={len(self.replicas)},sentinels=3" in sentinel.text("INFO", "sentinel")

    def wait_failed_over(self) -> RedisServer:
        """Wait until a replica is the primary and a majority of the Sentinels says so; return it."""
        wait_until(lambda: self._promoted() is not None, "a replica is promoted and named by the Sentinels")
        promoted = self._promoted()
        assert promoted is not None
        return promoted

    def _promoted(self) -> RedisServer | None:
        told = [sentinel.text("INFO", "sentinel") for sentinel in self.sentinels]
        for replica in self.replicas:
            named = sum(f"address=127.0.0.1:{replica.port}" in text for text in told)
            if named >= 2 and "role:master" in replica.text("INFO", "replication"):
                return replica
        return None

    def stop(self) -> None:
        """End all of it. Harmless when repeated."""
        for server in (*self.sentinels, *self.replicas, self.primary):
            server.stop()


def _follows(replica: RedisServer) -> bool:
    return "master_link_status:up" in replica.text("INFO", "replication")
