"""Initial weights: each initialiser by name, and the sensible default for an activation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.network import BatchNorm, Dense, Dropout, Embedding, LayerNorm, NetworkSpec
from chainrule.errors import SpecError

_RELU_FAMILY = frozenset({"relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "silu", "mish", "softplus"})


def default_initialiser(activation: str) -> str:
    """he_normal for the relu family, lecun_normal for selu, else glorot_uniform."""
    family = activation.split("(")[0]  # leaky_relu(0.2)
    if family == "selu":
        return "lecun_normal"
    return "he_normal" if family in _RELU_FAMILY else "glorot_uniform"


def draw(how: str | float, fan_in: int, fan_out: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Weights of shape (fan_in, fan_out).

    glorot: variance 2 / (in + out).  he: 2 / in.  lecun: 1 / in.  A number s: N(0, s²).  orthogonal: QᵀQ = I or
    QQᵀ = I, whichever fits.  Sources: Glorot 2010, He 2015, LeCun 1998, Saxe 2013.
    """
    shape = (fan_in, fan_out)
    if not isinstance(how, str):
        return rng.normal(0.0, 1.0, shape) * how
    if how == "zeros":
        return np.zeros(shape)
    if how == "orthogonal":
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return q if fan_in >= fan_out else q.T
    family, kind = how.split("_")
    variance = {"glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in, "lecun": 1 / fan_in}[family]
    if kind == "normal":
        return rng.normal(0.0, math.sqrt(variance), shape)
    limit = math.sqrt(3 * variance)
    return rng.uniform(-limit, limit, shape)


def following_activation(spec: NetworkSpec, position: int) -> str:
    """The activation that the layer's values meet next, past normalisation and dropout."""
    layer = spec.layers[position]
    assert isinstance(layer, Dense)
    if not layer.activation.identity:
        return layer.activation.name
    for after in spec.layers[position + 1 :]:
        if isinstance(after, LayerNorm | BatchNorm) and not after.activation.identity:
            return after.activation.name
        if not isinstance(after, LayerNorm | BatchNorm | Dropout):
            break
    return "identity"


def initialise(spec: NetworkSpec, arrays: dict[str, NDArray[Any]], seed: int | None) -> None:
    """Fills parameters and statistics: weights drawn in the order of layers, biases 0, γ and running variances 1.

    Raises SpecError where a standard deviation goes beyond the dtype.
    """
    rng = np.random.default_rng(seed)
    for name, array in arrays.items():
        array[...] = 1.0 if name.startswith(("gamma", "var")) else 0.0
    number = 0
    for position, layer in enumerate(spec.layers):
        if isinstance(layer, Embedding):
            how = 1.0 if layer.weights is None else layer.weights
            _fill(arrays, "E", how, rng)
        elif isinstance(layer, Dense):
            number += 1
            named = layer.weights
            how = default_initialiser(following_activation(spec, position)) if named is None else named
            _fill(arrays, f"W{number}", how, rng)


def _fill(arrays: dict[str, NDArray[Any]], name: str, how: str | float, rng: np.random.Generator) -> None:
    array = arrays[name]
    with np.errstate(over="ignore"):
        array[...] = draw(how, array.shape[0], array.shape[1], rng)
    if not np.isfinite(array).all():
        raise SpecError(f"The initial weights {name} of standard deviation {how} do not fit {array.dtype}.")
