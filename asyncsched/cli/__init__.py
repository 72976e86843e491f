"""Owns the way into the command line. Imports ``typer`` and ``rich`` only when called."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line on the arguments of this process, and leave with its exit code."""
    try:
        from asyncsched.cli._app import app
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package == "asyncsched":
            raise
        sys.stderr.write(
            f"asyncsched: the command line needs packages that are not installed ({package}): "
            "pip install 'asyncsched[cli]'\n"
        )
        raise SystemExit(1) from None
    app(prog_name="asyncsched")
