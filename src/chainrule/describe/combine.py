"""Combinators: how layers make a graph.

    [Dense(8), [Dense(4), Dense(2)]]              a sequence within a sequence is one sequence
    Residual(LayerNorm(), Dense(64, "relu"))      A + what the layers make of A
    Branches([a, b], [c], [], join="beside")      sequences over one value, and one value of what they give
    Keep("code"), ..., Take("code")               a value is named where it passes, and read where it is wanted

What a name stands for is a value: an input of several, or one that was kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from chainrule.calls import constructor
from chainrule.describe.columns import Periodic, Piecewise
from chainrule.describe.embedding import Embedding
from chainrule.describe.formula import Formula
from chainrule.describe.grouped import GroupedDense, MeanOfMembers, Members, SharedDense
from chainrule.describe.layers import PLAIN, Layer, Place
from chainrule.describe.settings import keep, refuse
from chainrule.errors import expected, unknown_name
from chainrule.program.builder import Builder
from chainrule.program.op import Beside
from chainrule.program.scalar import Variable
from chainrule.program.symbol import Symbol

Join = Literal["beside", "add", "multiply"]
_NAME = 100
"""Characters of a name at most."""


class Combined(Layer):
    """A layer made of sequences of layers, all over the value below; it joins what they give."""

    join: Join

    @property
    def branches(self) -> tuple[tuple[Layer, ...], ...]:
        """The sequences; one without layers gives the value below as it is."""
        raise NotImplementedError

    def within(self, place: str, branch: int) -> str:
        """How a message calls a branch of the combinator that stands at that place."""
        return f"{place}, branch {branch + 1}"

    def misfit(self, widths: Sequence[int]) -> str | None:
        """What is wrong with values of these widths beside each other; None if nothing is."""
        if self.join == "beside" or len(set(widths)) <= 1:
            return None
        verb = "added" if self.join == "add" else "multiplied"
        return f"values of one width can be {verb}. Got {', '.join(str(n) for n in widths)} from its branches."

    def joined_width(self, widths: Sequence[int]) -> int:
        """The features that leave it."""
        return sum(widths) if self.join == "beside" else widths[0]

    def joined(self, write: Builder, values: tuple[Symbol, ...], place: Place) -> Symbol:
        """U = [A | B | ...]   (m, Σ n_k),  or A + B + ...,  or A B ... element by element   (m, n)"""
        draft = Symbol("U", layer=place.label)
        if len(values) == 1:
            return values[0]
        if self.join == "beside":
            starts = [sum(int(s.shape[1]) for s in values[:k]) for k in range(len(values) + 1)]
            op = Beside(tuple(starts[:-1]), starts[-1])
            return write.apply(draft, op, values, rule="side by side")
        total = Variable(values[0].name) + 0
        for value in values[1:]:
            other = Variable(value.name)
            total = total + other if self.join == "add" else total * other
        return write.write(draft, total, rule="sum of branches" if self.join == "add" else "product of branches")

    reasons: ClassVar[dict[str, str]] = {
        "side by side": "branches: their values side by side",
        "sum of branches": "branches: their values added",
        "product of branches": "branches: their values multiplied, element by element",
    }
    family = "joined"


@constructor
@dataclass(frozen=True, init=False)
class Branches(Combined):
    """Several sequences of layers over one value, joined: side by side, added, or multiplied element by element.

        Branches([Dense(8, "tanh")], [Dense(8, "sigmoid")], join="multiply")     a gate
        Branches([Take("numbers")], [Take("tokens"), Embedding(27, 4)])          two inputs side by side

    Each is a list of layers (or one layer); an empty list hands the value on as it is.  Raises SpecError.
    """

    parts: tuple[tuple[Layer, ...], ...]
    """The sequences."""
    join: Join
    """ "beside", "add" or "multiply"."""

    def __init__(self, *parts: Layer | Sequence[Any], join: Join = "beside") -> None:
        faults: list[str] = []
        kept = tuple(
            sequence_of(part, f"branch {k + 1}", f"branch {k + 1}, layer ", faults) for k, part in enumerate(parts)
        )
        keep(self, parts=kept, join=join)
        if not parts:
            faults.append("there is nothing in it. Give it sequences of layers: Branches([...], [...]).")
        if join not in get_args(Join):
            faults.append(unknown_name("join", join, get_args(Join)))
        refuse(self, faults)

    @property
    def branches(self) -> tuple[tuple[Layer, ...], ...]:
        """The sequences."""
        return self.parts

    @property
    def words(self) -> str:
        """2 branches side by side"""
        how = {"beside": "side by side", "add": "added", "multiply": "multiplied"}[self.join]
        return f"{len(self.parts)} branches {how}"


@constructor
@dataclass(frozen=True, init=False)
class Residual(Combined):
    """A + what the layers make of A.

    The layers leave as many features as come in.  Raises SpecError.  Source: He et al. 2015 (Deep residual learning).
    """

    layers: tuple[Layer, ...]
    """What is added to the value, in order."""
    join = "add"

    def __init__(self, *layers: Layer | Sequence[Any]) -> None:
        faults: list[str] = []
        keep(self, layers=sequence_of(layers, "its layers", "layer ", faults))
        if not layers:
            faults.append("there is nothing in it. Give it layers: Residual(Dense(64, 'relu'), Dense(64)).")
        refuse(self, faults)

    @property
    def branches(self) -> tuple[tuple[Layer, ...], ...]:
        """The value itself, and the layers."""
        return (), self.layers

    def within(self, place: str, branch: int) -> str:
        """Its layers stand in it: it has no branches that anybody wrote."""
        return place

    def misfit(self, widths: Sequence[int]) -> str | None:
        """The layers must leave as many features as come in."""
        if widths[0] == widths[1]:
            return None
        return f"its layers must leave as many features as come in, {widths[0]}. They leave {widths[1]}."

    @property
    def words(self) -> str:
        """residual"""
        return "residual"


class _Named(Layer):
    """What stands for a name alone."""

    passes = True
    unchanged = True
    name: str

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """The value as it is."""
        return below

    def __post_init__(self) -> None:
        faults: list[str] = []
        if not isinstance(self.name, str) or not self.name.isidentifier() or len(self.name) > _NAME:
            faults.append(expected("the name", "a word (letters, digits, _) that a formula can use", self.name))
        refuse(self, faults)


@constructor
@dataclass(frozen=True)
class Keep(_Named):
    """Names the value that passes here, so that `Take`, a second loss or a formula can use it.  Raises SpecError."""

    name: str
    """What it is called from here on."""

    @property
    def words(self) -> str:
        """keep as code"""
        return f"keep as {self.name}"


@constructor
@dataclass(frozen=True)
class Take(_Named):
    """Goes on with the value of that name: one of several inputs, or one kept before.  Raises SpecError."""

    name: str
    """Which value."""

    @property
    def words(self) -> str:
        """take code"""
        return f"take {self.name}"


class Unread(Layer):
    """Stands where something else than a layer was given, so that what is wrong beside it is said as well."""

    passes = True
    unchanged = True

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        """Never: a network with one is refused."""
        raise AssertionError("no network has such a layer")


def sequence_of(given: object, what: str, layer: str, faults: list[str]) -> tuple[Layer, ...]:
    """The layers of a sequence, those of sequences in it in their place.

    what: how a message calls the sequence.  layer: how it calls a layer in it, before the number.
    """
    layers: list[Layer] = []
    waiting = [given]
    while waiting:
        member = waiting.pop(0)
        if isinstance(member, Layer):
            layers.append(member)
        elif isinstance(member, Sequence) and not isinstance(member, str):
            waiting[:0] = member
        elif member is given:
            faults.append(expected(what, f"a layer or a list of layers ({', '.join(KINDS)})", given))
        else:
            layers.append(Unread())
            faults.append(expected(f"{layer}{len(layers)}", f"one of {', '.join(KINDS)}", member))
    return tuple(layers)


LAYERS: Mapping[str, type[Layer]] = {**PLAIN, Embedding.__name__: Embedding}
"""Those that stand for themselves, by the name that a saved network calls them."""
GROUPED = (GroupedDense, Members, SharedDense, MeanOfMembers, Periodic, Piecewise)
"""Layers of groups of columns, and of columns one by one."""
_OTHERS = (Formula, *GROUPED, Branches, Residual, Keep, Take)
KINDS: Mapping[str, type[Layer]] = {**LAYERS, **{c.__name__: c for c in _OTHERS}}
"""Layers and combinators, by the name that a saved network calls them."""
