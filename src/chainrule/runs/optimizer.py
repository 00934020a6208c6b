"""The optimizer that a run was trained by, from the options that it has kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from chainrule.describe.optimizers import Optimizer, as_optimizer
from chainrule.describe.schedules import SCHEDULES
from chainrule.errors import SpecError

_SETTINGS = ("learning_rate", "momentum", "weight_decay", "clip_norm")


def optimizer_of(options: Mapping[str, Any]) -> Optimizer | None:
    """The optimizer; None where the options do not say, or say what this version does not know."""
    name, schedule = options.get("optimizer"), options.get("schedule", "constant")
    if not isinstance(name, str) or schedule not in SCHEDULES:
        return None
    try:
        kind = type(as_optimizer(name))
        known = {field.name for field in fields(kind)}
        given = {key: options[key] for key in _SETTINGS if key in known and options.get(key) is not None}
        if schedule != "constant":
            rate: Any = kind(**given).learning_rate
            given["learning_rate"] = SCHEDULES[schedule](rate)
        return kind(**given)
    except (SpecError, TypeError):
        return None
