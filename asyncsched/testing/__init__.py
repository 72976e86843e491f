"""Owns the test kit that users and our own suite share: the fake clock, simulated clusters, histories, and what the
fixtures of the pytest plugin are made of. Knows nothing of pytest.
"""

from asyncsched.testing._fake_clock import FakeClock

__all__ = ["FakeClock"]
