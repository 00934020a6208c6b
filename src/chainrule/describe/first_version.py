"""What version 0.1.0 knows, so that files for it stay files for it.  What is new is not known there, nor added here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chainrule.describe.combine import KINDS

FIELDS: Mapping[str, frozenset[str]] = {
    "Dense": frozenset({"units", "activation", "bias", "weights"}),
    "Embedding": frozenset({"vocabulary", "dimension", "weights"}),
    "Dropout": frozenset({"rate"}),
    "LayerNorm": frozenset({"activation", "epsilon"}),
    "BatchNorm": frozenset({"activation", "momentum", "epsilon"}),
}
"""The layers of version 0.1.0, with the fields that it knows."""
FUNCTIONS = frozenset({
    "abs", "clip", "eq", "erf", "exp", "expm1", "log", "log1p", "max", "maximum", "mean", "min", "minimum", "ne", "pow",
    "relu", "sigmoid", "sign", "softplus", "sqrt", "square", "stop", "sum", "tanh", "where",
})  # fmt: skip
"""What formulas may call there."""


def reads(described: Mapping[str, Any]) -> bool:
    """Whether version 0.1.0 reads what `NetworkSpec.to_dict` says; a layer of one's own it is told of, as this one."""
    loss = described["loss"]
    return (
        isinstance(described["inputs"], int)
        and described.keys().isdisjoint({"penalties", "constraints", "precision"})
        and all(layer["type"] not in KINDS or _has(layer) for layer in described["layers"])
        and (isinstance(loss, str) or ("formula" in loss and "values" not in loss and _reads(loss)))
    )


def _has(layer: Mapping[str, Any]) -> bool:
    """Whether a layer is there, with no fields but those, and each of a kind that it has there."""
    if not FIELDS.get(layer["type"], frozenset()) >= layer.keys() - {"type"}:
        return False
    said = [value for value in layer.values() if isinstance(value, dict | list)]
    return all(isinstance(value, dict) and "formula" in value and _reads(value) for value in said)


def _reads(described: Mapping[str, Any]) -> bool:
    """Whether the formulas of an activation or a loss call nothing else, and no setting goes by a schedule."""
    texts = [described[name] for name in ("formula", "slope") if described.get(name) is not None]
    calls = {name for text in texts for name in re.findall(r"(\w+)\(", text)}
    return calls <= FUNCTIONS and not any(isinstance(value, dict) for value in described.values())
