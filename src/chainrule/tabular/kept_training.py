"""What was trained, read back from a file: every field of its kind, and all of it of one table and its networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np

from chainrule.describe.losses import Losses
from chainrule.errors import DataError, SpecError
from chainrule.files import fields
from chainrule.files.fields import AnyValue, Each, Flag, Kind, Listed, Maybe, Number, Object, Text, Whole
from chainrule.network import Network
from chainrule.tabular import recipe
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.members import Trained, Units
from chainrule.tabular.recipe import Recipe

_MANY = 10**9
_BY_TYPE: Mapping[Any, Kind] = {
    "int": Whole(0, _MANY),
    "float": Number(),
    "bool": Flag(),
    "str": Text(longest=100),
    "tuple[int, ...]": Listed(Whole(1, _MANY), most=1000),
    "tuple[tuple[str, float], ...]": Each(Number(), most=1000),
}
"""What the file has of a setting of the recipe, by its type; `Recipe.from_dict` reads what is of another."""
_DEFAULTS = {f.name: f.default for f in dataclasses.fields(Recipe) if f.default is not dataclasses.MISSING}
_RECIPE = Object({f.name: _BY_TYPE.get(f.type, AnyValue()) for f in dataclasses.fields(Recipe)}, absent=_DEFAULTS)
_NUMBERS = Listed(Number())
_UNITS = Object({f.name: _NUMBERS for f in dataclasses.fields(Units)} | {"scale": Listed(Number(above=0.0))})
_AIM = Object(
    {
        "kind": Text(get_args(recipe.Kind), what="kind of target"),
        "outputs": Whole(1, _MANY),
        "levels": _NUMBERS,
        "loss": Maybe(Text(longest=100)),
    }
)
_SHAPE = Object(
    {
        "numbers": Listed(Text()),
        "edges": Listed(Listed(Number(), least=2)),
        "flags": Listed(Text()),
        "categories": Listed(Text()),
        "counts": Listed(Whole(1, _MANY)),
    }
)
_TRAINED = Object(
    {
        "aim": _AIM,
        "recipe": _RECIPE,
        "shape": _SHAPE,
        "units": _UNITS,
        "rising": Each(Whole(-1, 1)),
        "temperature": Number(above=0.0, below=1e6),
        "epochs": Listed(Whole(0, _MANY)),
        "held_out": Maybe(Number()),
    },
    absent={"rising": {}},
    others=True,
)


def trained_from_dict(saved: object, networks: Sequence[Network], shape: InputShape) -> Trained:
    """What `Trained.to_dict` wrote, with its networks; shape: what the table that was learned becomes.

    Raises DataError for anything else, and for networks that are not of that table.
    """
    said = fields.part(_TRAINED, saved, "what was trained")
    try:
        trained = Trained.from_dict({**dict(saved), "rising": said["rising"]}, networks)  # type: ignore[call-overload]
        faults = [] if trained.shape == shape else ["its shape is not that of the table"]
        faults += _of_targets(trained)
        faults += [] if faults else [fault for k in range(len(networks)) for fault in _of_network(trained, k)]
    except (SpecError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as fault:
        raise DataError(f"This is not what was trained as chainrule saves it: {fault}") from None
    if faults:
        raise DataError(f"This is not what was trained as chainrule saves it: {'; '.join(faults[:3])}.")
    return trained


def _of_targets(trained: Trained) -> list[str]:
    """What is wrong with what it predicts."""
    aim, units = trained.aim, trained.units
    faults = []
    lengths = {len(getattr(units, f.name)) for f in dataclasses.fields(Units)}
    if lengths != {0 if aim.kind == "classes" else aim.outputs}:
        faults.append("its units are not of its targets")
    if any(low > high for low, high in zip(units.low, units.high, strict=False)):
        faults.append("its least target is not the least")
    if not trained.networks:
        faults.append("it has no networks")
    if any(name not in trained.shape.numbers or sign not in (-1, 1) for name, sign in trained.rising):
        faults.append("what rises is none of its numbers")
    return faults


def _of_network(trained: Trained, k: int) -> list[str]:
    """What of a network is not as the rest says."""
    spec, aim, shape = trained.networks[k].spec, trained.aim, trained.shape
    row = TableInputs(
        np.zeros((1, len(shape.numbers)), np.float32),
        np.zeros((1, len(shape.flags)), np.float32),
        np.zeros((1, len(shape.categories)), np.int32),
    )
    faults = []
    given = {name: values.shape[1] for name, values in trained.given(k, row).items()}
    named = dict(spec.named)
    if given != {name: width if isinstance(width, int) else len(width) for name, width in named.items()}:
        faults.append(f"network {k} has other inputs")
    if any(not isinstance(tokens, int) and tuple(tokens) != shape.counts for tokens in named.values()):
        faults.append(f"network {k} has other categories")
    several = isinstance(spec.loss, Losses)
    outputs = len(spec.ends) if several else spec.outputs
    yes = aim.kind == "classes" and spec.loss.kind == "yes/no"
    wanted = len(aim.levels) or (1 if yes else aim.outputs)
    if outputs != wanted or several != (aim.kind == "quantiles") or (yes and aim.outputs != 2):
        faults.append(f"network {k} predicts something else")
    return faults
