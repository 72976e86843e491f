"""asyncsched on a file that the processes share: ``Scheduler("sqlite:///…")`` as it comes, jobs ``on_one_server()``."""

from __future__ import annotations

from benchmarks.contestants.cluster_asyncsched import serve_on
from benchmarks.node import Node


async def serve(node: Node) -> None:
    await serve_on(f"sqlite://{node.folder}/jobs.db", node)
