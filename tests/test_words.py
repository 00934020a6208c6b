"""Words that people bring: names and arguments of other libraries are told what to write here."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import words
from chainrule.describe.activations import ACTIVATIONS, ALIASES
from chainrule.describe.losses import LOSSES
from chainrule.describe.optimizers import OPTIMIZERS, as_optimizer
from chainrule.errors import unknown_name
from chainrule.program.parse import known_functions, parse
from chainrule.program.precision import PRECISIONS

KNOWN = {
    "loss": list(LOSSES),
    "activation": [*ACTIVATIONS, *ALIASES],
    "optimizer": list(OPTIMIZERS),
    "function": list(known_functions()),
    "precision": list(PRECISIONS),
}
X, Y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3


def network() -> cr.Network:
    return cr.Network(3, [cr.Dense(4, "relu"), cr.Dense(3, "softmax")], "cross_entropy", engine="reference")


@pytest.mark.parametrize("kind", KNOWN)
def test_what_is_to_be_written_is_there(kind: str) -> None:
    """Every word leads to a name that there is, or to a formula that can be read."""
    assert set(words.NAMES) == set(KNOWN)
    for word, said in words.NAMES[kind].items():
        sentence = words.here(kind, word, KNOWN[kind])
        assert sentence is not None and ((isinstance(said, tuple) and said[0] is None) or "Write '" in sentence), word
        for call in re.findall(r"(?:Loss|Activation|SGD|Adam|MLPClassifier)\(.*\)", sentence.split(" and ")[0]):
            eval(call, vars(cr) | {"MLPClassifier": cr.MLPClassifier})
        if kind == "function" and (own := re.match(r"Write (?!')(.+?)(, of|\.$)", sentence)):
            parse(own[1], ("x", "y"))


@pytest.mark.parametrize(
    ("kind", "word", "hint"),
    [
        ("loss", "mse", "Write 'squared_error'."),
        ("loss", "MSELoss", "Write 'squared_error'."),
        ("loss", "categorical_crossentropy", "Write 'cross_entropy'."),
        ("loss", "CrossEntropyLoss", "Write 'cross_entropy'."),
        ("loss", "log_loss", "Write 'cross_entropy': one output for each class; of one output: 'binary"),
        ("loss", "hinge_loss", "Write 'hinge'."),
        ("loss", "crossentrpy", "Did you mean 'cross_entropy'?"),
        ("activation", "LeakyReLU", "Did you mean 'leaky_relu'?"),
        ("activation", "hardtanh", "Write Activation('clip(z, -1, 1)')."),
        ("optimizer", "RMSprop", "Did you mean 'rmsprop'?"),
        ("optimizer", "momentum", "Write 'sgd': with a momentum"),
        ("function", "ln", "Write 'log'."),
        ("column", "passenger_id", "Did you mean 'PassengerId'?"),
    ],
)
def test_names_from_elsewhere(kind: str, word: str, hint: str) -> None:
    assert f"Unknown {kind} {word!r}. {hint}" in unknown_name(kind, word, KNOWN.get(kind, ["Name", "PassengerId"]))


def test_names_are_told_where_they_are_given() -> None:
    for call, hint in (
        (lambda: cr.Network(3, [cr.Dense(3)], "mae"), "Write 'absolute_error'."),
        (lambda: cr.Dense(3, "rectifier"), "Write 'relu'."),
        (lambda: as_optimizer("nesterov"), "nesterov=True"),
        (lambda: cr.Activation("arctan(z)"), "there is none"),
        (lambda: cr.Activation("z ^ 2"), "A power is written z ** 2."),
        (lambda: cr.Activation("np.tanh(z)"), "Write tanh(...) alone."),
        (lambda: cr.Activation("z if z > 0 else 0"), "Write where(z > 0, z, 0)."),
    ):
        with pytest.raises(cr.SpecError) as caught:
            call()
        assert hint in " ".join(str(caught.value).split()) or hint.capitalize() in str(caught.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda net: net.fit(X, Y), "Network.fit needs epochs: how often"),
        (lambda net: net.fit(X, Y, 3), "takes 2 without a name (X, y). Got 3. The others go by name: epochs=3."),
        (lambda net: net.fit(X, Y, n_epochs=3), "has no argument 'n_epochs'. Write epochs=3."),
        (lambda net: net.fit(X, Y, epochs=3, lr=0.1), "optimizer=cr.Adam(learning_rate=0.1)."),
        (lambda net: net.fit(X, Y, epochs=3, validation_split=0.1), "validation_data=(X_valid, y_valid)"),
        (lambda net: net.fit(X, Y, epochs=3, batch_sze=4), "Did you mean 'batch_size'? It takes X, y, epochs,"),
        (lambda net: net.predict(), "Network.predict needs X: the samples"),
        (lambda net: cr.Network(3, [cr.Dense(3)]), "Network needs loss: 'cross_entropy' for classes"),
        (lambda net: cr.Network(input_shape=3, layers=[], loss="hinge"), "'input_shape'. Write inputs=3."),
        (lambda net: cr.Network(3, [], "hinge", optimizer="adam"), "It belongs to fit"),
        (lambda net: cr.Adam(lr=0.1), "Adam has no argument 'lr'. Write learning_rate=0.1."),
        (lambda net: cr.Adam(eps=1e-6), "Write epsilon=1e-06."),
        (lambda net: cr.Dense(), "Dense needs units"),
        (lambda net: cr.Dropout(p=0.5), "Write rate=0.5."),
        (lambda net: cr.Dense(3, "relu", units=4), "Dense: units is given twice."),
        (lambda net: cr.MLPClassifier(lr=0.1), "Write learning_rate_init=0.1."),
        (lambda net: cr.MLPRegressor(epochs=9), "Write max_iter=9."),
        (lambda net: cr.MLPClassifier().fit(X, Y, epochs=9), "It is a setting of the estimator: max_iter=9."),
        (lambda net: cr.quantile(q=0.9), "quantile has no argument 'q'."),
    ],
)
def test_arguments_from_elsewhere(call: Any, says: str) -> None:
    """The call is a TypeError still, as callers expect."""
    with pytest.raises(cr.ArgumentError) as caught:
        call(network())
    assert isinstance(caught.value, TypeError) and says in str(caught.value)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(cr.ArgumentError) as caught:
        network().fit(X, lr=0.1, callback=[])  # type: ignore[call-arg]
    assert len(caught.value.faults) == 3


def test_every_public_class_says_its_arguments() -> None:
    """And shows the signature that it had: the decorator is not seen."""
    bases = (cr.ChainruleError, cr.Layer, cr.Callback, cr.Optimizer, cr.Schedule, cr.Constraint, Warning)
    chosen = [k for name in cr.__all__ if inspect.isclass(k := getattr(cr, name)) and k not in bases]
    results = {"EpochRecord", "FitState", "History", "Program", "Progress", "Run", "DataWarning", "LearningRateLog"}
    for kind in (k for k in chosen if not issubclass(k, Exception) and k.__name__ not in results):
        parameters = inspect.signature(kind).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        with pytest.raises(cr.ArgumentError, match=f"{kind.__name__} has no argument 'zzz'"):
            kind(zzz=1)
    assert list(inspect.signature(cr.Network.fit).parameters)[:4] == ["self", "X", "y", "epochs"]


def test_what_fails_within_is_not_taken_for_the_call() -> None:
    class Broken(cr.Callback):
        def on_epoch_end(self, *given: Any) -> None:
            raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$") as caught:
        network().fit(X, Y, epochs=1, callbacks=[Broken()], verbose=False)
    assert not isinstance(caught.value, cr.ArgumentError)


def test_labels_as_floats() -> None:
    net = network()
    assert net.cost(X, Y * 1.0) == net.cost(X, Y) == net.cost(X, Y[:, None] * np.float32(1))
    for labels, says in (
        (Y + 0.5, "whole numbers (labels 0 to 2). Got 0.5 in row 0. For numbers to be predicted take squared_error"),
        (Y * 2.0, "from 0 to 2. Got 4"),
        (Y * 1e30, "from 0 to 2"),
        (np.where(Y == 1, np.nan, Y), "must be finite"),
    ):
        with pytest.raises(cr.DataError) as caught:
            net.cost(X, labels)
        assert says in str(caught.value)


def test_logits_are_told_to_take_the_activation() -> None:
    for outputs, loss, last in ((3, "cross_entropy", "softmax"), (1, "binary_cross_entropy", "sigmoid")):
        with pytest.raises(cr.SpecError, match=f"Take {last}: the logits are used inside anyway"):
            cr.Network(3, [cr.Dense(outputs)], loss)
    with pytest.raises(cr.SpecError) as caught:
        cr.Network(3, [cr.Dense(3, "relu")], "cross_entropy")
    assert "logits" not in str(caught.value)


@pytest.mark.parametrize("name", ["tan", "sinh", "cosh"])
def test_functions_made_of_others(name: str) -> None:
    """Values with all their digits, near 0 too, and gradients."""
    z = np.array([[-3.0, -0.7, -1e-9, 0.0, 1e-12, 0.4, 5.0]])
    net = cr.Network(
        7, [cr.Dense(7, cr.Activation(f"{name}(z)"))], "squared_error", dtype="float64", engine="reference"
    )
    net.parameters["W1"], net.parameters["b1"] = np.eye(7), np.zeros(7)
    np.testing.assert_allclose(net.predict(z), getattr(np, name)(z), rtol=1e-14, atol=0)
    assert net.check(z, np.ones((1, 7)))


@pytest.mark.parametrize(("name", "write"), [("Sequential", "Network(inputs"), ("ReLU", "Dense(units, 'relu')")])
def test_names_of_other_packages(name: str, write: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"'chainrule' has no attribute '{name}'. Write {write}")):
        getattr(cr, name)


def test_methods_of_other_networks() -> None:
    """Those that are named are not there; and what is not known is as ever."""
    net = network()
    for name in words.METHODS:
        assert not hasattr(net, name), name
    with pytest.raises(AttributeError, match=r"no attribute 'compile'. Write nothing: fit takes the optimizer"):
        net.compile(optimizer="adam")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"no attribute 'zzz'$"):
        net.zzz  # type: ignore[attr-defined]  # noqa: B018
    assert not [name for name in words.PUBLIC if name in cr.__all__]
