"""Owns one measurement in a process of its own: ``python -m benchmarks.run '{"measure": …}'``. Its last line is the
answer: the values, or why there are none."""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import sys
from typing import Any

from benchmarks.contestants import UnsupportedError


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out the order and return the answer."""
    try:
        module = importlib.import_module(f"benchmarks.measures.{order['measure']}")
        gc.collect()
        return {"values": module.measure(order)}
    except UnsupportedError as error:
        return {"why": f"cannot do it: {error}"}
    except ImportError as error:
        return {"why": f"not installed: {error}"}
    except Exception as error:
        logging.getLogger("benchmarks").exception("measurement failed")
        return {"why": f"failed: {type(error).__name__}: {error}"[:300]}


def main() -> None:
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    answer = measure(json.loads(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()
    # no contestant is stopped: what it would do then is not what is measured
    os._exit(0)


if __name__ == "__main__":
    main()
