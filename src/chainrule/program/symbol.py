"""Symbol: what a value of the derivation is; its name follows from that, for print.

shape ::= ()  |  (n,)  |  (m, n)  |  (k, n)        m, the batch's size, is the string "m"; other sizes are numbers
role  ::= input | target | weight | size | rate | counter | parameter | slot | statistic     given from outside
        | value | inner | temporary | loss | cost | gradient | mask                          made by equations
name  ::= letter ["_" mark] [layer] ["_" copy]                       Z1, A_n2, sum_mu1, E2, J
        | what is said of other symbols                              dZ1, M_W2, t_dW1, norm2_W1, XW1

Nothing reads a name to learn what it stands for: that is in the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

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

How = Literal[
    "", "gradient", "gradient sum", "tangent", "slot", "product", "sum", "squares", "squared", "norm1", "norm2",
    "largest", "moment", "count", "wide", "whole", "smoothed", "flat", "part",
    "step", "gram", "size", "next", "norm", "sign", "mean", "ones", "shard",
]  # fmt: skip
"""How a symbol follows from those it is `of`; "" for one that stands for itself."""


class Label(NamedTuple):
    """The layer that a symbol belongs to, as it is written: 2, and 2b for the second of its kind there.

    Layers are counted by the matrix products before them: a normalisation and its activation have the number of the
    dense layer that they follow.
    """

    number: int
    """Of the dense layer, from 1; 0 before the first."""
    repeat: int = 1
    """Which of several layers of one kind with that number."""

    def __str__(self) -> str:
        letters, rest = "", self.repeat
        while rest > 1 or (letters and rest > 0):  # b, c, ..., z, aa, ab, ...: the first has no letter
            rest, k = divmod(rest - 1, 26)
            letters = chr(ord("a") + k) + letters
        return f"{self.number}{letters}"


@dataclass(frozen=True)
class Symbol:
    """A value of the derivation."""

    letter: str
    """What it is called: Z, A, W, gamma, max; of a slot, the slot's own letter."""
    shape: Shape = ()
    """() | (n,) | (m, n) | (k, n)"""
    role: Role = "value"
    """`value` is named by the textbooks (Z, A); `inner` belongs to a formula (the sum in a softmax); `temporary` has no
    name of its own and is printed in place (a product before its bias)."""
    integers: bool = False
    """Whether it holds tokens or labels."""
    layer: Label | None = None
    """The layer that it belongs to, if it is one's."""
    mark: str = ""
    """Which of several with its letter: the mean "mu" of a normalisation, the value "n" after one."""
    of: tuple[Symbol, ...] = ()
    """The symbols that it follows from: dZ1 is of Z1, M_W2 of W2, X W1 of X and W1."""
    how: How = ""
    """How it follows from them."""
    copy: int = 1
    """From 2 on where another symbol would have the same name."""
    penalised: bool = False
    """Whether the penalties of the cost apply to it."""

    @cached_property
    def name(self) -> str:
        """The name in print and in `net.parameters`; one symbol of a program has it."""
        text = _NAMES[self.how](self)
        return text if self.copy == 1 else f"{text}_{self.copy}"

    def __str__(self) -> str:
        return self.name

    @property
    def batched(self) -> bool:
        """Whether there is one row per sample."""
        return bool(self.shape) and self.shape[0] == BATCH

    @property
    def root(self) -> Symbol:
        """The symbol at the end of what it is of: W1 for dW1, M_W1 and t_dW1."""
        return self.of[0].root if self.of else self

    def said(self, how: How, role: Role = "inner", shape: Shape | None = None) -> Symbol:
        """What follows from this symbol: its gradient, tangent, norm, ..., in its own shape unless given."""
        own = self.shape if shape is None else shape
        return Symbol(self.letter, own, role, layer=self.layer, mark=self.mark, of=(self,), how=how)

    @property
    def gradient(self) -> Symbol:
        """dT, the gradient of the cost by this T."""
        return self.said("gradient", "gradient")

    @property
    def tangent(self) -> Symbol:
        """t_T, the change of this T."""
        return self.said("tangent", self.role)

    def slot(self, letter: str) -> Symbol:
        """What an optimizer remembers of this parameter under the letter."""
        return replace(self.said("slot", "slot"), letter=letter)

    def is_gradient_of(self, other: Symbol) -> bool:
        """Whether this is dT for that T."""
        return self.how == "gradient" and self.of == (other,) and self.copy == 1


def product_of(left: Symbol, right: Symbol) -> Symbol:
    """L R before it has its shape: a value that is printed where it is used."""
    return Symbol("", (), "temporary", of=(left, right), how="product", layer=right.layer)


def _own(s: Symbol) -> str:
    return f"{s.letter}{f'_{s.mark}' if s.mark else ''}{'' if s.layer is None else s.layer}"


def _before(word: str) -> Callable[[Symbol], str]:
    return lambda s: f"{word}{s.of[0].name}"


_NAMES: Mapping[How, Callable[[Symbol], str]] = {
    "": _own,
    "gradient": _before("d"),
    "gradient sum": _before("sum_d"),
    "tangent": _before("t_"),
    "slot": lambda s: f"{s.letter}_{s.of[0].name}",
    "product": lambda s: "".join(o.name for o in s.of),
    "sum": _before("sum_of_"),
    "squares": _before("squares_"),
    "squared": _before("square_"),
    "norm1": _before("norm1_"),
    "norm2": _before("norm2_"),
    "largest": _before("max_"),
    "moment": _before("moment_"),
    "count": _before("n_"),
    "wide": _before("w_"),
    "whole": lambda s: f"{s.of[0].name}_sum",
    "smoothed": lambda s: f"{s.of[0].name}s",
    "flat": _before("flat_"),
    "step": _before("step_"),
    "gram": _before("gram_"),
    "size": _before("size_"),
    "next": _before("next_"),
    "norm": _before("norm_"),
    "sign": _before("sign_"),
    "mean": _before("mean_"),
    "ones": _before("ones_"),
    "part": lambda s: f"{s.of[0].name}_part",
    "shard": lambda s: f"{s.of[0].name}_k",
}
"""From how a symbol follows to its name."""


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
