"""The outputs of a network, one by one: what each is judged by, and how what it predicts becomes a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import checks
from chainrule.describe.activations import Activation
from chainrule.describe.losses import Cost, Loss, Losses, losses_of
from chainrule.describe.network import NetworkSpec
from chainrule.engines.base import sample_count
from chainrule.errors import SpecError, expected, unknown_name
from chainrule.network import Network

Array = NDArray[Any]
Names = Sequence[str] | Mapping[str, Sequence[str]]
"""Of the classes; of several outputs, those of each by its name."""


@dataclass(frozen=True)
class Output:
    """One of a network's outputs."""

    name: str
    """Its own; "" of the only one."""
    width: int
    """Its columns."""
    loss: Loss | Cost
    """What it is judged by."""
    activation: Activation
    """What it comes out of."""

    @property
    def classifies(self) -> bool:
        """Whether it says classes."""
        return self.loss.classes or (self.loss.decides and self.width == 1)

    @property
    def classes(self) -> int:
        """How many."""
        return max(2, self.width)

    @property
    def middle(self) -> float:
        """Above it, one column means the second class."""
        return self.loss.middle if isinstance(self.loss, Loss) else 0.0

    def said(self, what: str) -> str:
        """What is said of it, with its name where it has one."""
        if not self.name:
            return what
        return f"{self.name}: {what if what[:2].isupper() else what[0].lower() + what[1:]}"

    def part(self, values: Any) -> Any:
        """Its part of targets or predictions of all outputs."""
        return values[self.name] if self.name else values

    def names(self, names: Names | None) -> list[str]:
        """Of its classes, by default 0, 1, ...; SpecError where there are too few or too many."""
        own = names.get(self.name) if isinstance(names, Mapping) else names
        if own is None:
            return [str(k) for k in range(self.classes)]
        what = f"names[{self.name!r}]" if isinstance(names, Mapping) else "names"
        if len(own) != self.classes:
            raise SpecError(expected(what, f"the names of {self.classes} classes", len(own)))
        return [str(name) for name in own]

    def decide(self, predicted: Array) -> tuple[NDArray[np.int64], Array]:
        """(the class (m,), how sure (m,), between 0 and 1 where the outputs are probabilities)."""
        if predicted.shape[1] == 1:
            guess = (predicted[:, 0] > self.middle).astype(np.int64)
            p = predicted[:, 0] if self.middle else 1 / (1 + np.exp(-predicted[:, 0].astype(np.float64)))
            return guess, np.where(guess == 1, p, 1 - p)
        values = np.exp(predicted) if self.activation.logarithms else predicted
        return values.argmax(axis=1), values.max(axis=1)

    def probabilities(self, predicted: Array) -> Array | None:
        """Of the classes, (m, classes); None where the outputs are none, as the margins of a hinge."""
        if self.activation.identity or (isinstance(self.loss, Loss) and self.loss.kind == "signs"):
            return None
        shares = np.exp(predicted) if self.activation.logarithms else predicted
        return np.hstack([1 - shares, shares]) if shares.shape[1] == 1 else shares

    def truth(self, target: Array) -> NDArray[np.int64]:
        """The classes (m,) of checked targets."""
        if target.ndim == 1:
            return np.asarray(target, np.int64)
        truth = target.argmax(axis=1) if target.shape[1] > 1 else target[:, 0] > self.middle
        return np.asarray(truth, np.int64)


def outputs_of(spec: NetworkSpec) -> tuple[Output, ...]:
    """All outputs, in the order of their losses."""
    return tuple(
        Output(name, spec.graph.nodes[at].width, loss, spec.graph.activation_of(at))
        for (name, at), (_, loss, _) in zip(spec.ends, losses_of(spec.loss), strict=True)
    )


def output_of(spec: NetworkSpec, name: str | None) -> Output:
    """The one of that name; None for the only one.  Raises SpecError."""
    outputs = {output.name: output for output in outputs_of(spec)}
    if not isinstance(spec.loss, Losses):
        if name is not None:
            raise SpecError(f"output is for networks with several outputs; this one has one. Got {name!r}.")
        return outputs[""]
    if name is None:
        raise SpecError(f"This network has several outputs: say output=, one of {', '.join(map(repr, outputs))}.")
    if name not in outputs:
        raise SpecError(unknown_name("output", name, outputs))
    return outputs[name]


def check_names(spec: NetworkSpec, names: Names | None) -> None:
    """Whether they are of classes, and as many.  Raises SpecError."""
    outputs = outputs_of(spec)
    if not any(output.classifies for output in outputs) and names is not None:
        raise SpecError("names are for the classes of a network that predicts classes; this one predicts numbers.")
    if isinstance(spec.loss, Losses) and names is not None:
        if not isinstance(names, Mapping):
            raise SpecError(expected("names", "a dict of the names of classes, by the output's name", names))
        known = [output.name for output in outputs if output.classifies]
        for name in names:
            if name not in known:
                raise SpecError(unknown_name("output of classes", name, known))
    for output in outputs:
        if output.classifies:
            output.names(names)


def judged(net: Network, X: Any, y: Any, output: Output) -> tuple[Array, Array]:
    """(an output's targets as checked, (m,) for labels, its predictions (m, n)).  Raises DataError."""
    data = checks.inputs(net.spec, X, net.dtype, net.feature_names)
    kinds, arrays = checks.targets(net.spec, y, sample_count(data), net.dtype)
    target = checks.targets_as_given(net.spec, arrays, kinds)
    return output.part(target), output.part(net.predict(checks.as_given(net.spec, data)))
