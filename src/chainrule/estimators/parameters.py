"""The constructor's parameters: what each may be, by scikit-learn's own validation, and what must agree with what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import numpy as np
from sklearn.base import _fit_context
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, InvalidParameterError, Options, StrOptions
from sklearn.utils.metaestimators import available_if

from chainrule.describe.activations import ACTIVATIONS, ALIASES, Activation
from chainrule.describe.losses import LOSSES, Cost, Loss
from chainrule.describe.optimizers import Optimizer
from chainrule.engines.table import engine_names
from chainrule.program.precision import PRECISIONS

F = TypeVar("F", bound=Callable[..., Any])


def parameters_checked(method: F) -> F:
    """The method; parameters are checked first, as scikit-learn does, and type checkers still know its signature."""
    return cast(F, _fit_context(prefer_skip_nested_validation=True)(method))


def there_if(condition: Callable[[Any], bool]) -> Callable[[F], F]:
    """Methods that an estimator has only where the condition holds; type checkers still know their signature."""
    return cast("Callable[[F], F]", available_if(condition))


_POSITIVE = Interval(Real, 0, None, closed="neither")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")
_RATE = Interval(Real, 0, 1, closed="left")


class EngineNames(StrOptions):  # type: ignore[misc]
    """A name of the table of engines as it is when it is asked: one of the user's own may have come since."""

    def __init__(self) -> None:
        super().__init__(set())

    def is_satisfied_by(self, val: object) -> bool:
        """Whether the engine is there."""
        return isinstance(val, str) and val in engine_names()

    def __str__(self) -> str:
        return f"a str among {{{', '.join(repr(name) for name in engine_names())}}}"


THEIRS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _COUNT],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [_NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), _COUNT],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [_POSITIVE],
    "power_t": [_NOT_NEGATIVE],
    "max_iter": [_COUNT],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_NOT_NEGATIVE],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_RATE],
    "beta_1": [_RATE],
    "beta_2": [_RATE],
    "epsilon": [_POSITIVE],
    "n_iter_no_change": [_COUNT, Options(Real, {np.inf})],
    "max_fun": [_COUNT],
}
"""scikit-learn's parameters that both estimators share, with its constraints."""

OURS: dict[str, list[Any]] = {
    "activation": [StrOptions({*ACTIVATIONS, *ALIASES}), Activation, callable, "array-like"],
    "dropout": [_RATE, "array-like"],
    "normalisation": [StrOptions({"batch", "layer"}), None],
    "optimizer": [Optimizer, None],
    "label_smoothing": [_RATE],
    "l1": [_NOT_NEGATIVE],
    "clip_norm": [_POSITIVE, None],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "restore_best_weights": ["boolean", StrOptions({"auto"})],
    "callbacks": ["array-like", None],
    "time_limit": [_POSITIVE, None],
    "threads": [_COUNT, None],
    "engine": [EngineNames()],
    "dtype": [StrOptions({"float32", "float64"}), type, np.dtype, None],
    "precision": [StrOptions(set(PRECISIONS))],
}
"""What chainrule adds (or widens: activation)."""

LOSS: list[Any] = [Loss, Cost, callable]
CLASSIFIER_LOSSES = frozenset({"log_loss", *LOSSES})
REGRESSOR_LOSSES = frozenset(LOSSES)


def keep(owner: object, given: dict[str, Any]) -> None:
    """The constructor's arguments as attributes, untouched: scikit-learn's rule for every estimator."""
    vars(owner).update({k: v for k, v in given.items() if k != "self" and not k.startswith("__")})


def must_be(owner: object, name: str, allowed: str, got: object) -> InvalidParameterError:
    """The error of a parameter, in scikit-learn's words."""
    return InvalidParameterError(
        f"The {name!r} parameter of {type(owner).__name__} must be {allowed}. Got {got!r} instead."
    )


def hidden_sizes(owner: Any) -> list[int]:
    """hidden_layer_sizes as a list.  Raises ValueError, as scikit-learn does, unless all are above 0."""
    given = owner.hidden_layer_sizes
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if np.any(np.array(sizes) <= 0):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    if not all(isinstance(s, Integral) for s in sizes):
        raise must_be(owner, "hidden_layer_sizes", "whole numbers", given)
    return [int(s) for s in sizes]


