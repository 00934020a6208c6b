"""What a user describes: layers and a NetworkSpec; frozen, validated (all faults at once), to and from JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from chainrule.describe.activations import ACTIVATIONS, Activation, activation
from chainrule.describe.losses import Cost, Loss, loss, replace_loss
from chainrule.errors import ChainruleError, SpecError, expected, is_number, unknown_name
from chainrule.program.parse import parse, source

Reduction = Literal["mean", "sum"]
PenaltyPer = Literal["sample", "weight"]
GivenActivation = str | Activation | Callable[..., object]
INITIALISERS = (
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal",
    "zeros",
)  # fmt: skip
"""Names of initialisers; a number s stands for a normal distribution with standard deviation s."""


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, so that a spec is plain data; anything else as it is, for the checks to refuse."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _keep(owner: object, **fields: object) -> None:
    """Sets fields of a frozen object, before it is handed out."""
    for name, value in fields.items():
        object.__setattr__(owner, name, _plain(value))


def _count(what: str, value: object, faults: list[str]) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        faults.append(expected(what, "a positive whole number", value))


def _not_negative(what: str, value: Any, faults: list[str]) -> None:
    if not is_number(value) or value < 0:
        faults.append(expected(what, "a finite number of at least 0", value))


def _fraction(what: str, value: Any, faults: list[str]) -> None:
    if not is_number(value) or not 0 <= value < 1:
        faults.append(expected(what, "at least 0 and less than 1", value))


def _positive(what: str, value: Any, faults: list[str]) -> None:
    if not is_number(value) or value <= 0:
        faults.append(expected(what, "above 0", value))


def _initialiser(value: Any, faults: list[str]) -> None:
    if isinstance(value, str):
        if value not in INITIALISERS:
            faults.append(unknown_name("initialiser", value, INITIALISERS))
    elif value is not None and not (is_number(value) and value >= 0):
        faults.append(expected("The initialiser", "a name or the standard deviation of a normal distribution", value))


def _resolve(given: GivenActivation, faults: list[str]) -> Activation:
    try:
        return activation(given)
    except SpecError as fault:
        faults.extend(fault.faults)
        return activation("identity")


def _raise(layer: object, faults: list[str]) -> None:
    if faults:
        raise SpecError([f"{type(layer).__name__}: {fault}" for fault in faults])


@dataclass(frozen=True, init=False)
class Dense:
    """Z = A_{l-1} W + b, A = g(Z): fully connected, `units` wide.

    W (n_{l-1}, n_l), b (n_l,).  weights: an initialiser's name, or s for N(0, s²); by default he_normal for the relu
    family, lecun_normal for selu, else glorot_uniform.  Raises SpecError.
    """

    units: int
    activation: Activation
    bias: bool
    weights: str | float | None

    def __init__(
        self,
        units: int,
        activation: GivenActivation = "identity",
        *,
        bias: bool = True,
        weights: str | float | None = None,
    ) -> None:
        faults: list[str] = []
        _keep(self, units=units, activation=_resolve(activation, faults), bias=bool(bias), weights=weights)
        _count("units", self.units, faults)
        _initialiser(self.weights, faults)
        _raise(self, faults)


@dataclass(frozen=True)
class Embedding:
    """Rows of E named by tokens, side by side: tokens (m, c) -> (m, c · dimension).  Only as the first layer.

    vocabulary: v, the number of tokens 0 … v - 1.  E (v, dimension), by default N(0, 1).
    """

    vocabulary: int
    dimension: int
    weights: str | float | None = 1.0

    def __post_init__(self) -> None:
        faults: list[str] = []
        _keep(self, vocabulary=self.vocabulary, dimension=self.dimension, weights=self.weights)
        _count("vocabulary", self.vocabulary, faults)
        _count("dimension", self.dimension, faults)
        _initialiser(self.weights, faults)
        _raise(self, faults)


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout: in training D = A ∘ R / (1 - rate), R Bernoulli with mean 1 - rate; else D = A."""

    rate: float

    def __post_init__(self) -> None:
        faults: list[str] = []
        _keep(self, rate=self.rate)
        _fraction("rate", self.rate, faults)
        _raise(self, faults)


