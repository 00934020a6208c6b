"""The forward equations of a network, and what constraints keep beside its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainrule.describe.activations import Activation
from chainrule.describe.losses import Loss, losses_of
from chainrule.describe.network import NetworkSpec
from chainrule.describe.writing import declare_of_losses, write_layers
from chainrule.program.builder import Builder, Initial
from chainrule.program.precision import PRECISIONS
from chainrule.program.symbol import Symbol


class End(NamedTuple):
    """A value that a loss is of."""

    name: str
    """Of several outputs, its own; "" for the only one."""
    value: Symbol
    """Ŷ"""
    judged: Symbol
    """What the loss is of: Ŷ; where that is the mean of members, theirs, side by side."""
    members: int
    """How many of these there are."""
    z: Symbol
    """What the activation of `judged` was taken of; that itself where it comes out of none."""
    activation: Activation
    """Its own."""
    factor: float
    """What its losses count, 1 where there is one output."""
    beside: Mapping[str, Symbol] = {}
    """What the loss's formula uses beside Ŷ and Y: kept values and its parameters, by their names in it."""
    shared: tuple[str, ...] = ()
    """Of members, the kept values that are one for all of them."""

    @property
    def width(self) -> int:
        """n"""
        return int(self.value.shape[1])


class Forward(NamedTuple):
    """What the layers have written."""

    inputs: tuple[Symbol, ...]
    """X; of several inputs, each."""
    outputs: tuple[Symbol, ...]
    """The symbol that leaves each layer."""
    ends: tuple[End, ...]
    """What the losses are of."""
    initials: Mapping[str, Initial]
    """The first value of each parameter and statistic by name, in the order of the layers."""
    zero_rows: Mapping[str, int]
    """By parameter, the row that is 0 at first."""
    declared: tuple[tuple[Symbol, ...], ...]
    """What each layer brings: its parameters and statistics, in the order in which it declared them."""
    of_losses: tuple[Symbol, ...]
    """The parameters of losses."""

    @property
    def prediction(self) -> Symbol:
        """Ŷ"""
        return self.outputs[-1]


def forward(
    spec: NetworkSpec, builder: Builder | None = None, *, training: bool = True, keep_identity: bool = False
) -> Forward:
    """Writes the layers' equations down.  keep_identity: A = Z is written for a last layer without an activation."""
    builder = Builder() if builder is None else builder
    builder.parts = PRECISIONS[spec.precision]
    inputs, outputs, declared = write_layers(
        spec.sources, spec.graph, builder, training=training, keep_identity=keep_identity
    )
    brought = declare_of_losses(spec.loss, spec.graph, spec.ends, builder)
    parameters = [s for s in builder.given if s.role == "parameter"]
    for parameter in parameters:
        for constraint in spec.constrained.get(parameter.name, ()):
            constraint.declare(builder, parameter)
    return Forward(
        inputs=inputs,
        outputs=outputs,
        ends=_ends(spec, builder, outputs, brought),
        initials=dict(builder.initials),
        zero_rows=dict(builder.zero_rows),
        declared=declared,
        of_losses=tuple(s for several in brought for s in several.values()),
    )


def _ends(
    spec: NetworkSpec, builder: Builder, outputs: tuple[Symbol, ...], brought: tuple[dict[str, Symbol], ...]
) -> tuple[End, ...]:
    pairs, graph = [*builder.activations, *builder.in_groups], spec.graph
    ends = []
    for (name, number), (_, one, factor), parameters in zip(spec.ends, losses_of(spec.loss), brought, strict=True):
        at, members = graph.judged(number)
        judged = outputs[at]
        z = next((z for a, z in reversed(pairs) if a == judged), judged)
        beside, shared = dict(parameters), []
        for kept in one.values if isinstance(one, Loss) else ():
            node = graph.names[kept]
            own, its = graph.judged(node)
            if its == members:
                beside[kept] = outputs[own if members > 1 else node]
            else:
                beside[kept] = outputs[node]
                shared.append(kept)
        activation = graph.activation_of(number)
        ends.append(End(name, outputs[number], judged, members, z, activation, factor, beside, tuple(shared)))
    return tuple(ends)
