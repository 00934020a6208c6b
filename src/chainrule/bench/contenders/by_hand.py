"""Forward and backward propagation written out in NumPy: every array made beforehand, every operation in place."""

from __future__ import annotations

import numpy as np

from chainrule.bench.workloads import Array, Problem

BLOCK = 1024
"""Samples that are predicted at a time."""


class ByHand:
    """Parameters and gradients lie in one flat array each, so that the optimizer runs over all of them at once."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.problem = problem
        w = self.workload = problem.workload
        self.rng = np.random.default_rng(1)
        m = self.m = min(w.batch_size, BLOCK) if w.predict else w.batch_size
        first = [*problem.weights, *problem.biases]
        if problem.embedding is not None:
            first.append(problem.embedding)
        self.first = np.concatenate([array.reshape(-1) for array in first])
        self.flat = self.first.copy()
        self.slopes = np.zeros_like(self.flat)
        self.t = 0
        self.M, self.V, self.T = (np.zeros_like(self.flat) for _ in range(3))
        parameters, gradients, offset = [], [], 0
        for array in first:
            piece = slice(offset, offset + array.size)
            parameters.append(self.flat[piece].reshape(array.shape))
            gradients.append(self.slopes[piece].reshape(array.shape))
            offset += array.size
        layers = len(problem.weights)
        self.W, self.b = parameters[:layers], parameters[layers : 2 * layers]
        self.dW, self.db = gradients[:layers], gradients[layers : 2 * layers]
        self.E: Array | None = parameters[-1] if w.tokens else None
        self.dE: Array | None = gradients[-1] if w.tokens else None
        self.A = [np.empty((m, n), np.float32) for n in w.sizes]
        self.dZ = [np.empty((m, n), np.float32) for n in w.sizes]
        # Of layers that add their inputs: what they add to them, and the slope by the sum.
        adding = [number > 0 and self._adds(number - 1) for number in range(len(w.sizes))]
        self.added = [np.empty_like(A) if adds else A for A, adds in zip(self.A, adding, strict=True)]
        self.slope = [np.empty_like(A) if adds else A for A, adds in zip(self.A, adding, strict=True)]
        self.scratch = [np.empty((m, n), np.float32) for n in w.sizes]
        self.keep = [np.empty((m, n), np.float32) for n in w.sizes]
        self.rows = np.arange(m)
        self.ones = np.ones(m, np.float32)
        self.columns = np.empty((m, 1), np.float32)
        self.onehot = np.zeros((m * w.tokens[2], w.tokens[0]), np.float32) if w.tokens else None
        self.all_rows = np.arange(m * w.tokens[2]) if w.tokens else None

    def reset(self) -> None:
        """The first weights; Adam's moments 0."""
        self.flat[...] = self.first
        self.M[...] = 0
        self.V[...] = 0
        self.t = 0

    def train(self, epochs: int) -> float:
        """Batch by batch."""
        w, X, Y = self.workload, self.problem.X, self.problem.Y
        m, first = w.batch_size, 0.0
        for epoch in range(epochs):
            order = self.rng.permutation(w.samples) if w.shuffled else None
            total = 0.0
            for start in range(0, w.samples, m):
                if order is None:
                    self._read(X)
                    total += self._step(X, Y)
                else:
                    batch = order[start : start + m]
                    tokens = self._read(X, batch)
                    total += self._step(tokens, Y[batch])
            if epoch == 0:
                first = total / w.steps
        return first

    def _read(self, X: Array, batch: Array | None = None) -> Array:
        """The batch's values into A[0]; its tokens, if it has any."""
        if self.E is not None:
            assert self.workload.tokens is not None and batch is not None
            tokens = X[batch]
            _, dimension, count = self.workload.tokens
            np.take(self.E, tokens, axis=0, out=self.A[0].reshape(-1, count, dimension), mode="clip")
            return tokens
        if batch is None:
            self.A[0] = X
        else:
            np.take(X, batch, axis=0, out=self.A[0], mode="clip")
        return X

    def _forward(self, training: bool) -> None:
        w, last = self.workload, len(self.W)
        for number in range(last):
            z = self.A[number + 1]
            np.matmul(self.A[number], self.W[number], out=z)
            z += self.b[number]
            if number == last - 1:
                break
            if w.activation == "tanh":
                np.tanh(z, out=z)
            elif w.activation == "relu":
                np.maximum(z, 0, out=z)
            else:
                np.negative(z, out=z)
                np.exp(z, out=z)
                z += 1
                np.reciprocal(z, out=z)
            if self._adds(number):
                np.copyto(self.added[number + 1], z)
                z += self.A[number]
            if training and w.dropout:
                keep = self.keep[number + 1]
                # Two random bytes for each unit: a third faster than random numbers of float32.
                bits = np.frombuffer(self.rng.bytes(2 * keep.size), np.uint16).reshape(keep.shape)
                np.greater_equal(bits, np.uint16(w.dropout * 65536), out=keep)
                keep *= np.float32(1 / (1 - w.dropout))
                z *= keep

    def _adds(self, number: int) -> bool:
        """Whether layer `number` adds its input to what it computes."""
        w = self.workload
        return w.residual and number < len(self.W) - 1 and w.sizes[number] == w.sizes[number + 1]

    def _softmax(self, z: Array, out: Array) -> None:
        np.max(z, axis=1, keepdims=True, out=self.columns)
        np.subtract(z, self.columns, out=out)
        np.exp(out, out=out)
        np.sum(out, axis=1, keepdims=True, out=self.columns)
        out /= self.columns

    def _step(self, tokens: Array, Y: Array) -> float:
        """One batch, read already: its cost before the update."""
        w, m, last = self.workload, self.workload.batch_size, len(self.W)
        self._forward(True)
        d = self.dZ[last]
        if w.loss == "cross_entropy":
            self._softmax(self.A[last], d)
            cost = -float(np.log(d[self.rows, Y]).mean())
            d[self.rows, Y] -= 1
            d *= np.float32(1 / m)
        else:
            np.subtract(self.A[last], Y, out=d)
            cost = float(np.vdot(d, d)) / m
            d *= np.float32(2 / m)
        for number in range(last - 1, -1, -1):
            np.matmul(self.A[number].T, d, out=self.dW[number])
            np.matmul(self.ones, d, out=self.db[number])
            if number or w.tokens:
                np.matmul(d, self.W[number].T, out=self.dZ[number])
            if number:
                if self._adds(number):
                    self.dZ[number] += self.slope[number + 1]
                if self._adds(number - 1):
                    np.copyto(self.slope[number], self.dZ[number])
                d = self._through(number)
        if self.dE is not None:
            assert self.onehot is not None
            self.onehot.fill(0)
            self.onehot[self.all_rows, tokens.reshape(-1)] = 1
            np.matmul(self.onehot.T, self.dZ[0].reshape(-1, self.dE.shape[1]), out=self.dE)
        self._update()
        return cost

    def _through(self, number: int) -> Array:
        """dZ = dA ∘ g'(Z) of a hidden layer, g' from A = g(Z)."""
        w, a, d, t = self.workload, self.added[number], self.dZ[number], self.scratch[number]
        if w.dropout:
            d *= self.keep[number]
        if w.activation == "tanh":
            np.multiply(a, a, out=t)
            np.subtract(1, t, out=t)
        elif w.activation == "relu":
            np.greater(a, 0, out=t)
        else:
            np.subtract(1, a, out=t)
            t *= a
        d *= t
        return d

    def _update(self) -> None:
        """w ← w - η g, or Adam."""
        g, T = self.slopes, self.T
        rate = self.workload.learning_rate
        if self.workload.optimizer == "sgd":
            g *= np.float32(rate)
            self.flat -= g
            return
        self.t += 1
        self.M *= np.float32(0.9)
        np.multiply(g, np.float32(0.1), out=T)
        self.M += T
        self.V *= np.float32(0.999)
        g *= g
        g *= np.float32(0.001)
        self.V += g
        np.sqrt(self.V, out=T)
        T *= np.float32(1 / (1 - 0.999**self.t) ** 0.5)
        T += np.float32(1e-8)
        np.divide(self.M, T, out=T)
        T *= np.float32(rate / (1 - 0.9**self.t))
        self.flat -= T

    def predict(self, x: Array) -> Array:
        """The forward pass, of so many samples at a time that their values stay in the caches."""
        found = np.empty((len(x), self.workload.sizes[-1]), np.float32)
        whole = list(self.A), self.columns
        for start in range(0, len(x), self.m):
            rows = x[start : start + self.m]
            if len(rows) < self.m:
                self.A, self.columns = [A[: len(rows)] for A in self.A], self.columns[: len(rows)]
            self.A[0] = rows
            self._forward(False)
            if self.workload.loss == "cross_entropy":
                self._softmax(self.A[-1], found[start : start + self.m])
            else:
                found[start : start + self.m] = self.A[-1]
        self.A, self.columns = whole
        return found

    def about(self) -> str:
        """The version, and the kernels that its products run on, as threadpoolctl finds them."""
        return f"NumPy {np.__version__}, {blas()}"


def blas() -> str:
    """The matrix library that NumPy has loaded, with the kernels it chose for this processor."""
    try:
        from importlib import import_module

        loaded = import_module("threadpoolctl").threadpool_info()
    except ImportError:
        return "kernels unknown without threadpoolctl"
    libraries = [
        f"{x['internal_api']} {x['version']} with {x.get('architecture', 'unknown')} kernels"
        for x in loaded
        if x["user_api"] == "blas"
    ]
    return ", ".join(dict.fromkeys(libraries)) or "no matrix library known to threadpoolctl"
