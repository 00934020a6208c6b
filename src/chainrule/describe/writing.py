"""The layers of a graph write their forward equations, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainrule.describe.combine import Combined
from chainrule.describe.graph import Graph, Input
from chainrule.describe.layers import Place, declare
from chainrule.describe.losses import Cost, Loss, Losses, losses_of
from chainrule.program.builder import Builder
from chainrule.program.symbol import STORED, Label, Symbol


class Written(NamedTuple):
    """What the layers have written."""

    inputs: tuple[Symbol, ...]
    """X; of several inputs, each."""
    outputs: tuple[Symbol, ...]
    """The symbol that leaves each layer."""
    declared: tuple[tuple[Symbol, ...], ...]
    """What each layer brings: its parameters and statistics, in the order in which it declared them."""


def declare_of_losses(
    loss: Loss | Cost | Losses, graph: Graph, ends: Sequence[tuple[str, int]], builder: Builder
) -> tuple[dict[str, Symbol], ...]:
    """The parameters of each output's loss, by their names in it; they are numbered as the layer that they judge."""
    several = []
    for (_, at), (_, one, _) in zip(ends, losses_of(loss), strict=True):
        judged, members = graph.judged(at)
        node = graph.nodes[judged if members > 1 else at]
        builder.reserve(Symbol("A", layer=Label(node.label.number)))  # written where identities are kept
        place = Place(Label(node.label.number), False, 0, False, node.following, False)
        several.append(declare(builder, one.parameters, node.width, place) if isinstance(one, Loss) else {})
    return tuple(several)


def write_layers(
    sources: Sequence[Input], graph: Graph, builder: Builder, *, training: bool = True, keep_identity: bool = False
) -> Written:
    """Writes the layers' equations down.  keep_identity: A = Z is written for a last layer without an activation."""
    inputs = tuple(builder.give(source.symbol) for source in sources)
    nodes = graph.nodes
    outputs: list[Symbol] = []
    declared: list[tuple[Symbol, ...]] = []
    stream = 0
    for position, node in enumerate(nodes):
        last = position == len(nodes) - 1
        before = len(builder.given)
        builder.layer = position
        place = Place(
            node.label, training, stream, last and keep_identity, node.following, node.reads_data, node.counts
        )
        values = tuple(outputs[k] if k >= 0 else inputs[-1 - k] for k in node.below)
        if isinstance(node.layer, Combined):
            value = node.layer.joined(builder, values, place)
        else:
            value = node.layer.equations(builder, values[0], place)
        stream += node.layer.random
        outputs.append(value)
        declared.append(tuple(s for s in builder.given[before:] if s.role in STORED))
    builder.layer = None
    return Written(inputs, tuple(outputs), tuple(declared))
