"""Symbol: a name, a shape and a role.

shape ::= ()  |  (n,)  |  (m, n)  |  (k, n)        m, the batch's size, is the string "m"; other sizes are numbers
role  ::= input | target | weight | size | rate | counter | parameter | slot | statistic     given from outside
        | value | inner | temporary | loss | cost | gradient | mask                          made by equations
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dimension = int | str
Shape = tuple[Dimension, ...]
BATCH = "m"

Role = Literal[
    "input", "target", "weight", "size", "rate", "counter", "parameter", "slot", "statistic",
    "value", "inner", "temporary", "loss", "cost", "gradient", "mask",
]  # fmt: skip

GIVEN: frozenset[str] = frozenset(
    {"input", "target", "weight", "size", "rate", "counter", "parameter", "slot", "statistic"}
)
STORED: frozenset[str] = frozenset({"parameter", "slot", "statistic"})


@dataclass(frozen=True)
class Symbol:
    """A value of the derivation.

    role: `value` is named by the textbooks (Z, A); `inner` belongs to a formula (the sum in a softmax); `temporary` has
    no name of its own and is printed in place (a product before its bias).  `integers` marks tokens and labels.
    """

    name: str
    shape: Shape
    role: Role = "value"
    integers: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def batched(self) -> bool:
        """Whether there is one row per sample."""
        return bool(self.shape) and self.shape[0] == BATCH


def shape_text(shape: Shape) -> str:
    """(m, 256) as it is printed; a scalar as ()."""
    if len(shape) == 1:
        return f"({shape[0]},)"
    return f"({', '.join(str(d) for d in shape)})"


def broadcast(shapes: list[Shape]) -> Shape | None:
    """The common shape of an element-wise operation, by NumPy's rule with a named m; None if there is none."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dimension] = []
    for axis in range(rank):
        sizes = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0} - {1}
        if len(sizes) > 1:
            return None
        result.append(sizes.pop() if sizes else 1)
    return tuple(result)