def per_layer(owner: Any, name: str, layers: int) -> list[Any]:
    """One value of `activation` or `dropout` for each hidden layer."""
    given = getattr(owner, name)
    if isinstance(given, str | Activation | Real) or not isinstance(given, Iterable):
        return [given] * layers
    values = list(given)
    if len(values) != layers:
        raise must_be(owner, name, f"a single value or one for each of the {layers} hidden layers", given)
    for value in values:
        if name == "dropout":
            if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 <= value < 1:
                raise must_be(owner, name, "a rate in the range [0.0, 1.0), or one for each hidden layer", given)
        elif not isinstance(value, Activation) and not callable(value) and value not in {*ACTIVATIONS, *ALIASES}:
            known = ", ".join(sorted({*ACTIVATIONS, *ALIASES}))
            raise must_be(owner, name, f"made of names ({known}), chainrule.Activation or callables", given)
    return values


def network_dtype(owner: Any, data: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to train in: the data's, unless `dtype` says another or `precision` is of float32.

    Raises ValueError where they do not agree.
    """
    rounds = owner.precision != "highest"
    if rounds and owner.solver == "lbfgs" and owner.optimizer is None:
        raise must_be(owner, "precision", "'highest' with solver='lbfgs', which computes in float64", owner.precision)
    if owner.dtype is None:
        return np.dtype(np.float32) if rounds else data
    chosen: np.dtype[Any]
    try:
        chosen = np.dtype(owner.dtype)
    except TypeError:
        chosen = np.dtype(object)
    if chosen not in (np.float32, np.float64):
        raise must_be(owner, "dtype", "'float32', 'float64' or None", owner.dtype)
    if rounds and chosen == np.float64:
        raise must_be(owner, "precision", "'highest' with dtype='float64'", owner.precision)
    return chosen


def check_class_weight(owner: Any, outputs: int) -> None:
    """Raises ValueError unless class_weight is "balanced" or weights by label (a list of these for several outputs)."""
    given = owner.class_weight
    each = given if isinstance(given, list) else [given] * (1 if outputs == 1 or given == "balanced" else 0)
    weights = [w for one in each if one != "balanced" for w in (one.values() if isinstance(one, dict) else [None])]
    numbers = all(isinstance(w, int | float | np.number) and 0 <= w < np.inf for w in weights)
    if not numbers or (len(each) != outputs and given != "balanced"):
        allowed = "'balanced' or a dict of a finite weight of at least 0 for each class"
        many = "" if outputs == 1 else f", or a list of these, one for each of the {outputs} outputs"
        raise must_be(owner, "class_weight", allowed + many, given)


def callbacks(owner: Any) -> Sequence[Any]:
    """The callbacks as a tuple."""
    from chainrule.train.callbacks import Callback

    hooks = () if owner.callbacks is None else tuple(owner.callbacks)
    for callback in hooks:
        if not isinstance(callback, Callback):
            raise must_be(owner, "callbacks", "a list of instances of chainrule.Callback or None", owner.callbacks)
    return hooks


def check_together(owner: Any) -> None:
    """Parameters that do not go together.  Raises ValueError."""
    if owner.solver == "lbfgs" and owner.optimizer is None:
        rates = np.ravel(np.asarray(owner.dropout, dtype=object))
        if any(rate != 0 for rate in rates):
            raise ValueError(
                "dropout does not go with solver='lbfgs', which needs the same cost at the same weights every time. "
                "Use solver='adam' or 'sgd', or an optimizer."
            )
        if owner.normalisation == "batch":
            raise ValueError(
                "normalisation='batch' does not go with solver='lbfgs', which has no running means. "
                "Use normalisation='layer', solver='adam' or 'sgd', or an optimizer."
            )


def check_checkpoints(owner: Any) -> None:
    """Raises ValueError where a fit could not go on to the same numbers from a checkpoint."""
    if owner.solver == "lbfgs" and owner.optimizer is None:
        raise ValueError("checkpoint= goes with a solver that trains by batches: solver='adam' or 'sgd'. Got 'lbfgs'.")
    if not isinstance(owner.random_state, int | np.integer):
        raise ValueError(
            "checkpoint= needs random_state to be an integer, so that a fit that goes on draws the same numbers. "
            f"Got {owner.random_state!r}."
        )