@dataclass(frozen=True, init=False)
class LayerNorm:
    """N = γ (A - μ) / √(σ² + ε) + β, μ and σ² over each sample's features; then an activation.

    Source: Ba et al. 2016.
    """

    activation: Activation
    epsilon: float

    def __init__(self, activation: GivenActivation = "identity", *, epsilon: float = 1e-5) -> None:
        faults: list[str] = []
        _keep(self, activation=_resolve(activation, faults), epsilon=epsilon)
        _positive("epsilon", self.epsilon, faults)
        _raise(self, faults)


@dataclass(frozen=True, init=False)
class BatchNorm:
    """N = γ (A - μ) / √(σ² + ε) + β, μ and σ² over the batch in training, running means otherwise; then an activation.

    running ← (1 - momentum) running + momentum · batch, of the mean and of the (biased) variance.
    Source: Ioffe, Szegedy 2015.
    """

    activation: Activation
    momentum: float
    epsilon: float

    def __init__(
        self, activation: GivenActivation = "identity", *, momentum: float = 0.1, epsilon: float = 1e-5
    ) -> None:
        faults: list[str] = []
        _keep(self, activation=_resolve(activation, faults), momentum=momentum, epsilon=epsilon)
        _fraction("momentum", self.momentum, faults)
        _positive("epsilon", self.epsilon, faults)
        _raise(self, faults)


Layer = Dense | Embedding | Dropout | LayerNorm | BatchNorm
LAYERS: Mapping[str, type] = {c.__name__: c for c in (Dense, Embedding, Dropout, LayerNorm, BatchNorm)}


@dataclass(frozen=True, init=False)
class NetworkSpec:
    """inputs features (or tokens, if the first layer is an Embedding), the layers, the loss and the penalties.

    l1, l2: λ₁/m Σ|W| and λ₂/(2m) Σ W² are added to the cost, m the batch's size; biases are not penalised.
    reduction: "mean" or "sum" of the losses.  penalty_per: "sample", or "weight" to put Σ w in the place of m in the
    penalties of a weighted mean, so that a weight of 2 is the sample twice there as well.
    Raises SpecError with all faults at once.
    """

    inputs: int
    layers: tuple[Layer, ...]
    loss: Loss | Cost
    l1: float
    l2: float
    reduction: Reduction
    penalty_per: PenaltyPer

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
        _keep(self, inputs=inputs, layers=several, l1=l1, l2=l2, reduction=reduction, penalty_per=penalty_per)
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
        return bool(self.layers) and isinstance(self.layers[0], Embedding)

    @property
    def outputs(self) -> int:
        """The width of the last layer."""
        return next(layer.units for layer in reversed(self.layers) if isinstance(layer, Dense))

    @property
    def last_activation(self) -> Activation:
        """The activation that the prediction comes out of."""
        for layer in reversed(self.layers):
            if isinstance(layer, Dense | LayerNorm | BatchNorm):
                return layer.activation
        raise SpecError("The network has no layer.")

    # --- to and from JSON ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The whole description as JSON-ready data."""
        return {
            "inputs": self.inputs,
            "layers": [_layer_to_dict(layer) for layer in self.layers],
            "loss": _loss_to_dict(self.loss),
            "l1": self.l1,
            "l2": self.l2,
            "reduction": self.reduction,
            "penalty_per": self.penalty_per,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkSpec:
        """The spec that `to_dict` described.  Raises SpecError."""
        try:
            layers = [_layer_from_dict(d) for d in data["layers"]]
            options = {k: data[k] for k in ("l1", "l2", "reduction", "penalty_per")}
            return cls(data["inputs"], layers, _loss_from_dict(data["loss"]), **options)
        except (KeyError, TypeError, AttributeError) as fault:
            raise SpecError(f"This is not a description of a network: {type(fault).__name__} {fault}.") from None


def _loss(given: str | Loss | Cost | Callable[..., object]) -> Loss | Cost:
    return loss(given)


def _faults(spec: NetworkSpec) -> list[str]:
    """Everything that is wrong with the network as a whole."""
    faults: list[str] = []
    _count("inputs", spec.inputs, faults)
    for position, layer in enumerate(spec.layers):
        if not isinstance(layer, tuple(LAYERS.values())):
            faults.append(expected(f"Layer {position + 1}", f"one of {', '.join(LAYERS)}", layer))
        elif isinstance(layer, Embedding) and position > 0:
            faults.append(f"Layer {position + 1} is an Embedding; only the first layer may be one.")
    dense = [layer for layer in spec.layers if isinstance(layer, Dense)]
    if not dense:
        faults.append("A network needs at least one Dense layer. Got none; add cr.Dense(outputs, ...).")
    elif isinstance(spec.layers[-1], Dropout):
        faults.append("The last layer is a Dropout: put it before the last Dense layer.")
    for name in ("l1", "l2"):
        _not_negative(name, getattr(spec, name), faults)
    if spec.reduction not in ("mean", "sum"):
        faults.append(expected("reduction", "'mean' or 'sum'", spec.reduction))
    if spec.penalty_per not in ("sample", "weight"):
        faults.append(expected("penalty_per", "'sample' or 'weight'", spec.penalty_per))
    if dense and spec.loss is not None and not isinstance(spec.layers[-1], Dropout):
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
            f"It fits {' or '.join(sorted(spec.loss.fits))}; for {last.name} there is {_suggest(last.name)}."
        )
    if spec.loss.classes and spec.outputs == 1:
        faults.append(
            f"{spec.loss.name} needs at least 2 outputs, one per class. Got 1; for one output use "
            f"Dense(1, 'sigmoid') with binary_cross_entropy."
        )
    return faults


