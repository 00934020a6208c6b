"""The file of a network: spec, settings and arrays, checked before anything of its size is made.  docs/MODEL_FORMAT.md.

A file may be anybody's.  Its header, then its description, then its arrays' names and shapes are held to what they must
be, in this order, and each before the next is looked at; only then is memory taken, as much as the file holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe import first_version
from chainrule.describe.combine import KINDS
from chainrule.describe.layers import Layer
from chainrule.describe.network import NetworkSpec
from chainrule.errors import DataError, shown
from chainrule.files import reading, strict_json, tensors
from chainrule.files.fields import AnyValue, Listed, Maybe, Object, Text, Whole, check_format
from chainrule.files.tensors import TensorFile
from chainrule.program.builder import Builder
from chainrule.program.symbol import STORED
from chainrule.rules.forward import forward

KEY = "chainrule"
"""Of the file's metadata: the format, the spec and the settings as JSON."""
KIND, VERSION = "network", 2
"""Of the format, "network 1"; docs/MODEL_FORMAT.md says what it is."""
LONGEST_NAME = 1_000_000
"""Characters of a vocabulary."""
LONGEST_WORD = 10_000_000
"""The length of the longest name that a character model has learned."""
Array = NDArray[Any]

_LANGUAGE = Object({"characters": Text(longest=LONGEST_NAME), "longest": Whole(0, LONGEST_WORD)}, others=True)
_SETTINGS = Object(
    {
        "dtype": Text(("float32", "float64"), what="dtype"),
        "seed": Whole(0),
        "language": Maybe(_LANGUAGE),
        "feature_names": Maybe(Listed(Text(longest=LONGEST_NAME))),
    },
    absent={"language": None, "feature_names": None},
    others=True,
)
_FIT = Object({"arrays": Listed(Text(longest=1000), 0, 1_000_000), "state": AnyValue()})
_ABOUT = Object(
    {
        "format": Text(),
        "spec": AnyValue(),
        "settings": _SETTINGS,
        "digest": Maybe(Text(longest=64)),
        "fit": Maybe(_FIT),
    },
    absent={"digest": None, "fit": None},
    others=True,
)


@dataclass(frozen=True)
class Saved:
    """A network's file, open and checked; its arrays are still to be read."""

    spec: NetworkSpec
    """The network."""
    dtype: str
    """float32 or float64"""
    seed: int
    """That its weights were drawn with."""
    language: Mapping[str, Any] | None
    """A character model's "characters" and "longest"."""
    feature_names: tuple[str, ...] | None
    """Of the inputs, where the network was fitted to a data frame."""
    digest: str | None
    """Of all that the file says and holds; None in files of versions that had none."""
    file: TensorFile
    """The arrays, unread."""
    fit: Mapping[str, Any] | None = None
    """Of a checkpoint, the fit that it was written in: its "state", and the names of the "arrays" that are its own."""

    def fill(self, into: Mapping[str, Array]) -> None:
        """Reads the arrays into the network's own, which have the same names and shapes.

        Raises DataError where names or shapes differ, or the digest is that of another content.
        """
        _check_same(self.file, {name: array.shape for name, array in into.items()}, self.dtype, self._beside)
        for name, array in into.items():
            self.file.read(name, array)
        self._check_digest({**self.fit_arrays(), **into})

    def fit_arrays(self) -> dict[str, Array]:
        """The arrays of a checkpoint's fit, beside the network's own."""
        arrays = {}
        for name in self._beside:
            tensor = self.file.tensors[name]
            arrays[name] = np.empty(tensor.shape, tensor.dtype)
            self.file.read(name, arrays[name])
        return arrays

    @property
    def _beside(self) -> frozenset[str]:
        return frozenset() if self.fit is None else frozenset(self.fit["arrays"])

    def _check_digest(self, arrays: Mapping[str, Array]) -> None:
        if self.digest is not None and _digest(self.file.metadata[KEY], self.digest, arrays) != self.digest:
            raise DataError(
                f"{self.file.path} is damaged: it does not hold what was saved (its digest is that of another content)."
            )


def save(
    path: str | os.PathLike[str],
    spec: NetworkSpec,
    arrays: Mapping[str, Array],
    settings: Mapping[str, Any],
    fit: tuple[object, Mapping[str, Array]] | None = None,
) -> None:
    """Writes a safetensors file whose metadata holds the spec; beside it first, then moved into place.

    fit: of a checkpoint, the state of its fit as JSON-ready data, and the arrays that are the fit's own.
    """
    described = spec.to_dict()
    version = 1 if first_version.reads(described) else VERSION  # what 0.1.0 can read stays readable to it
    about = {"format": f"{KIND} {version}", "digest": _NONE, "spec": described, "settings": dict(settings)}
    if fit is not None:
        state, beside = fit
        about["fit"] = {"arrays": sorted(beside), "state": state}
        arrays = {**arrays, **beside}
    text = strict_json.dumps(about)
    digest = _digest(text, _NONE, arrays)
    tensors.write(path, arrays, {KEY: text.replace(_NONE, digest, 1)})


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], own_layers: Iterable[type[Layer]] = ()) -> Iterator[Saved]:
    """A file that `save` wrote, checked as far as can be before a network is made of it.

    own_layers: classes beside chainrule's that it may name.  Raises DataError.
    """
    with contextlib.ExitStack() as stack:
        with reading(path):
            saved = _checked(stack.enter_context(tensors.opened(path, "a network", key=KEY)), own_layers)
        yield saved


