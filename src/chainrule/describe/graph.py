"""The graph of a network: its layers in the order in which they are computed, and where each takes its values from.

    survey(inputs, layers)   -> nodes, and everything that is wrong with how they fit together

A sequence hands a value from layer to layer; a combinator is a node over the ends of its branches; a name stands for
the node whose value it is.  Values only flow forwards, so what is computed first stands first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.combine import Combined, Keep, Take
from chainrule.describe.grouped import MeanOfMembers
from chainrule.describe.layers import Layer, Tied
from chainrule.errors import shown, unknown_name
from chainrule.program.symbol import BATCH, Label, Symbol, shape_text


@dataclass(frozen=True)
class Input:
    """What comes in: numbers (m, width), or tokens (m, width)."""

    width: int
    """Its columns."""
    name: str = ""
    """Its own, of several inputs."""
    counts: tuple[int, ...] = ()
    """Of tokens, how many each column has: they are 0 … count - 1.  None for numbers."""

    @property
    def tokens(self) -> bool:
        """Whether it holds tokens."""
        return bool(self.counts)

    @property
    def symbol(self) -> Symbol:
        """X; of several inputs X_name."""
        return Symbol("X", (BATCH, self.width), "input", integers=self.tokens, mark=self.name)


@dataclass(frozen=True)
class Node:
    """A layer in its place."""

    layer: Layer
    """What it is."""
    below: tuple[int, ...]
    """The nodes whose values it takes, counted from 0; -1 is the first input, -2 the second."""
    width: int
    """The features that leave it."""
    label: Label
    """What its symbols are numbered by."""
    following: Activation
    """The activation that its values meet next, past normalisation and dropout."""
    reads_data: bool
    """Whether no activation stands before it."""
    depth: int
    """The combinators that it stands in."""
    counts: tuple[int, ...] = ()
    """Where tokens come in, how many each column has."""


@dataclass(frozen=True)
class Graph:
    """All nodes, each after those below it; the last one gives the prediction."""

    nodes: tuple[Node, ...]
    """The layers in the order in which they are computed."""
    names: Mapping[str, int]
    """The node (or input) whose value has the name."""

    @property
    def joined(self) -> bool:
        """Whether it is more than a chain: values that are joined, or have names."""
        return any(isinstance(node.layer, Combined | Keep) for node in self.nodes)

    @property
    def last_activation(self) -> Activation:
        """The activation that the last value as a whole comes out of."""
        return self.activation_of(len(self.nodes) - 1)

    def activation_of(self, at: int) -> Activation:
        """The activation that a node's value as a whole comes out of."""
        while at >= 0 and self.nodes[at].layer.activates is None and len(self.nodes[at].below) == 1:
            at = self.nodes[at].below[0]
        whole = None if at < 0 else self.nodes[at].layer.activates
        return ACTIVATIONS["identity"] if whole is None else whole

    def judged(self, at: int) -> tuple[int, int]:
        """The node whose values a loss of that one's is taken of, and how many members' values these are."""
        node = self.nodes[at]
        while node.layer.unchanged and node.below[0] >= 0:
            node = self.nodes[node.below[0]]
        return (node.below[0], node.layer.members) if isinstance(node.layer, MeanOfMembers) else (at, 1)

    @property
    def last_activations(self) -> tuple[Activation, ...]:
        """Those that parts of the last value come out of; none where values are multiplied."""
        return self.activations_of(len(self.nodes) - 1)

    def activations_of(self, at: int) -> tuple[Activation, ...]:
        """Those that parts of a node's value come out of."""
        while at >= 0:
            node = self.nodes[at]
            if node.layer.activates is not None:
                return (node.layer.activates,)
            if isinstance(node.layer, Combined) and len(node.below) > 1:
                if node.layer.join == "beside":
                    return tuple(g for below in node.below for g in self.activations_of(below))
                return () if node.layer.join == "multiply" else (ACTIVATIONS["identity"],)
            at = node.below[0]
        return (ACTIVATIONS["identity"],)


def survey(
    inputs: Sequence[Input],
    layers: Sequence[Layer],
    outputs: Sequence[str] = (),
    values: Sequence[tuple[str, str]] = (),
) -> tuple[Graph, list[str]]:
    """The graph, and all faults of how its parts fit together.

    outputs: the names of several, which have losses.  values: names that losses use, each with what a message calls
    that loss.
    """
    walk = _Survey(inputs, layers, outputs, values)
    return Graph(tuple(walk.nodes), dict(walk.names)), walk.faults


