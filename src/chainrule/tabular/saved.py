"""A fitted estimator of tables as a folder: saved as one thing, without pickle, and read back with everything checked.

table.json                  the estimator's parameters, what was learned of the table, the recipe
member-0.safetensors ...    the networks, each a model file of its own
seen.npz                    encoded rows of the training that importances are told by
"""

from __future__ import annotations

import contextlib
import itertools
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import model_file
from chainrule.errors import DataError, expected
from chainrule.files import fields, reading, replace_text, strict_json
from chainrule.files.fields import AnyValue, Each, Listed, Maybe, Object, Text, Whole
from chainrule.files.folder import member, replace_files, settle
from chainrule.network import Network
from chainrule.runs.folder import MOST_MEMBERS, OWN, SEEN, TABLE, member_name
from chainrule.tabular.base import BaseTabular
from chainrule.tabular.classifier import TabularClassifier
from chainrule.tabular.importances import Seen
from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.kept import preparation_from_dict, preparation_to_dict
from chainrule.tabular.kept_training import trained_from_dict
from chainrule.tabular.regressor import TabularRegressor
from chainrule.version import VERSION

Array = NDArray[Any]
FORMAT = 1
Fitted = TabularClassifier | TabularRegressor
KINDS: Mapping[str, type[Fitted]] = {k.__name__: k for k in (TabularClassifier, TabularRegressor)}
_DTYPES = ("text", "bool", "int64", "float64")
_CLASSES = Object({"dtype": Text(_DTYPES, what="kind of classes"), "values": Listed(AnyValue(), least=1)})
_FIELDS = Object(
    {
        "kind": Text(tuple(KINDS), what="estimator"),
        "version": Text(),
        "parameters": Each(AnyValue()),
        "target": Maybe(Text()),
        "targets": Maybe(Listed(Text())),
        "id": Maybe(Text()),
        "beside": Listed(Text()),
        "header": fields.Flag(),
        "record": Maybe(Each(AnyValue())),
        "classes": Maybe(_CLASSES),
        "outputs": Whole(1),
        "single": fields.Flag(),
        "features": Maybe(Listed(Text())),
        "preparation": AnyValue(),
        "constant": Listed(fields.Number(), least=1),
        "trained": Maybe(AnyValue()),
        "members": Listed(Text(longest=64), most=MOST_MEMBERS),
        "seed": Whole(0),
    },
    absent={"target": None, "targets": None, "id": None, "beside": (), "header": True, "record": None},
    others=True,
)


def save(estimator: BaseTabular, folder: str | os.PathLike[str]) -> None:
    """Writes a fitted estimator; a run that is there is replaced as a whole.  Raises DataError."""
    said = _said(estimator)
    trained = estimator.trained_
    networks = () if trained is None else trained.networks
    names = [member_name(k) for k in range(len(networks))]

    def write(draft: Path) -> None:
        for name, network in zip(names, networks, strict=True):
            network.save(draft / name)
        digests = [model_file.digest(draft / name) for name in names]
        replace_text(draft / TABLE, strict_json.dumps({**said, "members": digests}, indent=1, readable=True) + "\n")
        seen = estimator._seen
        arrays: dict[str, Any] = {name: getattr(seen.inputs, name) for name in ("numbers", "flags", "categories")}
        with (draft / SEEN).open("wb") as stream:
            np.savez(stream, **arrays, targets=seen.targets, members=seen.members)

    replace_files(Path(folder), OWN, write)


