"""Owns values: objects that are equal and hashable by what they hold, and never change.

They are what frozen dataclasses are. But those compile code for each class, at each import, which takes most of the
time of importing a module that has one: whatever ``import asyncsched`` brings along has its values from here.
"""

from __future__ import annotations


class Value:
    """A value by its slots, which its ``__init__`` sets with ``object.__setattr__``. No slots of a base class's."""

    __slots__: tuple[str, ...] = ()

    def _held(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._held() == other._held() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self._held()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: {name} = {value!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed: del {name}")

    def __getstate__(self) -> tuple[object, ...]:
        return self._held()

    def __setstate__(self, state: tuple[object, ...]) -> None:
        for name, value in zip(self.__slots__, state, strict=True):
            object.__setattr__(self, name, value)
