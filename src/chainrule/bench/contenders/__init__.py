"""The contenders by name, and what each of them has to be able to do."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Protocol

from chainrule.bench.workloads import Array, Problem, Workload


class Contender(Protocol):
    """One library at one workload.  `__init__` may prepare all that is not the work itself.

    Training: float32, the workload's loss and optimizer, full batches in a new order each epoch, from the problem's
    first weights.
    """

    def __init__(self, problem: Problem, threads: int) -> None: ...

    def reset(self) -> None:
        """Back to the problem's first weights, the optimizer as new; is not timed."""

    def train(self, epochs: int) -> float:
        """Trains; the mean cost of the first epoch's batches."""

    def predict(self, x: Array) -> Array:
        """Ŷ (m, outputs) of samples x (m, inputs), m the workload's batch size: arrays of NumPy both."""

    def about(self) -> str:
        """The library's version and how it computes."""


@dataclass(frozen=True)
class Entry:
    """Where a contender is, and what it is called."""

    name: str
    """By which it is chosen."""
    title: str
    """In full."""
    head: str
    """Of its column."""
    place: str
    """Its class, "module:Class"."""
    library: str | None = None
    """What must be installed for it."""
    precision: str = "highest"
    """Of its products; those of less are compared with each other, in a table of their own."""

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        if self.library and importlib.util.find_spec(self.library) is None:
            return f"{self.library} is not installed"
        return None

    def unable(self, workload: Workload) -> str | None:
        """Why it cannot do the workload, or None."""
        if self.name == "sklearn" and workload.tokens:
            return "has no embeddings"
        if self.name == "sklearn" and workload.dropout:
            return "has no dropout"
        if self.name == "sklearn" and workload.residual:
            return "has no layers that add their inputs"
        if workload.predict and self.name in ("jax-scan", "torch-compile"):
            return "has no form of its own for predictions"
        if workload.predict and self.precision != "highest":
            return "is measured in training"
        return None


_HERE = "chainrule.bench.contenders."
PRODUCT = "chainrule"
_ALL = (
    Entry(PRODUCT, "chainrule", "chainrule", _HERE + "product:Product"),
    Entry("jax-scan", "JAX, epoch in one scan", "JAX scan", _HERE + "with_jax:Scan", "jax"),
    Entry("jax", "JAX, step by step", "JAX steps", _HERE + "with_jax:Steps", "jax"),
    Entry("torch", "PyTorch", "PyTorch", _HERE + "with_torch:Eager", "torch"),
    Entry("torch-compile", "PyTorch, compiled", "compiled", _HERE + "with_torch:Compiled", "torch"),
    Entry("sklearn", "scikit-learn", "sklearn", _HERE + "with_sklearn:Estimator", "sklearn"),
    Entry("numpy", "NumPy by hand", "NumPy", _HERE + "by_hand:ByHand"),
    Entry("high", "chainrule, high", "high", _HERE + "product:High", precision="high"),
    Entry("medium", "chainrule, medium", "medium", _HERE + "product:Medium", precision="medium"),
    Entry(
        "torch-medium", "PyTorch, float32 products in medium precision", "PyTorch medium",
        _HERE + "with_torch:MediumProducts", "torch", "medium",
    ),
    Entry(
        "torch-autocast", "PyTorch, autocast to bfloat16", "PyTorch autocast", _HERE + "with_torch:Autocast", "torch",
        "medium",
    ),
    Entry(
        "torch-bfloat16", "PyTorch, all bfloat16", "PyTorch bfloat16", _HERE + "with_torch:Bfloat16", "torch", "medium"
    ),
    Entry(
        "jax-bfloat16", "JAX, epoch in one scan, values in bfloat16", "JAX bfloat16", _HERE + "with_jax:Bfloat16Scan",
        "jax", "medium",
    ),
)  # fmt: skip

CONTENDERS = {entry.name: entry for entry in _ALL}
"""All, by name; the product first."""
OWN = frozenset((PRODUCT, "high", "medium"))
"""chainrule in its precisions."""


def in_full(name: str) -> bool:
    """Whether a contender's products are of float32 numbers."""
    return name not in CONTENDERS or CONTENDERS[name].precision == "highest"


def load(place: str) -> type[Contender]:
    """The class at "module:Class"."""
    module, _, name = place.partition(":")
    contender: type[Contender] = getattr(importlib.import_module(module), name)
    return contender
