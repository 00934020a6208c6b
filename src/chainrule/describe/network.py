"""NetworkSpec: the description of a network as a whole; frozen, validated (all faults at once), to and from JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from chainrule.calls import constructor
from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.canonical import canonical_pairs
from chainrule.describe.combine import KINDS, sequence_of
from chainrule.describe.constraints import Constraint, Pairs, constraints_of, pairs_of
from chainrule.describe.graph import Graph, Input, counts_of, every, survey
from chainrule.describe.layers import Layer
from chainrule.describe.losses import Cost, Loss, Losses, LossName, loss, loss_for, loss_of, losses_of
from chainrule.describe.parameters import shape_in
from chainrule.describe.schedules import Column, Schedule
from chainrule.describe.settings import count, factors, keep, not_negative, of_parameters, plain
from chainrule.describe.writing import declare_of_losses, write_layers
from chainrule.errors import DataError, FormulaError, SpecError, expected, unknown_name
from chainrule.program.builder import Builder
from chainrule.program.precision import PRECISIONS, Precision
from chainrule.program.symbol import BATCH, Shape, Symbol, shape_text

GivenLoss = LossName | str | Loss | Cost | Losses | Callable[..., object] | Mapping[str, Any]
SMOOTHING = Symbol("smoothing", (), "rate")
"""The share of a label that is spread evenly, where a schedule says it."""
MOST = 10_000_000
"""Columns of tokens: what counts those of each takes memory, and a file may claim more than there is."""
Reduction = Literal["mean", "sum"]
PenaltyPer = Literal["sample", "weight"]


@constructor
@dataclass(frozen=True, init=False)
class NetworkSpec:
    """A network as data: what goes in, the layers, the loss and the penalties.

    inputs: a number of columns; or several inputs by name, each a number of columns, or for tokens a list with the
    number of tokens of each column: {"numbers": 6, "kinds": [16, 7]}.  A list among the layers is part of the sequence.
    Raises SpecError with all faults at once.
    """

    inputs: int
    """Columns that come in, of all inputs together."""
    layers: tuple[Layer, ...]
    """In their order; combinators hold others."""
    loss: Loss | Cost | Losses
    """Of a sample, or the cost of a batch; of several outputs, each its own."""
    l1: float
    """λ₁: λ₁/m Σ|W| is added to the cost, m the batch's size; biases are not penalised."""
    l2: float
    """λ₂: λ₂/(2m) Σ W² is added to the cost."""
    reduction: Reduction
    """"mean" or "sum" of the losses."""
    penalty_per: PenaltyPer
    """"sample", or "weight" to put Σ w in the place of m in the penalties of a weighted mean, so that a weight of 2 is
    the sample twice there as well."""
    named: tuple[tuple[str, int | tuple[int, ...]], ...] = ()
    """Several inputs: the name of each, and its columns, or the tokens of each of its columns."""
    penalties: tuple[tuple[str, float], ...] = ()
    """Factors of λ₁ and λ₂ by the name of a parameter or the letter of several: {"W1": 0.5, "b": 1}; what is not
    named has the factor 1 if it is a layer's weights, else 0."""
    constraints: Pairs = ()
    """What parameters are brought back to after each step, by the name of one or the letter of several."""
    precision: Precision = "highest"
    """How products with values of the samples are done: "highest" in float32, "high" as three products of bfloat16
    numbers added up in float32, "medium" as one (docs/precision.md)."""

    def __init__(
        self,
        inputs: int | Mapping[str, int | Sequence[int]],
        layers: Sequence[Any],
        loss: GivenLoss,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        reduction: Reduction = "mean",
        penalty_per: PenaltyPer = "sample",
        penalties: Mapping[str, float] | tuple[tuple[str, float], ...] = (),
        constraints: Mapping[str, Constraint | Sequence[Constraint]] | Pairs = (),
        precision: Precision | str = "highest",
    ) -> None:
        faults: list[str] = []
        columns, named = _columns(inputs, faults)
        sound = not (faults and isinstance(inputs, Mapping))
        several = sequence_of(layers, "layers", "Layer ", faults)
        if isinstance(columns, int) and columns > MOST and any(layer.tokens for layer in every(several)):
            faults.append(expected("inputs", f"at most {MOST:,} columns of tokens", columns))
            columns = 1
        keep(self, inputs=columns, layers=several, l1=l1, l2=l2, reduction=reduction, penalty_per=penalty_per)
        keep(self, named=named, precision=precision)
        whole = not faults
        keep(self, penalties=factors("penalties", penalties, faults), constraints=pairs_of(constraints, faults))
        try:
            object.__setattr__(self, "loss", _loss(loss))
        except SpecError as fault:
            faults += fault.faults
            object.__setattr__(self, "loss", None)
        faults += _faults(self, sound, whole)
        if faults:
            raise SpecError(faults)

    def __repr__(self) -> str:
        return f"NetworkSpec({'-'.join(str(w) for w in self.widths)}, loss={self.loss.name!r})"

    @cached_property
    def sources(self) -> tuple[Input, ...]:
        """What comes in: one input without a name, or several with theirs."""
        if not self.named:
            counts = counts_of(self.layers, self.inputs)
            if counts and len(counts) != self.inputs:  # the layer says what is wrong with that
                counts = (counts + counts[-1:] * self.inputs)[: self.inputs]
            return (Input(self.inputs, counts=counts),)
        return tuple(
            Input(columns, name) if isinstance(columns, int) else Input(len(columns), name, columns)
            for name, columns in self.named
        )

    @cached_property
    def graph(self) -> Graph:
        """The layers in the order in which they are computed, those within combinators as well."""
        return survey(self.sources, self.layers)[0]

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """The settings that go by a schedule, by their symbols' names."""
        columns: dict[str, Column] = {}
        for node in self.graph.nodes:
            columns |= node.layer.columns(node.label)
        for output, one, _ in losses_of(self.loss):
            if isinstance(one, Loss) and isinstance(one.smoothing, Schedule):
                symbol = Symbol(SMOOTHING.letter, (), "rate", mark=output)
                columns[symbol.name] = Column(one.smoothing, 0.0, 1.0, "at least 0 and less than 1")
        return columns

    @cached_property
    def parameters(self) -> tuple[Symbol, ...]:
        """The parameters, in the order in which the layers declare them."""
        write = Builder()
        write_layers(self.sources, self.graph, write, training=False)
        declare_of_losses(self.loss, self.graph, self.ends, write)
        return tuple(s for s in write.given if s.role == "parameter")

    @cached_property
    def constrained(self) -> Mapping[str, tuple[Constraint, ...]]:
        """The constraints of each parameter that has some, by its name."""
        return constraints_of(self.constraints, self.parameters, []) if self.constraints else {}

    @cached_property
    def penalised(self) -> Mapping[str, float]:
        """The factor of λ₁ and λ₂ for each parameter that is named in `penalties`, by its name."""
        return of_parameters("penalties", self.penalties, self.parameters, []) if self.penalties else {}

    @property
    def ends(self) -> tuple[tuple[str, int], ...]:
        """The outputs: the name of each ("" of the only one), and the node whose value it is."""
        if isinstance(self.loss, Losses):
            return tuple((name, self.graph.names[name]) for name in self.loss.names)
        return (("", len(self.graph.nodes) - 1),)

    @property
    def tokens(self) -> bool:
        """Whether the one input is tokens for an embedding."""
        return not self.named and self.sources[0].tokens

    @property
    def outputs(self) -> int:
        """The width of the last layer."""
        return self.graph.nodes[-1].width

    @property
    def widths(self) -> tuple[int, ...]:
        """The inputs, and the features that leave each matrix product: 784, 256, 10."""
        return (self.inputs, *(node.width for node in self.graph.nodes if node.layer.numbered))

    @property
    def chain(self) -> bool:
        """Whether each layer takes the value of the one before it, from one input to one output."""
        return not self.named and not isinstance(self.loss, Losses) and not self.graph.joined

    @property
    def shape_words(self) -> str:
        """784-256-10; of a graph what comes in, and what goes out: numbers 9, kinds 2 → grower 3, size 1 (4 layers)."""
        if self.chain:
            return "-".join(str(width) for width in self.widths)
        ends = [f"{name} {self.graph.nodes[at].width}".lstrip() for name, at in self.ends]
        come = [f"{source.name} {source.width}".lstrip() for source in self.sources]
        layers = sum(node.layer.numbered for node in self.graph.nodes)
        return f"{', '.join(come)} → {', '.join(ends)} ({layers} layers)"

    @property
    def last_activation(self) -> Activation:
        """The activation that the prediction comes out of."""
        return self.graph.last_activation

    # --- to and from JSON ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The whole description as JSON-ready data."""
        from chainrule.describe import saved  # slow to load, and most networks are never saved

        return {
            "inputs": {name: c if isinstance(c, int) else list(c) for name, c in self.named} or self.inputs,
            "layers": [saved.layer_to_dict(layer) for layer in self.layers],
            "loss": saved.loss_to_dict(self.loss),
            "l1": self.l1,
            "l2": self.l2,
            "reduction": self.reduction,
            "penalty_per": self.penalty_per,
            **({"penalties": dict(self.penalties)} if self.penalties else {}),
            **({"constraints": saved.constraints_to_dict(self.constraints)} if self.constraints else {}),
            **({"precision": self.precision} if self.precision != "highest" else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], own_layers: Iterable[type[Layer]] = ()) -> NetworkSpec:
        """The spec that `to_dict` described; own_layers: classes beside chainrule's that it may name.

        Raises SpecError.
        """
        from chainrule.describe import saved

        kinds = {**KINDS, **{kind.__name__: kind for kind in own_layers}}
        kind = saved.network_kind(kinds)
        try:
            said = kind.read(data, "network: spec")
        except DataError as fault:
            reasons = saved.faults_of(data, kind, str(fault).removeprefix("network: "))
            raise SpecError([f"This is not a description of a network: {reason}" for reason in reasons]) from None
        said["constraints"] = saved.constraints_from(said["constraints"])
        layers, loss = saved.layers_from(said.pop("layers"), kinds), saved.loss_from(said.pop("loss"))
        return cls(said.pop("inputs"), layers, loss, **said)


