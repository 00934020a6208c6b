"""A network outside of itself: its file, its summary, and its score."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.losses import LOSSES, Loss
from chainrule.describe.network import BatchNorm, Dense, Dropout, Embedding, LayerNorm, NetworkSpec
from chainrule.errors import ChainruleError, DataError
from chainrule.files import describe_os_error, replace_file

KEY = "chainrule"
"""Of the file's metadata: the format, the spec and the settings as JSON."""
FORMAT = "network 1"
Array = NDArray[Any]


def save(
    path: str | os.PathLike[str], spec: NetworkSpec, arrays: Mapping[str, Array], settings: Mapping[str, Any]
) -> None:
    """Writes a safetensors file whose metadata holds the spec; beside it first, then moved into place."""
    import json

    from safetensors.numpy import save as to_bytes

    # One key: safetensors writes several in any order, and the same network should be the same bytes.
    about = {"format": FORMAT, "spec": spec.to_dict(), "settings": dict(settings)}
    content = to_bytes({k: np.ascontiguousarray(v) for k, v in arrays.items()}, {KEY: json.dumps(about)})
    replace_file(path, lambda temporary: temporary.write_bytes(content))


def load(path: str | os.PathLike[str]) -> tuple[NetworkSpec, dict[str, Array], dict[str, Any]]:
    """(spec, arrays, settings) of a file that `save` wrote.  Raises DataError."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="np") as file:
            about = json.loads((file.metadata() or {}).get(KEY, "{}"))
            if about.get("format") != FORMAT:
                raise DataError(
                    f"{path} is not a network saved by chainrule (its format says {about.get('format')!r})."
                )
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        needed = {key: about["settings"][key] for key in ("dtype", "seed")}
        settings = {**about["settings"], **needed}
        return NetworkSpec.from_dict(about["spec"]), arrays, settings
    except DataError:
        raise
    except (SafetensorError, json.JSONDecodeError, KeyError, AttributeError, TypeError) as fault:
        raise DataError(f"{path} is not a network saved by chainrule: {fault}.") from None
    except FileNotFoundError:
        raise DataError(f"{path} cannot be read: there is no such file.") from None
    except OSError as fault:
        reason = "it is a folder" if os.path.isdir(path) else describe_os_error(fault)
        raise DataError(f"{path} cannot be read: {reason}.") from None
    except ChainruleError as fault:
        raise DataError(f"{path}: {fault}") from None


def fill(into: Mapping[str, Array], arrays: Mapping[str, Array], path: str | os.PathLike[str]) -> None:
    """Copies saved arrays into the network's; names and shapes must be the same.  Raises DataError."""
    saved = {k: v.shape for k, v in arrays.items()}
    needed = {k: v.shape for k, v in into.items()}
    if saved != needed:
        wrong = sorted(k for k in saved.keys() | needed.keys() if saved.get(k) != needed.get(k))
        raise DataError(f"{path} does not hold this network's parameters: {', '.join(wrong)} differ.")
    for name, array in into.items():
        array[...] = arrays[name]


def metric(spec: NetworkSpec, prediction: Array, target: Array | None, w: Array | None) -> tuple[str, float]:
    """("accuracy", share of right answers) or ("error", √ of the mean squared error), weighted if there are weights.

    Answers are samples where each is of one class; else the outputs of all samples, yes or no each.
    """
    assert target is not None
    weight, loss = None if w is None else w[:, 0], spec.loss
    # By formula, not by name: an own formula may bear any name.
    middles = {LOSSES["binary_cross_entropy"].expression: 0.5, LOSSES["hinge"].expression: 0.0}
    middle = middles.get(loss.expression) if isinstance(loss, Loss) else None
    right: Array
    if isinstance(loss, Loss) and loss.classes:
        right = prediction.argmax(axis=1) == (target if target.ndim == 1 else target.argmax(axis=1))
    elif middle is not None:
        yes = target > middle
        one_class = target.shape[1] > 1 and bool((yes.sum(axis=1) == 1).all())
        if one_class:
            right = prediction.argmax(axis=1) == yes.argmax(axis=1)
        else:
            right = ((prediction > middle) == yes).mean(axis=1)
    else:
        square = np.square(prediction.astype(np.float64) - target).mean(axis=1)
        return "error", math.sqrt(float(np.average(square, weights=weight)))
    return "accuracy", float(np.average(right, weights=weight))


def summary(spec: NetworkSpec, parameters: Mapping[str, Array], dtype: str) -> str:
    """A table of layers: what each is, the shape that leaves it, its parameters."""
    rows = [("inputs", f"(m, {spec.inputs})" + (" tokens" if spec.tokens else ""), "")]
    width, number = spec.inputs, 0
    for layer in spec.layers:
        match layer:
            case Dense(units=units, activation=g):
                number += 1
                text = f"dense {g.name}" + ("" if layer.bias else ", no bias")
                count = width * units + units * layer.bias
                width = units
            case Embedding(vocabulary=v, dimension=d):
                text, count, width = f"embedding {v} x {d}", v * d, width * d
            case Dropout(rate=rate):
                text, count = f"dropout {rate:g}", 0
            case LayerNorm(activation=g) | BatchNorm(activation=g):
                kind = "layer" if isinstance(layer, LayerNorm) else "batch"
                text, count = f"{kind} normalisation" + ("" if g.identity else f" {g.name}"), 2 * width
        rows.append((text, f"(m, {width})", f"{count:,}" if count else ""))
    total = sum(v.size for v in parameters.values())
    a, b, c = (max(len(r[k]) for r in rows) for k in range(3))
    lines = [f"{r[0]:<{a}}   {r[1]:<{b}}   {r[2]:>{c}}".rstrip() for r in rows]
    lines.append(f"loss {spec.loss.name}; {total:,} parameters, {dtype}")
    return "\n".join(lines)
