"""The one list of problems that the tests share: every layer, activation, loss, penalty, reduction and own formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import functions as f
from chainrule.describe.activations import ACTIVATIONS

Data = tuple[Any, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class Problem:
    """A network to make and data for it.

    targets: values | labels | probabilities | binary | counts | signs.  options: l1, l2, reduction.
    """

    name: str
    inputs: Any
    layers: Callable[[], list[Any]]
    loss: Any
    targets: str = "values"
    weighted: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 7

    def __str__(self) -> str:
        return self.name

    def network(self, engine: str = "auto", dtype: str = "float64", seed: int = 3) -> cr.Network:
        """The network, every parameter and statistic moved off its first value (no zeros, no ones)."""
        net = cr.Network(
            self.inputs, self.layers(), self.loss, dtype=dtype, seed=seed, engine=engine, **self.options  # type: ignore[arg-type]
        )  # fmt: skip
        rng = np.random.default_rng(seed + 1)
        for array in net.parameters.values():
            array += 0.3 * rng.normal(size=array.shape)
        for name, array in net.state.items():
            array[...] = rng.uniform(0.5, 2, array.shape) if name.startswith("var") else rng.normal(size=array.shape)
        return net

    def data(self, seed: int = 5, samples: int | None = None) -> Data:
        """X, y and the sample weights, or None where the problem has none."""
        rng = np.random.default_rng(seed)
        m = self.samples if samples is None else samples
        spec = cr.NetworkSpec(self.inputs, self.layers(), self.loss)
        n = spec.outputs
        drawn = {
            i.name: rng.integers(0, i.counts, (m, i.width)) if i.tokens else rng.normal(size=(m, i.width))
            for i in spec.sources
        }
        X: Any = drawn if spec.named else drawn[""]
        y = {
            "values": lambda: rng.normal(size=(m, n)),
            "labels": lambda: rng.integers(0, n, m),
            "probabilities": lambda: rng.dirichlet(np.ones(n), m),
            "binary": lambda: rng.integers(0, 2, (m, n)),
            "counts": lambda: rng.poisson(2.0, (m, n)),
            "signs": lambda: rng.choice([-1.0, 1.0], (m, n)),
        }[self.targets]()
        return X, y, rng.uniform(0.2, 3, m) if self.weighted else None


def numbers(net: cr.Network, X: Any) -> dict[str, np.ndarray]:
    """What comes in but tokens, by the symbols' names."""
    given = X if net.spec.named else {"": X}
    return {source.symbol.name: given[source.name] for source in net.spec.sources if not source.tokens}


def _prelu() -> cr.Formula:
    return cr.Formula("where(x > 0, x, a * x)", a=cr.Parameter("n", value=0.25))


def _two(activation: Any, *, hidden: int = 5, outputs: int = 3, last: Any = "identity") -> Callable[[], list[Any]]:
    return lambda: [cr.Dense(hidden, activation), cr.Dense(outputs, last)]


LAST: Mapping[str, tuple[str, str]] = {
    "squared_error": ("identity", "values"),
    "absolute_error": ("identity", "values"),
    "huber": ("tanh", "values"),
    "binary_cross_entropy": ("sigmoid", "binary"),
    "cross_entropy": ("softmax", "labels"),
    "poisson": ("softplus", "counts"),
    "hinge": ("identity", "signs"),
    "quantile": ("identity", "values"),
}
"""The loss's name -> the last activation and the kind of targets that go with it."""


def _by_activation() -> list[Problem]:
    return [Problem(f"hidden {name}", 4, _two(name), "squared_error") for name in ACTIVATIONS]


def _by_loss() -> list[Problem]:
    made = []
    for name, (last, targets) in LAST.items():
        for outputs in (1, 3) if name != "cross_entropy" else (2, 3):
            for weighted in (False, True):  # every two of the three choices meet
                reduction = "mean" if weighted == (outputs == 3) else "sum"
                title = f"{name}, {outputs} outputs, {reduction}{', weighted' * weighted}"
                layers = _two("tanh", outputs=outputs, last=last)
                made.append(Problem(title, 4, layers, name, targets, weighted, {"reduction": reduction}))
    return made


_SOFTMAX = "exp(z - max(z)) / sum(exp(z - max(z)))"

