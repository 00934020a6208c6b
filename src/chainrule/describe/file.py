"""A network described in a small file, JSON or TOML: the form that a saved network holds, without its defaults.

inputs = 4                          or several by name, as of cr.Network
loss = "cross_entropy"              or {formula = "..."}; or of each output: {kind = "cross_entropy", size = "huber"}
optimizer = "adam"                  or a table: {type = "adam", learning_rate = 0.01}

[[layers]]
type = "Dense"
units = 8
activation = "tanh"
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from chainrule.describe.network import NetworkSpec
from chainrule.describe.optimizers import OPTIMIZERS, Optimizer
from chainrule.describe.schedules import schedule_from_dict
from chainrule.errors import DataError, SpecError, expected, shorten, unknown_name
from chainrule.files import describe_os_error, open_binary, strict_json

ENDINGS = (".toml", ".json")
LONGEST = 1 << 20
"""Bytes of a description."""
_ABSENT = {"l1": 0.0, "l2": 0.0, "reduction": "mean", "penalty_per": "sample"}


@dataclass(frozen=True)
class Description:
    """What a file says."""

    spec: NetworkSpec
    """The network."""
    optimizer: Optimizer | None
    """The optimizer, if it names one."""


def is_description(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named as a description is."""
    return Path(path).suffix.lower() in ENDINGS


def read_description(path: str | os.PathLike[str]) -> Description:
    """The network, and the optimizer if there is one, that a .toml or .json file describes.  Nothing in it is executed.

    Raises DataError for a file that cannot be read or is neither; SpecError with all faults of the network.
    """
    said = _read(Path(path))
    if not isinstance(said, dict):
        raise DataError(expected(f"{path}: a description", "an object with inputs, layers and loss", said))
    said = dict(said)
    given = said.pop("optimizer", None)
    if "loss" in said:
        said["loss"] = _whole_loss(said["loss"])
    faults = []
    optimizer = spec = None
    try:
        optimizer = None if given is None else _optimizer(given)
    except SpecError as fault:
        faults += fault.faults
    try:
        spec = NetworkSpec.from_dict({**_ABSENT, **said})
    except SpecError as fault:
        faults += fault.faults
    if spec is None or faults:
        raise SpecError([shorten(f"{path}: {fault}") for fault in faults])
    return Description(spec, optimizer)


def describe_as_json(spec: NetworkSpec) -> str:
    """The description of a network, to begin one's own from."""
    said = {key: value for key, value in spec.to_dict().items() if _ABSENT.get(key) != value}
    return json.dumps(said, indent=1, ensure_ascii=False)


def _read(path: Path) -> Any:
    try:
        with open_binary(path) as stream:
            raw = stream.read(LONGEST + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {describe_os_error(error)}.") from None
    if len(raw) > LONGEST:
        raise DataError(f"{path}: is larger than {LONGEST:,} bytes, the most of a description.")
    if path.suffix.lower() == ".json":
        return strict_json.loads(raw, str(path))
    try:
        said = tomllib.loads(raw.decode("utf-8-sig"))
        return strict_json.loads(json.dumps(said, default=_no_json), str(path))  # the same limits
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise error if str(error).startswith(str(path)) else DataError(f"{path}: {error}") from None
        raise DataError(shorten(f"{path}: is no TOML of numbers and texts: {error}.")) from None
    except RecursionError:
        raise DataError(f"{path}: is nested too deeply for a description.") from None


def _whole_loss(given: Any) -> Any:
    """A loss in the form that a saved network holds; {formula = ...} and {output: loss, ...} are short for it."""
    if not isinstance(given, Mapping) or not given or "type" in given:
        return given
    if "formula" in given:
        return {"type": "Loss", **given}
    parts = {}
    for name, own in given.items():
        part = own if isinstance(own, Mapping) and "loss" in own else {"loss": own}
        parts[name] = {**part, "loss": _whole_loss(part["loss"])}
    return {"type": "Losses", "parts": parts}


def _no_json(value: object) -> NoReturn:
    """Raises DataError: what TOML has beside numbers, texts, lists and tables are dates and times."""
    raise DataError(
        f"a description is made of numbers, texts, lists and tables. Got the {type(value).__name__} {value}."
    )


def _optimizer(given: Any) -> Optimizer:
    """A name, or a table of its type and its settings; a table among these is a schedule."""
    said = {"type": given} if isinstance(given, str) else given
    if not isinstance(said, Mapping) or not isinstance(said.get("type"), str):
        raise SpecError(expected("optimizer", 'a name, or a table with a type ("adam") and its settings', given))
    kinds = {**OPTIMIZERS, **{kind.__name__: kind for kind in OPTIMIZERS.values()}}
    if said["type"] not in kinds:
        raise SpecError(unknown_name("optimizer", said["type"], OPTIMIZERS))
    kind = kinds[said["type"]]
    settings: dict[str, Any] = {}
    for name, value in said.items():
        if name == "type":
            continue
        if name not in kind.__dataclass_fields__:
            raise SpecError(unknown_name(f"setting of {kind.__name__}", name, list(kind.__dataclass_fields__)))
        settings[name] = schedule_from_dict(value) if isinstance(value, Mapping) and "kind" in value else value
    try:
        return kind(**settings)
    except (TypeError, AttributeError) as fault:
        raise SpecError(f"The settings of {kind.__name__} are not of its kinds: {fault}.") from None
