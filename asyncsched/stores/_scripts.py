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


def _load(name: str) -> Script:
    text = resources.files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


CLAIM = _load("claim")
RENEW = _load("renew")
RELEASE = _load("release")
PAUSE = _load("pause")
RECORD = _load("record")
LOCKS = _load("locks")
