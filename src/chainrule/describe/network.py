"""NetworkSpec: the description of a network as a whole; frozen, validated (all faults at once), to and from JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.layers import LAYERS, Layer
from chainrule.describe.losses import Cost, Loss, loss, loss_for, loss_of
from chainrule.describe.settings import count, keep, not_negative
from chainrule.errors import DataError, SpecError, expected
from chainrule.program.symbol import Label

Reduction = Literal["mean", "sum"]
PenaltyPer = Literal["sample", "weight"]


@dataclass(frozen=True, init=False)
class NetworkSpec:
    """A network as data: what goes in, the layers, the loss and the penalties.

    Raises SpecError with all faults at once.
    """

    inputs: int
    """Features, or tokens where the first layer is an Embedding."""
    layers: tuple[Layer, ...]
    """In order."""
    loss: Loss | Cost
    """Of a sample, or the cost of a batch."""
    l1: float
    """λ₁: λ₁/m Σ|W| is added to the cost, m the batch's size; biases are not penalised."""
    l2: float
    """λ₂: λ₂/(2m) Σ W² is added to the cost."""
    reduction: Reduction
    """"mean" or "sum" of the losses."""
    penalty_per: PenaltyPer
    """"sample", or "weight" to put Σ w in the place of m in the penalties of a weighted mean, so that a weight of 2 is
    the sample twice there as well."""

    def __init__(
        self,
        inputs: int,
        layers: Sequence[Layer],
        loss: str | Loss | Cost | Callable[..., object],
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        reduction: Reduction = "mean",
        penalty_per: PenaltyPer = "sample",
    ) -> None:
        several = tuple(layers) if isinstance(layers, Sequence) else (layers,)
        keep(self, inputs=inputs, layers=several, l1=l1, l2=l2, reduction=reduction, penalty_per=penalty_per)
        faults: list[str] = []
        try:
            object.__setattr__(self, "loss", _loss(loss))
        except SpecError as fault:
            faults += fault.faults
            object.__setattr__(self, "loss", None)
        faults = [*_faults(self), *faults]
        if faults:
            raise SpecError(faults)

    @property
    def tokens(self) -> bool:
        """Whether the inputs are tokens for an embedding."""
        return bool(self.layers) and self.layers[0].tokens

    @property
    def outputs(self) -> int:
        """The width of the last layer."""
        width = self.inputs
        for layer in self.layers:
            width = layer.width(width)
        return width

    @property
    def widths(self) -> tuple[int, ...]:
        """The inputs, and the features that leave each matrix product: 784, 256, 10."""
        widths, width = [self.inputs], self.inputs
        for layer in self.layers:
            width = layer.width(width)
            if layer.numbered:
                widths.append(width)
        return tuple(widths)

    @property
    def last_activation(self) -> Activation:
        """The activation that the prediction comes out of."""
        return next((g for layer in reversed(self.layers) if (g := layer.activates)), ACTIVATIONS["identity"])

    def following(self, position: int) -> Activation:
        """The activation that the values of the layer at this place (from 0) meet next, past normalisation, dropout."""
        own = self.layers[position].activates
        if own is not None and not own.identity:
            return own
        for after in self.layers[position + 1 :]:
            if not after.passes:
                break
            if after.activates is not None and not after.activates.identity:
                return after.activates
        return ACTIVATIONS["identity"]

    @property
    def labels(self) -> tuple[Label, ...]:
        """What the symbols of each layer are numbered by: the dense layers so far, and which of its family there."""
        number = 0
        seen: dict[tuple[str, int], int] = {}
        labels = []
        for layer in self.layers:
            number += layer.numbered
            key = layer.family or type(layer).__name__, number
            seen[key] = seen.get(key, 0) + 1
            labels.append(Label(number, seen[key]))
        return tuple(labels)

    # --- to and from JSON ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The whole description as JSON-ready data."""
        from chainrule.describe import saved  # slow to load, and most networks are never saved

        return {
            "inputs": self.inputs,
            "layers": [saved.layer_to_dict(layer) for layer in self.layers],
            "loss": saved.loss_to_dict(self.loss),
            "l1": self.l1,
            "l2": self.l2,
            "reduction": self.reduction,
            "penalty_per": self.penalty_per,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], own_layers: Iterable[type[Layer]] = ()) -> NetworkSpec:
        """The spec that `to_dict` described; own_layers: classes beside chainrule's that it may name.

        Raises SpecError.
        """
        from chainrule.describe import saved

        kinds = {**LAYERS, **{kind.__name__: kind for kind in own_layers}}
        try:
            said = saved.network_kind(kinds).read(data, "network: spec")
        except DataError as fault:
            reason = str(fault).removeprefix("network: ")
            raise SpecError(f"This is not a description of a network: {reason}") from None
        layers, loss = saved.layers_from(said.pop("layers"), kinds), saved.loss_from(said.pop("loss"))
        return cls(said.pop("inputs"), layers, loss, **said)


def _loss(given: str | Loss | Cost | Callable[..., object]) -> Loss | Cost:
    return loss(given)


def _faults(spec: NetworkSpec) -> list[str]:
    """Everything that is wrong with the network as a whole."""
    faults: list[str] = []
    count("inputs", spec.inputs, faults)
    for position, layer in enumerate(spec.layers):
        if not isinstance(layer, Layer):
            faults.append(
                expected(f"Layer {position + 1}", f"one of {', '.join(LAYERS)}, or a Layer of your own", layer)
            )
        elif layer.tokens and position > 0:
            kind = type(layer).__name__
            faults.append(f"Layer {position + 1} is an {kind}; only the first layer may be one.")
    layers = [layer for layer in spec.layers if isinstance(layer, Layer)]
    numbered = any(layer.numbered for layer in layers)
    ends = bool(layers) and layers[-1].ends
    if not numbered:
        faults.append("A network needs at least one Dense layer. Got none; add cr.Dense(outputs, ...).")
    elif not ends:
        faults.append(f"The last layer is a {type(layers[-1]).__name__}: put it before the last Dense layer.")
    for name in ("l1", "l2"):
        not_negative(name, getattr(spec, name), faults)
    if spec.reduction not in ("mean", "sum"):
        faults.append(expected("reduction", "'mean' or 'sum'", spec.reduction))
    if spec.penalty_per not in ("sample", "weight"):
        faults.append(expected("penalty_per", "'sample' or 'weight'", spec.penalty_per))
    if numbered and ends and spec.loss is not None and len(layers) == len(spec.layers):
        faults += _misfit(spec)
    return faults


def _misfit(spec: NetworkSpec) -> list[str]:
    """Whether the loss belongs to another last layer."""
    if not isinstance(spec.loss, Loss) or spec.loss.fits is None:
        return []
    last = spec.last_activation
    from_table = last == ACTIVATIONS.get(last.name)
    faults = []
    if from_table and last.name not in spec.loss.fits:
        faults.append(
            f"The loss {spec.loss.name} does not fit the last layer's activation {last.name}. "
            f"It fits {' or '.join(sorted(spec.loss.fits))}; for {last.name} there is {loss_for(last.name)}."
        )
    if spec.loss.classes and spec.outputs == 1:
        other = loss_of("yes/no")
        faults.append(
            f"{spec.loss.name} needs at least 2 outputs, one per class. Got 1; for one output use "
            f"Dense(1, {other.natural!r}) with {other}."
        )
    return faults
