"""Owns the test kit that users and our own suite share: the fake clock, simulated clusters, histories, and what the
fixtures of the pytest plugin are made of. Knows nothing of pytest.
"""

from asyncsched.testing._cluster import Cluster
from asyncsched.testing._factory import SchedulerFactory
from asyncsched.testing._fake_clock import FakeClock
from asyncsched.testing._history import History, RecordedRun
from asyncsched.testing._node import Node

__all__ = ["Cluster", "FakeClock", "History", "Node", "RecordedRun", "SchedulerFactory"]