_SINGLE = [
    Problem("one layer", 3, lambda: [cr.Dense(1)], "squared_error"),
    Problem("no biases", 3, lambda: [cr.Dense(4, "sigmoid", bias=False), cr.Dense(2, bias=False)], "squared_error"),
    Problem("deep", 5, lambda: [cr.Dense(6, "tanh"), cr.Dense(4, "silu"), cr.Dense(5, "elu"), cr.Dense(3)], "huber"),
    Problem("a single sample", 4, _two("tanh"), "squared_error", samples=1),
    Problem("wide", 9, _two("gelu", hidden=33, outputs=17, last="softmax"), "cross_entropy", "labels"),
    Problem("softmax, probabilities", 4, _two("tanh", last="softmax"), "cross_entropy", "probabilities"),
    Problem("log-softmax, labels", 4, _two("tanh", last="log_softmax"), "cross_entropy", "labels", True),
    Problem("log-softmax, probabilities", 4, _two("tanh", last="log_softmax"), "cross_entropy", "probabilities"),
    Problem("smoothed labels", 4, _two("tanh", last="softmax"), cr.cross_entropy(0.1), "labels", True),
    Problem("smoothed probabilities", 4, _two("tanh", last="log_softmax"), cr.cross_entropy(0.3), "probabilities"),
    Problem("hard sigmoid last", 4, _two("tanh", last="hard_sigmoid"), "binary_cross_entropy", "binary"),
    Problem("poisson of a softmax", 4, _two("tanh", last="softmax"), "poisson", "counts"),
    Problem("squared error of a softmax", 4, _two("tanh", last="softmax"), "squared_error", "probabilities"),
    Problem("squared error of a sigmoid", 4, _two("tanh", last="sigmoid"), "squared_error", "binary", True),
    Problem("l1", 4, _two("tanh"), "squared_error", options={"l1": 0.3}),
    Problem("l2", 4, _two("tanh"), "squared_error", options={"l2": 0.7}),
    Problem("l1, l2, sum", 4, _two("tanh"), "squared_error", "values", True,
            {"l1": 0.2, "l2": 0.5, "reduction": "sum"}),
    Problem("huber(0.3)", 4, _two(cr.leaky_relu(0.2)), cr.huber(0.3)),
    Problem("quantile(0.9)", 4, _two(cr.elu(0.7), outputs=1), cr.quantile(0.9)),
    Problem("dropout", 6, lambda: [cr.Dense(8, "tanh"), cr.Dropout(0.4), cr.Dense(3)], "squared_error"),
    Problem("dropout of the inputs", 6, lambda: [cr.Dropout(0.3), cr.Dense(5, "tanh"), cr.Dense(3)], "squared_error"),
    Problem("two dropouts in a row", 6, lambda: [cr.Dense(8, "tanh"), cr.Dropout(0.2), cr.Dropout(0.3), cr.Dense(2)],
            "squared_error"),
    Problem("no dropout", 4, lambda: [cr.Dense(5, "tanh"), cr.Dropout(0.0), cr.Dense(3)], "squared_error"),
    Problem("layer norm", 4, lambda: [cr.Dense(6), cr.LayerNorm("relu"), cr.Dense(3)], "squared_error", weighted=True),
    Problem("layer norm, epsilon", 4, lambda: [cr.Dense(6, "tanh"), cr.LayerNorm(epsilon=0.5), cr.Dense(2)],
            "squared_error"),
    Problem("batch norm", 4, lambda: [cr.Dense(6), cr.BatchNorm("relu"), cr.Dense(3)], "squared_error", weighted=True),
    Problem("batch norm, l2", 4, lambda: [cr.Dense(6, "tanh"), cr.BatchNorm(momentum=0.5, epsilon=0.1), cr.Dense(2)],
            "squared_error", options={"l2": 0.4}),
    Problem("normalised inputs", 5, lambda: [cr.BatchNorm(), cr.Dense(4, "tanh"), cr.Dense(2)], "squared_error"),
    Problem("inputs normalised twice", 5, lambda: [cr.LayerNorm(), cr.BatchNorm(), cr.Dense(4, "tanh"), cr.Dense(2)],
            "squared_error"),
    Problem("two norms in a row", 5, lambda: [cr.Dense(6), cr.BatchNorm(), cr.LayerNorm("tanh"), cr.Dense(2)],
            "squared_error"),
    Problem("layer norm last", 4, lambda: [cr.Dense(3), cr.LayerNorm("softmax")], "cross_entropy", "labels"),
    Problem("batch norm last", 4, lambda: [cr.Dense(2, "tanh"), cr.BatchNorm()], "squared_error"),
    Problem("embedding", 3, lambda: [cr.Embedding(6, 2), cr.Dense(5, "tanh"), cr.Dense(6, "softmax")],
            "cross_entropy", "labels"),
    Problem("embedding, sum, weighted", 4, lambda: [cr.Embedding(5, 3), cr.Dense(4, "softmax")], "cross_entropy",
            "labels", True, {"reduction": "sum", "l2": 0.1}),
    Problem("embedding, dropout, norm", 3, lambda: [cr.Embedding(7, 3), cr.Dropout(0.2), cr.LayerNorm("silu"),
            cr.Dense(4, "tanh"), cr.Dense(1, "sigmoid")], "binary_cross_entropy", "binary"),
    Problem("a vocabulary of one", 2, lambda: [cr.Embedding(1, 3), cr.Dense(2)], "squared_error"),
    Problem("softmax of one output", 3, lambda: [cr.Dense(1, "softmax")], "squared_error"),
]  # fmt: skip

