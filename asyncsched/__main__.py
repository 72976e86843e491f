"""Owns ``python -m asyncsched``: the same as the command ``asyncsched``."""

from __future__ import annotations

from asyncsched.cli import main

if __name__ == "__main__":
    main()
