"""The notations: each a table of symbols and conventions, and nothing but that.

To add a notation, add a table here; a test prints every operation and every program with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

ArrayKind = Literal["data", "data gradient", "weights", "vector", "table", "scalar"]
"""data: (m, n) values; weights: (n, n') and their gradients; vector: (n,); table: an embedding."""

GradientStyle = Literal["partial", "nabla", "named", "jacobian"]
"""∂J/∂T  |  ∇_T J  |  a letter of its own, Δ say  |  J(L)(T)"""


@dataclass(frozen=True)
class Notation:
    """How a notation writes things."""

    name: str
    """By which it is chosen."""
    title: str
    """For people."""
    says: str
    """Its conventions, for people."""
    cost: str = "J"
    """The letter of J."""
    loss: str = "L"
    """The letter of a sample's loss."""
    label: tuple[str, str] = ("(", ")")
    """What stands before and after a layer's number."""
    lowered: bool = False
    """Whether that number stands below, else raised."""
    letters: Mapping[str, str] = field(default_factory=dict)
    """The program's letters -> this notation's."""
    flipped: frozenset[ArrayKind] = frozenset()
    """The kinds of arrays that are written transposed, compared with the program, where samples are rows."""
    acting: bool = False
    """Whether weights are labelled by the layer they act on."""
    gradients: tuple[GradientStyle, GradientStyle, GradientStyle] = ("partial", "partial", "partial")
    """How the gradient by a pre-activation z, by other data, and by a parameter is written."""
    error: str = "Δ"
    """The letter of a named gradient."""
    function: str | None = None
    """The letter of an activation, its slope written g'(Z); None: by its own name."""
    labelled: bool = False
    """Whether that letter carries its layer even where all activations are the same."""
    sigmoid: str = "σ"
    """What a sigmoid is called."""
    size: str = "m"
    """The letter of the batch's size."""
    rate: str = "α"
    """The letter of the learning rate."""
    mean: Literal["weights", "cost"] = "cost"
    """Where 1/m is written unless asked otherwise."""
    diagonal: bool = False
    """Whether slopes are written as diagonal matrices."""
    step: bool = False
    """Whether an update is written W := W + dW."""
    components: bool = False
    """Whether it writes single elements with indices and sums instead of matrices."""
    onehot: str = "Y"
    """The letter of labels as rows of zeros with a 1."""


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
SCRIPT = "javascript"
"""The name of source for a page: a whole, not a line at a time."""
NotationName = Literal["row", "column", "index", "layer", "batch", "numpy", "javascript"]
"""What `notation=` may be, for editors and type checkers."""
FormatName = Literal["unicode", "latex", "markdown", "mathml"]
FORMATS: tuple[str, ...] = get_args(FormatName)


def notation_names() -> tuple[str, ...]:
    """All that are written line by line."""
    return (*MATHEMATICAL, SOURCE)
