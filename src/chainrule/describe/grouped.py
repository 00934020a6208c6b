"""Layers of groups: columns that stand side by side in groups of equal size, each with small matrices of its own.

    GroupedDense(4, "relu", groups=20)            a dense layer for each of 20 groups of columns
    Members(32), SharedDense(64, "relu", ...)     BatchEnsemble: 32 networks that share their matrices

The members of an ensemble are groups as well: their values (m, k·n) stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from chainrule.calls import constructor
from chainrule.describe import initialisers
from chainrule.describe.activations import Activation
from chainrule.describe.layers import GivenActivation, Layer, Place, activated, resolved
from chainrule.describe.settings import count, keep, refuse
from chainrule.program.builder import Builder, InGroups
from chainrule.program.op import GroupedMatMul, ReduceGroups, Repeat
from chainrule.program.scalar import Expression, Variable
from chainrule.program.symbol import Symbol, product_of


def _in_parts(below: int, groups: int, what: str) -> str | None:
    """What is wrong with so many features for so many groups."""
    if below % groups == 0:
        return None
    return f"{below} features come in, which are not {groups} {what} of one size."


@constructor
@dataclass(frozen=True, init=False)
class GroupedDense(Layer):
    """Z_k = A_k W_k + b_k, A = g(Z) for each group k of the columns that come in: (m, g·a) -> (m, g·units).

    W (g·a, units), the matrices W_k below each other; b (g·units,).  An activation over a sample's features, such as
    softmax, is taken over those of each group.  Raises SpecError.
    """

    numbered = True
    reasons: ClassVar[dict[str, str]] = {
        "grouped dense": "dense layer of each group: its columns times its own weights, plus its bias",
        "grouped dense without bias": "dense layer of each group without a bias: its columns times its own weights",
    }

    units: int
    """Of each group."""
    activation: Activation
    """g; a name, a formula, an Activation."""
    groups: int
    """g, the groups of columns that come in."""
    bias: bool
    """Whether there is a b."""
    weights: str | float | None
    """An initialiser's name, or s for N(0, s²), of each W_k; None for the one that Dense would take."""

    def __init__(
        self,
        units: int,
        activation: GivenActivation = "identity",
        *,
        groups: int,
        bias: bool = True,
        weights: str | float | None = None,
    ) -> None:
        faults: list[str] = []
        keep(
            self, units=units, activation=resolved(activation, faults), groups=groups, bias=bool(bias), weights=weights
        )
        count("units", self.units, faults)
        count("groups", self.groups, faults)
        initialisers.check(self.weights, faults)
        refuse(self, faults)

    def misfit(self, widths: Sequence[int]) -> str | None:
        """The features must be groups of one size."""
        return _in_parts(widths[0], self.groups, "groups")

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """Z_k = A_k W_k + b_k   (m, g·units),   A = g(Z)   (m, g·units)"""
        label, z = place.label, Symbol("Z", layer=place.label)
        drawn = InGroups(place.initialiser(self.weights), self.groups)
        w = write.parameter(Symbol("W", layer=label, penalised=True), (below.shape[1], self.units), drawn)
        op = GroupedMatMul(self.groups)
        if self.bias:
            b = write.parameter(Symbol("b", layer=label), (self.groups * self.units,))
            product = write.apply(product_of(below, w), op, (below, w), rule="grouped dense")
            z = write.write(z, Variable(product.name) + Variable(b.name), rule="grouped dense")
        else:
            z = write.apply(z, op, (below, w), rule="grouped dense without bias")
        draft = Symbol("A", layer=label)
        return activated(write, self.activation, z, draft, place, keep_identity=place.keep_identity, groups=self.groups)

    def width(self, below: int) -> int:
        """g · units"""
        return self.groups * self.units

    @property
    def activates(self) -> Activation:
        """g"""
        return self.activation

    @property
    def ensemble(self) -> int:
        """k"""
        return self.groups

    def members_after(self, below: int) -> int:
        """k"""
        return self.groups if below else 0

    @property
    def words(self) -> str:
        """dense relu in 20 groups, no bias"""
        return f"dense {self.activation.name} in {self.groups} groups" + ("" if self.bias else ", no bias")


@constructor
@dataclass(frozen=True)
class Members(Layer):
    """U = [A | A | ...]: the same value for each of k members of an ensemble: (m, n) -> (m, k·n).  Raises SpecError."""

    passes = True
    reasons: ClassVar[dict[str, str]] = {"members": "the same value for each member of the ensemble, side by side"}

    members: int
    """k"""

    def __post_init__(self) -> None:
        faults: list[str] = []
        keep(self, members=self.members)
        count("members", self.members, faults)
        refuse(self, faults)

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """U = [A | A | ...]   (m, k·n)"""
        return write.apply(Symbol("U", layer=place.label), Repeat(self.members), (below,), rule="members")

    def width(self, below: int) -> int:
        """k · n"""
        return self.members * below

    @property
    def ensemble(self) -> int:
        """k"""
        return self.members

    def members_after(self, below: int) -> int:
        """k"""
        return self.members

    @property
    def words(self) -> str:
        """32 members"""
        return f"{self.members} members"


