"""chainrule itself, through its public face: Network.fit and Network.predict with the compiled engine."""

from __future__ import annotations

import itertools
from importlib.metadata import version

from chainrule.bench.workloads import Array, Problem, Workload
from chainrule.describe.combine import Residual
from chainrule.describe.embedding import Embedding
from chainrule.describe.layers import Dense, Dropout, Layer
from chainrule.describe.optimizers import SGD, Adam
from chainrule.network import Network


def network(workload: Workload, precision: str = "highest") -> Network:
    """The workload's network."""
    layers: list[Layer] = []
    if workload.tokens:
        layers.append(Embedding(workload.tokens[0], workload.tokens[1]))
    for width, units in itertools.pairwise(workload.sizes[:-1]):
        dense = Dense(units, workload.activation)
        layers.append(Residual([dense]) if workload.residual and width == units else dense)
        if workload.dropout:
            layers.append(Dropout(workload.dropout))
    layers.append(Dense(workload.sizes[-1], "softmax" if workload.loss == "cross_entropy" else "identity"))
    inputs = workload.tokens[2] if workload.tokens else workload.sizes[0]
    return Network(inputs, layers, workload.loss, precision=precision, engine="compiled")


class Product:
    """The compiled engine; how many threads it uses, up to the processors it may use, is its own choice."""

    precision = "highest"
    """Of its products."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        self.workload = problem.workload
        rate = self.workload.learning_rate
        self.optimizer = SGD(rate) if self.workload.optimizer == "sgd" else Adam(rate)
        self.network = network(self.workload, self.precision)
        self.reset()

    def reset(self) -> None:
        """The first weights; a fit has fresh slots by itself."""
        arrays = self.network.parameters
        for number, (W, b) in enumerate(zip(self.problem.weights, self.problem.biases, strict=True), 1):
            arrays[f"W{number}"][...] = W
            arrays[f"b{number}"][...] = b
        if self.problem.embedding is not None:
            arrays["E"][...] = self.problem.embedding

    def train(self, epochs: int) -> float:
        """Network.fit."""
        history = self.network.fit(
            self.problem.X,
            self.problem.Y,
            epochs=epochs,
            batch_size=self.workload.batch_size,
            optimizer=self.optimizer,
            shuffle=self.workload.shuffled,
            verbose=False,
        )
        return float(history[0].cost)

    def predict(self, x: Array) -> Array:
        """Network.predict."""
        prediction: Array = self.network.predict(x)
        return prediction

    def about(self) -> str:
        """The version and the machine it compiles for."""
        from chainrule.engines.llvm import target

        host = target.host()
        return f"chainrule {version('chainrule')}, llvmlite {version('llvmlite')}, for {host.cpu}"


class High(Product):
    """The same with three products of bfloat16 numbers for each."""

    precision = "high"


class Medium(Product):
    """The same with one product of bfloat16 numbers for each."""

    precision = "medium"
