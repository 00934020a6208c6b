"""First weights compared: the test error of networks that differ in nothing but how their weights began.

    python benchmarks/first_weights.py [--data ../shared/data] [--activations relu,tanh] [--depths 1,2,4]
        [--initialisers he_normal,glorot_uniform] [--problems concrete,digits] [--rates 0.001,0.01] [--seeds 1]
        [--rows 1000] [--epochs 25] [--optimizer adam] [--json FILE]
    python benchmarks/first_weights.py --read FILE      # the tables of earlier runs, without training anything

The problems are the digits and the tables (.csv, .csv.gz) of a folder and its subfolder tables/, the target last, each
cut down to --rows rows: 45 % to train on, 15 % to choose the epoch by, 40 % to test on; numbers standardised, texts
one-hot, the targets of a regression standardised.  Batches of 32; a fit ends when six epochs were no better.
The error is the root of the mean squared error, or the cross entropy, of the test rows at the chosen epoch.

Printed is the geometric mean, over problems, rates and seeds, of this error divided by that from he_normal, and in how
many of a hundred trainings it was less.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule as cr
from chainrule.data.readers import load_digits, read_csv
from chainrule.data.standardize import Standardizer

Array = NDArray[Any]

BASE = "he_normal"
PLAIN = "glorot_uniform"
"""The output layer's, wherever the initialiser does not say its own."""
LIBRARIES = ("scikit-learn", "pytorch")
"""Weights and biases of all layers U(-c, c).  scikit-learn: c² = 6 / (in + out), for sigmoid 2 / (in + out); PyTorch:
c² = 1 / in."""
DEFAULT = "default"
"""What `Dense` takes where nothing is said, by the activation and by what comes in."""
INITIALISERS = (BASE, DEFAULT, PLAIN, "glorot_normal", "lecun_normal", "orthogonal", *LIBRARIES)
ACTIVATIONS = (
    "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus",
    "tanh", "sigmoid", "softsign", "hard_sigmoid",
)  # fmt: skip
WIDTHS = {1: (32, 256), 2: (64,), 4: (64,), 8: (48,), 16: (32,)}
"""How wide the hidden layers are, for each depth."""
TARGETS = {"housing": "median_house_value"}
"""The target of those tables in which it is not the last column."""
OPTIMIZERS = {"adam": cr.Adam, "sgd": cr.SGD}
BATCH, PATIENCE = 32, 6


@dataclass(frozen=True)
class Problem:
    """X and y of its three parts: to train on, to choose the epoch by, to test on; classes: 0 for a regression."""

    name: str
    X: list[Array]
    y: list[Array]
    classes: int


@dataclass(frozen=True)
class Training:
    """One fit.  error: of the test rows at the chosen epoch."""

    problem: str
    activation: str
    depth: int
    width: int
    initialiser: str
    rate: float
    seed: int
    error: float
    optimizer: str = "adam"


def sources(folder: Path, only: Sequence[str]) -> dict[str, Path | None]:
    """The files of the problems by name; None for the digits, which need none."""
    files = sorted({*folder.glob("*.csv"), *folder.glob("*.csv.gz"), *folder.glob("tables/*.csv*")})
    found: dict[str, Path | None] = {"digits": None, **{path.name.split(".")[0]: path for path in files}}
    unknown = [name for name in only if name not in found]
    if unknown:
        raise SystemExit(f"There is no problem {', '.join(unknown)} in {folder}; there are {', '.join(found)}.")
    return {name: path for name, path in found.items() if not only or name in only}