def _suggest(last: str) -> str:
    return {
        "softmax": "cross_entropy",
        "log_softmax": "cross_entropy",
        "sigmoid": "binary_cross_entropy",
        "softplus": "poisson",
    }.get(last, "squared_error")


def _activation_to_json(a: Activation) -> str | dict[str, str | None]:
    if a == ACTIVATIONS.get(a.name):
        return a.name
    return {"formula": source(a.expression), "name": a.name, "slope": None if a.slope is None else source(a.slope)}


def _activation_from_json(data: str | Mapping[str, Any]) -> Activation:
    if isinstance(data, str):
        return activation(data)
    return Activation(data["formula"], name=data["name"], slope=data.get("slope"))


def _layer_to_dict(layer: Layer) -> dict[str, Any]:
    result: dict[str, Any] = {"type": type(layer).__name__}
    for name, value in vars(layer).items():
        result[name] = _activation_to_json(value) if isinstance(value, Activation) else value
    return result


def _layer_from_dict(data: Mapping[str, Any]) -> Layer:
    if data["type"] not in LAYERS:
        raise SpecError(unknown_name("layer", str(data["type"]), LAYERS))
    settings = {k: v for k, v in data.items() if k != "type"}
    if "activation" in settings:
        settings["activation"] = _activation_from_json(settings["activation"])
    layer = LAYERS[data["type"]](**settings)
    assert isinstance(layer, Dense | Embedding | Dropout | LayerNorm | BatchNorm)
    return layer


def _loss_to_dict(given: Loss | Cost) -> str | dict[str, Any]:
    if isinstance(given, Cost):
        return {"type": "Cost", "formula": source(given.expression), "name": given.name}
    try:
        if given == loss(given.name):
            return given.name
    except ChainruleError:
        pass
    return {
        "type": "Loss",
        "formula": source(given.expression),
        "name": given.name,
        "classes": given.classes,
        "fits": None if given.fits is None else sorted(given.fits),
        "smoothing": given.smoothing,
        "between": given.between,
        "cap": given.cap,
    }


def _loss_from_dict(data: str | Mapping[str, Any]) -> Loss | Cost:
    if isinstance(data, str):
        return loss(data)
    if data["type"] == "Cost":
        return Cost(parse(data["formula"], ("yhat", "y", "m")), name=data["name"])
    fits = None if data["fits"] is None else frozenset(data["fits"])
    between = None if data["between"] is None else tuple(data["between"])
    made = Loss(data["formula"], name=data["name"], classes=data["classes"], fits=fits, between=between)
    return replace_loss(made, smoothing=data["smoothing"], cap=data.get("cap"))