def is_table_run(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a fitted estimator of tables."""
    return member(Path(folder), TABLE).is_file()


def load(folder: str | os.PathLike[str], *, engine: str | None = None) -> Fitted:
    """The estimator that was saved there, which predicts the same bits; nothing in the folder is executed.

    engine: in the place of the one that it was fitted with.
    Raises DataError where there is none, or its files are damaged or not of one run.
    """
    place = Path(folder)
    with contextlib.suppress(OSError):  # who may not write there reads the files where they are
        settle(place, OWN)
    path = member(place, TABLE)
    if not path.is_file():
        raise DataError(f"{place}: holds no {TABLE}, so no estimator of tables. Give the folder that one was saved to.")
    said = strict_json.read(path, _FIELDS, "an estimator of tables", FORMAT)
    with reading(path):
        estimator = _parameters(said)
        if engine is not None:
            estimator.engine = engine
        networks = [_network(place, k, digest, estimator._engine()) for k, digest in enumerate(said["members"])]
        estimator.preparation_ = preparation_from_dict(said["preparation"])
        shape = estimator.preparation_.shape
        estimator.trained_ = None if said["trained"] is None else trained_from_dict(said["trained"], networks, shape)
        _fill(estimator, said)
    estimator._seen = _seen(member(place, SEEN), estimator)
    return estimator


def _said(estimator: BaseTabular) -> dict[str, Any]:
    parameters = {name: _plain(name, value) for name, value in estimator.get_params().items()}
    trained, classes = estimator.trained_, getattr(estimator, "classes_", None)
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "format": FORMAT,
        "kind": type(estimator).__name__,
        "version": VERSION,
        "parameters": parameters,
        "targets": list(estimator.targets_),
        "id": estimator.id_,
        "beside": list(estimator.beside_),
        "header": estimator.header_,
        "record": dict(estimator.record_),
        "classes": None if classes is None else _classes(classes),
        "outputs": int(getattr(estimator, "n_outputs_", 1)),
        "single": bool(getattr(estimator, "_single", True)),
        "features": None if names is None else [str(name) for name in names],
        "preparation": preparation_to_dict(estimator.preparation_),
        "constant": [float(value) for value in estimator._constant],
        "trained": None if trained is None else trained.to_dict(),
        "seed": estimator._seed,
    }


def _plain(name: str, value: Any) -> Any:
    """A parameter as JSON holds it; what it cannot is not needed to predict."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, dict) and name == "monotonic_cst":
        return {str(key): int(sign) for key, sign in value.items()}
    plain = value is None or isinstance(value, str | bool | int | float)
    if plain or (isinstance(value, list) and all(isinstance(v, str | bool | int | float) for v in value)):
        return value
    return None


def _classes(classes: Array) -> dict[str, Any]:
    kind = classes.dtype.kind
    dtype = {"b": "bool", "i": "int64", "u": "int64", "f": "float64"}.get(kind, "text")
    return {"dtype": dtype, "values": [str(v) if dtype == "text" else v for v in classes.tolist()]}


def _parameters(said: Mapping[str, Any]) -> Fitted:
    kind = KINDS[said["kind"]]
    known = kind._get_param_names()
    given = {name: value for name, value in said["parameters"].items() if name in known}
    if given.get("loss") is None:  # a Loss of one's own stands in what was trained
        given.pop("loss", None)
    estimator = kind(**given)
    try:
        estimator._validate_params()
    except ValueError as fault:
        raise DataError(f"parameters: {fault}") from None
    return estimator


def _network(place: Path, number: int, digest: str, engine: str) -> Network:
    path = member(place, member_name(number))
    if not path.is_file():
        raise DataError(f"{path.name} is missing.")
    if model_file.digest(path) != digest:
        raise DataError(f"{path.name} is not the network that {TABLE} was written with.")
    return Network.load(path, engine=engine)


def _fill(estimator: BaseTabular, said: Mapping[str, Any]) -> None:
    """What a fit leaves beside the networks."""
    if (said["classes"] is None) == isinstance(estimator, TabularClassifier):
        raise DataError(f"{TABLE}: its classes are not those of a {said['kind']}.")
    one = () if said["target"] is None else (said["target"],)  # as the first ones were written
    estimator.targets_ = one if said["targets"] is None else tuple(said["targets"])
    estimator.id_, estimator.beside_, estimator.header_ = said["id"], tuple(said["beside"]), said["header"]
    estimator.record_ = dict(said["record"] or {})
    estimator._constant = np.array(said["constant"])
    estimator._seed = said["seed"]
    estimator._importances = None
    estimator.n_features_in_ = len(estimator.preparation_.names)
    if said["features"] is not None:
        estimator.feature_names_in_ = np.array(said["features"], dtype=object)
    if isinstance(estimator, TabularClassifier):
        estimator.classes_ = _class_values(said["classes"])
    elif isinstance(estimator, TabularRegressor):
        estimator.n_outputs_, estimator._single = said["outputs"], said["single"]
    if fault := _disagrees(estimator):
        raise DataError(fault)


def _class_values(said: Mapping[str, Any]) -> Array:
    """The classes, each of its kind, rising."""
    dtype, values = said["dtype"], list(said["values"])
    kinds: Any = {"text": str, "bool": bool, "int64": int, "float64": (int, float)}[dtype]
    rising = all(isinstance(v, kinds) and isinstance(v, bool) == (dtype == "bool") for v in values)
    if not rising or any(a >= b for a, b in itertools.pairwise(values)):
        raise DataError(expected("classes", f"different ones of the kind {dtype}, in order", values))
    try:
        return np.array(values, dtype=object if dtype == "text" else dtype)
    except OverflowError:
        raise DataError(f"classes: are no {dtype}.") from None


def _disagrees(estimator: Fitted) -> str:
    """What does not fit the rest; "" where all fits."""
    preparation, trained = estimator.preparation_, estimator.trained_
    names, levels = getattr(estimator, "feature_names_in_", None), None
    if isinstance(estimator, TabularClassifier):
        outputs, kinds = len(estimator.classes_), ["classes"]
    else:
        levels = estimator.quantiles
        outputs = estimator.n_outputs_ if levels is None else len(levels)
        kinds = ["values", "counts"] if levels is None else ["quantiles"]
    if names is not None and tuple(names) != preparation.names:
        return "features: are not the columns of the table."
    if len(estimator._constant) != outputs:
        return expected("constant", f"{outputs} numbers", len(estimator._constant))
    if trained is None:
        return ""
    aim = trained.aim
    sound = aim.kind in kinds and (list(aim.levels) == list(levels) if levels is not None else aim.outputs == outputs)
    return "" if sound else "trained: is not what this estimator predicts."


def _seen(path: Path, estimator: BaseTabular) -> Seen:
    """The rows that importances are told by; files of before held none of the members that did not learn from them."""
    shape, members = estimator.preparation_.shape, len(estimator.networks_)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            arrays = [held[name] for name in ("numbers", "flags", "categories", "targets")]
            arrays.append(held["members"] if "members" in held else np.full(len(arrays[0]), -1))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as fault:
        raise DataError(f"{path}: cannot be read ({type(fault).__name__}).") from None
    widths = (len(shape.numbers), len(shape.flags), len(shape.categories))
    sound = all(a.dtype.kind in "fi" for a in arrays) and all(a.ndim == 2 for a in arrays[:3]) and arrays[4].ndim == 1
    sound = sound and tuple(a.shape[1] for a in arrays[:3]) == widths and len({len(a) for a in arrays}) == 1
    sound = sound and len(arrays[0]) > 0 and all(bool(np.isfinite(a).all()) for a in arrays)
    numbers, flags, categories, targets, held_by = arrays
    if isinstance(estimator, TabularClassifier):
        sound = sound and targets.ndim == 1 and _within(targets, len(estimator.classes_)) and targets.dtype.kind == "i"
    else:
        sound = sound and targets.ndim == 2 and targets.shape[1] == getattr(estimator, "n_outputs_", 1)
    if not sound or not _within(categories, np.array(shape.counts)) or not _within(held_by + 1, members + 1):
        raise DataError(f"{path}: does not hold the rows of this run.")
    inputs = TableInputs(numbers.astype(np.float32), flags.astype(np.float32), categories.astype(np.int32))
    return Seen(inputs, targets, held_by.astype(np.int32))


def _within(values: Array, count: int | Array) -> bool:
    """Whether all are from 0 to below the count."""
    return bool((values >= 0).all() and (values < count).all())
