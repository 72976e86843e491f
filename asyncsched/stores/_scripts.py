"""Owns the Lua scripts as loaded from the package. Knows neither their arguments nor a connection."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the digest under which a server remembers it."""

    text: str
    sha: str


def _load(*names: str) -> Script:
    """Return the script in one file, or in several that stand behind each other."""
    folder = resources.files(__package__).joinpath("lua")
    text = "\n".join(folder.joinpath(f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


CLAIM = _load("reading", "claim")
RENEW = _load("renew")
RELEASE = _load("release")
PAUSE = _load("pause")
RECORD = _load("record")
LOCKS = _load("locks")
