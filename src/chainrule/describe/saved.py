"""A description as JSON and back: what each field may be is said once, and looked at before anything is made of it.

    network    ::= {"inputs", "layers": [layer, ...], "loss", "l1", "l2", "reduction", "penalty_per",
                    "penalties": {parameter or letter: factor}, "constraints": {the same: [{"type", ...}, ...]}}
    inputs     ::= columns | {name: columns | [the tokens of each column], ...}
    layer      ::= {"type": its class, its fields}                          a combinator holds layers in turn
    weights    ::= initialiser | standard deviation | null | {"tied": parameter, "transposed"}
    formula    ::= {"type": "Formula", "expression", "parameters": {name: {"shape", "value", "weights", "penalised"}},
                    "name"}
    activation ::= name | {"formula", "name", "slope", "initialiser"}
    losses     ::= loss | {"type": "Losses", "parts": {output: {"loss": loss, "factor"}}}
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
from chainrule.describe.combine import KINDS, Combined, Join
from chainrule.describe.constraints import CONSTRAINTS, Pairs
from chainrule.describe.first_version import FIELDS
from chainrule.describe.formula import Formula
from chainrule.describe.initialisers import SCALES
from chainrule.describe.layers import Layer, Tied
from chainrule.describe.losses import Cost, Loss, Losses, TargetKind, loss, replace_loss
from chainrule.describe.parameters import Named, Parameter
from chainrule.describe.schedules import Schedule, schedule_from_dict
from chainrule.errors import ChainruleError, DataError, SpecError
from chainrule.files.fields import (
    AnyValue,
    ByType,
    Each,
    Either,
    Flag,
    Kind,
    Listed,
    Maybe,
    Number,
    Object,
    Tagged,
    Text,
    Whole,
)
from chainrule.program.parse import LONGEST, parse, source
from chainrule.program.precision import PRECISIONS
from chainrule.program.scalar import Expression

MOST_FAULTS = 20
"""Of a description, that one message names."""
_FORMULA = Text(longest=LONGEST)
_NAME = Text(longest=LONGEST)
_PARAMETERS = Each(
    Object(
        {
            "shape": Listed(Either(Text(("n",), what="size"), Whole(1)), most=2),
            "value": Maybe(Number()),
            "weights": Maybe(Either(_NAME, Number(least=0))),
            "penalised": Maybe(Flag()),
        },
        absent={"shape": (), "value": None, "weights": None, "penalised": None},
    ),
    most=1000,
)
_ACTIVATION = Either(
    _NAME,
    Object(
        {
            "formula": _FORMULA,
            "name": _NAME,
            "slope": Maybe(_FORMULA),
            "initialiser": Maybe(_NAME),
            "parameters": _PARAMETERS,
        },
        absent={"name": None, "slope": None, "initialiser": None, "parameters": {}},
    ),
)
_TIED = Object({"tied": _NAME, "transposed": Flag()}, absent={"transposed": False})
_FIELDS: Mapping[str, Kind] = {
    "units": Whole(1),
    "vocabulary": Maybe(ByType(Whole(1), Listed(Whole(1), 1))),
    "dimension": ByType(Whole(1), Listed(Whole(1), 1)),
    "padding": Maybe(Whole(0)),
    "sparse": Flag(),
    "activation": _ACTIVATION,
    "bias": Flag(),
    "weights": Maybe(Either(_NAME, ByType(Number(least=0), named=_TIED))),
    "groups": Whole(1),
    "members": Whole(1),
    "frequencies": Whole(1),
    "sigma": Number(least=0),
    "edges": Listed(Listed(Number(), 2), 1),
    "scales": Text(SCALES, what="scales"),
    "name": _NAME,
    "expression": _FORMULA,
    "parameters": _PARAMETERS,
    "join": Text(get_args(Join), what="join"),
    "rate": ByType(Number(least=0, below=1), named=AnyValue()),
    "momentum": Number(least=0, below=1),
    "epsilon": Number(above=0),
}
"""Of layers; what a layer of one's own calls otherwise, it checks itself."""
_KINDS_OF_LOSS: Mapping[str, Kind] = {
    "Cost": Object({"formula": _FORMULA, "name": _NAME}, absent={"name": None}),
    "Loss": Object(
        {
            "formula": _FORMULA,
            "name": _NAME,
            "classes": Flag(),
            "kind": Maybe(Text(get_args(TargetKind), what="kind of target")),
            "fits": Maybe(Listed(_NAME, most=1000)),
            "smoothing": ByType(Number(least=0, below=1), named=AnyValue()),
            "between": Maybe(Listed(Number(words=True), 2, 2)),
            "cap": Maybe(Number()),
            "values": Listed(_NAME, most=1000),
            "parameters": _PARAMETERS,
        },
        absent={
            "name": None,
            "classes": False,
            "kind": None,
            "fits": None,
            "smoothing": 0.0,
            "between": None,
            "cap": None,
            "values": [],
            "parameters": {},
        },
    ),
}
_LOSS = Either(_NAME, Tagged("type", _KINDS_OF_LOSS, "kind of loss"))
_PART = Object({"loss": _LOSS, "factor": Number(least=0)}, absent={"factor": 1.0})
_LOSSES = Either(
    _NAME,
    Tagged(
        "type",
        {
            **_KINDS_OF_LOSS,
            "Losses": Object({"parts": Each(_PART, 1, 1000)}),
        },
        "kind of loss",
    ),
)


