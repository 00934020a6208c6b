"""The forward equations of a network: each layer writes its own, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainrule.describe.activations import Activation
from chainrule.describe.combine import Combined
from chainrule.describe.layers import Place
from chainrule.describe.losses import Losses
from chainrule.describe.network import NetworkSpec
from chainrule.program.builder import Builder, Initial
from chainrule.program.symbol import STORED, Symbol


class End(NamedTuple):
    """A value that a loss is of."""

    name: str
    """Of several outputs, its own; "" for the only one."""
    value: Symbol
    """Ŷ"""
    z: Symbol
    """What its activation was taken of; the value itself where it comes out of none."""
    activation: Activation
    """Its own."""
    factor: float
    """What its losses count, 1 where there is one output."""

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
    inputs = tuple(builder.give(source.symbol) for source in spec.sources)
    nodes = spec.graph.nodes
    outputs: list[Symbol] = []
    declared: list[tuple[Symbol, ...]] = []
    stream = 0
    for position, node in enumerate(nodes):
        last = position == len(nodes) - 1
        before = len(builder.given)
        builder.layer = position
        place = Place(node.label, training, stream, last and keep_identity, node.following, node.reads_data)
        values = tuple(outputs[k] if k >= 0 else inputs[-1 - k] for k in node.below)
        if isinstance(node.layer, Combined):
            value = node.layer.joined(builder, values, place)
        else:
            value = node.layer.equations(builder, values[0], place)
        stream += node.layer.random
        outputs.append(value)
        declared.append(tuple(s for s in builder.given[before:] if s.role in STORED))
    builder.layer = None
    factors = [factor for _, _, factor in spec.loss.parts] if isinstance(spec.loss, Losses) else [1.0]
    ends = []
    for (name, node_number), factor in zip(spec.ends, factors, strict=True):
        value = outputs[node_number]
        z = next((z for a, z in reversed(builder.activations) if a == value), value)
        ends.append(End(name, value, z, spec.graph.activation_of(node_number), factor))
    return Forward(
        inputs=inputs,
        outputs=tuple(outputs),
        ends=tuple(ends),
        initials=dict(builder.initials),
        declared=tuple(declared),
    )
