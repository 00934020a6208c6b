"""A description as JSON and back: what each field may be is said once, and looked at before anything is made of it.

    network    ::= {"inputs", "layers": [layer, ...], "loss", "l1", "l2", "reduction", "penalty_per"}
    layer      ::= {"type": its class, its fields}
    activation ::= name | {"formula", "name", "slope", "initialiser"}
    loss       ::= name | {"type": "Loss", "formula", ...} | {"type": "Cost", "formula", "name"}

A field that a class has a default for may be absent: files from before there was such a field are read with it.
docs/MODEL_FORMAT.md has it in full.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, get_args

from chainrule.describe.activations import ACTIVATIONS, Activation, activation
from chainrule.describe.layers import Layer
from chainrule.describe.losses import Cost, Loss, TargetKind, loss, replace_loss
from chainrule.errors import ChainruleError, SpecError
from chainrule.files.fields import AnyValue, Either, Flag, Kind, Listed, Maybe, Number, Object, Tagged, Text, Whole
from chainrule.program.parse import LONGEST, parse, source

_FORMULA = Text(longest=LONGEST)
_NAME = Text(longest=LONGEST)
_ACTIVATION = Either(
    _NAME,
    Object(
        {"formula": _FORMULA, "name": _NAME, "slope": Maybe(_FORMULA), "initialiser": Maybe(_NAME)},
        absent={"slope": None, "initialiser": None},
    ),
)
_FIELDS: Mapping[str, Kind] = {
    "units": Whole(1),
    "vocabulary": Whole(1),
    "dimension": Whole(1),
    "activation": _ACTIVATION,
    "bias": Flag(),
    "weights": Maybe(Either(_NAME, Number(least=0))),
    "rate": Number(least=0, below=1),
    "momentum": Number(least=0, below=1),
    "epsilon": Number(above=0),
}
"""Of layers; what a layer of one's own calls otherwise, it checks itself."""
_LOSS = Either(
    _NAME,
    Tagged(
        "type",
        {
            "Cost": Object({"formula": _FORMULA, "name": _NAME}),
            "Loss": Object(
                {
                    "formula": _FORMULA,
                    "name": _NAME,
                    "classes": Flag(),
                    "kind": Maybe(Text(get_args(TargetKind), what="kind of target")),
                    "fits": Maybe(Listed(_NAME, most=1000)),
                    "smoothing": Number(least=0, below=1),
                    "between": Maybe(Listed(Number(words=True), 2, 2)),
                    "cap": Maybe(Number()),
                },
                absent={"cap": None, "kind": None},
            ),
        },
        "kind of loss",
    ),
)


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """The layer as JSON can hold it."""
    result: dict[str, Any] = {"type": type(layer).__name__}
    for name, value in vars(layer).items():
        result[name] = _activation_to_json(value) if isinstance(value, Activation) else value
    return result


def network_kind(layers: Mapping[str, type[Layer]]) -> Object:
    """What the description of a network of such layers may hold."""
    return Object(
        {
            "inputs": Whole(1),
            "layers": Listed(Tagged("type", {name: _layer_kind(kind) for name, kind in layers.items()}, "layer"), 1),
            "loss": _LOSS,
            "l1": Number(least=0),
            "l2": Number(least=0),
            "reduction": Text(("mean", "sum"), what="reduction"),
            "penalty_per": Text(("sample", "weight"), what="penalty_per"),
        }
    )


def _layer_kind(layer: type[Layer]) -> Object:
    given = inspect.signature(layer).parameters.values()
    fields = {p.name: _FIELDS.get(p.name, AnyValue()) for p in given}
    return Object(fields, absent={p.name: _ABSENT for p in given if p.default is not inspect.Parameter.empty})


_ABSENT = object()


def layers_from(described: tuple[tuple[str, dict[str, Any]], ...], kinds: Mapping[str, type[Layer]]) -> list[Layer]:
    """The layers, of what `network_kind` read.  Raises SpecError, which names the layer."""
    activations: dict[tuple[object, ...], Activation] = {}  # a formula that many layers have is read once
    layers = []
    for position, (name, fields) in enumerate(described):
        given = {key: value for key, value in fields.items() if value is not _ABSENT}
        try:
            if "activation" in given:
                given["activation"] = _activation_from_json(given["activation"], activations)
            layers.append(kinds[name](**given))
        except SpecError as fault:
            raise SpecError([f"Layer {position + 1}: {text}" for text in fault.faults]) from None
    return layers


def _activation_to_json(a: Activation) -> str | dict[str, str | None]:
    if a == ACTIVATIONS.get(a.name):
        return a.name
    slope = None if a.slope is None else source(a.slope)
    return {"formula": source(a.expression), "name": a.name, "slope": slope, "initialiser": a.initialiser}


def _activation_from_json(said: str | dict[str, Any], activations: dict[tuple[object, ...], Activation]) -> Activation:
    if isinstance(said, str):
        return activation(said)
    key = tuple(said.values())
    if key not in activations:
        options = {name: said[name] for name in ("name", "slope", "initialiser") if said[name] is not None}
        activations[key] = Activation(said["formula"], **options)
    return activations[key]


def loss_to_dict(given: Loss | Cost) -> str | dict[str, Any]:
    """The loss as JSON can hold it."""
    if isinstance(given, Cost):
        return {"type": "Cost", "formula": source(given.expression), "name": given.name}
    try:
        if given == loss(given.name):
            return given.name
    except ChainruleError:
        pass
    return {
        "type": "Loss",
        "formula": source(given.expression),
        "name": given.name,
        "classes": given.classes,
        "kind": given.kind,
        "fits": None if given.fits is None else sorted(given.fits),
        "smoothing": given.smoothing,
        "between": None
        if given.between is None
        else [bound if math.isfinite(bound) else str(bound) for bound in given.between],
        "cap": given.cap,
    }


def loss_from(said: str | tuple[str, dict[str, Any]]) -> Loss | Cost:
    """The loss, of what `network_kind` read.  Raises SpecError."""
    if isinstance(said, str):
        return loss(said)
    kind, fields = said
    if kind == "Cost":
        return Cost(parse(fields["formula"], ("yhat", "y", "m")), name=fields["name"])
    fits = None if fields["fits"] is None else frozenset(fields["fits"])
    options = {name: fields[name] for name in ("name", "classes", "kind", "between")}
    return replace_loss(Loss(fields["formula"], fits=fits, **options), smoothing=fields["smoothing"], cap=fields["cap"])