_OWN = [
    Problem("own activation, text", 4, _two(cr.Activation("z * sigmoid(1.5 * z)")), "squared_error"),
    Problem("own activation, lambda", 4, _two(lambda z: f.where(z > 0, f.log1p(abs(z)), -(z**2))), "squared_error"),
    Problem("own activation, erf", 4, _two(cr.Activation("z * erf(z)")), "squared_error"),
    Problem("own activation, constant", 4, _two(cr.Activation("z * 0")), "squared_error"),
    Problem("own softmax, hidden", 4, _two(cr.Activation(_SOFTMAX)), "squared_error"),
    Problem("own softmax, last", 4, _two("tanh", last=cr.Activation(_SOFTMAX)), "cross_entropy", "labels", True),
    Problem("own vector activation", 4, _two(cr.Activation("z * mean(z) / sqrt(sum(z ** 2) + 0.1)")), "squared_error"),
    Problem("own activation named softmax", 4, _two("tanh", last=cr.Activation("sigmoid(z)", name="softmax")),
            "cross_entropy", "probabilities"),
    Problem("row minimum", 4, _two(cr.Activation("z - min(z)")), "squared_error"),
    Problem("own loss, text", 4, _two("tanh"), cr.Loss("log(1 + (yhat - y) ** 2)"), "values", True),
    Problem("own loss, lambda", 4, _two("tanh"), cr.Loss(lambda yhat, y: f.sqrt((yhat - y) ** 2 + 0.1))),
    Problem("own loss, one output", 4, _two("tanh", outputs=1), cr.Loss("softplus(yhat) - y * yhat"), "binary"),
    Problem("own loss over the outputs", 4, _two("tanh"), cr.Loss("sqrt(sum((yhat - y) ** 2) + 0.01)"), "values", True),
    Problem("own loss, mixed", 4, _two("tanh"), cr.Loss("(yhat - y) ** 2 / (1 + sum(abs(yhat)))")),
    Problem("own loss, constant", 4, _two("tanh"), cr.Loss("0 * yhat")),
    Problem("own loss named squared_error", 4, _two("tanh"), cr.Loss("3 * (yhat - y) ** 2", name="squared_error")),
    Problem("own loss of labels", 4, _two("tanh", last="log_softmax"), cr.Loss("-(y * yhat) + yhat ** 2",
            name="cross_entropy", classes=True), "labels"),
    Problem("own cost", 4, _two("tanh"), cr.Cost("sum((yhat - y) ** 2) / m")),
    Problem("own cost, cosine", 4, _two("tanh"), cr.Cost("1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))"),
            options={"l2": 0.2, "l1": 0.1}),
    Problem("own cost, lambda", 4, _two("tanh", outputs=1), cr.Cost(lambda yhat, y: f.mean((yhat - y) ** 4))),
    Problem("own cost, rows", 4, _two("tanh"), cr.Cost("sum(mean(yhat - y, 'rows') ** 2) + max(yhat)")),
    Problem("own cost, rows then columns", 4, _two("tanh"), cr.Cost("max(mean((yhat - y) ** 2, 'rows'), 'columns')")),
    Problem("own cost, rows times columns", 4, _two("tanh"),
            cr.Cost("sum(sum(yhat, 'columns') * mean(y - yhat ** 2, 'rows')) / m")),
    Problem("own cost, correlation", 4, _two("tanh", outputs=1),
            cr.Cost("-(mean((yhat - mean(yhat)) * (y - mean(y))) / sqrt(mean((yhat - mean(yhat)) ** 2) + 0.01))")),
    Problem("own cost, batch norm", 4, lambda: [cr.Dense(5), cr.BatchNorm("tanh"), cr.Dense(2)],
            cr.Cost("mean(log(1 + exp(-(yhat * y))))"), "signs"),
]  # fmt: skip


