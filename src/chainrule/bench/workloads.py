"""What is timed: networks, their data, their first weights, and the operations that their training takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Workload:
    """A network and how it is trained; or, with predict=True, how one sample after another is predicted, or many at a
    time.

    Costs are means over the batch.
    """

    name: str
    """By which it is chosen."""
    title: str
    """In full."""
    sizes: tuple[int, ...]
    """Features, hidden units, ..., outputs."""
    activation: Literal["tanh", "relu", "sigmoid"]
    """Of the hidden layers; the last is softmax, or with squared_error the identity."""
    batch_size: int
    """Samples a batch, or a call."""
    samples: int
    """A multiple of batch_size, so that every batch is full; where they are equal the samples are not shuffled."""
    learning_rate: float = 0.1
    """At every step."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Plain gradient descent, or Adam."""
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"
    """Cross-entropy, or Σ_j (ŷ_j - y_j)²."""
    tokens: tuple[int, int, int] | None = None
    """(vocabulary, dimension, tokens a sample) of an embedding before the first layer; sizes[0] is dimension ·
    tokens."""
    dropout: float = 0.0
    """The part of each hidden layer that is dropped."""
    residual: bool = False
    """Whether hidden layers add their inputs to what they compute, where both are as wide."""
    predict: bool = False
    """Whether samples are predicted, `batch_size` a call, and nothing is trained."""

    @property
    def shuffled(self) -> bool:
        """Whether every epoch takes the samples in a new order."""
        return self.batch_size < self.samples

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return self.samples // self.batch_size

    def shortened(self, part: float) -> Workload:
        """The same with about so large a part of the samples (at least four batches; a full batch stays one).

        Predictions of many samples a call are of fewer.
        """
        if self.predict:
            count = max(1, round(self.samples * part))
            return replace(self, samples=count, batch_size=count)
        if not self.shuffled:
            return self
        return replace(self, samples=self.batch_size * max(4, round(self.steps * part)))

    def operations(self) -> int:
        """Multiplications and additions in the matrix products for one sample.

        For a layer of k inputs and n units: 2kn for Z = A W, and in training 2kn for dW = Aᵀ dZ and 2kn for
        dA = dZ Wᵀ, which the first layer needs only for an embedding before it.
        """
        total = 0
        for number, (k, n) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            products = 1 if self.predict else 3 if number or self.tokens else 2
            total += products * 2 * k * n
        return total


_DIGITS = (784, 256, 10)
_TABLE = (20, 256, 256, 256, 3)
_ALL = (
    Workload("names", "3 tokens · 10 - 200 tanh - 27", (30, 200, 27), "tanh", 32, 64_000, tokens=(27, 10, 3)),
    Workload("mnist32", "784 - 256 sigmoid - 10", _DIGITS, "sigmoid", 32, 25_600),
    Workload("mnist128", "784 - 256 relu - 10", _DIGITS, "relu", 128, 38_400),
    Workload("big", "784 - 1024 - 1024 relu - 10", (784, 1024, 1024, 10), "relu", 256, 5_120, learning_rate=0.05),
    Workload("tiny", "8 - 32 - 32 tanh - 1", (8, 32, 32, 1), "tanh", 32, 64_000, 0.02, loss="squared_error"),
    Workload(
        "matexp", "4 - 32 - 16 tanh - 4, Adam", (4, 32, 16, 4), "tanh", 10_000, 10_000, 1e-3, "adam", "squared_error"
    ),
    Workload(
        "dropout", "784 - 512 - 512 relu - 10, dropout 0.2, Adam", (784, 512, 512, 10), "relu", 128, 12_800, 1e-3,
        "adam", dropout=0.2,
    ),
    Workload("adam32", "784 - 256 sigmoid - 10, Adam", _DIGITS, "sigmoid", 32, 25_600, 1e-3, "adam"),
    Workload("table", "20 - 256 - 256 - 256 relu - 3, Adam", _TABLE, "relu", 256, 51_200, 1e-3, "adam"),
    Workload(
        "residual", "64 - 256 - 8 × 256 relu, each added to its input - 10", (64, *[256] * 9, 10), "relu", 256, 12_800,
        0.02, residual=True,
    ),
    Workload("row", "784 - 256 sigmoid - 10, one sample a call", _DIGITS, "sigmoid", 1, 1, predict=True),
    Workload(
        "rowtiny", "8 - 32 - 32 tanh - 1, one sample a call", (8, 32, 32, 1), "tanh", 1, 1, loss="squared_error",
        predict=True,
    ),
    Workload(
        "rows", "20 - 256 - 256 - 256 relu - 3, 1,000,000 samples a call", _TABLE, "relu", 1_000_000, 1_000_000,
        predict=True,
    ),
)  # fmt: skip

