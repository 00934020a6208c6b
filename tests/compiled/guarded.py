"""Arrays at the edge of what may be touched.

`guarded` puts an array right before a page that cannot be read (or right behind one): a step over its end is a crash,
not a wrong number.  The few bytes between the array and the page are filled with a pattern, and so is the rest on the
other side; `Guards.check` finds out if they were written to.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PATTERN = 0xA5
PAGE = mmap.PAGESIZE
_NO_ACCESS = 0


def can_protect() -> bool:
    """Whether pages can be made unreadable here."""
    return sys.platform.startswith("linux")


def _pages(size: int) -> np.ndarray:
    """Readable bytes between two unreadable pages."""
    count = max(1, -(-size // PAGE))
    whole = np.frombuffer(mmap.mmap(-1, (count + 2) * PAGE), np.uint8)
    if can_protect():
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start in (0, (count + 1) * PAGE):
            if protect(whole.ctypes.data + start, PAGE, _NO_ACCESS):
                raise OSError(ctypes.get_errno(), "mprotect")
    return whole[PAGE : (count + 1) * PAGE]


@dataclass
class Guards:
    """Makes guarded arrays, and remembers the bytes around them.

    before: whether arrays lie right behind an unreadable page instead of right before one.
    """

    before: bool = False
    made: list[tuple[np.ndarray, int, int]] = field(default_factory=list)

    def empty(self, shape: tuple[int, ...] | int, dtype: Any, align: int = 1) -> np.ndarray:
        """An array whose last byte (or first, with `before`) is next to the unreadable page; zeroed."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        room = _pages(size)
        room[:] = PATTERN
        start = 0 if self.before else (len(room) - size) // align * align
        self.made.append((room, start, size))
        inside = room[start : start + size]
        inside[:] = 0
        return inside.view(dtype).reshape(shape)

    def aligned(self, size: int, dtype: Any) -> np.ndarray:
        """In place of `pack.aligned`."""
        return self.empty(int(size), dtype, align=64)

    def copy(self, array: np.ndarray) -> np.ndarray:
        """The array's numbers in a guarded place."""
        made = self.empty(array.shape, array.dtype)
        made[...] = array
        return made

    def check(self) -> None:
        """Raises AssertionError if a byte beside an array has changed; forgets the arrays."""
        for room, start, size in self.made:
            assert (room[:start] == PATTERN).all(), "written before the beginning of a buffer"
            assert (room[start + size :] == PATTERN).all(), "written past the end of a buffer"
        self.made.clear()
