"""The figures of graphs: ensembles that share matrices, embeddings of numbers, residual networks, grouped products.

    python benchmarks/graphs.py [--only members,embeddings,residual,products] [--turns 7]

members: a step of 32 members that share 3 x 256, batch 256, beside PyTorch in eager mode.  embeddings: 20 columns of
numbers by waves (16 -> 4) before 3 x 256, beside PyTorch.  residual: 8 blocks of 256, batch 256, and the rate of
multiply-adds beside that of the plain chain of the same products.  products: the share of the ceiling of multiply-adds
that grouped products reach.

One core; both sides in turns, by the processor's time, the median of the ratios.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels.batch_product import batch_product, batch_scratch
from chainrule.engines.compiled.kernels.feature_product import feature_product
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import WHOLE, Group, store_tile
from chainrule.engines.cost import operations
from chainrule.engines.llvm import jit, target
from chainrule.engines.llvm.emit import Function, Module
from kernels import ceiling, seconds

BATCH, STEPS = 256, 20
"""Samples of a batch, and steps of a turn: an epoch."""
PARTS = ("members", "embeddings", "residual", "products")
Turn = Callable[[], float]
"""Makes STEPS steps; the processor's seconds of each."""


def chainrule_turn(layers: Sequence[Any], inputs: int, X: np.ndarray, Y: np.ndarray) -> tuple[Turn, cr.Network]:
    """Steps of Adam on one thread."""
    net = cr.Network(inputs, layers, "squared_error", engine="compiled", seed=0)

    def turn() -> float:
        start = time.process_time()
        net.fit(X, Y, epochs=1, batch_size=BATCH, optimizer=cr.Adam(1e-4), threads=1, shuffle=False)
        return (time.process_time() - start) / STEPS

    turn()
    return turn, net


def torch_turn(make: Callable[[Any], Any], X: np.ndarray, Y: np.ndarray) -> Turn | None:
    """The same in eager mode; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = make(torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    batches = list(zip(torch.from_numpy(X).split(BATCH), torch.from_numpy(Y).split(BATCH), strict=True))

    def turn() -> float:
        start = time.process_time()
        for x, y in batches:
            optimizer.zero_grad()
            model.cost(x, y).backward()
            optimizer.step()
        return (time.process_time() - start) / STEPS

    turn()
    return turn


def in_turns(first: Turn, second: Turn | None, net: cr.Network, turns: int) -> tuple[float, float, float, float]:
    """The medians: of each side's seconds, of second / first, and of the share of the ceiling that the first reaches.

    The ceiling is read between the turns, as whatever else the machine does changes it too.
    """
    layout = PanelLayout(target.host(), "float32")
    work = operations(cr.derive(net.spec, input_gradient=False), BATCH) / 2 / layout.lanes
    peak = ceiling(layout)
    rows = []
    for _ in range(turns):
        before, a, after = peak(), first(), peak()
        b = second() if second is not None else float("nan")
        rows.append((a, b, b / a, work / a / (before + after) * 2))
    a, b, ratio, share = (statistics.median(column) for column in zip(*rows, strict=True))
    return a, b, ratio, share


def data(inputs: int, outputs: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Samples of float32."""
    rng = np.random.default_rng(0)
    return (rng.standard_normal((BATCH * STEPS, n)).astype(np.float32) for n in (inputs, outputs))  # type: ignore[return-value]


def beside(name: str, ours: Turn, theirs: Turn | None, net: cr.Network, turns: int) -> None:
    """A line of the table."""
    mine, its, ratio, share = in_turns(ours, theirs, net, turns)
    peer = f"PyTorch {its * 1e3:.2f} ms: {ratio:.2f} x" if theirs is not None else "PyTorch is not there"
    print(f"{name}: {mine * 1e3:.2f} ms a step ({share:.0%} of the ceiling), {peer}")


def members(turns: int) -> None:
    """32 members that share 3 x 256."""
    k, inputs, units = 32, 20, 256
    X, Y = data(inputs)

    def make(torch: Any) -> Any:
        class Shared(torch.nn.Module):  # type: ignore[misc,name-defined]
            def __init__(self, n: int) -> None:
                super().__init__()
                self.r = torch.nn.Parameter(torch.ones(k, n))
                self.weight = torch.nn.Parameter(torch.randn(n, units) / n**0.5)
                self.s = torch.nn.Parameter(torch.ones(k, units))
                self.b = torch.nn.Parameter(torch.zeros(k, units))

            def forward(self, a: Any) -> Any:
                return torch.relu((a * self.r) @ self.weight * self.s + self.b)

        class Ensemble(torch.nn.Module):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.hidden = torch.nn.Sequential(*(Shared(n) for n in (inputs, units, units)))
                self.heads = torch.nn.Parameter(torch.randn(k, units, 1) / 16)
                self.bias = torch.nn.Parameter(torch.zeros(k, 1))

            def cost(self, x: Any, y: Any) -> Any:
                a = self.hidden(x[:, None].expand(-1, k, -1))
                z = torch.einsum("mka,kab->mkb", a, self.heads) + self.bias
                return ((z - y[:, None]) ** 2).mean()

        return Ensemble()

    ours, net = chainrule_turn(cr.batch_ensemble(k, [units] * 3, 1), inputs, X, Y)
    beside("32 members sharing 3 x 256", ours, torch_turn(make, X, Y), net, turns)