def read(name: str, path: Path | None, rows: int, seed: int) -> Problem:
    """A problem's rows, chosen and parted by the seed."""
    dataset = load_digits() if path is None else read_csv(path, TARGETS.get(name))
    order = np.random.default_rng(seed).permutation(len(dataset.X))[:rows]
    parts = np.split(order, [45 * len(order) // 100, 60 * len(order) // 100])
    scale = Standardizer.fit(dataset.X[parts[0]], dataset.measured)
    X = [scale.transform(dataset.X[part]).astype(np.float32) for part in parts]
    names = dataset.target.names
    if names is not None:
        return Problem(name, X, [dataset.y[part] for part in parts], len(names))
    y = [np.asarray(dataset.y[part], float).reshape(len(part), -1) for part in parts]
    scale = Standardizer.fit(y[0])
    return Problem(name, X, [scale.transform(part).astype(np.float32) for part in y], 0)


@dataclass(frozen=True)
class Shape:
    """`depth` hidden layers of one width and one activation."""

    activation: str
    depth: int
    width: int


def network(problem: Problem, shape: Shape, initialiser: str, seed: int, engine: str) -> cr.Network:
    """The network as it begins."""
    named = None if initialiser in (DEFAULT, *LIBRARIES) else initialiser
    hidden = [cr.Dense(shape.width, shape.activation, weights=named) for _ in range(shape.depth)]
    last = cr.Dense(problem.classes, "softmax", weights=PLAIN) if problem.classes else cr.Dense(1, weights=PLAIN)
    loss = "cross_entropy" if problem.classes else "squared_error"
    net = cr.Network(problem.X[0].shape[1], [*hidden, last], loss, seed=seed, dtype="float32", engine=engine)
    if initialiser in LIBRARIES:
        rng = np.random.default_rng(seed)
        for number in range(1, shape.depth + 2):
            W, b = net.parameters[f"W{number}"], net.parameters[f"b{number}"]
            inputs, outputs = W.shape
            glorot = (2 if shape.activation == "sigmoid" else 6) / (inputs + outputs)
            limit = math.sqrt(glorot if initialiser == "scikit-learn" else 1 / inputs)
            W[...] = rng.uniform(-limit, limit, W.shape)
            b[...] = rng.uniform(-limit, limit, b.shape)
    return net


class Errors(cr.Callback):
    """The errors of the second and the third part after each epoch; ends the fit when the second's fall no more."""

    writes = False

    def __init__(self, net: cr.Network, problem: Problem) -> None:
        self.net, self.problem = net, problem
        self.X = np.concatenate(problem.X[1:])
        self.chosen: list[float] = []
        self.tested: list[float] = []

    def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
        predictions = np.split(self.net.predict(self.X), [len(self.problem.X[1])])
        chosen, tested = map(self.error, predictions, self.problem.y[1:])
        self.chosen.append(chosen)
        self.tested.append(tested)
        if len(self.chosen) - 1 - int(np.argmin(self.chosen)) >= PATIENCE:
            fit.request_stop("no better for some epochs")

    def error(self, prediction: Array, y: Array) -> float:
        if self.problem.classes:
            return -float(np.mean(np.log(np.maximum(prediction[np.arange(len(y)), y], 1e-12))))
        return float(np.sqrt(np.mean((prediction - y) ** 2)))

    @property
    def best(self) -> float:
        """Of the test rows; that of guessing where nothing was learned before the cost went beyond every number."""
        if not self.chosen:
            return math.log(self.problem.classes) if self.problem.classes else 1.0
        return self.tested[int(np.argmin(self.chosen))]


def train(problem: Problem, shape: Shape, options: argparse.Namespace, seed: int) -> Iterator[Training]:
    """A network from every start at every rate; one that is compiled is enough, the starts are copied into it."""
    net = network(problem, shape, BASE, seed, "compiled")
    for initialiser in options.initialisers:
        start = network(problem, shape, initialiser, seed, "reference").parameters
        for rate in options.rates:
            for name, array in net.parameters.items():
                array[...] = start[name]
            errors = Errors(net, problem)
            with contextlib.suppress(cr.DivergedError):
                net.fit(
                    problem.X[0],
                    problem.y[0],
                    epochs=options.epochs,
                    batch_size=BATCH,
                    optimizer=OPTIMIZERS[options.optimizer](rate),
                    callbacks=[errors],
                    verbose=False,
                    threads=1,
                )
            yield Training(
                problem.name, *astuple(shape), initialiser, rate, seed, errors.best, optimizer=options.optimizer
            )


def tables(trainings: Iterable[Training]) -> str:
    """Markdown: for each depth and for all, a row for each activation and a column for each initialiser."""
    trainings = list(trainings)

    def pair(t: Training) -> tuple[str | float, ...]:
        return t.problem, t.activation, t.depth, t.width, t.rate, t.seed, t.optimizer

    base = {pair(t): t.error for t in trainings if t.initialiser == BASE}
    columns = [name for name in dict.fromkeys(t.initialiser for t in trainings) if name != BASE]
    depths = sorted({t.depth for t in trainings})
    lines: list[str] = []
    for depth in [*depths, *([None] if len(depths) > 1 else [])]:
        title = "all depths" if depth is None else f"{depth} hidden layer{'s' if depth > 1 else ''}"
        lines += [f"| {title} | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
        for activation in dict.fromkeys(t.activation for t in trainings):
            cells = [
                _cell([
                    math.log(t.error / base[pair(t)])
                    for t in trainings
                    if (t.activation, t.initialiser) == (activation, column) and depth in (None, t.depth)
                ])
                for column in columns
            ]  # fmt: skip
            lines.append(f"| {activation} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(logarithms: list[float]) -> str:
    if not logarithms:
        return "-"
    less = sum(value < 0 for value in logarithms) / len(logarithms)
    return f"{math.exp(sum(logarithms) / len(logarithms)):.3f} {100 * less:.0f} %"


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def main(words: Sequence[str] | None = None) -> list[Training]:
    """Trains, or reads what was trained, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--problems", type=_words, default=[])
    parser.add_argument("--activations", type=_words, default=ACTIVATIONS)
    parser.add_argument("--depths", type=lambda text: [int(word) for word in _words(text)], default=[1, 2, 4])
    parser.add_argument("--initialisers", type=_words, default=INITIALISERS)
    parser.add_argument("--rates", type=lambda text: [float(word) for word in _words(text)], default=[0.001, 0.01])
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--json", type=Path, help="trainings are added to it, a line each")
    parser.add_argument("--read", type=Path, nargs="+", help="files of --json")
    options = parser.parse_args(words)
    if options.read:
        lines = [line for path in options.read for line in path.read_text().splitlines()]
        trainings = [Training(**json.loads(line)) for line in lines]
        print(tables(trainings))
        return trainings
    if BASE not in options.initialisers:
        options.initialisers = [BASE, *options.initialisers]
    trainings, start = [], time.process_time()
    for name, path in sources(options.data, options.problems).items():
        for seed in range(options.seeds):
            problem = read(name, path, options.rows, seed)
            for activation in options.activations:
                for shape in (Shape(activation, d, width) for d in options.depths for width in WIDTHS[d]):
                    some = list(train(problem, shape, options, seed))
                    trainings += some
                    if options.json:
                        with options.json.open("a") as file:
                            file.writelines(json.dumps(asdict(training)) + "\n" for training in some)
    problems = len({training.problem for training in trainings})
    print(tables(trainings))
    print(f"{len(trainings)} trainings of {problems} problems, {time.process_time() - start:.0f} s of processor time")
    return trainings


if __name__ == "__main__":
    main()
