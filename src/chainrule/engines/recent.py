"""What an engine has made of the programs that it ran last."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
MOST = 64
"""Of each kind; a network has some ten programs, each run in one or two ways."""


class Recent(Generic[Key, Value]):
    """Values by key, of which those that were not asked for the longest go: nobody may run their programs any more."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._values: dict[Key, Value] = {}
        """The last asked for is the last."""
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """The key's value, or None."""
        with self._lock:
            if key not in self._values:
                return None
            value = self._values[key] = self._values.pop(key)
            return value

    def keep(self, key: Key, value: Value) -> Value:
        """The value itself, which is the key's from now on."""
        with self._lock:
            self._values[key] = value
            if len(self._values) > self.most:
                del self._values[next(iter(self._values))]
        return value

    def __len__(self) -> int:
        return len(self._values)
