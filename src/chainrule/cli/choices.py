"""From the words of an option to the library's objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chainrule.describe.layers import Dense, Dropout, Layer
from chainrule.describe.losses import LOSSES, Cost, Loss
from chainrule.describe.optimizers import Optimizer, as_optimizer
from chainrule.describe.schedules import Constant, Cosine, OneCycle, Schedule
from chainrule.errors import SpecError, expected, unknown_name
from chainrule.train.checkpoint import Asked, Every

DEFAULT_LOSS = {"classification": "cross_entropy", "regression": "squared_error"}

SCHEDULES: dict[str, type[Constant] | type[Cosine] | type[OneCycle]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one-cycle": OneCycle,
}


def hidden_layers(hidden: str, activation: str, dropout: float) -> list[Layer]:
    """The hidden layers that "256,128", "relu" (or "relu,tanh") and a dropout rate describe.

    Raises SpecError for what are no sizes, another number of activations, and as the layers do.
    """
    words = [] if hidden.strip().lower() in ("", "none", "0") else [word.strip() for word in hidden.split(",")]
    wrong = next((word for word in words if not word.isdecimal() or int(word) == 0), None)
    if wrong is not None:
        raise SpecError(expected("--hidden", "positive whole numbers with commas, 256,128 say, or 'none'", hidden))
    names = [name.strip() for name in activation.split(",")]
    if len(names) == 1:
        names *= len(words)
    if len(names) != len(words):
        raise SpecError(
            expected("--activation", f"one name, or one for each of the {len(words)} hidden layers", activation)
        )
    if not 0 <= dropout < 1:
        raise SpecError(expected("--dropout", "at least 0 and less than 1", dropout))
    layers: list[Layer] = []
    for word, name in zip(words, names, strict=True):
        layers.append(Dense(int(word), name))
        if dropout > 0:
            layers.append(Dropout(dropout))
    return layers


def output_activation(loss: str, task: str | None = None) -> str:
    """The last layer's activation for a loss.

    task: "classification" or "regression"; None where the loss alone decides.
    Raises SpecError for a loss that does not exist, or does not fit the task.
    """
    if loss not in LOSSES:
        raise SpecError(unknown_name("loss", loss, LOSSES))
    known = LOSSES[loss]
    if task is None:
        return known.natural
    fitting = {name: last for name, k in LOSSES.items() if (last := _last(k, task)) is not None}
    if loss not in fitting:
        things = "classes" if task == "classification" else "numbers"
        numbers = task == "classification" and _last(known, "regression") is not None
        hint = " Whole numbers are taken as classes unless --task regression says that they are numbers." * numbers
        raise SpecError(f"The loss {loss} does not fit a target of {things}. For these: {', '.join(fitting)}.{hint}")
    return fitting[loss]


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


def make_optimizer(name: str, learning_rate: float | None, schedule: str = "constant") -> Optimizer:
    """The optimizer of that name, with its own learning rate unless one is given.

    Raises SpecError, with the nearest name, where there is no such optimizer or schedule, or the rate cannot be.
    """
    plain = as_optimizer(name)
    if schedule not in SCHEDULES:
        raise SpecError(unknown_name("schedule", schedule, SCHEDULES))
    kind = type(plain)
    plain = plain if learning_rate is None else kind(learning_rate)
    if schedule == "constant":
        return plain
    rate: Any = plain.learning_rate
    scheduled: Schedule = SCHEDULES[schedule](rate)
    return kind(scheduled)


def asked(folder: Path | None, every: str, resume: bool) -> Asked | None:
    """Where checkpoints are written, if they are.  Raises SpecError."""
    if folder is None:
        if resume or every != "1":
            raise SpecError("--resume and --checkpoint-every go with --checkpoint FOLDER, where the training is kept.")
        return None
    Every.of(every)
    return Asked(folder, every, resume)
