"""PyTorch: eager, in the fastest of its natural forms, and through torch.compile."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from chainrule.bench.workloads import Array, Problem

IN_CACHE = 8 << 20
"""Bytes of data up to which shuffling all of it at once is faster than gathering batch by batch."""


class Eager:
    """nn.Sequential; for SGD torch.autograd.grad and one in-place update of all weights, for Adam the fused one."""

    def __init__(self, problem: Problem, threads: int) -> None:
        torch: Any = import_module("torch")
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.torch, self.threads = torch, threads
        self.problem = problem
        w = self.workload = problem.workload
        nn, functional = torch.nn, torch.nn.functional
        self.X, self.Y = torch.from_numpy(problem.X), torch.from_numpy(problem.Y)
        activation = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}[w.activation]
        layers: list[Any] = []
        if w.tokens:
            layers += [nn.Embedding(w.tokens[0], w.tokens[1]), nn.Flatten()]
        for number, (k, n) in enumerate(zip(w.sizes, w.sizes[1:], strict=False)):
            if w.residual and k == n:
                layers.append(_adding(nn)(nn.Sequential(nn.Linear(k, n), activation())))
                continue
            layers.append(nn.Linear(k, n))
            if number < len(w.sizes) - 2:
                layers.append(activation())
                if w.dropout:
                    layers.append(nn.Dropout(w.dropout))
        self.net = nn.Sequential(*layers)
        self.parameters = list(self.net.parameters())
        if w.loss == "cross_entropy":
            self.cost: Any = lambda x, y: functional.cross_entropy(self.net(x), y)
            self.last: Any = torch.nn.Softmax(1)
        else:
            self.cost = lambda x, y: functional.mse_loss(self.net(x), y) * w.sizes[-1]
            self.last = torch.nn.Identity()
        self.reset()

    def reset(self) -> None:
        """The first weights and a new optimizer."""
        torch = self.torch
        first = [] if self.problem.embedding is None else [self.problem.embedding]
        for W, b in zip(self.problem.weights, self.problem.biases, strict=True):
            first += [W.T, b]
        with torch.no_grad():
            for parameter, array in zip(self.parameters, first, strict=True):
                parameter.copy_(torch.from_numpy(array))
        self.net.train(not self.workload.predict)
        if self.workload.optimizer == "adam":
            self.adam = torch.optim.Adam(self.parameters, lr=self.workload.learning_rate, fused=True)

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        w, X, Y = self.workload, self.X, self.Y
        if not w.shuffled:
            yield X, Y
            return
        order = self.torch.randperm(w.samples)
        if self.problem.X.nbytes <= IN_CACHE:
            yield from zip(X[order].split(w.batch_size), Y[order].split(w.batch_size), strict=True)
            return
        for batch in order.split(w.batch_size):
            yield X[batch], Y[batch]

    def train(self, epochs: int) -> float:
        """The costs are added up as a tensor, without asking for their values in between."""
        torch, w, first = self.torch, self.workload, 0.0
        for epoch in range(epochs):
            total = torch.zeros(())
            for x, y in self._batches():
                cost = self.cost(x, y)
                if w.optimizer == "adam":
                    cost.backward()
                    self.adam.step()
                    self.adam.zero_grad()
                else:
                    gradients = torch.autograd.grad(cost, self.parameters)
                    with torch.no_grad():
                        torch._foreach_add_(self.parameters, gradients, alpha=-w.learning_rate)
                total += cost.detach()
            if epoch == 0:
                first = float(total) / w.steps
        return first

    def predict(self, x: Array) -> Array:
        """Without recording for gradients."""
        torch = self.torch
        with torch.inference_mode():
            prediction: Array = self.last(self.net(torch.from_numpy(x))).numpy()
        return prediction

    def about(self) -> str:
        """The version and the vector instructions it chose."""
        return f"PyTorch {self.torch.__version__} ({self.torch.backends.cpu.get_cpu_capability()})"


def _adding(nn: Any) -> Any:
    """The module A + f(A)."""

    class Adding(nn.Module):  # type: ignore[misc]
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, A: Any) -> Any:
            return A + self.inner(A)

    return Adding


class Compiled(Eager):
    """The forward and backward pass through torch.compile; needs a C++ compiler on the machine."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        warnings.simplefilter("ignore")
        self.cost = self.torch.compile(self.cost)


class MediumProducts(Eager):
    """torch.set_float32_matmul_precision("medium"): float32 everywhere, products in bfloat16 where it chooses so."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        self.torch.set_float32_matmul_precision("medium")


class Autocast(Eager):
    """float32 weights; products, and what PyTorch takes along, in bfloat16."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        cost, autocast = self.cost, self.torch.autocast

        def cast(x: Any, y: Any) -> Any:
            with autocast("cpu", self.torch.bfloat16):
                return cost(x, y)

        self.cost = cast


class Bfloat16(Eager):
    """Weights, values, gradients and updates: all bfloat16."""

    def __init__(self, problem: Problem, threads: int) -> None:
        super().__init__(problem, threads)
        self.net.bfloat16()
        self.parameters = list(self.net.parameters())
        narrow = self.torch.bfloat16
        self.X = self.X if self.workload.tokens else self.X.to(narrow)
        self.Y = self.Y.to(narrow) if self.Y.is_floating_point() else self.Y
        self.reset()