def _loss(given: GivenLoss) -> Loss | Cost | Losses:
    if isinstance(given, Losses):
        return given
    return Losses(given) if isinstance(given, Mapping) else loss(given)


def _columns(inputs: object, faults: list[str]) -> tuple[Any, tuple[tuple[str, int | tuple[int, ...]], ...]]:
    """All columns that come in, and of several inputs the name of each with its columns or tokens."""
    if not isinstance(inputs, Mapping):
        columns = plain(inputs)
        count("inputs", columns, faults)
        return (1 if faults else columns), ()
    if not inputs:
        faults.append("inputs is empty: name at least one, such as {'numbers': 6}.")
    named: list[tuple[str, int | tuple[int, ...]]] = []
    for name, given in inputs.items():
        if not isinstance(name, str) or not name.isidentifier():
            faults.append(expected("The name of an input", "a word (letters, digits, _)", name))
            continue
        if isinstance(given, Sequence) and not isinstance(given, str):
            counts = tuple(plain(n) for n in given)
            if not counts:
                faults.append(f"inputs[{name!r}] is an empty list: it needs the number of tokens of each column.")
            for k, n in enumerate(counts):
                count(f"inputs[{name!r}][{k}]", n, faults)
            named.append((name, counts))
        else:
            count(f"inputs[{name!r}]", plain(given), faults)
            named.append((name, plain(given)))
    if faults:
        return 0, ()
    return sum(c if isinstance(c, int) else len(c) for _, c in named), tuple(named)


