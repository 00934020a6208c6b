"""Layers: each says everything about itself once.

What a layer computes are its forward equations (`equations`), written down in the language of the derivation; how the
network is trained follows from them by the chain rule.  To add a layer, add a class here; a layer of one's own may
stand anywhere and is handed to `Network` like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from chainrule.calls import constructor
from chainrule.describe import initialisers
from chainrule.describe.activations import ACTIVATIONS, Activation, ActivationName, activation
from chainrule.describe.parameters import Named
from chainrule.describe.schedules import Column, Schedule
from chainrule.describe.settings import as_called, count, fraction, keep, positive, refuse
from chainrule.errors import SpecError, expected
from chainrule.program.builder import Builder, Initial
from chainrule.program.op import Gather, Mask, MatMul, Op
from chainrule.program.scalar import Expression, Over, Reduction, Variable, apply
from chainrule.program.symbol import Label, Symbol, product_of

GivenActivation = ActivationName | str | Activation | Callable[..., object]


@dataclass(frozen=True)
class Place:
    """Where a layer stands when it writes its equations down."""

    label: Label
    """What its symbols are numbered by."""
    training: bool
    """Whether the program is of a training step."""
    stream: int
    """Of random bits: the random layers before it."""
    keep_identity: bool
    """Whether A = Z is written out where the activation is the identity."""
    following: Activation
    """The activation that its values meet next, past normalisation and dropout."""
    reads_data: bool
    """Whether no activation stands before it."""
    counts: tuple[int, ...] = ()
    """Where tokens come in, how many each column has."""

    def initialiser(self, given: Initial | None) -> Initial:
        """Of weights here: the one given, else that of the activation that follows."""
        return initialisers.at_place(self.following.initialiser if given is None else given, self.reads_data)


class Layer:
    """The base of all layers: what a network asks of them."""

    numbered: ClassVar[bool] = False
    """Whether symbols are counted on from it: a matrix product (Z1, Z2, ...)."""
    family: ClassVar[str] = ""
    """Layers of a family share their symbols' letters, and so the b, c, ... of repeats; by default each class does."""
    random: ClassVar[bool] = False
    """Whether it draws random bits in training."""
    over_batch: ClassVar[bool] = False
    """Whether it takes statistics over the batch in training, which one sample alone has none of."""
    tokens: ClassVar[bool] = False
    """Whether it reads tokens, and no numbers."""
    categories: ClassVar[bool] = False
    """Whether it reads tokens as well, if it is said how many each column has."""
    passes: ClassVar[bool] = False
    """Whether a feature that comes in is the same feature when it leaves (normalisation, dropout)."""
    unchanged: ClassVar[bool] = False
    """Whether the very value that comes in leaves it."""
    ends: ClassVar[bool] = True
    """Whether a network may end with it."""
    reasons: ClassVar[Mapping[str, str]] = {}
    """The rules of its equations -> what they say, for people; one that is left out is shown by its name."""

    def __init_subclass__(cls, **options: object) -> None:
        """A layer that is a dataclass keeps the short `repr` of layers; one with a `repr` of its own has that."""
        super().__init_subclass__(**options)
        if "__repr__" not in vars(cls) and cls.__repr__ is Layer.__repr__:
            cls.__repr__ = Layer.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        return as_called(self, _written)

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """Writes the forward equations over the value below (m, n); returns the value that leaves the layer."""
        raise TypeError(f"{type(self).__name__} does not say what it computes: define equations(write, below, place).")

    def width(self, below: int) -> int:
        """The features that leave it, of so many that come in."""
        return below

    def misfit(self, widths: Sequence[int]) -> str | None:
        """What is wrong with values of so many features coming in; None if nothing is."""
        return None

    def counts(self, columns: int) -> tuple[int, ...]:
        """Of a layer that reads tokens: how many there are in each of so many columns; () where others must say."""
        return ()

    def unread(self, counts: tuple[int, ...]) -> str | None:
        """Why it does not read tokens of which each column has so many; None if it does."""
        return None

    @property
    def ensemble(self) -> int:
        """The members whose values it takes side by side, or makes; 0 where it knows of none."""
        return 0

    def members_after(self, below: int) -> int:
        """The members whose values leave it side by side, of so many that come in; 0 for none."""
        return below if self.passes or self.unchanged else 0

    @property
    def activates(self) -> Activation | None:
        """The activation that its values come out of; None where they pass as they are."""
        return None

    @property
    def tied(self) -> Tied | None:
        """The parameter of another layer that it uses as its weights."""
        return None

    def weights_over(self, below: int, label: Label) -> Symbol | None:
        """The weights that it brings, which others may use as theirs; None where it brings none."""
        return None

    def columns(self, label: Label) -> dict[str, Column]:
        """Its settings that go by a schedule, by the names of their symbols; label: its place's."""
        return {}

    @property
    def words(self) -> str:
        """What it is, for the summary."""
        return type(self).__name__


