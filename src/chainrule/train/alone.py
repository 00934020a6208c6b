"""One fit at a time: what is being fitted is not fitted by somebody else meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chainrule.errors import SpecError

MARK = "_being_fitted"
"""The attribute that an object has while it is being fitted; copies of it go without."""


@contextlib.contextmanager
def alone(owner: object, what: str) -> Iterator[None]:
    """For the time of a fit of the owner, "network" say; raises SpecError within another one.

    That is one that a callback, a handler of signals or another thread begins.  To look and to mark is one step for
    the interpreter, so that of two who come at once only one is let in.
    """
    mark = object()
    try:
        if vars(owner).setdefault(MARK, mark) is not mark:
            raise SpecError(f"This {what} is being fitted: another fit of it begins when that one has ended.")
        yield
    finally:
        if vars(owner).get(MARK) is mark:
            del vars(owner)[MARK]