def _faults(spec: NetworkSpec, sound: bool, whole: bool) -> list[str]:
    """Everything that is wrong with the network as a whole; whole: whether inputs and layers are what they may be."""
    faults: list[str] = []
    numbered = any(layer.numbered for layer in every(spec.layers))
    ends = bool(spec.layers) and spec.layers[-1].ends
    fit: list[str] = []
    if not numbered:
        faults.append("A network needs at least one Dense layer. Got none; add cr.Dense(outputs, ...).")
    elif not ends:
        faults.append(f"The last layer is a {type(spec.layers[-1]).__name__}: put it before the last Dense layer.")
    if sound and numbered:
        several = spec.loss.names if isinstance(spec.loss, Losses) else ()
        losses = () if spec.loss is None else losses_of(spec.loss)
        values = [
            (value, f"loss[{name!r}]" if name else "loss")
            for name, one, _ in losses
            if isinstance(one, Loss)
            for value in one.values
        ]
        fit = survey(spec.sources, spec.layers, several, values)[1]
        faults += fit
        if whole and ends and not fit and (spec.penalties or spec.constraints):
            of_parameters("penalties", spec.penalties, spec.parameters, faults)
            constraints_of(spec.constraints, spec.parameters, faults)
    for name in ("l1", "l2"):
        not_negative(name, getattr(spec, name), faults)
    if spec.penalties and spec.l1 == spec.l2 == 0:
        faults.append("penalties are factors of l1 and l2, and both are 0: give one of them, such as l2=0.1.")
    if spec.reduction not in ("mean", "sum"):
        faults.append(expected("reduction", "'mean' or 'sum'", spec.reduction))
    if spec.penalty_per not in ("sample", "weight"):
        faults.append(expected("penalty_per", "'sample' or 'weight'", spec.penalty_per))
    if not isinstance(spec.precision, str) or spec.precision not in PRECISIONS:
        faults.append(unknown_name("precision", str(spec.precision), PRECISIONS))
    if numbered and ends and spec.loss is not None and sound and not fit:
        faults += _misfit(spec)
    return faults