class _Survey:
    def __init__(
        self,
        inputs: Sequence[Input],
        layers: Sequence[Layer],
        outputs: Sequence[str],
        values: Sequence[tuple[str, str]],
    ) -> None:
        self.inputs = inputs
        self.faults: list[str] = []
        self.nodes: list[Node] = []
        self.places: list[str] = []
        self.raw: list[bool] = []
        """Of each node, whether no activation stands in it or before it."""
        self.counts: list[tuple[int, ...]] = []
        """Of each node that tokens leave, how many each column has."""
        self.members: list[int] = []
        """Of each node, the members of an ensemble whose values leave it side by side; 0 for none."""
        self.names = {i.name: -1 - k for k, i in enumerate(inputs) if i.name}
        self.to_come = {layer.name for layer in every(layers) if isinstance(layer, Keep)}
        self.used: set[int] = set()
        self.weights: dict[str, Symbol] = {}
        """What layers may use as their weights, by name."""
        self.number = 0
        self.lacking = False
        """Whether a value is missing somewhere, and that was said."""
        self.repeats: dict[tuple[str, int], int] = {}
        begin = -1 if len(inputs) == 1 else None
        end = self.sequence(layers, begin, "Layer ", 0)
        self.used.add(len(self.nodes) - 1 if end is None else end)
        self._outputs(outputs, end)
        for name, place in values:
            self._kept(name, f"{place} uses {name!r}, which")
        self._unused()

    # --- walking -------------------------------------------------------------------------------------------------

    def sequence(self, layers: Sequence[Layer], below: int | None, where: str, depth: int) -> int | None:
        """The node whose value leaves the sequence; None where it has none."""
        for position, layer in enumerate(layers):
            place = f"{where}{position + 1}"
            following = following_in(layers, position)
            if below is None and not isinstance(layer, Combined | Take):
                self._lacks(place)
                continue
            if isinstance(layer, Combined):
                below = self._combined(layer, below, place, following, depth)
            else:
                below = self._single(layer, below, place, following, depth)
        return below

    def _combined(
        self, layer: Combined, below: int | None, place: str, following: Activation, depth: int
    ) -> int | None:
        ends: list[int] = []
        for k, branch in enumerate(layer.branches):
            inside = layer.within(place, k)
            end = self.sequence(branch, below, f"{inside}, layer ", depth + 1)
            if end is None:
                self._lacks(inside)
            elif self._of_tokens(end):
                self.faults.append(f"{inside} gives tokens. An Embedding makes numbers of them: put one there.")
            else:
                ends.append(end)
        if len(ends) < len(layer.branches):
            return None
        widths = [self._width(end) for end in ends]
        if (fault := layer.misfit(widths)) is not None:
            self.faults.append(f"{place} ({type(layer).__name__}): {fault}")
        return self._add(layer, tuple(ends), layer.joined_width(widths), place, following, depth)

    def _single(self, layer: Layer, below: int | None, place: str, following: Activation, depth: int) -> int | None:
        if isinstance(layer, Take):
            if layer.name not in self.names:
                self.faults.append(self._untaken(layer.name, place))
                self.lacking = True
                return None
            below = self.names[layer.name]
        assert below is not None
        counts, kind = self._counts(below), type(layer).__name__
        if counts and not (layer.tokens or layer.unchanged or layer.categories):
            self.faults.append(f"{place} is a {kind}, and tokens come in there: put an Embedding before it.")
        elif layer.tokens and not counts:
            hint = "" if layer.counts(1) else " Say how many tokens each column has: inputs={'kinds': [16, 7]}."
            self.faults.append(f"{place} is an {kind}, which reads tokens. Numbers come in there.{hint}")
        elif counts and (fault := layer.unread(counts)) is not None:
            self.faults.append(f"{place} {fault}")
        if (fault := layer.misfit([self._width(below)])) is not None:
            self.faults.append(f"{place} ({kind}): {fault}")
        members = self.members[below] if below >= 0 else 0
        if members and layer.ensemble not in (0, members) and not layer.passes:
            self.faults.append(f"{place} ({kind}): it is for {layer.ensemble} members, and those of {members} come in.")
        if counts and layer.tied is not None:
            self.faults.append(f"{place} uses the weights of another layer over tokens: give it weights of its own.")
        # One-hot rows are as wide as there are tokens in all columns together.
        wide = sum(counts) if counts and layer.categories else self._width(below)
        width = layer.width(self._width(below))
        if layer.tied is not None:
            self._tie(layer.tied, (wide, width), place)
        node = self._add(layer, (below,), width, place, following, depth)
        if (weights := layer.weights_over(wide, self.nodes[node].label)) is not None:
            self.weights[weights.name] = weights
        if isinstance(layer, Keep):
            if layer.name in self.names:
                self.faults.append(f"{place} keeps a value as {layer.name!r}, as another one is called already.")
            self.names.setdefault(layer.name, node)
        return node

    def _tie(self, tied: Tied, shape: tuple[int, int], place: str) -> None:
        """Whether another layer's weights are there, and fit."""
        if tied.name not in self.weights:
            known = unknown_name("weights", tied.name, self.weights) if self.weights else "No weights stand before it."
            self.faults.append(f"{place} uses the weights of a layer before it. {known}")
            return
        its = self.weights[tied.name].shape
        its = its[::-1] if tied.transposed else its
        if its != shape:
            self.faults.append(f"{place} needs weights {shape_text(shape)}. {tied} is {shape_text(its)}.")

    def _add(
        self, layer: Layer, below: tuple[int, ...], width: int, place: str, following: Activation, depth: int
    ) -> int:
        self.number += layer.numbered
        key = layer.family or type(layer).__name__, self.number
        self.repeats[key] = self.repeats.get(key, 0) + 1
        label = Label(self.number, self.repeats[key])
        self.used.update(below)
        reads_data = all(k < 0 or self.raw[k] for k in below)
        self.nodes.append(Node(layer, below, width, label, following, reads_data, depth, self._counts(below[0])))
        self.raw.append(reads_data and (layer.activates is None or layer.activates.identity))
        self.places.append(place)
        alike = {self.members[k] if k >= 0 else 0 for k in below}
        self.members.append(layer.members_after(alike.pop() if len(alike) == 1 else 0))
        self.counts.append(self._counts(below[0]) if layer.unchanged else ())
        return len(self.nodes) - 1

    def _width(self, node: int) -> int:
        return self.nodes[node].width if node >= 0 else self.inputs[-1 - node].width

    def _counts(self, node: int) -> tuple[int, ...]:
        return self.counts[node] if node >= 0 else self.inputs[-1 - node].counts

    def _of_tokens(self, node: int) -> bool:
        return bool(self._counts(node))

    # --- faults --------------------------------------------------------------------------------------------------

    def _lacks(self, place: str) -> None:
        """No value comes in: said once, where it is noticed first; what follows has none for the same reason."""
        if not self.lacking:
            names = [i.name for i in self.inputs if i.name]
            which = (
                f": of several inputs ({', '.join(map(repr, names))}) say which, with cr.Take({names[0]!r})"
                if names
                else ""
            )
            self.faults.append(f"{place} has no value to begin with{which}.")
        self.lacking = True

    def _untaken(self, name: str, place: str) -> str:
        if name in self.to_come:
            return f"{place} takes {name!r} before it is kept: values flow forwards, a network has no cycles."
        if not self.names:
            return f"{place} takes {shown(name)}, and no value has a name. Keep one before: cr.Keep({name!r})."
        return f"{place}: {unknown_name('value', name, self.names)}"

    def _outputs(self, outputs: Sequence[str], end: int | None) -> None:
        """Adds what is wrong with the names of several outputs."""
        for name in outputs:
            if self.names.get(name, 0) < 0:
                self.faults.append(f"loss[{name!r}] is of an input. Outputs are values that the layers make.")
            elif name not in self.names:
                self.faults.append(f"loss[{name!r}]: {self._unkept(name)}")
        if outputs and end is not None and not self.lacking:
            same = {end}
            while self.nodes[end].layer.unchanged:
                end = self.nodes[end].below[0]
                same.add(end)
            if not any(self.names.get(name) in same for name in outputs):
                self.faults.append("The last value has no loss: name it with cr.Keep(...) and give it one.")

    def _unkept(self, name: str) -> str:
        known = [kept for kept, node in self.names.items() if node >= 0]
        near = unknown_name("value", name, known) if known else "No value has a name."
        return f"{near} Name it where it is made: cr.Keep({name!r})."

    def _kept(self, name: str, what: str) -> None:
        """Adds what is wrong with the name of a value that a loss uses."""
        if self.names.get(name, 0) < 0:
            self.faults.append(f"{what} is an input. Keep it as a value: cr.Take({name!r}), cr.Keep('another_name').")
        elif name not in self.names:
            self.faults.append(f"{what} is not kept. {self._unkept(name)}")

    def _unused(self) -> None:
        """Adds what is computed, or comes in, and leads nowhere."""
        for k, node in enumerate(self.nodes):
            if k not in self.used and not isinstance(node.layer, Keep):
                self.faults.append(
                    f"{self.places[k]} ({type(node.layer).__name__}) leads nowhere: nothing takes its value. Keep it "
                    "under a name, or remove it."
                )
        for k, one in enumerate(self.inputs):
            if -1 - k not in self.used and one.name:
                self.faults.append(f"The input {one.name!r} leads nowhere: take it with cr.Take({one.name!r}).")


def counts_of(layers: Sequence[Layer], columns: int) -> tuple[int, ...]:
    """The tokens of each column that layers over one input read; () where they read numbers."""
    for layer in layers:
        if isinstance(layer, Combined):
            several = [counts for branch in layer.branches if (counts := counts_of(branch, columns))]
            return tuple(max(column) for column in zip(*several, strict=False))
        if layer.tokens:
            return layer.counts(columns)
        if not layer.unchanged or isinstance(layer, Take):
            return ()
    return ()


def following_in(layers: Sequence[Layer], position: int) -> Activation:
    """The activation that the values of a layer meet next in its sequence, past normalisation and dropout."""
    own = layers[position].activates
    if own is not None and not own.identity:
        return own
    for after in layers[position + 1 :]:
        if not after.passes:
            break
        if after.activates is not None and not after.activates.identity:
            return after.activates
    return ACTIVATIONS["identity"]


def every(layers: Sequence[Layer]) -> Iterator[Layer]:
    """All layers, those within combinators as well, in the order in which they are computed."""
    for layer in layers:
        if isinstance(layer, Combined):
            for branch in layer.branches:
                yield from every(branch)
        yield layer
