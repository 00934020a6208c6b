"""What an engine has made of the programs that it ran last."""

from __future__ import annotations

from itertools import count
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
MOST = 64
"""Of each kind; a network has some ten programs, each run in one or two ways."""


class Recent(Generic[Key, Value]):
    """Values by key, of which those that were not asked for the longest go: nobody may run their programs any more.

    No lock is held: threads, and handlers of signals that interrupt them, may all ask at once.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._values: dict[Key, Value] = {}
        self._asked: dict[Key, int] = {}
        """When each was asked for last."""
        self._clock = count(1)

    def get(self, key: Key) -> Value | None:
        """The key's value, or None."""
        value = self._values.get(key)
        if value is not None:
            self._asked[key] = next(self._clock)
        return value

    def keep(self, key: Key, value: Value) -> Value:
        """The value itself, which is the key's from now on."""
        self._asked[key] = next(self._clock)
        self._values[key] = value
        while len(self._values) > self.most:
            oldest = min(list(self._values), key=lambda k: self._asked.get(k, 0))
            self._values.pop(oldest, None)  # others may be at it too
            self._asked.pop(oldest, None)
        return value

    def __len__(self) -> int:
        return len(self._values)