def _misfit(spec: NetworkSpec) -> list[str]:
    """Whether a loss belongs to another last layer."""
    return [
        f"loss[{name!r}]: {fault}" if name else fault
        for (name, at), (_, one, _) in zip(spec.ends, losses_of(spec.loss), strict=True)
        for fault in (
            *_misfit_at(one, spec.graph.activations_of(at), spec.graph.nodes[at].width),
            *_misshapen(one, spec.graph, at),
        )
    ]


def _misshapen(one: Loss | Cost, graph: Graph, at: int) -> list[str]:
    """Whether the kept values and parameters of a loss fit the output that it is of."""
    if not isinstance(one, Loss) or not (one.values or one.parameters):
        return []
    width = graph.nodes[at].width
    widths = {value: graph.nodes[graph.names[value]].width for value in one.values}
    if graph.judged(at)[1] > 1:
        return [
            f"{value} must be as wide as the members' outputs, {width}. It is {n} wide."
            for value, n in widths.items()
            if n != width
        ]
    given: dict[str, Shape] = {name: (BATCH, n) for name, n in {"yhat": width, "y": width, **widths}.items()}
    given |= {letter: parameter.over(width) for letter, parameter in one.parameters}
    try:
        shape = shape_in(one.expression, given, "a loss")
    except FormulaError as fault:
        return [f"The loss does not fit what it is of. {fault}"]
    fits = shape in ((BATCH, width), (BATCH, 1))
    return (
        [] if fits else [f"{one.name} must give {shape_text((BATCH, width))} or (m, 1). It gives {shape_text(shape)}."]
    )


def _misfit_at(one: Loss | Cost, activations: Iterable[Activation], width: int) -> list[str]:
    """Whether a loss fits values that come out of such activations."""
    if not isinstance(one, Loss) or one.fits is None:
        return []
    faults = []
    for last in dict.fromkeys(activations):
        from_table = last == ACTIVATIONS.get(last.name)
        if from_table and last.name not in one.fits:
            logits = last.identity and (one.natural, one.name) in canonical_pairs()
            faults.append(
                f"The loss {one.name} does not fit the last layer's activation {last.name}. "
                f"It fits {' or '.join(sorted(one.fits))}; for {last.name} there is {loss_for(last.name)}."
                + f" Take {one.natural}: the logits are used inside anyway."
                * logits
            )
    if one.classes and width == 1:
        other = loss_of("yes/no")
        faults.append(
            f"{one.name} needs at least 2 outputs, one per class. Got 1; for one output use "
            f"Dense(1, {other.natural!r}) with {other}."
        )
    return faults
