"""The checkpoints of a network's fit: its file with the fit beside, and what must be the same for a fit to go on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import model_file
from chainrule.describe.network import NetworkSpec
from chainrule.errors import DataError
from chainrule.files import strict_json
from chainrule.train.checkpoint import Asked, Checkpoints, Every, OtherFitError, digest_of

Array = NDArray[Any]


def checkpoints_of(
    asked: Asked,
    spec: NetworkSpec,
    dtype: np.dtype[Any],
    origin: Mapping[str, int],
    data: Mapping[str, Array] | str,
    held_out: Iterable[Array],
    settings: Mapping[str, object],
) -> Checkpoints:
    """The checkpoints of a fit.

    origin: "seed" of the network, and number of its "fit".  data, held_out: by their digest a fit knows them again;
    of data that are not in memory it is given.
    settings: what else must be the same, in words -> what can be written as JSON.  Raises SpecError for what
    `every` cannot be.
    """
    identity = {
        "layers, loss or penalties": strict_json.dumps(spec.to_dict()),
        "dtype": dtype.name,
        "data": _digest(data, {f"held out {k}": array for k, array in enumerate(held_out)}),
        **{what: strict_json.dumps(value) for what, value in settings.items()},
    }

    def write(path: Path, arrays: Mapping[str, Array], state: tuple[object, Mapping[str, Array]]) -> None:
        model_file.save(path, spec, arrays, {"dtype": dtype.name, "seed": origin["seed"]}, state)

    def read(path: Path) -> tuple[dict[str, Array], object, dict[str, Array]]:
        with model_file.opened(path, tuple({type(layer) for layer in spec.layers})) as saved:
            if saved.fit is None:
                raise DataError(f"{path} is a network, but no checkpoint of a fit.")
            if saved.spec == spec and saved.dtype == dtype.name:
                beside = frozenset(saved.fit["arrays"])
                stored = {
                    name: np.empty(tensor.shape, tensor.dtype)
                    for name, tensor in saved.file.tensors.items()
                    if name not in beside
                }
                saved.fill(stored)
                return stored, saved.fit["state"], saved.fit_arrays()
        raise OtherFitError(f"{path} is a checkpoint of another network. Use another folder to start anew.")

    return Checkpoints(Path(asked.folder), Every.of(asked.every), identity, write, read, origin)


def _digest(data: Mapping[str, Array] | str, held_out: Mapping[str, Array]) -> str:
    if isinstance(data, str):
        return f"{data} {digest_of(held_out)}" if held_out else data
    return digest_of({**data, **held_out})