_CONSTRAINT = Tagged(
    "type",
    {
        "MaxNorm": Object({"limit": Number(above=0)}),
        "UnitNorm": Object({}),
        "NonNegative": Object({}),
        "Monotone": Object({"signs": Listed(Number(least=-1, below=2), 1)}),
    },
    "constraint",
)


def constraints_to_dict(pairs: Pairs) -> dict[str, Any]:
    """The constraints of each parameter as JSON can hold them."""
    return {
        name: [{"type": type(c).__name__, **{k: _to_json(v) for k, v in vars(c).items()}} for c in several]
        for name, several in pairs
    }


def constraints_from(said: Mapping[str, Any]) -> Pairs:
    """The constraints, of what `network_kind` read.  Raises SpecError."""
    return tuple((name, tuple(CONSTRAINTS[kind](**given) for kind, given in some)) for name, some in said.items())


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """The layer as JSON can hold it; what version 0.1.0 does not know is left out where it is as by default."""
    kind = type(layer)
    result: dict[str, Any] = {"type": kind.__name__}
    first = FIELDS.get(kind.__name__) if KINDS.get(kind.__name__) is kind else None
    defaults = inspect.signature(kind).parameters
    for name, value in vars(layer).items():
        if first is None or name in first or value != defaults[name].default:
            result[name] = _to_json(value)
    if isinstance(layer, Formula):
        result["parameters"] = _named_to_json(layer.parameters)
    return result


def _named_to_json(parameters: Named) -> dict[str, Any]:
    return {letter: _to_json(parameter) for letter, parameter in parameters}


def _named_from_json(said: Mapping[str, dict[str, Any]]) -> dict[str, Parameter]:
    rest = {letter: {key: value for key, value in p.items() if key != "shape"} for letter, p in said.items()}
    return {letter: Parameter(*p["shape"], **rest[letter]) for letter, p in said.items()}


def _to_json(value: Any) -> Any:
    match value:
        case Activation():
            return _activation_to_json(value)
        case Layer():
            return layer_to_dict(value)
        case Tied():
            return {"tied": value.name, "transposed": value.transposed}
        case Expression():
            return source(value)
        case Schedule():
            return value.to_dict()
        case Parameter():
            return {**vars(value), "shape": list(value.shape)}
        case tuple():
            return [_to_json(member) for member in value]
        case _:
            return value


def network_kind(layers: Mapping[str, type[Layer]]) -> Object:
    """What the description of a network of such layers may hold."""
    kinds: dict[str, Kind] = {}
    layer = Tagged("type", kinds, "layer")  # a combinator holds layers: the kind holds itself
    kinds.update({name: _layer_kind(kind, layer) for name, kind in layers.items()})
    return Object(
        {
            "inputs": ByType(Whole(1), named=Each(ByType(Whole(1), Listed(Whole(1), 1)), 1)),
            "layers": Listed(layer, 1),
            "loss": _LOSSES,
            "l1": Number(least=0),
            "l2": Number(least=0),
            "reduction": Text(("mean", "sum"), what="reduction"),
            "penalty_per": Text(("sample", "weight"), what="penalty_per"),
            "penalties": Each(Number(least=0)),
            "constraints": Each(Listed(_CONSTRAINT, 1)),
            "precision": Text(tuple(PRECISIONS), what="precision"),
        },
        absent={"penalties": {}, "constraints": {}, "precision": "highest"},
    )


def faults_of(data: object, kind: Object, first: str) -> list[str]:
    """What is wrong with a network's description, field by field and layer by layer; first: what was said of it."""
    faults: list[str] = []
    if isinstance(data, dict):
        parts = [(f"spec.{name}", of, data[name]) for name, of in kind.fields.items() if name in data]
        layers, of_layers = data.get("layers"), kind.fields["layers"]
        if isinstance(layers, list) and layers and isinstance(of_layers, Listed):
            parts = [part for part in parts if part[0] != "spec.layers"]
            parts += [(f"spec.layers[{k}]", of_layers.kind, layer) for k, layer in enumerate(layers)]
        for place, of, value in parts:
            try:
                of.read(value, f"network: {place}")
            except DataError as fault:
                faults.append(str(fault).removeprefix("network: "))
            if len(faults) == MOST_FAULTS:
                break
    return faults if first in faults else [first, *faults]


