"""Random networks with data, for comparing engines: a case is all of it, made from one number.

Widths from 1 to 300 (mostly small), every layer, activation, loss and optimizer, own formulas, penalties, weights,
batches from 1 up with a partial last one, and some batches so large that an engine may cut them in pieces.  Each eighth
is wide where the data come in, and has data of many zeros.  `make_in_groups` makes those of groups and tables: products
group by group, members that share a matrix, embeddings of numbers, tables for each column, updated whole or row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.engines.base import Engine, Epoch
from chainrule.program.equation import Program

ELEMENTWISE = (
    "z * sigmoid(1.5 * z)",
    "where(z > 0, log1p(abs(z)), -0.3 * z ** 2)",
    "where(abs(z) < 1, z - z ** 3 / 3, sign(z) * 2 / 3)",
    "max(min(z, 1), -1) + 0.1 * z",
    "(z >= 0) * sqrt(abs(z) + 0.01) - (z < 0) * 0.2 * z",
    "exp(-(z ** 2)) + 0.25 * z",
    "erf(z) / (1 + z ** 2)",
    "(1 + z ** 2) ** -1.5 * z",
    "0.5 + 0 * z",
)
VECTOR = (
    "exp(z - max(z)) / sum(exp(z - max(z)))",
    "z * mean(z) / sqrt(sum(z ** 2) + 0.1)",
    "z - min(z)",
    "z / (1 + max(abs(z)))",
    "tanh(z - mean(z))",
)
LOSSES: tuple[tuple[Any, tuple[str, ...], str], ...] = (
    ("squared_error", ("identity", "tanh", "sigmoid", "softmax"), "values"),
    ("absolute_error", ("identity", "softsign"), "values"),
    ("huber", ("identity", "tanh"), "values"),
    (cr.huber(0.3), ("identity",), "values"),
    ("quantile", ("identity",), "values"),
    (cr.quantile(0.9), ("identity",), "values"),
    ("binary_cross_entropy", ("sigmoid", "hard_sigmoid"), "binary"),
    ("binary_cross_entropy", ("sigmoid",), "binary"),
    ("cross_entropy", ("softmax", "log_softmax"), "labels"),
    ("cross_entropy", ("softmax", "log_softmax"), "probabilities"),
    ("cross_entropy", ("softmax",), "labels"),
    (cr.cross_entropy(0.1), ("softmax", "log_softmax"), "labels"),
    (cr.cross_entropy(0.2), ("softmax",), "probabilities"),
    ("poisson", ("softplus", "sigmoid"), "counts"),
    ("hinge", ("identity",), "signs"),
    (cr.Loss("log(1 + (yhat - y) ** 2)"), ("identity", "tanh"), "values"),
    (cr.Loss("sqrt(sum((yhat - y) ** 2) + 0.01)"), ("identity",), "values"),
    (cr.Loss("(yhat - y) ** 2 / (1 + sum(abs(yhat)))"), ("tanh",), "values"),
    (cr.Loss("softplus(yhat) - y * yhat"), ("identity",), "binary"),
)
COSTS = (
    "sum((yhat - y) ** 2) / m",
    "1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2) + 0.01)",
    "sum(mean(yhat - y, 'rows') ** 2) + max(yhat)",
    "max(mean((yhat - y) ** 2, 'rows'), 'columns')",
    "sum(sum(yhat, 'columns') * mean(y - yhat ** 2, 'rows')) / m",
    "-(mean((yhat - mean(yhat)) * (y - mean(y))) / sqrt(mean((yhat - mean(yhat)) ** 2) + 0.01))",
    "mean(log(1 + exp(-(yhat * y))))",
)


@dataclass(frozen=True)
class Case:
    """A network, data and a way to train it.

    data: under the symbols' names.  given: the same as a user has it, (X, y, weights or None).
    """

    seed: int
    inputs: int
    layers: list[Any]
    loss: Any
    options: Mapping[str, Any]
    dtype: str
    optimizer: cr.Optimizer
    samples: int
    batch_size: int
    epochs: int
    given: tuple[np.ndarray, np.ndarray, np.ndarray | None] = field(repr=False)

    def network(self, engine: str = "reference", dtype: str | None = None, nudge: int = 0) -> cr.Network:
        """The network with every parameter moved off its first value.

        nudge k: each is moved by a few more units in the last place, 3 · 2^⌊k/3⌋ at most.

        Parameters are numbers of the case's own dtype, whatever the network's is.
        """
        options: dict[str, Any] = {**self.options, "dtype": dtype or self.dtype, "engine": engine}
        net = cr.Network(self.inputs, self.layers, self.loss, seed=self.seed, **options)
        rng = np.random.default_rng([self.seed, 1])
        for array in net.parameters.values():
            array += 0.2 * rng.normal(size=array.shape)
        for name, array in net.state.items():
            array[...] = rng.uniform(0.5, 2, array.shape) if name.startswith("var") else rng.normal(size=array.shape)
        arrays = [*net.parameters.values(), *net.state.values()]
        for array in arrays:
            array[...] = array.astype(self.dtype)
        if nudge:
            rng = np.random.default_rng([self.seed, 2, nudge])
            for array in arrays:
                units = rng.choice([-3, -2, 2, 3], array.shape) * 2.0 ** (nudge // 3)
                array *= (1 + np.finfo(array.dtype).eps * units).astype(array.dtype)
        return net

    def program(self, net: cr.Network) -> Program:
        """All that is derived for its data."""
        X, y, w = self.given
        _, kind = net._data(X, y, w)
        return net.derive(targets=kind, weighted=w is not None)

    def training_program(self, net: cr.Network) -> Program:
        """A step of training."""
        X, y, w = self.given
        _, kind = net._data(X, y, w)
        return net.training_program(self.optimizer, targets=kind, weighted=w is not None)


@dataclass(frozen=True)
class Trajectory:
    """What training leaves: costs of all steps, and every stored array after every epoch, by name."""

    costs: np.ndarray
    arrays: list[dict[str, np.ndarray]]


def train(
    case: Case,
    net: cr.Network,
    engine: Engine,
    *,
    program: Program | None = None,
    threads: int | None = None,
    place: Callable[[np.ndarray], np.ndarray] = lambda a: a,
) -> Trajectory:
    """Trains by the engine itself, so that each step's cost and the optimizer's slots can be seen.

    program: the network's training program, if it was derived before: an engine compiles each once.  place: puts an
    array that is handed to the engine somewhere else in memory.
    """
    if program is None:
        program = case.training_program(net)
    data, _ = net._data(*case.given)
    data = {name: place(array) for name, array in data.items()}
    session = engine.open(program, {**net.parameters, **net.state})
    rng = np.random.default_rng([case.seed, 3])
    steps = -(-case.samples // case.batch_size)
    schedule: Any = case.optimizer.learning_rate
    rates = np.full(steps * case.epochs, schedule) if isinstance(schedule, float) else None
    if rates is None:
        rates = schedule.start(steps, steps * case.epochs).rates(0, steps * case.epochs)  # type: ignore[union-attr]
    costs, arrays = [], []
    for k in range(case.epochs):
        epoch = Epoch(
            data=data,
            order=place(rng.permutation(case.samples)),
            batch_size=case.batch_size,
            rates=rates[k * steps : (k + 1) * steps],
            first_step=k * steps + 1,
            seed=int(rng.integers(2**63)),
            threads=threads,
        )
        costs.append(session.epoch(epoch).costs)
        arrays.append(session.read())
    return Trajectory(np.concatenate(costs), arrays)


def make(seed: int) -> Case:
    """The case of that number."""
    return _Maker(np.random.default_rng([20240, seed]), seed).make()


def make_in_groups(seed: int) -> Case:
    """The case of that number among those of groups and tables."""
    return _InGroups(np.random.default_rng([20241, seed]), seed).make()


class _Maker:
    def __init__(self, rng: np.random.Generator, seed: int) -> None:
        self.rng = rng
        self.seed = seed
        self.hollow = seed % 8 == 7

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def width(self) -> int:
        low, high = self.pick([(1, 6)] * 6 + [(5, 20)] * 6 + [(16, 48)] * 4 + [(33, 130)] * 2 + [(131, 300)])
        return int(self.rng.integers(low, high + 1))

    def activation(self) -> Any:
        kind = self.rng.random()
        if kind < 0.7:
            return self.pick(list(ACTIVATIONS))
        if kind < 0.78:
            return self.pick([cr.leaky_relu(0.2), cr.elu(0.7)])
        return cr.Activation(self.pick(ELEMENTWISE if kind < 0.9 else VECTOR))

    def norm(self) -> Any:
        kind = self.pick([cr.BatchNorm, cr.LayerNorm])
        return kind(self.activation() if self.chance(0.5) else "identity", epsilon=float(self.pick([1e-5, 1e-3, 0.1])))

    def make(self) -> Case:
        loss, lasts, targets = self.pick(LOSSES)
        if self.chance(0.12):
            loss, lasts, targets = cr.Cost(self.pick(COSTS)), ("identity", "tanh", "sigmoid"), "values"
        last = self.pick(lasts)
        outputs = min(self.width(), 40) if self.chance(0.6) else int(self.rng.integers(1, 4))
        if targets in ("labels", "probabilities"):
            outputs = max(2, outputs)
        inputs, layers = self.hidden()
        layers += self.end(loss, outputs, last)
        large = self.chance(0.1)
        m = int(self.rng.integers(1, 24)) if self.chance(0.6) else int(self.rng.integers(20, 90))
        if large:
            m = int(self.rng.integers(513, 700))
        batches = self.rng.uniform(1, 2.2) if large else self.rng.uniform(1, 5)
        samples = max(1, int(m * batches))
        options: dict[str, Any] = {"reduction": "sum" if self.chance(0.2) else "mean"}
        if self.chance(0.2):
            options["l1"] = 0.03
        if self.chance(0.25):
            options["l2"] = 0.05
        weighted = not isinstance(loss, cr.Cost) and self.chance(0.3)
        biased = any(getattr(layer, "bias", False) for layer in layers)
        return Case(
            self.seed,
            inputs,
            layers,
            loss,
            options,
            self.pick(["float32", "float64"]),
            self.optimizer(m if options["reduction"] == "sum" else 1, biased=biased),
            samples,
            min(m, samples),
            2,
            self.data(layers, inputs, outputs, targets, samples, weighted=weighted),
        )

    def end(self, loss: Any, outputs: int, last: Any) -> list[Any]:
        """The last layers."""
        if self.chance(0.06):
            return [cr.Dense(outputs), self.pick([cr.BatchNorm, cr.LayerNorm])(last)]
        return [cr.Dense(outputs, last, bias=self.chance(0.9))]

    def hidden(self) -> tuple[int, list[Any]]:
        """The inputs, and the layers before the last."""
        layers: list[Any] = []
        inputs = self.width()
        if self.hollow:
            inputs, width = (int(n) for n in self.rng.integers(32, (300, 130)))
            layers.append(cr.Dense(width, self.activation(), bias=self.chance(0.9)))
        elif self.chance(0.18):
            layers.append(cr.Embedding(self.pick([1, 2, 7, 30]), int(self.rng.integers(1, 7))))
            inputs = int(self.rng.integers(1, 9))
        if not self.hollow and self.chance(0.12):
            layers.append(self.norm())
        if not self.hollow and self.chance(0.1):
            layers.append(cr.Dropout(float(self.pick([0.1, 0.5]))))
        for _ in range(self.pick([0, 1, 1, 1, 1, 1, 1, 2, 2, 3])):
            normed = self.chance(0.15)
            bias = self.chance(0.9)
            layers.append(cr.Dense(self.width(), "identity" if normed else self.activation(), bias=bias))
            if normed:
                layers.append(self.norm())
            if self.chance(0.2):
                layers.append(cr.Dropout(float(self.pick([0.2, 0.5, 0.9]))))
        return inputs, layers

    def optimizer(self, divide: int, *, biased: bool) -> cr.Optimizer:
        rate: Any = float(self.pick([0.003, 0.01, 0.03])) / divide
        if self.chance(0.15):
            rate = self.pick([cr.Cosine(rate, warmup=0.5), cr.StepDecay(rate, every=1), cr.InverseScaling(rate)])
        clip = float(self.pick([0.1, 1.0, 100.0])) if self.chance(0.25) else None
        # A gradient that is 0 but for rounding is divided by ε: a larger one than the default, to see past that.
        made: list[Callable[[], cr.Optimizer]] = [
            lambda: cr.SGD(rate, clip_norm=clip),
            lambda: cr.SGD(rate, clip_norm=clip),
            lambda: cr.SGD(rate, momentum=0.9, clip_norm=clip),
            lambda: cr.SGD(rate, momentum=0.8, nesterov=True, clip_norm=clip),
            lambda: cr.Adagrad(rate, epsilon=1e-3, clip_norm=clip),
            lambda: cr.RMSProp(rate, epsilon=1e-3, clip_norm=clip),
            lambda: cr.RMSProp(rate, momentum=0.9, epsilon=1e-3, clip_norm=clip),
            lambda: cr.Adam(rate, epsilon=1e-6, clip_norm=clip),
            lambda: cr.Adam(rate, beta1=0.0, epsilon=1e-3, clip_norm=clip),
            lambda: cr.AdamW(rate, weight_decay=float(self.pick([0.0, 0.1])), epsilon=1e-6, clip_norm=clip),
        ]
        chosen: cr.Optimizer = self.pick(made)()
        if self.seed % 5 == 4:
            chosen = [
                cr.Adafactor(rate, epsilon1=1e-3, weight_decay=0.1, clip_norm=clip),
                cr.NAdam(rate, epsilon=1e-4, clip_norm=clip),
                cr.AdamW(rate, epsilon=1e-4, amsgrad=True, decays={"b": 0}, rates={"W": 0.5, "b": 0}),
            ][self.seed // 5 % 3]
            if isinstance(chosen, cr.AdamW) and not biased:
                chosen = cr.AdamW(rate, epsilon=1e-4, amsgrad=True, rates={"W": 0.5})
        return chosen

    def data(
        self, layers: list[Any], inputs: int, n: int, targets: str, m: int, *, weighted: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        rng = self.rng
        first = layers[0]
        if isinstance(first, cr.Embedding):
            X = rng.integers(0, first.vocabulary, (m, inputs))
        else:
            X = rng.normal(size=(m, inputs)) * float(self.pick([0.3, 1.0]))
            if self.hollow:
                X *= (rng.random((m, inputs)) < rng.random(inputs) ** 4) * (rng.random((m, 1)) < 0.9)
        y = {
            "values": lambda: rng.normal(size=(m, n)),
            "labels": lambda: rng.integers(0, n, m),
            "probabilities": lambda: rng.dirichlet(np.ones(n), m),
            "binary": lambda: rng.integers(0, 2, (m, n)),
            "counts": lambda: rng.poisson(2.0, (m, n)),
            "signs": lambda: rng.choice([-1.0, 1.0], (m, n)),
        }[targets]()
        w = None
        if weighted:
            w = rng.uniform(0.2, 3, m) * (rng.random(m) > 0.1)
            w[0] = 1.0
        # Numbers that float32 can hold, so that every dtype has the same data.
        X, y = (a if a.dtype.kind == "i" else a.astype(np.float32) for a in (X, y))
        return X, y, None if w is None else w.astype(np.float32)


class _InGroups(_Maker):
    """Of what stands first: columns of numbers, groups, members of an ensemble, tables."""

    def __init__(self, rng: np.random.Generator, seed: int) -> None:
        super().__init__(rng, seed)
        self.kind = ("waves", "groups", "members", "tables", "pieces", "rows", "members")[seed % 7]
        self.hollow = False
        self.members = 1
        self.counts: list[int] = []

    def part(self) -> int:
        """The width of a group: a column, part of a panel, a panel and a bit."""
        return int(self.pick([1, 2, 3, 4, 7, 16, 17, 33]))

    def hidden(self) -> tuple[int, list[Any]]:
        groups = int(self.pick([1, 2, 3, 5, 8, 20]))
        match self.kind:
            case "waves":
                first: Any = cr.Periodic(self.part(), self.activation(), frequencies=self.part(), sigma=0.3)
                return groups, [first, *self.after(groups)]
            case "pieces":
                edges = np.sort(self.rng.normal(size=(groups, 1 + self.part())), axis=1)
                return groups, [cr.Piecewise(self.part(), edges, self.activation()), *self.after(groups)]
            case "groups":
                first = cr.GroupedDense(self.part(), self.activation(), groups=groups, bias=self.chance(0.8))
                return groups * self.part(), [first, *self.after(groups)]
            case "members":
                self.members = groups
                shared = [
                    cr.SharedDense(self.part(), self.activation(), members=groups) for _ in range(self.pick([1, 2]))
                ]
                return self.width(), [cr.Members(groups), *shared]
            case _:
                columns = int(self.rng.integers(1, 5))
                self.counts = [int(n) for n in self.rng.integers(1, 40, columns)]
                table = cr.Embedding(self.counts, [self.part() for _ in range(columns)], sparse=self.kind == "rows")
                return columns, [table, cr.Dense(self.width(), self.activation())]

    def after(self, groups: int) -> list[Any]:
        """What reads the groups: another layer of them, or a dense one."""
        if self.chance(0.5):
            return [cr.GroupedDense(self.part(), self.activation(), groups=groups)]
        return [cr.Dense(self.width(), self.activation())]

    def end(self, loss: Any, outputs: int, last: Any) -> list[Any]:
        if self.kind == "members" and not isinstance(loss, cr.Cost):
            return [cr.GroupedDense(outputs, last, groups=self.members), cr.MeanOfMembers(self.members)]
        return super().end(loss, outputs, last)

    def optimizer(self, divide: int, *, biased: bool) -> cr.Optimizer:
        if self.kind == "rows":
            rate = 0.01 / divide
            return (cr.SGD(rate), cr.Adagrad(rate, epsilon=1e-3), cr.Adam(rate, epsilon=1e-6))[self.seed // 7 % 3]
        return super().optimizer(divide, biased=biased)

    def data(
        self, layers: list[Any], inputs: int, n: int, targets: str, m: int, *, weighted: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        X, y, w = super().data([cr.Dense(1)], inputs, n, targets, m, weighted=weighted)
        return (self.rng.integers(0, self.counts, (m, inputs)) if self.counts else X), y, w