@constructor
@dataclass(frozen=True)
class Tied:
    """Weights that are those of another layer: one parameter, used twice.

        Dense(784, "sigmoid", weights=Tied("W1", transposed=True))

    Its gradient is the sum of what both uses make of it.  Raises SpecError.
    """

    name: str
    """The parameter's name, as in `net.parameters`; its layer stands before."""
    transposed: bool = False
    """Whether its transpose is used."""

    def __str__(self) -> str:
        """W1, or "W1 transposed"."""
        return f"{self.name} transposed" if self.transposed else self.name

    def __post_init__(self) -> None:
        faults: list[str] = []
        if not isinstance(self.name, str) or not self.name:
            faults.append(expected("the name", "that of a parameter, such as 'W1'", self.name))
        if not isinstance(self.transposed, bool):
            faults.append(expected("transposed", "True or False", self.transposed))
        refuse(self, faults)


def _written(value: object) -> str:
    """A value of a layer as it would be given: one of chainrule's activations by its name."""
    known = isinstance(value, Activation) and ACTIVATIONS.get(value.name) == value
    return repr(value.name) if isinstance(value, Activation) and known else repr(value)


def resolved(given: GivenActivation, faults: list[str]) -> Activation:
    """The activation; identity, and a fault, where there is none of that name."""
    try:
        return activation(given)
    except SpecError as fault:
        faults.extend(fault.faults)
        return activation("identity")


def declare(write: Builder, parameters: Named, width: int, place: Place) -> dict[str, Symbol]:
    """The symbols of a formula's parameters, over so many features, by their names in it."""
    bind = {}
    for letter, parameter in parameters:
        shape = parameter.over(width)
        draft = write.fresh(Symbol(letter, layer=place.label, penalised=parameter.penalised), shape)
        bind[letter] = write.parameter(draft, shape, place.initialiser(parameter.initial))
    return bind


def activated(
    write: Builder,
    g: Activation,
    z: Symbol,
    draft: Symbol,
    place: Place,
    *,
    keep_identity: bool = False,
    groups: int = 1,
) -> Symbol:
    """A = g(Z); without an activation Z itself (keep_identity writes A = Z all the same).

    groups: those of Z, over the features of each of which g is taken where it reduces over them.
    """
    if g.identity and not keep_identity:
        write.activations.append((z, z))
        return z
    parameters = declare(write, g.parameters, int(z.shape[1]), place)
    return write.activate(g.expression, g.slope, z, draft, rule=g.name, groups=groups, parameters=parameters)


@constructor
@dataclass(frozen=True, init=False)
class Dense(Layer):
    """Z = A_{l-1} W + b, A = g(Z): fully connected, `units` wide.

    W (n_{l-1}, n_l), b (n_l,).  Over tokens whose counts the inputs say, {"kinds": [16, 7]}, A_{l-1} is their one-hot
    rows side by side, and the product the sum of the rows of W that they name.

    Parameters
    ----------
    units
        n_l, how many numbers leave it for each sample.
    activation
        g: a name, an `Activation`, a formula as text or as a function.
    bias
        Whether there is a b.
    weights
        How W begins: an initialiser's name, s for N(0, s²), None for what suits the activations around it.  A `Tied`:
        W is another layer's.

    Raises
    ------
    SpecError
        For settings that cannot be.
    """

    numbered = True
    categories = True
    reasons: ClassVar[Mapping[str, str]] = {
        "dense": "dense layer: the values of the layer before times the weights, plus the bias",
        "dense without bias": "dense layer without a bias: the values of the layer before times the weights",
        "one-hot product": "one-hot rows times the weights: the rows of the weights that the tokens name, added up",
    }

    units: int
    """n_l"""
    activation: Activation
    """g; a name, a formula, an Activation."""
    bias: bool
    """Whether there is a b."""
    weights: str | float | Tied | None
    """An initialiser's name, or s for N(0, s²); None for the one of the activation that follows: rectified for the relu
    family (glorot_uniform where data come in, else he_normal), he_normal for sigmoid, hard_sigmoid and softplus,
    lecun_normal for selu, else glorot_uniform.  Tied: another layer's."""

    def __init__(
        self,
        units: int,
        activation: GivenActivation = "identity",
        *,
        bias: bool = True,
        weights: str | float | Tied | None = None,
    ) -> None:
        faults: list[str] = []
        keep(self, units=units, activation=resolved(activation, faults), bias=bool(bias), weights=weights)
        count("units", self.units, faults)
        if not isinstance(self.weights, Tied):
            initialisers.check(self.weights, faults)
        refuse(self, faults)

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """Z = A_{l-1} W + b   (m, n_l),   A = g(Z)   (m, n_l)"""
        width, label, z = int(below.shape[1]), place.label, Symbol("Z", layer=place.label)
        op: Op
        rule = "dense" if self.bias else "dense without bias"
        if isinstance(self.weights, Tied):
            w, op = write.scope[self.weights.name], MatMul(transpose_right=self.weights.transposed)
        else:
            initial = place.initialiser(self.weights)
            own = self.weights_over(sum(place.counts) or width, label)
            assert own is not None
            w, op = write.parameter(own, own.shape, initial), MatMul()
        operands = (below, w)
        if below.integers:
            starts = tuple(sum(place.counts[:k]) for k in range(width))
            op, operands, rule = Gather(starts=starts), (w, below), "one-hot product"
        if self.bias:
            b = write.parameter(Symbol("b", layer=label), (self.units,))
            product = write.apply(product_of(below, w), op, operands, rule=rule)
            z = write.write(z, Variable(product.name) + Variable(b.name), rule="dense")
        else:
            z = write.apply(z, op, operands, rule=rule)
        return activated(write, self.activation, z, Symbol("A", layer=label), place, keep_identity=place.keep_identity)

    def width(self, below: int) -> int:
        """n_l"""
        return self.units

    @property
    def activates(self) -> Activation:
        """g"""
        return self.activation

    @property
    def tied(self) -> Tied | None:
        """Whose weights it uses."""
        return self.weights if isinstance(self.weights, Tied) else None

    def weights_over(self, below: int, label: Label) -> Symbol | None:
        """W (n_{l-1}, n_l)"""
        return None if self.tied else Symbol("W", (below, self.units), "parameter", layer=label, penalised=True)

    @property
    def words(self) -> str:
        """dense relu, no bias"""
        words = [f"dense {self.activation.name}"]
        if self.tied is not None:
            words.append(f"weights {self.tied}")
        if not self.bias:
            words.append("no bias")
        return ", ".join(words)


