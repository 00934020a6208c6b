"""Arrays whose addresses machine code may be given: the one rule about memory that others can reach too.

The user's arrays are not copied where they are as machine code reads them, and a network's own are handed out to be
written to.  So what an engine works on is always a view that nobody else holds, over memory that nobody can give back:
whoever else has the array may change its numbers, and its shape, dtype or strides for himself, and no more.
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class _Memory:
    """The base of a view: keeps the array that has the memory, and has NumPy refuse to resize it meanwhile."""

    __slots__ = ("__array_interface__", "array", "pin")

    def __init__(self, array: Array) -> None:
        owner: Any = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        self.array = array
        self.pin = weakref.ref(owner)  # `resize`, with refcheck=False too, is for arrays without any
        self.__array_interface__ = array.__array_interface__


def pinned(array: Array) -> Array:
    """The same numbers in a view of one's own, over memory that stays for as long as the view does."""
    return np.asarray(_Memory(array))
