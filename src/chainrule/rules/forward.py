"""The forward equations of a network, and what constraints keep beside its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainrule.describe.activations import Activation
from chainrule.describe.grouped import MeanOfMembers
from chainrule.describe.network import NetworkSpec
from chainrule.describe.writing import write_layers
from chainrule.program.builder import Builder, Initial
from chainrule.program.symbol import Symbol


class Forward(NamedTuple):
    """What the layers have written."""

    inputs: tuple[Symbol, ...]
    """X; of several inputs, each."""
    outputs: tuple[Symbol, ...]
    """The symbol that leaves each layer."""
    judged: Symbol
    """What the loss is of: the prediction; where that is the mean of members, theirs, side by side."""
    members: int
    """How many of these there are."""
    z: Symbol
    """What the last activation was taken of; the prediction itself where it comes out of none."""
    activation: Activation
    """The last one."""
    initials: Mapping[str, Initial]
    """The first value of each parameter and statistic by name, in the order of the layers."""
    zero_rows: Mapping[str, int]
    """By parameter, the row that is 0 at first."""
    declared: tuple[tuple[Symbol, ...], ...]
    """What each layer brings: its parameters and statistics, in the order in which it declared them."""

    @property
    def prediction(self) -> Symbol:
        """Ŷ"""
        return self.outputs[-1]


def forward(
    spec: NetworkSpec, builder: Builder | None = None, *, training: bool = True, keep_identity: bool = False
) -> Forward:
    """Writes the layers' equations down.  keep_identity: A = Z is written for a last layer without an activation."""
    builder = Builder() if builder is None else builder
    inputs, outputs, declared = write_layers(
        spec.sources, spec.graph, builder, training=training, keep_identity=keep_identity
    )
    parameters = [s for s in builder.given if s.role == "parameter"]
    for parameter in parameters:
        for constraint in spec.constrained.get(parameter.name, ()):
            constraint.declare(builder, parameter)
    last_node = spec.graph.nodes[-1]
    members = last_node.layer.members if isinstance(last_node.layer, MeanOfMembers) else 1
    judged = outputs[last_node.below[0]] if members > 1 else outputs[-1]
    pairs = [*builder.activations, *builder.in_groups]
    return Forward(
        inputs=inputs,
        outputs=outputs,
        judged=judged,
        members=members,
        z=next((z for a, z in reversed(pairs) if a == judged), judged),
        activation=spec.last_activation,
        initials=dict(builder.initials),
        zero_rows=dict(builder.zero_rows),
        declared=declared,
    )