@constructor
@dataclass(frozen=True)
class Dropout(Layer):
    """Inverted dropout: in training D = A ∘ R / (1 - rate), R Bernoulli with mean 1 - rate; else D = A.

    Raises SpecError.
    """

    random = True
    passes = True
    ends = False
    reasons: ClassVar[Mapping[str, str]] = {
        "dropout": "dropout: which values stay, drawn anew in every step",
        "inverted dropout": "dropout: what stays is divided by the part that stays, so that the mean is unchanged",
    }

    rate: float | Schedule
    """The share of values that become 0, or a schedule of it."""

    def __post_init__(self) -> None:
        faults: list[str] = []
        keep(self, rate=self.rate)
        if not isinstance(self.rate, Schedule):
            fraction("rate", self.rate, faults)
        refuse(self, faults)

    def columns(self, label: Label) -> dict[str, Column]:
        """The rate, where a schedule says it."""
        if not isinstance(self.rate, Schedule):
            return {}
        return {self._given(label).name: Column(self.rate, 0.0, 1.0, "at least 0 and less than 1")}

    @staticmethod
    def _given(label: Label) -> Symbol:
        return Symbol("rate", (), "rate", layer=label)

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """D = A R / (1 - rate), R the mask   (m, n); nothing at all when not training or rate = 0."""
        if not place.training or self.rate == 0:
            write.reserve(Symbol("R", layer=place.label), Symbol("D", layer=place.label), self._given(place.label))
            return below
        seed, step = write.give(Symbol("seed", (), "counter")), write.give(Symbol("t", (), "counter"))
        width, label = below.shape[1], place.label
        assert isinstance(width, int)
        given: tuple[Symbol, ...] = ()
        rate: float | Variable
        if isinstance(self.rate, Schedule):
            given = (write.give(self._given(label)),)
            op, rate = Mask(None, place.stream, width), Variable(given[0].name)
        else:
            op, rate = Mask(self.rate, place.stream, width), self.rate
        mask = write.apply(Symbol("R", (), "mask", layer=label), op, (seed, step, *given), rule="dropout")
        kept = Variable(below.name) * Variable(mask.name) / (1 - rate)
        return write.write(Symbol("D", layer=label), kept, rule="inverted dropout")

    @property
    def words(self) -> str:
        """dropout 0.5"""
        return f"dropout {type(self.rate).__name__ if isinstance(self.rate, Schedule) else format(self.rate, 'g')}"


