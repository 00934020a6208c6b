"""From the words of an option to the library's objects."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from chainrule.describe.activations import ACTIVATIONS, ALIASES, Activation, activation
from chainrule.describe.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from chainrule.describe.losses import LOSSES, Cost, Loss, cross_entropy, huber, quantile
from chainrule.describe.optimizers import OPTIMIZERS, Optimizer, as_optimizer
from chainrule.describe.schedules import SCHEDULES, Schedule
from chainrule.errors import SpecError, expected, unknown_name
from chainrule.train.checkpoint import Asked, Every

DEFAULT_LOSS = {"classification": "cross_entropy", "regression": "squared_error"}

NORMALISATIONS: dict[str, type[LayerNorm] | type[BatchNorm]] = {"layer": LayerNorm, "batch": BatchNorm}


def parts_of(text: str) -> list[str]:
    """What stands between commas, but for those within brackets: "relu,max(z, 0)" is two."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def activation_of(text: str) -> Activation:
    """The activation of that name, or the formula in z.  Raises SpecError."""
    if text.isidentifier() and text not in ACTIVATIONS and text not in ALIASES:
        said = unknown_name("activation", text, [*ACTIVATIONS, *ALIASES])
        said = re.sub(r"Activation\('(.*?)'.*?\)", r"'\1'", said)
        raise SpecError(f"{said} Your own: a formula in z, 'z*sigmoid(z)' say.")
    return activation(text) if text.isidentifier() else Activation(text)


def loss_of(text: str, label_smoothing: float = 0.0) -> Loss:
    """The loss of that name, one with a number (quantile:0.9, huber:2), or the formula in yhat and y.

    label_smoothing: for cross_entropy alone.  Raises SpecError.
    """
    name, colon, number = text.partition(":")
    if is_formula(text):
        loss = Loss(text)
    elif colon:
        loss = _with_number(name, number, text)
    elif text not in LOSSES:
        said = re.sub(r"Loss\('(.*?)'.*?\)", r"'\1'", unknown_name("loss", text, LOSSES))
        raise SpecError(f"{said} Your own: a formula in yhat and y, 'abs(yhat-y)**1.5' say.")
    else:
        loss = LOSSES[text]
    if label_smoothing and loss.name != "cross_entropy":
        raise SpecError(f"--label-smoothing goes with cross_entropy. The loss is {loss}.")
    return cross_entropy(label_smoothing) if label_smoothing else loss


def is_formula(text: str) -> bool:
    """Whether a loss is given by its formula."""
    return not text.partition(":")[0].replace("-", "_").isidentifier()


def _with_number(name: str, number: str, text: str) -> Loss:
    kinds = {"quantile": quantile, "huber": huber}
    if name not in kinds:
        raise SpecError(expected("--loss", f"a loss with a number, {' or '.join(f'{k}:0.9' for k in kinds)}", text))
    try:
        value = float(number)
    except ValueError:
        raise SpecError(expected(f"The number of {name}", "a number, 0.9 say", number)) from None
    return kinds[name](value)


def hidden_layers(hidden: str, activation: str, dropout: float, normalisation: str = "none") -> list[Layer]:
    """The hidden layers that "256,128", "relu" (or "relu,tanh", or a formula) and a dropout rate describe.

    normalisation: "layer" or "batch" for one between each product and its activation.
    Raises SpecError for what are no sizes, another number of activations, and as the layers do.
    """
    words = [] if hidden.strip().lower() in ("", "none", "0") else [word.strip() for word in hidden.split(",")]
    wrong = next((word for word in words if not word.isdecimal() or int(word) == 0), None)
    if wrong is not None:
        raise SpecError(expected("--hidden", "positive whole numbers with commas, 256,128 say, or 'none'", hidden))
    names = parts_of(activation)
    if len(names) == 1:
        names *= len(words)
    if len(names) != len(words):
        raise SpecError(
            expected("--activation", f"one name, or one for each of the {len(words)} hidden layers", activation)
        )
    if not 0 <= dropout < 1:
        raise SpecError(expected("--dropout", "at least 0 and less than 1", dropout))
    if normalisation not in (*NORMALISATIONS, "none"):
        raise SpecError(unknown_name("normalisation", normalisation, (*NORMALISATIONS, "none")))
    layers: list[Layer] = []
    for word, name in zip(words, names, strict=True):
        g = activation_of(name)
        if normalisation == "none":
            layers.append(Dense(int(word), g))
        else:
            layers += [Dense(int(word)), NORMALISATIONS[normalisation](g)]
        if dropout > 0:
            layers.append(Dropout(dropout))
    return layers


def output_activation(text: str, task: str | None = None) -> str:
    """The last layer's activation for a loss, as `loss_of` reads it.

    task: "classification" or "regression"; None where the loss alone decides.
    Raises SpecError for a loss that does not exist, or does not fit the task.
    """
    loss = loss_of(text)
    if task is None:
        return loss.natural
    last = "softmax" if is_formula(text) and task == "classification" else _last(loss, task)
    if last is None:
        things = "classes" if task == "classification" else "numbers"
        numbers = task == "classification" and _last(loss, "regression") is not None
        hint = " Whole numbers are taken as classes unless --task regression says that they are numbers." * numbers
        fitting = ", ".join(name for name, k in LOSSES.items() if _last(k, task) is not None)
        raise SpecError(f"The loss {loss} does not fit a target of {things}. For these: {fitting}.{hint}")
    return last


def _last(loss: Loss, task: str) -> str | None:
    """The last layer's activation for a loss in a task; None where they do not go together.

    Classes under a loss of values are targets of 0 and 1: that is for losses whose outputs are probabilities then.
    """
    if task != "classification":
        return None if loss.decides else loss.natural
    if loss.decides:
        return loss.natural
    return "sigmoid" if loss.kind == "values" and loss.proper else None


def class_outputs(loss: Loss | Cost, classes: int) -> int:
    """The outputs for so many classes: two are one output under a loss of yes and no."""
    return 1 if classes == 2 and loss.kind in ("yes/no", "signs") else classes


def make_optimizer(
    name: str, learning_rate: float | None, schedule: str = "constant", **settings: float | None
) -> Optimizer:
    """The optimizer of that name, with its own learning rate unless one is given.

    settings: momentum, weight_decay, clip_norm; None for the optimizer's own.
    Raises SpecError, with the nearest name, where there is no such optimizer or schedule, where it has no such setting,
    or a number cannot be.
    """
    kind = type(as_optimizer(name))
    if schedule not in SCHEDULES:
        raise SpecError(unknown_name("schedule", schedule, SCHEDULES))
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    for key in given:
        having = [other for other, k in OPTIMIZERS.items() if key in {item.name for item in fields(k)}]
        if name not in having:
            more = "; --l2 adds a penalty to the cost" if key == "weight_decay" else ""
            option = "--" + key.replace("_", "-")
            raise SpecError(f"{option}: {name} has none. {', '.join(having)} have{more}.")
    if learning_rate is not None:
        given["learning_rate"] = learning_rate
    plain = kind(**given)
    if schedule == "constant":
        return plain
    rate: Any = plain.learning_rate
    scheduled: Schedule = SCHEDULES[schedule](rate)
    return kind(**{**given, "learning_rate": scheduled})


def asked(folder: Path | None, every: str, resume: bool) -> Asked | None:
    """Where checkpoints are written, if they are.  Raises SpecError."""
    if folder is None:
        if resume or every != "1":
            raise SpecError("--resume and --checkpoint-every go with --checkpoint FOLDER, where the training is kept.")
        return None
    Every.of(every)
    return Asked(folder, every, resume)