def residual(turns: int) -> None:
    """8 blocks, and the chain of the same products."""
    X, Y = data(256)
    block = [cr.Residual(cr.Dense(256, "relu"), cr.Dense(256)) for _ in range(8)]
    chain = [layer for _ in range(8) for layer in (cr.Dense(256, "relu"), cr.Dense(256))]
    ours, net = chainrule_turn([*block, cr.Dense(1)], 256, X, Y)
    plain, _ = chainrule_turn([*chain, cr.Dense(1)], 256, X, Y)
    mine, its, ratio, share = in_turns(ours, plain, net, turns)
    print(f"residual, 8 blocks of 256: {mine * 1e3:.2f} ms a step ({share:.0%} of the ceiling), chain "
          f"{its * 1e3:.2f} ms: {ratio:.1%} of its rate")  # fmt: skip


def embeddings(turns: int) -> None:
    """20 columns by waves, 16 -> 4, before 3 x 256."""
    inputs, waves, each = 20, 16, 4
    X, Y = data(inputs)

    def make(torch: Any) -> Any:
        class Model(torch.nn.Module):  # type: ignore[misc,name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.w = torch.nn.Parameter(torch.randn(inputs, waves) * 0.1)
                self.phase = torch.nn.Parameter(torch.rand(inputs, waves))
                self.weight = torch.nn.Parameter(torch.randn(inputs, waves, each) / 4)
                self.bias = torch.nn.Parameter(torch.zeros(inputs, each))
                widths = (inputs * each, 256, 256, 256)
                dense = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(widths)]
                layers = [layer for linear in dense for layer in (linear, torch.nn.ReLU())]
                self.rest = torch.nn.Sequential(*layers, torch.nn.Linear(256, 1))

            def cost(self, x: Any, y: Any) -> Any:
                f = torch.cos(2 * torch.pi * (x[:, :, None] * self.w + self.phase))
                z = torch.relu(torch.einsum("mcf,cfd->mcd", f, self.weight) + self.bias)
                return ((self.rest(z.flatten(1)) - y) ** 2).mean()

        return Model()

    layers = [cr.Periodic(each, "relu", frequencies=waves), *(cr.Dense(256, "relu") for _ in range(3)), cr.Dense(1)]
    ours, net = chainrule_turn(layers, inputs, X, Y)
    beside("20 columns by waves (16 -> 4) before 3 x 256", ours, torch_turn(make, X, Y), net, turns)


SIZES = [(20, 16, 4, 1), (20, 1, 16, 1), (8, 64, 64, 1), (32, 256, 1, 1), (32, 16, 16, 1), (1, 256, 256, 32)]
"""(groups, a, b, members)"""


def products(turns: int) -> None:
    """The share of the ceiling that the three grouped products reach, on 256 samples."""
    layout = PanelLayout(target.host(), "float32")
    peak = ceiling(layout)
    print(f"{'groups, a, b, members':>24} {'forward':>9} {'backward':>9} {'batch':>9}")
    for size in SIZES:
        shares: list[list[float]] = [[], [], []]
        calls, work = grouped_products(layout, *size)
        for _ in range(turns):
            for call, kept in zip(calls, shares, strict=True):
                before = peak()
                spent = seconds(call, 0.01)
                kept.append(work / layout.lanes / spent / (before + peak()) * 2)
        reached = " ".join(f"{statistics.median(x):9.1%}" for x in shares)
        print(f"{', '.join(map(str, size)):>24} {reached}", flush=True)


def grouped_products(
    layout: PanelLayout, groups: int, a: int, b: int, members: int
) -> tuple[list[Callable[[], None]], int]:
    """forward, backward and batch as calls, and the multiply-adds of each."""
    module, wide = Module(layout.target), groups * members
    kinds: dict[str, Callable[[Function, Group, tuple[Any, ...]], None]] = {
        "forward": lambda f, g, p: feature_product(
            f, layout, weight=p[0], values=p[1], out=p[2], k=a, n=b, m=BATCH, group=g, members=members,
            epilogue=lambda t: store_tile(f, layout, p[2], t),
        ),
        "backward": lambda f, g, p: feature_product(
            f, layout, weight=p[0], values=p[2], out=p[1], k=a, n=b, m=BATCH, group=g, members=members, backward=True,
            epilogue=lambda t: store_tile(f, layout, p[1], t),
        ),
        "batch": lambda f, g, p: batch_product(
            f, layout, values=p[1], slopes=p[2], scratch=p[3], out=p[0], k=a, n=b, m=BATCH, group=g, members=members,
            epilogue=lambda t: store_tile(f, layout, p[0], t),
        ),
    }  # fmt: skip
    for name, emit in kinds.items():
        f = module.function(name, ["ptr"] * 4)
        if groups == 1:
            emit(f, WHOLE, f.args)
        else:
            f.loop(0, groups, lambda k, f=f, emit=emit: emit(f, Group(groups, k), f.args))  # type: ignore[misc]
        f.ret()
    code = jit.compile_module(module)
    sizes = layout.weight_size(groups * a, b), layout.batch_size(BATCH, wide * a), layout.batch_size(BATCH, wide * b)
    arrays = [pack.aligned(n, layout.dtype) for n in (*sizes, batch_scratch(layout, BATCH, members))]
    for array in arrays:
        array[:] = 1e-3
    functions = [code.function(name, *[ctypes.c_void_p] * 4) for name in kinds]
    places = [x.ctypes.data for x in arrays]

    def call(function: Any) -> Callable[[], None]:
        return lambda: function(*places) if len(arrays) == 4 else None  # the arrays live as long as this

    return [call(function) for function in functions], BATCH * wide * a * b


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help=", ".join(PARTS))
    parser.add_argument("--turns", type=int, default=7)
    choice = parser.parse_args()
    for part in choice.only.split(","):
        {"members": members, "embeddings": embeddings, "residual": residual, "products": products}[part](choice.turns)


if __name__ == "__main__":
    main()
