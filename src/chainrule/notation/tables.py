"""The notations: each a table of symbols and conventions, and nothing but that.

To add a notation, add a table here; a test prints every operation and every program with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["data", "data gradient", "weights", "vector", "table", "scalar"]
"""data: (m, n) values; weights: (n, n') and their gradients; vector: (n,); table: an embedding."""

GradientStyle = Literal["partial", "nabla", "named", "jacobian"]
"""∂J/∂T  |  ∇_T J  |  a letter of its own, Δ say  |  J(L)(T)"""


@dataclass(frozen=True)
class Notation:
    """How a notation writes things.

    title, says: for people.  label: what stands before and after a layer's number, raised or below.  letters: the
    program's names -> this notation's.  flipped: the kinds of arrays that are written transposed, compared with the
    program, where samples are rows.  acting: weights are labelled by the layer they act on.  gradients: how the
    gradient by a pre-activation z, by other data, and by a parameter is written.  error: the letter of a named
    gradient.  function: the letter of an activation (None: by its own name), its slope written g'(Z).
    labelled: whether that letter carries its layer even where all activations are the same.  mean: where 1/m
    is written unless asked otherwise.  diagonal: slopes as diagonal matrices.  step: an update as W := W + dW.
    components: single elements with indices and sums instead of matrices.
    """

    name: str
    title: str
    says: str
    cost: str = "J"
    loss: str = "L"
    label: tuple[str, str] = ("(", ")")
    lowered: bool = False
    letters: Mapping[str, str] = field(default_factory=dict)
    flipped: frozenset[Kind] = frozenset()
    acting: bool = False
    gradients: tuple[GradientStyle, GradientStyle, GradientStyle] = ("partial", "partial", "partial")
    error: str = "Δ"
    function: str | None = None
    labelled: bool = False
    sigmoid: str = "σ"
    size: str = "m"
    rate: str = "α"
    mean: Literal["weights", "cost"] = "cost"
    diagonal: bool = False
    step: bool = False
    components: bool = False
    onehot: str = "Y"


ROW = Notation(
    "row",
    "Samples are rows",
    "Z⁽ˡ⁾ = A⁽ˡ⁻¹⁾ W⁽ˡ⁾ + b⁽ˡ⁾; raised (l) is the layer; ∂𝓛/∂T is the gradient of the cost by T, in T's shape.",
    cost="𝓛",
    loss="ℓ",
    mean="weights",
)
COLUMN = Notation(
    "column",
    "Samples are columns",
    "Z^[l] = W^[l] A^[l-1] + b^[l]; Δ^[l] is the error of layer l, dZ in code; ∇_A J is dA in code.",
    label=("[", "]"),
    flipped=frozenset({"data", "data gradient", "weights", "vector", "table"}),
    gradients=("named", "nabla", "partial"),
    function="g",
    labelled=True,
    mean="weights",
)
INDEX = Notation(
    "index",
    "Components with indices",
    "i is the sample, j a node of the layer, k a node of the layer before, p and q run over nodes; δ is Kronecker's.",
    label=("[", "]"),
    letters={"A": "a", "Z": "z", "W": "w", "X": "x", "Y": "y", "D": "d", "R": "r", "C": "c", "N": "n", "H": "h",
             "E": "e", "S": "s"},
    flipped=frozenset({"data", "data gradient", "weights", "vector", "table"}),
    function="g",
    labelled=True,
    components=True,
    onehot="y",
)  # fmt: skip
LAYER = Notation(
    "layer",
    "Weights named by the layer they act on",
    "zᵢ₊₁ = Wᵢ aᵢ, columns; ∂E/∂z and ∂E/∂a are rows (numerator layout), ∂E/∂W has the shape of W; t samples stand "
    "side by side, and their gradients add up; m is the learning rate.",
    cost="E",
    loss="e",
    label=("", ""),
    lowered=True,
    letters={"A": "a", "Z": "z", "X": "x", "Y": "y", "E": "C", "t": "τ"},
    flipped=frozenset({"data", "weights", "vector", "table"}),
    acting=True,
    function="σ",
    sigmoid="sigmoid",
    size="t",
    rate="m",
    diagonal=True,
    step=True,
    onehot="y",
)
BATCH = Notation(
    "batch",
    "Batch matrices",
    "X⁽ⁱ⁾ holds the samples as rows, W⁽ⁱ⁾ maps layer i − 1 to layer i; G⁽ⁱ⁾ = J(L)(Z⁽ⁱ⁾) holds each sample's gradient "
    "by the unactivated layer; J(L)(T) is the gradient of the cost L by T.",
    cost="L",
    loss="ℓ",
    letters={"A": "X", "E": "E"},
    flipped=frozenset({"weights"}),
    gradients=("named", "jacobian", "jacobian"),
    error="G",
    function="σ",
    sigmoid="sigmoid",
    onehot="Y",
)
MATHEMATICAL: dict[str, Notation] = {n.name: n for n in (ROW, COLUMN, INDEX, LAYER, BATCH)}
"""Every table by name.  One of your own is a line more, `MATHEMATICAL["mine"] = Notation("mine", ...)`."""
SOURCE = "numpy"
"""The name of executable source instead."""
FORMATS: tuple[str, ...] = ("unicode", "latex", "markdown", "mathml")


def notation_names() -> tuple[str, ...]:
    """All that `notation=` may be."""
    return (*MATHEMATICAL, SOURCE)