def _layer_kind(layer: type[Layer], inner: Kind) -> Object:
    given = [p for p in inspect.signature(layer).parameters.values() if p.kind != p.VAR_KEYWORD]
    fields = {p.name: _FIELDS.get(p.name, AnyValue()) for p in given}
    if issubclass(layer, Combined):
        fields |= {
            name: kind for name, kind in (("layers", Listed(inner)), ("parts", Listed(Listed(inner)))) if name in fields
        }
    return Object(fields, absent={p.name: _ABSENT for p in given if p.default is not inspect.Parameter.empty})


_ABSENT = object()


def layers_from(described: tuple[tuple[str, dict[str, Any]], ...], kinds: Mapping[str, type[Layer]]) -> list[Layer]:
    """The layers, of what `network_kind` read.  Raises SpecError, which names the layer."""
    return _layers_from(described, kinds, {}, "Layer ")


def _layers_from(
    described: tuple[tuple[str, dict[str, Any]], ...],
    kinds: Mapping[str, type[Layer]],
    read: dict[tuple[object, ...], Activation],
    where: str,
) -> list[Layer]:
    """read: the activations so far; a formula that many layers have is read once."""
    layers = []
    faults: list[str] = []
    for position, (name, fields) in enumerate(described):
        given = {key: value for key, value in fields.items() if value is not _ABSENT}
        place = f"{where}{position + 1}"
        held: list[Any] = []
        if issubclass(kinds[name], Combined):
            try:
                for k, branch in enumerate(given.pop("parts", ())):
                    held.append(_layers_from(branch, kinds, read, f"{place}, branch {k + 1}, layer "))
                held += _layers_from(given.pop("layers", ()), kinds, read, f"{place}, layer ")
            except SpecError as fault:
                faults += fault.faults
                continue
        try:
            if "activation" in given:
                given["activation"] = _activation_from_json(given["activation"], read)
            if isinstance(given.get("rate"), dict):
                given["rate"] = schedule_from_dict(given["rate"])
            if isinstance(tied := given.get("weights"), dict):
                given["weights"] = Tied(tied["tied"], tied["transposed"])
            if kinds[name] is Formula:
                given["parameters"] = _named_from_json(given.get("parameters", {}))
            layers.append(kinds[name](*held, **given))
        except SpecError as fault:
            faults += [f"{place}: {text}" for text in fault.faults]
    if faults:
        raise SpecError(faults)
    return layers


def _activation_to_json(a: Activation) -> str | dict[str, Any]:
    if a == ACTIVATIONS.get(a.name):
        return a.name
    slope = None if a.slope is None else source(a.slope)
    said = {"formula": source(a.expression), "name": a.name, "slope": slope, "initialiser": a.initialiser}
    return {**said, "parameters": _named_to_json(a.parameters)} if a.parameters else said


def _activation_from_json(said: str | dict[str, Any], activations: dict[tuple[object, ...], Activation]) -> Activation:
    if isinstance(said, str):
        return activation(said)
    parameters = _named_from_json(said["parameters"])
    key = *(value for name, value in said.items() if name != "parameters"), *parameters.items()
    if key not in activations:
        options = {name: said[name] for name in ("name", "slope", "initialiser") if said[name] is not None}
        activations[key] = Activation(said["formula"], parameters, **options)
    return activations[key]


def loss_to_dict(given: Loss | Cost | Losses) -> str | dict[str, Any]:
    """The loss as JSON can hold it."""
    if isinstance(given, Losses):
        parts = {name: {"loss": loss_to_dict(one), "factor": factor} for name, one, factor in given.parts}
        return {"type": "Losses", "parts": parts}
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
        "smoothing": _to_json(given.smoothing),
        "between": None
        if given.between is None
        else [bound if math.isfinite(bound) else str(bound) for bound in given.between],
        "cap": given.cap,
        **({"values": list(given.values)} if given.values else {}),
        **({"parameters": _named_to_json(given.parameters)} if given.parameters else {}),
    }


def loss_from(said: str | tuple[str, dict[str, Any]]) -> Loss | Cost | Losses:
    """The loss, of what `network_kind` read.  Raises SpecError."""
    if not isinstance(said, str) and said[0] == "Losses":
        parts = said[1]["parts"]
        return Losses({name: (_loss_from(part["loss"]), part["factor"]) for name, part in parts.items()})
    return _loss_from(said)


def _loss_from(said: str | tuple[str, dict[str, Any]]) -> Loss | Cost:
    if isinstance(said, str):
        return loss(said)
    kind, fields = said
    if kind == "Cost":
        return Cost(parse(fields["formula"], ("yhat", "y", "m")), name=fields["name"])
    fits = None if fields["fits"] is None else frozenset(fields["fits"])
    options = {name: fields[name] for name in ("name", "classes", "kind", "between", "values")}
    parameters = _named_from_json(fields["parameters"])
    smoothing = fields["smoothing"]
    smoothing = schedule_from_dict(smoothing) if isinstance(smoothing, dict) else smoothing
    return replace_loss(
        Loss(fields["formula"], parameters, fits=fits, **options), smoothing=smoothing, cap=fields["cap"]
    )