class _Normalisation(Layer):
    """What both normalisations share: N = C / √(variance + ε),  H = γ N + β, then the activation."""

    family = "normalisation"
    passes = True
    kind: ClassVar[str]

    activation: Activation
    epsilon: float

    @property
    def activates(self) -> Activation:
        """The activation after γ N + β."""
        return self.activation

    @property
    def words(self) -> str:
        """layer normalisation relu"""
        return f"{self.kind} normalisation" + ("" if self.activation.identity else f" {self.activation.name}")

    @property
    def _rule(self) -> str:
        return f"{self.kind} normalisation"

    def _centred(self, write: Builder, below: Symbol, mean: Expression, place: Place) -> Variable:
        centred = write.write(Symbol("C", layer=place.label), Variable(below.name) - mean, rule=self._rule)
        return Variable(centred.name)

    def _mean(self, write: Builder, value: Expression, over: Over, mark: str, place: Place) -> Expression:
        beside = Symbol("sum", layer=place.label, mark=mark)
        return write.lower(Reduction("mean", over, value), {}, beside, rule=self._rule)

    def _scaled(self, write: Builder, below: Symbol, c: Expression, variance: Expression, place: Place) -> Symbol:
        label, rule = place.label, self._rule
        root = apply("sqrt", variance + self.epsilon)
        deviation = write.write(Symbol("s", (), "inner", layer=label), root, rule=rule)
        normal = write.write(Symbol("N", layer=label), c / Variable(deviation.name), rule=rule)
        gamma = write.parameter(Symbol("gamma", layer=label), below.shape[1:], "ones")
        beta = write.parameter(Symbol("beta", layer=label), below.shape[1:])
        scaled = Variable(gamma.name) * Variable(normal.name) + Variable(beta.name)
        h = write.write(Symbol("H", layer=label), scaled, rule=rule)
        return activated(write, self.activation, h, Symbol("A", layer=label, mark="n"), place)


@constructor
@dataclass(frozen=True, init=False)
class LayerNorm(_Normalisation):
    """N = γ (A - μ) / √(σ² + ε) + β, μ and σ² over each sample's features; then an activation.

    Raises SpecError.  Source: Ba et al. 2016.
    """

    kind = "layer"
    reasons: ClassVar[Mapping[str, str]] = {
        "layer normalisation": "layer normalisation: mean 0 and variance 1 over each sample's features, then γ and β"
    }

    activation: Activation
    """g, after γ and β."""
    epsilon: float
    """ε"""

    def __init__(self, activation: GivenActivation = "identity", *, epsilon: float = 1e-5) -> None:
        faults: list[str] = []
        keep(self, activation=resolved(activation, faults), epsilon=epsilon)
        positive("epsilon", self.epsilon, faults)
        refuse(self, faults)

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """C = A - mean_j A,  N = C / √(mean_j C² + ε),  H = γ N + β, then the activation   (m, n)"""
        mean = self._mean(write, Variable(below.name), "columns", "mu", place)
        c = self._centred(write, below, mean, place)
        variance = self._mean(write, c**2, "columns", "var", place)
        return self._scaled(write, below, c, variance, place)


@constructor
@dataclass(frozen=True, init=False)
class BatchNorm(_Normalisation):
    """N = γ (A - μ) / √(σ² + ε) + β, μ and σ² over the batch in training, running means otherwise; then an activation.

    running ← (1 - momentum) running + momentum · batch, of the mean and of the (biased) variance.  Raises SpecError.
    Source: Ioffe, Szegedy 2015.
    """

    kind = "batch"
    over_batch = True
    reasons: ClassVar[Mapping[str, str]] = {
        "batch normalisation": "batch normalisation: mean 0 and variance 1 over the batch, then γ and β"
    }

    activation: Activation
    """g, after γ and β."""
    momentum: float
    """The share of the batch in the running means."""
    epsilon: float
    """ε"""

    def __init__(
        self, activation: GivenActivation = "identity", *, momentum: float = 0.1, epsilon: float = 1e-5
    ) -> None:
        faults: list[str] = []
        keep(self, activation=resolved(activation, faults), momentum=momentum, epsilon=epsilon)
        fraction("momentum", self.momentum, faults)
        positive("epsilon", self.epsilon, faults)
        refuse(self, faults)

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """As LayerNorm with means over the batch (training) or the running means; the update keeps those running."""
        width, label = below.shape[1:], place.label
        running_mean = write.statistic(Symbol("mean", layer=label), width)
        running_var = write.statistic(Symbol("var", layer=label), width, "ones")
        if not place.training:
            c = self._centred(write, below, Variable(running_mean.name), place)
            return self._scaled(write, below, c, Variable(running_var.name), place)
        mean = self._mean(write, Variable(below.name), "rows", "mu", place)
        c = self._centred(write, below, mean, place)
        variance = self._mean(write, c**2, "rows", "var", place)
        for running, batch in ((running_mean, mean), (running_var, variance)):
            value = (1 - self.momentum) * Variable(running.name) + self.momentum * batch
            write.statistics.append((running, value))
        return self._scaled(write, below, c, variance, place)


PLAIN: Mapping[str, type[Layer]] = {c.__name__: c for c in (Dense, Dropout, LayerNorm, BatchNorm)}
"""Those of this file, by the name that a saved network calls them."""
