"""JAX: the whole epoch in one lax.scan, and step by step; in bfloat16 as well."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from chainrule.bench.workloads import Array, Problem


class _Jax:
    """What all forms share: the loss, its gradient and the update, for jit to compile."""

    narrow = False
    """Whether values and products are of bfloat16, and weights, sums over the batch and updates of float32."""

    def __init__(self, problem: Problem, threads: int) -> None:
        jax: Any = import_module("jax")
        jnp: Any = import_module("jax.numpy")
        self.jax, self.jnp = jax, jnp
        self.problem = problem
        w = self.workload = problem.workload
        self.rng = np.random.default_rng(1)
        self.epoch_number = 0
        activate = {"tanh": jnp.tanh, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}[w.activation]

        def output(P: Any, x: Any, key: Any) -> Any:
            E, layers = P
            if E is not None:
                x = E[x].reshape(x.shape[0], -1)
            if self.narrow:
                x = x.astype(jnp.bfloat16)
                layers = [(W.astype(jnp.bfloat16), b.astype(jnp.bfloat16)) for W, b in layers]
            for number, (W, b) in enumerate(layers):
                before = x
                x = x @ W + b
                if number < len(layers) - 1:
                    x = activate(x)
                    if w.residual and x.shape == before.shape:
                        x = before + x
                    if w.dropout and key is not None:
                        keep = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - w.dropout, x.shape)
                        x = jnp.where(keep, x / (1 - w.dropout), 0)
            return x.astype(jnp.float32)

        def cost(P: Any, x: Any, y: Any, key: Any) -> Any:
            z = output(P, x, key)
            if w.loss == "cross_entropy":
                return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))
            return jnp.mean(jnp.sum((z - y) ** 2, 1))

        def step(state: Any, x: Any, y: Any, key: Any) -> Any:
            P, M, V, t = state
            value, gradients = jax.value_and_grad(cost)(P, x, y, key)
            if w.optimizer == "sgd":
                return (jax.tree.map(lambda p, g: p - w.learning_rate * g, P, gradients), M, V, t), value
            t = t + 1
            M = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, M, gradients)
            V = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, V, gradients)
            a, b = w.learning_rate / (1 - 0.9**t), 1 / jnp.sqrt(1 - 0.999**t)
            P = jax.tree.map(lambda p, m, v: p - a * m / (jnp.sqrt(v) * b + 1e-8), P, M, V)
            return (P, M, V, t), value

        self.step = step
        last = jax.nn.softmax if w.loss == "cross_entropy" else (lambda z: z)
        self.forward = jax.jit(lambda P, x: last(output(P, x, None)))
        self.reset()

    def reset(self) -> None:
        """The first weights; Adam's moments 0."""
        jnp, tree = self.jnp, self.jax.tree
        layers = [(jnp.array(W), jnp.array(b)) for W, b in zip(self.problem.weights, self.problem.biases, strict=True)]
        P = (None if self.problem.embedding is None else jnp.array(self.problem.embedding), layers)
        adam = self.workload.optimizer == "adam"
        M, V = (tree.map(jnp.zeros_like, P) if adam else None for _ in range(2))
        self.state = self.jax.block_until_ready((P, M, V, jnp.zeros((), jnp.float32)))

    def key(self) -> Any:
        """A new key for an epoch's dropout masks; the default generator is faster here than XLA's own ("rbg")."""
        self.epoch_number += 1
        return self.jax.random.key(self.epoch_number) if self.workload.dropout else None

    def order(self) -> Array:
        """An epoch's batches, (steps, batch_size)."""
        w = self.workload
        order = self.rng.permutation(w.samples) if w.shuffled else np.arange(w.samples)
        return order.astype(np.int32).reshape(-1, w.batch_size)

    def predict(self, x: Array) -> Array:
        """The compiled forward pass, there and back."""
        return np.asarray(self.forward(self.state[0], x))

    def about(self) -> str:
        """The version and the device."""
        return f"JAX {self.jax.__version__} on {self.jax.devices()[0].platform}"


class Scan(_Jax):
    """An epoch is one call: lax.scan over the batches, which are gathered from the whole data inside."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        jax, w = self.jax, self.workload
        narrow = np.int32 if problem.Y.dtype == np.int64 else np.float32
        X = problem.X.astype(np.int32) if w.tokens else problem.X
        self.X, self.Y = self.jnp.array(X), self.jnp.array(problem.Y.astype(narrow))

        def epoch(state: Any, batches: Any, X: Any, Y: Any, key: Any) -> Any:
            def body(state: Any, number_and_batch: Any) -> Any:
                number, batch = number_and_batch
                mask = jax.random.fold_in(key, number) if w.dropout else None
                if not w.shuffled:
                    return self.step(state, X, Y, mask)
                return self.step(state, X[batch], Y[batch], mask)

            state, costs = jax.lax.scan(body, state, (self.jnp.arange(w.steps), batches))
            return state, costs.mean()

        self.epoch = jax.jit(epoch, donate_argnums=0)

    def train(self, epochs: int) -> float:
        """A call an epoch; the next is prepared while one runs."""
        costs = []
        for _ in range(epochs):
            self.state, cost = self.epoch(self.state, self.order(), self.X, self.Y, self.key())
            costs.append(cost)
        self.jax.block_until_ready(self.state)
        return float(costs[0])


class Bfloat16Scan(Scan):
    """Mixed precision as libraries on JAX have it (their layers' `dtype=bfloat16`).

    The presets of jax.default_matmul_precision are none to compare with: on processors they leave float32 products what
    they are.
    """

    narrow = True


class Steps(_Jax):
    """A call a batch, the weights' memory handed on (donated); batches are gathered by NumPy."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        jax = self.jax

        def one(state: Any, total: Any, x: Any, y: Any, key: Any, number: Any) -> Any:
            state, cost = self.step(state, x, y, None if key is None else jax.random.fold_in(key, number))
            return state, total + cost

        self.one = jax.jit(one, donate_argnums=(0, 1))

    def train(self, epochs: int) -> float:
        """Without waiting for a step before the next is sent."""
        X, Y, w = self.problem.X, self.problem.Y, self.workload
        totals = []
        for _ in range(epochs):
            total, key = self.jnp.zeros(()), self.key()
            for number, batch in enumerate(self.order()):
                x, y = (X[batch], Y[batch]) if w.shuffled else (X, Y)
                self.state, total = self.one(self.state, total, x, y, key, number)
            totals.append(total)
        self.jax.block_until_ready(self.state)
        return float(totals[0]) / w.steps