def _table() -> list[Any]:
    numbers = [cr.Take("numbers"), cr.LayerNorm()]
    return [cr.Branches(numbers, [cr.Take("kinds"), cr.Embedding(5, 2)]), cr.Dense(4, "tanh"), cr.Dense(2, "softmax")]


_GRAPHS = [
    Problem("residual", 4, lambda: [cr.Dense(5, "tanh"), cr.Residual(cr.LayerNorm(), cr.Dense(6, "silu"), cr.Dense(5)),
            cr.Dense(3)], "squared_error", weighted=True),
    Problem("residual of the inputs", 4, lambda: [cr.Residual(cr.Dense(4, "tanh")), cr.Dense(3, "softmax")],
            "cross_entropy", "labels"),
    Problem("residual last", 4, lambda: [cr.Dense(3, "tanh"), cr.Residual(cr.Dropout(0.3), cr.Dense(3, "gelu"))],
            "squared_error"),
    Problem("branches side by side", 4, lambda: [cr.Branches([cr.Dense(3, "tanh")], [cr.Dense(2, "softmax")], []),
            cr.Dense(2)], "squared_error", options={"l2": 0.3}),
    Problem("branches side by side, last", 4, lambda: [cr.Branches([cr.Dense(2, "sigmoid")], [cr.Dense(1, "sigmoid")])],
            "binary_cross_entropy", "binary"),
    Problem("a gate", 4, lambda: [cr.Branches([cr.Dense(5, "tanh")], [cr.Dense(5, "sigmoid")], join="multiply"),
            cr.Dense(2)], "squared_error"),
    Problem("one value twice", 3, lambda: [cr.Branches([], [], [cr.Branches([], [], join="multiply")]),
            cr.Dense(2, "tanh")], "squared_error"),
    Problem("a value kept", 4, lambda: [cr.Dense(4, "tanh"), cr.Keep("h"), cr.Dense(5, "relu"), cr.BatchNorm("tanh"),
            cr.Branches([], [cr.Take("h")]), cr.Dense(2)], "squared_error"),
    Problem("tied weights", 5, lambda: [cr.Dense(3, "tanh"), cr.Dense(5, weights=cr.Tied("W1", transposed=True))],
            "squared_error", options={"l1": 0.1, "l2": 0.2}),
    Problem("one layer twice", 4, lambda: [cr.Dense(4, "tanh"), cr.Dense(4, "tanh", weights=cr.Tied("W1"), bias=False),
            cr.Dense(2)], "squared_error"),
    Problem("formula, a scale", 4, lambda: [cr.Dense(5), cr.Formula("s * x + t", s=cr.Parameter("n", value=1),
            t=cr.Parameter()), cr.Dense(2, "tanh")], "squared_error", options={"l2": 0.3}),
    Problem("formula, parametric relu, twice", 4, lambda: [cr.Dense(5), _prelu(), cr.Dense(3), _prelu()],
            "squared_error"),
    Problem("formula, products", 4, lambda: [cr.Formula(lambda W, x, v: cr.functions.tanh(x @ W) * v,
            W=cr.Parameter("n", 5), v=cr.Parameter(5, value=1)), cr.Formula("x @ W.T + mean(x) * max(x)",
            W=cr.Parameter(3, "n", weights=0.5)), cr.Dense(2, "softmax")], "cross_entropy", "labels",
            options={"l1": 0.1, "l2": 0.2}),
    Problem("formula, in a residual", 3, lambda: [cr.Residual(cr.Formula("(x @ U @ V) * sigmoid(x @ U @ V)",
            U=cr.Parameter("n", 2), V=cr.Parameter(2, "n", penalised=False))), cr.Dense(2)], "squared_error",
            weighted=True, options={"l2": 0.2}),
    Problem("numbers and tokens", {"numbers": 3, "kinds": [4, 5]}, _table, "cross_entropy", "labels", True),
    Problem("two embeddings", {"a": [4], "b": [3, 3]}, lambda: [cr.Branches([cr.Take("a"), cr.Embedding(4, 2)],
            [cr.Take("b"), cr.Embedding(3, 2)]), cr.Dense(1)], "squared_error"),
    Problem("a table for each column", 3, lambda: [cr.Embedding([4, 3, 5], [2, 1, 3], padding=1, sparse=True),
            cr.Dense(3, "tanh"), cr.Dense(2)], "squared_error", weighted=True),
    Problem("one-hot product", {"kinds": [4, 3, 5], "numbers": 2}, lambda: [cr.Branches([cr.Take("kinds"),
            cr.Dense(3, "tanh")], [cr.Take("kinds"), cr.Embedding(dimension=2)], [cr.Take("numbers")]),
            cr.Dense(2, "softmax")], "cross_entropy", "labels", options={"l2": 0.3}),
    Problem("one-hot product, tied", {"kinds": [4]}, lambda: [cr.Dense(3, "tanh"),
            cr.Dense(4, "softmax", weights=cr.Tied("W1", transposed=True))], "cross_entropy", "labels"),
]  # fmt: skip