WORKLOADS = {workload.name: workload for workload in _ALL}
"""All, by name."""


@dataclass(frozen=True)
class Problem:
    """A workload with its numbers."""

    workload: Workload
    """What is to be done with them."""
    X: Array
    """(samples, sizes[0]) float32, or (samples, tokens) int64."""
    Y: Array
    """Labels (samples,) int64, or (samples, outputs) float32."""
    weights: tuple[Array, ...]
    """Of each layer, float32."""
    biases: tuple[Array, ...]
    """Of each layer, float32."""
    embedding: Array | None
    """(vocabulary, dimension) float32, or None."""


def problem(workload: Workload) -> Problem:
    """The data and the first weights, the same in every process.

    W ~ N(0, 1/k) for k inputs, of layers that add their inputs a quarter of it, b = 0.  The targets can be learned,
    though not wholly, so that a contender that does something else ends its first epoch with another cost.
    """
    rng = np.random.default_rng(0)
    layers = list(zip(workload.sizes, workload.sizes[1:], strict=False))
    weights = tuple(
        (rng.standard_normal((k, n)) * (0.25 if workload.residual and k == n else 1) / math.sqrt(k)).astype(np.float32)
        for k, n in layers
    )
    biases = tuple(np.zeros(n, np.float32) for _, n in layers)
    embedding = None
    if workload.tokens:
        vocabulary, dimension, count = workload.tokens
        embedding = rng.standard_normal((vocabulary, dimension)).astype(np.float32)
        X: Array = rng.integers(0, vocabulary, (workload.samples, count))
        Y: Array = (X[:, -1] * 7) % workload.sizes[-1]
        Y = _with_errors(Y, workload.sizes[-1], rng)
    elif workload.name == "matexp":
        X = rng.standard_normal((workload.samples, 4)).astype(np.float32)
        Y = exponential(X.astype(np.float64).reshape(-1, 2, 2)).reshape(-1, 4).astype(np.float32)
    else:
        X = rng.standard_normal((workload.samples, workload.sizes[0]), np.float32)
        teacher = rng.standard_normal((workload.sizes[0], workload.sizes[-1])) / math.sqrt(workload.sizes[0])
        scores = X @ teacher.astype(np.float32)
        if workload.loss == "cross_entropy":
            Y = _with_errors(scores.argmax(1), workload.sizes[-1], rng)
        else:
            Y = (np.sin(2 * scores) + 0.1 * rng.standard_normal(scores.shape)).astype(np.float32)
    return Problem(workload, X, Y, weights, biases, embedding)


def _with_errors(labels: Array, classes: int, rng: np.random.Generator) -> Array:
    """The labels, a fifth of them drawn anew."""
    wrong = rng.random(labels.shape) < 0.2
    return np.where(wrong, rng.integers(0, classes, labels.shape), labels).astype(np.int64)


def exponential(M: NDArray[np.float64]) -> NDArray[np.float64]:
    """exp(M) = Σ_k M^k / k! for a stack of square matrices (..., n, n), by scaling and squaring.

    exp(M) = exp(M / 2^s)^(2^s), with ‖M‖ / 2^s below 1/2 and the series to order 14.  Source: Moler, Van Loan 2003.
    """
    norm = float(np.abs(M).sum(-1).max()) if M.size else 0.0
    squarings = max(0, math.ceil(math.log2(norm)) + 1) if norm > 0 else 0
    small = M / 2.0**squarings
    term = np.broadcast_to(np.eye(M.shape[-1]), M.shape)
    total = term.copy()
    for k in range(1, 15):
        term = term @ small / k
        total += term
    for _ in range(squarings):
        total = total @ total
    return total
