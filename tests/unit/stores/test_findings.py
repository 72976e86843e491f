"""What is said of a store's set-up: each thing that was looked at, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncsched.stores import _findings, _redis_check

if TYPE_CHECKING:
    from asyncsched._records import Finding

MIB = 1_024 * 1_024


@pytest.mark.parametrize(
    ("finding", "level", "what"),
    [
        (_findings.latency("r", [0.9, 0.001, 0.002]), "ok", "r answers within 2.0 ms (median of 3)"),
        (_findings.latency("r", [0.0, 0.2, 0.2]), "warning", "r answers within 200.0 ms (median of 3)"),
        (_findings.skew("r", -0.25), "ok", "this host's clock and that of r differ by 0.250 s"),
        (_findings.skew("r", -3.0), "warning", "this host's clock is 3.0 s behind that of r"),
        (_findings.skew("r", 1.5), "warning", "this host's clock is 1.5 s ahead of that of r"),
        (_findings.version({"redis_version": "7.0.15"}), "ok", "Redis 7.0.15"),
        (_findings.version({"redis_version": "7.2.4", "valkey_version": "8.0.1"}), "ok", "Valkey 8.0.1"),
        (_findings.version({"redis_version": "6.2.14"}), "error", "Redis 6.2.14"),
        (_findings.memory({"used_memory": "2048", "maxmemory": "0"}), "ok", "memory: 2 KiB used, no limit"),
        (
            _findings.memory({"used_memory": str(7 * MIB), "maxmemory": str(10 * MIB)}),
            "ok",
            "memory: 7 MiB of 10 MiB used",
        ),
        (
            _findings.memory({"used_memory": str(8 * MIB), "maxmemory": str(10 * MIB)}),
            "warning",
            "memory: 8 MiB of 10 MiB used",
        ),
        (_findings.persistence({"aof_enabled": "1"}, None), "ok", "persistence: append-only file"),
        (_findings.persistence({"aof_enabled": "0"}, "3600 1"), "warning", "persistence: snapshots only"),
        (_findings.persistence({"aof_enabled": "0"}, ""), "warning", "persistence: none"),
        (
            _findings.persistence({"aof_enabled": "0"}, None),
            "warning",
            "persistence: no append-only file, and whether there are snapshots is not told",
        ),
        (_findings.replicas({"role": "slave"}, 0), "error", "it is a replica"),
        (_findings.replicas({"role": "master"}, 0), "ok", "replicas: 0 connected, replica_ack=0"),
        (
            _findings.replicas({"role": "master", "connected_slaves": "2"}, 1),
            "ok",
            "replicas: 2 connected, replica_ack=1",
        ),
        (
            _findings.replicas({"role": "master", "connected_slaves": "1"}, 1),
            "warning",
            "replicas: 1 connected, replica_ack=1",
        ),
        (
            _findings.replicas({"role": "master", "connected_slaves": "1"}, 0),
            "warning",
            "replicas: 1 connected, replica_ack=0",
        ),
        (_findings.replicas({"role": "master"}, 1), "error", "replicas: 0 connected, replica_ack=1"),
        (_findings.transport("r", "h", is_local=True, is_encrypted=False), "ok", "the way to r stays on this host"),
        (_findings.transport("r", "h", is_local=False, is_encrypted=True), "ok", "the way to r is encrypted"),
        (
            _findings.transport("r", "h", is_local=False, is_encrypted=False),
            "warning",
            "the way to h is not encrypted",
        ),
        (_findings.rights([]), "ok", "rights: all commands that are needed, as far as they can be tried"),
        (_findings.rights(["GET", "SET"]), "error", "rights: the user may not run GET, SET"),
        (_findings.free_disk(200 * MIB), "ok", "disk: 200 MiB free"),
        (_findings.free_disk(99 * MIB), "warning", "disk: 99 MiB free"),
        (_findings.file_size(900), "ok", "size: 900 bytes"),
        (_findings.file_size(2_048 * MIB), "warning", "size: 2.0 GiB"),
    ],
    ids=str,
)
def test_findings(finding: Finding | None, level: str, what: str) -> None:
    assert finding is not None
    assert (finding.level, finding.what) == (level, what)
    assert bool(finding.advice) is (level != "ok")


@pytest.mark.parametrize(
    "info", [{}, {"redis_version": "x.y"}, {"used_memory": "-1", "maxmemory": "x"}, {"role": "sentinel"}]
)
def test_what_is_not_told_is_not_judged(info: dict[str, str]) -> None:
    assert _findings.version(info) is None
    assert _findings.memory(info) is None
    assert _findings.persistence(info, None) is None
    assert _findings.replicas(info, 0) is None


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("redis.example", False)],
)
def test_which_hosts_are_this_one(host: str, is_local: bool) -> None:
    assert _redis_check._is_loopback(host) is is_local


@pytest.mark.parametrize(
    ("reply", "save"),
    [([b"save", b"3600 1"], "3600 1"), ({"save": ""}, ""), ([], None), (OSError(), None), ([b"save"], None)],
)
def test_what_snapshots_are_set_to(reply: object, save: str | None) -> None:
    assert _redis_check._snapshots(reply) == save