_GROUPS = [
    Problem("in groups", 6, lambda: [cr.GroupedDense(4, "tanh", groups=3), cr.Dense(2)], "squared_error",
            options={"l2": 0.3}),
    Problem("in groups, last", 4, lambda: [cr.GroupedDense(3, "softmax", groups=2, bias=False),
            cr.GroupedDense(1, groups=2)], "squared_error", weighted=True),
    Problem("periodic", 3, lambda: [cr.Periodic(2, "tanh", frequencies=5, sigma=0.4), cr.Dense(2)], "squared_error"),
    Problem("piecewise", 2, lambda: [cr.Piecewise(3, [[-1, -0.2, 0.3, 2], [-2, 0, 0.1, 1]]), cr.Dense(2, "softmax")],
            "cross_entropy", "labels", options={"l2": 0.2}),
    Problem("members", 4, lambda: cr.batch_ensemble(3, [5, 4], 2, "tanh"), "squared_error", weighted=True),
    Problem("members of classes", 4, lambda: cr.batch_ensemble(3, [5], 3, last="softmax"), "cross_entropy", "labels",
            options={"l1": 0.1}),
    Problem("members of a layer before", 4, lambda: [cr.Dense(3, "tanh"), *cr.batch_ensemble(2, [3], 1)],
            cr.huber(0.7)),
]  # fmt: skip

_PARAMETRIC = [
    Problem("activations with parameters", 4, lambda: [
            cr.Dense(5, cr.Activation("max(z, 0) + a * min(z, 0)", a=cr.Parameter("n", value=0.25))),
            cr.Dense(3, cr.Activation("exp(T * (z - max(z))) / sum(exp(T * (z - max(z))))", T=cr.Parameter(value=1)))],
            "squared_error", "probabilities", weighted=True),
    Problem("a loss of two values, with parameters", 4, lambda: [cr.Dense(5, "tanh"), cr.Keep("shared"), cr.Dense(2),
            cr.Keep("v"), cr.Take("shared"), cr.Dense(2)], cr.Loss("v + s * (yhat - y)**2 * exp(-v) + q", values=("v",),
            s=cr.Parameter("n", value=1), q=cr.Parameter()), weighted=True, options={"l2": 0.2}),
]  # fmt: skip

PROBLEMS: list[Problem] = [*_by_activation(), *_by_loss(), *_SINGLE, *_OWN, *_GRAPHS, *_GROUPS, *_PARAMETRIC]


def in_turn(items: Sequence[Any], turn: int, *, every: int = 3) -> list[Any]:
    """For parametrize: of so many items one is in every run, the others are long; each test has another turn."""
    return [
        pytest.param(item, id=str(item), marks=[] if number % every == turn % every else [pytest.mark.long])
        for number, item in enumerate(items)
    ]


def on_each_engine(turn: int, *, share: int = 1) -> pytest.MarkDecorator:
    """Every problem on the reference engine and, compiled, the tenth of them whose turn it is; the others are long.

    Compiling is most of a test's time.  The gradients of all are compiled in every run; of the tests that look at more,
    each has another turn.  share: of those on the reference engine so many are long but one.
    """
    return pytest.mark.parametrize(
        ("problem", "engine"),
        [
            pytest.param(
                problem,
                engine,
                id=f"{problem}-{engine}",
                marks=[] if number % every == turn % every else [pytest.mark.long],
            )
            for number, problem in enumerate(PROBLEMS)
            for engine, every in (("reference", share), ("compiled", 10))
        ],
    )


def classifier(engine: str, **options: Any) -> cr.Network:
    """4-8-3 with softmax, for `table()`."""
    layers = [cr.Dense(8, "tanh"), cr.Dense(3, "softmax")]
    return cr.Network(4, layers, "cross_entropy", engine=engine, **{"dtype": "float64", **options})


def table(m: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """X (m, 4) and labels y (m,) that can be learnt from it."""
    X = np.random.default_rng(seed).normal(size=(m, 4))
    return X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
