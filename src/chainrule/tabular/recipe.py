"""The recipe for tables: what is to be predicted, and every setting of the networks that learn it, by preset and size.

    aim = Aim("classes", 3)
    recipe = recipe_for("default", aim, rows=2_000, shape=preparation.shape)
    networks = train(inputs, targets, aim=aim, recipe=recipe, shape=preparation.shape)       members.py

What each setting gives over many tables stands in docs/tables-recipe.md.
Sources: Holzmüller et al. 2024 (RealMLP), Gorishniy et al. 2022 (pieces of numbers), 2025 (TabM).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from chainrule.describe.losses import LOSSES, Cost, Loss, loss
from chainrule.errors import SpecError, expected, is_number, unknown_name
from chainrule.tabular.inputs import InputShape

Preset = Literal["fast", "default", "best"]
Kind = Literal["classes", "values", "counts", "quantiles"]


@dataclass(frozen=True)
class Aim:
    """What is to be predicted.  Raises SpecError with all faults."""

    kind: Kind
    """"classes": the probability of each; "values": numbers of any size; "counts": numbers of at least 0, by their
    expectation (Poisson's loss); "quantiles": levels that a share of the values lies below."""
    outputs: int = 1
    """Classes, or targets beside each other; of quantiles 1."""
    levels: tuple[float, ...] = ()
    """Of quantiles, rising: 0.1 is the value that a tenth lies below."""
    loss: str | Loss = ""
    """Of values: a name or a Loss of (yhat, y), both standardised; "" is squared_error."""

    def __post_init__(self) -> None:
        faults: list[str] = []
        if self.kind not in get_args(Kind):
            faults.append(unknown_name("kind of target", str(self.kind), get_args(Kind)))
        least = 2 if self.kind == "classes" else 1
        if not isinstance(self.outputs, int) or self.outputs < least:
            faults.append(expected("outputs", f"a whole number of at least {least} for {self.kind}", self.outputs))
        if self.kind == "quantiles":
            rising = all(a < b for a, b in zip((0.0, *self.levels), (*self.levels, 1.0), strict=True))
            if not self.levels or not all(is_number(level) for level in self.levels) or not rising:
                faults.append(expected("The levels of quantiles", "rising numbers between 0 and 1", self.levels))
            if self.outputs != 1:
                faults.append(expected("The targets of quantiles", "one", self.outputs))
        elif self.levels:
            faults.append("levels are for quantiles.")
        if self.loss and self.kind != "values":
            faults.append(f"a loss of one's own is for values; {self.kind} have theirs.")
        if isinstance(self.loss, str) and self.loss and self.loss not in LOSSES:
            faults.append(unknown_name("loss", self.loss, LOSSES))
        if faults:
            raise SpecError(faults)

    @property
    def of_sample(self) -> Loss:
        """The loss of values; squared error unless there is another."""
        chosen = loss(self.loss or "squared_error")
        if isinstance(chosen, Cost) or chosen.decides:
            raise SpecError(expected("The loss of values", "a loss of each sample's numbers", chosen.name))
        return chosen


@dataclass(frozen=True)
class Recipe:
    """Every setting of the networks that learn a table; plain numbers and words, so that JSON holds it."""

    members: int
    """Networks, each from other first weights and with another part of the rows held out; they predict their mean."""
    parts: int
    """The rows are divided into so many parts, and each member holds one of them out."""
    epochs: int
    """Passes over the rows at most."""
    patience: int
    """Epochs without a better one that end a member's training."""
    batch_size: int
    """Rows a step."""
    hidden: tuple[int, ...]
    """Units of the hidden layers."""
    activation: str
    """Of the hidden layers: "selu", "mish", "silu", "relu"."""
    parametric: bool
    """Whether each unit learns how much of the activation it takes: x + a (g(x) - x), a = 1 at first."""
    pieces: int
    """Pieces of a number at most: how far it is on its way through each stands beside the number itself; 0 for none."""
    embedding: int
    """Dimension of a category's row at most; columns of fewer levels have fewer."""
    scale: bool
    """Whether each feature is multiplied by a learned scale before the first layer."""
    rate: float
    """The learning rate's peak."""
    rise: float
    """The part of the training that the rate rises in; then it falls as half a wave."""
    rates: tuple[tuple[str, float], ...]
    """Factors of the rate by the letter of parameters: scale s, activation a, biases b."""
    decay: float
    """Weight decay of matrices, by half a wave to 0."""
    beta2: float
    """How long Adam's second moments remember."""
    dropout: float
    """The share of hidden values left out at first, by half a wave to 0."""
    smoothing: float
    """Of classes: the share of a label that is spread over all, by half a wave to 0."""
    waves: int = 0
    """Waves of each number, of learned lengths, and a dense layer of 4 values for each column; 0 for none."""
    turns: tuple[tuple[tuple[str, Any], ...], ...] = ()
    """Settings that differ between members, in turn: kinds of networks err about more different things than seeds."""
    monitor: Literal["validation_cost", "validation_metric"] = "validation_cost"
    """What makes an epoch the best on the rows held out."""
    clip: bool = True
    """Whether predicted values are kept within the range that was seen."""

    def of(self, member: int) -> Recipe:
        """The settings of a member, with those that it has in turn."""
        if not self.turns:
            return self
        return replace(self, turns=(), **dict(self.turns[member % len(self.turns)]))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        turns = [
            {name: list(value) if isinstance(value, tuple) else value for name, value in turn} for turn in self.turns
        ]
        return dataclasses.asdict(self) | {"hidden": list(self.hidden), "rates": dict(self.rates), "turns": turns}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.  Raises SpecError for fields that are unknown or missing."""
        fields = {f.name: f.default is dataclasses.MISSING for f in dataclasses.fields(cls)}
        faults = [unknown_name("setting of the recipe", str(key), fields) for key in saved if key not in fields]
        faults += [f"the recipe lacks {name!r}." for name, needed in fields.items() if needed and name not in saved]
        turns = saved.get("turns", [])
        allowed = [name for name in fields if name not in ("turns", "members", "parts")]
        for turn in turns:
            faults += [unknown_name("setting of a member", str(name), allowed) for name in turn if name not in allowed]
        if faults:
            raise SpecError(faults)
        return cls(**{**_frozen(saved), "turns": tuple(tuple(_frozen(turn).items()) for turn in turns)})


def _frozen(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a recipe holds them: JSON has lists for what cannot be changed here."""
    own = {"hidden": tuple, "rates": lambda rates: tuple(rates.items())}
    return {name: own[name](value) if name in own else value for name, value in saved.items()}


def recipe_for(preset: Preset, aim: Aim, rows: int, shape: InputShape) -> Recipe:
    """The settings for so many rows.  Raises SpecError for a preset that there is not."""
    if preset not in get_args(Preset):
        raise SpecError(unknown_name("preset", str(preset), get_args(Preset)))
    classes = aim.kind == "classes"
    # Steps, not epochs, are what networks need: few rows are passed more often.
    epochs = {"fast": 32, "default": 64, "best": 96}[preset]
    epochs = max(8, round(epochs * min(1.0, (20_000 / max(rows, 1)) ** 0.5)))
    members = {"fast": 1, "default": 4, "best": 16 if classes else 8}[preset]
    fast = preset == "fast"
    rate = 0.02 if fast else 0.004 if classes else 0.01
    width = 64 if fast else 128
    return Recipe(
        members=members,
        parts={"fast": 5, "default": 5, "best": 9}[preset],  # odd: members of a kind hold out different parts
        epochs=epochs,
        patience=max(8, epochs // 2),
        batch_size=batch_size(rows),
        hidden=(width, width),
        activation="selu" if fast and classes else "mish",
        parametric=False,
        pieces=8 if fast or rows > 100_000 else 16,
        embedding=8,
        scale=True,
        rate=rate,
        rise=0.1,
        rates=(("s", 6.0),),
        decay=0.1,
        beta2=0.95,
        dropout=0.15,
        smoothing=0.1 if classes else 0.0,
        turns=_turns(preset, classes),
    )


def batch_size(rows: int) -> int:
    """Rows a step."""
    return int(2 ** np.clip(math.ceil(math.log2(max(rows, 1) / 24)), 4, 8))


def _turns(preset: Preset, classes: bool) -> tuple[tuple[tuple[str, Any], ...], ...]:
    """The kinds of members: of pieces, of waves or of both, and wide ones."""
    waves = (("pieces", 0), ("waves", 16), ("activation", "selu"))
    wide = ("hidden", (256, 256, 256))
    match preset, classes:
        case "default", True:
            return ((), (*waves, ("rate", 0.01)))
        case "best", True:
            return ((), (*waves, wide, ("rate", 0.005)), (wide, ("rate", 0.002)), (*waves, ("rate", 0.01)))
        case "best", False:
            return ((), (("waves", 16),))
        case _:
            return ()