@constructor
@dataclass(frozen=True, init=False)
class SharedDense(Layer):
    """Z_k = ((A_k ∘ r_k) W) ∘ s_k + b_k, A = g(Z) for each member k of an ensemble: all share W.

    (m, k·a) -> (m, k·units).  W (a, units), r (k·a,), s (k·units,), b (k·units,).  All members' samples run through
    one product.  Raises SpecError.  Source: Wen et al. 2020 (BatchEnsemble), Gorishniy et al. 2025 (TabM).
    """

    numbered = True
    reasons: ClassVar[dict[str, str]] = {
        "shared dense": "dense layer that members share: scaled by each member before and after the shared weights"
    }

    units: int
    """Of each member."""
    activation: Activation
    """g; a name, a formula, an Activation."""
    members: int
    """k, those whose values come in side by side."""
    weights: str | float | None
    """An initialiser's name, or s for N(0, s²), of W; None for the one that Dense would take."""
    scales: str
    """First values of r: "signs" (1 or -1, each as likely) where members begin to differ, or "ones".  s begins as 1."""

    def __init__(
        self,
        units: int,
        activation: GivenActivation = "identity",
        *,
        members: int,
        weights: str | float | None = None,
        scales: str = "signs",
    ) -> None:
        faults: list[str] = []
        keep(
            self, units=units, activation=resolved(activation, faults), members=members, weights=weights, scales=scales
        )
        count("units", self.units, faults)
        count("members", self.members, faults)
        initialisers.check(self.weights, faults)
        initialisers.check_scales(self.scales, faults)
        refuse(self, faults)

    def misfit(self, widths: Sequence[int]) -> str | None:
        """The features must be those of the members."""
        return _in_parts(widths[0], self.members, "members'")

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """R = A ∘ r   (m, k·a),   Z_k = (R_k W) ∘ s_k + b_k   (m, k·units),   A = g(Z)   (m, k·units)"""
        label, k = place.label, self.members
        width, rule = int(below.shape[1]), "shared dense"
        r = write.parameter(Symbol("r", layer=label), (width,), self.scales)
        initial = place.initialiser(self.weights)
        w = write.parameter(Symbol("W", layer=label, penalised=True), (width // k, self.units), initial)
        s = write.parameter(Symbol("s", layer=label), (k * self.units,), "ones")
        b = write.parameter(Symbol("b", layer=label), (k * self.units,))
        scaled = write.write(Symbol("R", layer=label), Variable(below.name) * Variable(r.name), rule=rule)
        product = write.apply(Symbol("P", layer=label), GroupedMatMul(k, shared=True), (scaled, w), rule=rule)
        value: Expression = Variable(product.name) * Variable(s.name) + Variable(b.name)
        z = write.write(Symbol("Z", layer=label), value, rule=rule)
        draft = Symbol("A", layer=label)
        return activated(write, self.activation, z, draft, place, keep_identity=place.keep_identity, groups=k)

    def width(self, below: int) -> int:
        """k · units"""
        return self.members * self.units

    @property
    def activates(self) -> Activation:
        """g"""
        return self.activation

    @property
    def ensemble(self) -> int:
        """k"""
        return self.members

    def members_after(self, below: int) -> int:
        """k"""
        return self.members

    @property
    def words(self) -> str:
        """dense relu shared by 32 members"""
        return f"dense {self.activation.name} shared by {self.members} members"


@constructor
@dataclass(frozen=True)
class MeanOfMembers(Layer):
    """Ŷ = (1/k) Σ_k A_k, the mean of the members' predictions: (m, k·n) -> (m, n); the last layer of a network.

    The cost is the mean of the members' losses, not the loss of their mean: each learns as if it were alone.
    Raises SpecError.
    """

    reasons: ClassVar[dict[str, str]] = {"mean of members": "the prediction is the mean of the members' predictions"}

    members: int
    """k"""

    def __post_init__(self) -> None:
        faults: list[str] = []
        keep(self, members=self.members)
        count("members", self.members, faults)
        refuse(self, faults)

    def misfit(self, widths: Sequence[int]) -> str | None:
        """The features must be those of the members."""
        return _in_parts(widths[0], self.members, "members'")

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """U = (1/k) Σ_k A_k   (m, n)"""
        draft = Symbol("", (), "temporary", of=(below,), how="sum", layer=place.label)
        total = write.apply(draft, ReduceGroups("sum", self.members), (below,), rule="mean of members")
        return write.write(Symbol("U", layer=place.label), Variable(total.name) / self.members, rule="mean of members")

    def width(self, below: int) -> int:
        """n"""
        return below // self.members if below % self.members == 0 else below

    @property
    def ensemble(self) -> int:
        """k"""
        return self.members

    @property
    def words(self) -> str:
        """mean of 32 members"""
        return f"mean of {self.members} members"


def batch_ensemble(
    members: int,
    hidden: Sequence[int],
    outputs: int,
    activation: GivenActivation = "relu",
    last: GivenActivation = "identity",
) -> list[Layer]:
    """The layers of k networks that share their hidden matrices, each with its own scales, biases and last layer.

        Network(20, cr.batch_ensemble(32, [256, 256, 256], 1), loss="squared_error")

    Scales begin as signs in the first layer and as 1 after it.  Raises SpecError.
    Source: Gorishniy et al. 2025 (TabM).
    """
    layers: list[Layer] = [Members(members)]
    for k, units in enumerate(hidden):
        layers.append(SharedDense(units, activation, members=members, scales="ones" if k else "signs"))
    return [*layers, GroupedDense(outputs, last, groups=members), MeanOfMembers(members)]
