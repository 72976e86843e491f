"""Owns what the tests with real processes share.

Helper modules beside this file are imported by their plain names: ``from _processes import Program``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no folder of its own
