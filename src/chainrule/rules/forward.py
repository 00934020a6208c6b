"""The forward equations of a network: each layer writes its own, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from chainrule.describe.activations import Activation
from chainrule.describe.layers import Place
from chainrule.describe.network import NetworkSpec
from chainrule.program.builder import Builder, Initial
from chainrule.program.symbol import BATCH, STORED, Symbol


class Forward(NamedTuple):
    """What the layers have written."""

    inputs: Symbol
    """X"""
    outputs: tuple[Symbol, ...]
    """The symbol that leaves each layer."""
    z: Symbol
    """What the last activation was taken of; X where there was none."""
    activation: Activation
    """The last one."""
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
    inputs = value = builder.give(Symbol("X", (BATCH, spec.inputs), "input", integers=spec.tokens))
    outputs: list[Symbol] = []
    declared: list[tuple[Symbol, ...]] = []
    stream, reads_data = 0, True
    for position, (layer, label) in enumerate(zip(spec.layers, spec.labels, strict=True)):
        last = position == len(spec.layers) - 1
        before = len(builder.given)
        builder.layer = position
        place = Place(label, training, stream, last and keep_identity, spec.following(position), reads_data)
        value = layer.equations(builder, value, place)
        stream += layer.random
        reads_data = reads_data and (layer.activates is None or layer.activates.identity)
        outputs.append(value)
        declared.append(tuple(s for s in builder.given[before:] if s.role in STORED))
    builder.layer = None
    return Forward(
        inputs=inputs,
        outputs=tuple(outputs),
        z=builder.activations[-1][1] if builder.activations else inputs,
        activation=spec.last_activation,
        initials=dict(builder.initials),
        declared=tuple(declared),
    )