def digest(path: str | os.PathLike[str]) -> str | None:
    """The digest that a network's file says it has; None of versions that had none.  Raises DataError."""
    with reading(path), tensors.opened(path, "a network", key=KEY) as file:
        value = _about(file)
        said = value.get("digest")
        return None if said is None else Text(longest=64).read(said, f"{path}: metadata.digest")


def _checked(file: TensorFile, own_layers: Iterable[type[Layer]]) -> Saved:
    about = _ABOUT.read(_about(file), f"{file.path}: metadata")
    settings = about["settings"]
    _check_count(file, about["spec"])
    spec = NetworkSpec.from_dict(about["spec"], own_layers)
    beside = frozenset() if about["fit"] is None else frozenset(about["fit"]["arrays"])
    _check_same(file, _shapes(spec), settings["dtype"], beside)
    if about["fit"] is not None and about["digest"] is None:
        raise DataError(
            f"{file.path} is a checkpoint without its digest: a fit goes on from what was surely saved only."
        )
    if missing := sorted(beside - file.tensors.keys()):
        raise DataError(f"{file.path} does not hold the fit's array {shown(missing[0])}.")
    names = settings["feature_names"]
    if names is not None and (len(names) != spec.inputs or len(set(names)) < len(names)):
        raise DataError(
            f"{file.path}: names {len(names)} features; the network has {spec.inputs} inputs, each with its own."
        )
    return Saved(
        spec, settings["dtype"], settings["seed"], settings["language"], names, about["digest"], file, about["fit"]
    )


def _about(file: TensorFile) -> dict[str, Any]:
    """The metadata, of a format that is known here."""
    place = f"{file.path}: metadata"
    try:
        value = strict_json.loads(file.metadata[KEY], place, infinite=True)  # version 0.1.0 wrote Infinity for a bound
    except DataError as fault:
        reason = str(fault).removeprefix(f"{file.path}: ")
        raise DataError(f"{file.path} is not a network saved by chainrule: {reason}") from None
    kind, version = _format(value)
    if kind != KIND or not isinstance(value, dict):
        got = shown(value.get("format") if isinstance(value, dict) else value)
        raise DataError(f"{file.path} is not a network saved by chainrule (its format says {got}).")
    check_format(version, place, VERSION, "a network")
    return value


def _format(value: object) -> tuple[str, object]:
    """("network", 1) of {"format": "network 1"}."""
    said = value.get("format") if isinstance(value, dict) else None
    kind, _, version = said.partition(" ") if isinstance(said, str) else ("", "", "")
    return kind, int(version) if version.isdecimal() and version.isascii() and len(version) < 10 else version


def _check_count(file: TensorFile, spec: object) -> None:
    """Before a layer is made: each matrix product needs an array."""
    words = {name for name, kind in KINDS.items() if kind.numbered}
    count = products = 0
    waiting = [spec.get("layers")] if isinstance(spec, dict) else []
    while waiting:  # a combinator holds layers
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict) and isinstance(part.get("type"), str):
            count += 1
            products += part["type"] in words and not isinstance(part.get("weights"), dict)
            waiting += [value for value in part.values() if isinstance(value, list)]
    if products > len(file.tensors):
        raise DataError(f"{file.path}: describes {count:,} layers, but holds {len(file.tensors):,} arrays for them.")


def _check_same(
    file: TensorFile, needed: Mapping[str, tuple[int, ...]], dtype: str, beside: frozenset[str] = frozenset()
) -> None:
    """Names, shapes and dtypes of all but those beside, before anything is allocated."""
    held = {name: (tensor.shape, tensor.dtype) for name, tensor in file.tensors.items() if name not in beside}
    wrong = sorted(name for name in held.keys() | needed.keys() if held.get(name) != (needed.get(name), dtype))
    if wrong:
        name = wrong[0]
        have = "nothing" if name not in held else f"{held[name][1]} {list(held[name][0])}"
        want = "nothing" if name not in needed else f"{dtype} {list(needed[name])}"
        more = f" ({len(wrong) - 1:,} more arrays differ)" if len(wrong) > 1 else ""
        raise DataError(
            f"{file.path} does not hold this network's parameters: {shown(name)} is {have}, not {want}{more}."
        )


_NONE = "0" * 64
"""A digest that is not known yet."""


def _digest(text: str, own: str, arrays: Mapping[str, Array]) -> str:
    """SHA-256 of the metadata's text, its own digest being all zeros, and of every array by name."""
    hasher = hashlib.sha256(text.replace(own, _NONE, 1).encode())
    for name, array in sorted(arrays.items()):
        hasher.update(f"\n{name} {list(array.shape)}\n".encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()


def _shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Of all arrays that the layers need: they write their forward equations, and nothing is derived."""
    write = Builder()
    forward(spec, write, training=False)
    stored = [symbol for symbol in write.given if symbol.role in STORED]
    return {symbol.name: tuple(int(d) for d in symbol.shape) for symbol in stored}
