"""Owns how a package is imported that only few users need: when it is asked for, and with an error that names its
extra."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from asyncsched.exceptions import ConfigurationError


def needed(module: str, package: str, extra: str, what: str) -> Any:
    """Import ``module`` of ``package``, which the extra brings and ``what`` (a plural) need.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ConfigurationError(f"{what} need the package {package}: pip install 'asyncsched[{extra}]'") from None
