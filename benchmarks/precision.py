"""What the precision of products costs in accuracy: errors against float64, and what a network learns.

    python benchmarks/precision.py                    the errors, a line for each product
    python benchmarks/precision.py --svg FILE         the same as a picture, docs/images/precision.svg
    python benchmarks/precision.py --mnist FOLDER     test errors of a network after ten epochs, five seeds

Of each workload of `chainrule bench` its widest layer's three products are computed by the compiled engine, as a
program of one equation, from normal numbers.  The error is that of an element relative to ‖row‖ ‖column‖, the root of
the mean square over all elements.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.bench.workloads import WORKLOADS, Workload
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.llvm import target
from chainrule.program.equation import Equation, Program
from chainrule.program.op import MatMul
from chainrule.program.symbol import BATCH, Symbol
from chainrule.program.verify import verify

PRECISIONS = {"highest": 0, "whole tiles": 3, "high": 2, "medium": 1}
"""Parts of each; whole tiles take six products of three parts for `highest`, here vector code in their place."""
FORMS = {"A W": (False, False), "dZ Wᵀ": (False, True), "Aᵀ dZ": (True, False)}
"""Which side stands transposed."""
SEEDS = 5


@dataclass(frozen=True)
class Product:
    """One product of a workload."""

    workload: str
    """Its name."""
    form: str
    """Which of the three."""
    shape: tuple[int, int, int]
    """Rows of the result, what is summed over, columns."""
    errors: dict[str, float]
    """By precision."""
    largest: dict[str, float]
    """The same of the worst element."""


def product(form: str, parts: int, m: int, k: int, n: int) -> Program:
    """The program of one product in a layer of k inputs and n units."""
    turned = FORMS[form]
    left = Symbol("D" if form.startswith("dZ") else "A", (BATCH, n if form.startswith("dZ") else k), "input")
    right = Symbol("D", (BATCH, n), "input") if form.startswith("Aᵀ") else Symbol("W", (k, n), "parameter")
    op = MatMul(*turned, parts)
    shape = op.shape((left, right))
    assert shape is not None
    result = Symbol("C", shape, "inner")
    equation = Equation(result, op, (left, right), "", (), None)
    return verify(Program(given=(left, right), forward=(equation,), prediction=result))


def tiled() -> CompiledEngine:
    """The engine for a processor with matrix tiles, vector code in their place."""
    here = target.host()
    if here.vector_bytes != 64:
        raise SystemExit("vector code in the place of tiles needs AVX-512, which this processor has not")
    return CompiledEngine(np.dtype(np.float32), replace(here, tiles="emulated"))


def measured(workload: Workload, engine: CompiledEngine, tiles: CompiledEngine) -> Iterator[Product]:
    """The three products of its widest layer."""
    k, n = max(zip(workload.sizes, workload.sizes[1:], strict=False), key=lambda pair: pair[0] * pair[1])
    m, rng = min(workload.batch_size, 256), np.random.default_rng(0)
    shapes = {"A": (m, k), "D": (m, n), "W": (k, n)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for form, (left_turned, right_turned) in FORMS.items():
        program = product(form, 0, m, k, n)
        left, right = (arrays[s.name].astype(np.float64) for s in program.given)
        left, right = left.T if left_turned else left, right.T if right_turned else right
        exact = left @ right
        scale = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=0)[None, :]
        errors, largest = {}, {}
        for name, parts in PRECISIONS.items():
            one = product(form, parts, m, k, n)
            given: dict[str, Any] = {s.name: arrays[s.name] for s in one.given} | {BATCH: np.float32(m)}
            found = (tiles if parts == 3 else engine).run(one, given, ("C",))["C"]
            off = abs(found - exact) / scale
            errors[name], largest[name] = float(np.sqrt(np.mean(off**2))), float(off.max())
        yield Product(workload.name, form, (exact.shape[0], left.shape[1], exact.shape[1]), errors, largest)


def all_products() -> list[Product]:
    """Of every workload that trains, each shape once."""
    engine, tiles = CompiledEngine(np.dtype(np.float32)), tiled()
    found = [p for w in WORKLOADS.values() if not w.predict for p in measured(w, engine, tiles)]
    first: dict[Any, Product] = {}
    for one in found:
        first.setdefault((one.form, one.shape), one)
    return list(first.values())


def lines(products: list[Product]) -> Iterator[str]:
    """A line for each."""
    heads = [*PRECISIONS, "whole / highest", "the worst"]
    yield f"{'':10} {'':7} {'(rows, depth, columns)':24}" + "".join(f"{name:>16}" for name in heads)
    for p in products:
        errors = "".join(f"{p.errors[name]:16.1e}" for name in PRECISIONS)
        ratios = "".join(f"{by['whole tiles'] / by['highest']:16.2f}" for by in (p.errors, p.largest))
        yield f"{p.workload:10} {p.form:7} {p.shape!s:24}{errors}{ratios}"


# --- the picture ------------------------------------------------------------------------------------------------------

LEFT, TOP, ROW, WIDTH, FROM, TO = 196, 46, 17, 430, -9, -2
COLOURS = {"highest": "#1f6fb4", "whole tiles": "#2a9d5c", "high": "#c7821a", "medium": "#b5403b"}


def picture(products: list[Product]) -> str:
    """The errors as dots on a logarithmic axis, as SVG."""
    height = TOP + ROW * len(products) + 34

    def x(error: float) -> float:
        return LEFT + (math.log10(error) - FROM) / (TO - FROM) * WIDTH

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 24} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="11">',
        "<title>Relative errors of products, by precision</title>",
        f'<rect width="{LEFT + WIDTH + 24}" height="{height}" fill="#ffffff"/>',
    ]
    bottom = TOP + ROW * len(products)
    for power in range(math.ceil(FROM), TO + 1):
        at = x(10.0**power)
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}" stroke="#dddddd"/>')
        out.append(
            f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle" fill="#444444">10'
            f'<tspan dy="-4" font-size="8">{str(power).replace("-", "−")}</tspan></text>'
        )
    for number, (name, colour) in enumerate(COLOURS.items()):
        at = LEFT + number * 108
        out.append(f'<circle cx="{at}" cy="16" r="4" fill="{colour}"/>')
        out.append(f'<text x="{at + 9}" y="20" fill="#222222">{name}</text>')
    for number, p in enumerate(products):
        y = TOP + ROW * number + 4
        rows, depth, columns = p.shape
        said = f"{p.workload}: {p.form}, sums of {depth}"
        out.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end" fill="#222222">{said}</text>')
        for name, colour in COLOURS.items():
            out.append(
                f'<circle cx="{x(p.errors[name]):.1f}" cy="{y}" r="4" fill="{colour}"><title>{name}: '
                f"{p.errors[name]:.1e} ({rows} × {columns})</title></circle>"
            )
    out.append(
        f'<text x="{LEFT + WIDTH / 2}" y="{bottom + 30}" text-anchor="middle" fill="#444444">'
        "error of an element relative to ‖row‖ ‖column‖, root mean square</text>"
    )
    return "\n".join([*out, "</svg>"]) + "\n"


# --- what is learned --------------------------------------------------------------------------------------------------


def test_errors(folder: Path) -> Iterator[str]:
    """Test errors on MNIST after ten epochs of Adam, in per cent."""
    data = cr.data.load_mnist(folder)
    X, y, X_test, y_test = data.X, data.y, data.X_test, data.y_test
    yield f"{'':9}" + "".join(f"  seed {seed}" for seed in range(SEEDS)) + "    mean"
    for precision in ("highest", "high", "medium"):
        errors = []
        for seed in range(SEEDS):
            layers = [cr.Dense(256, "relu"), cr.Dense(10, "softmax")]
            net = cr.Network(784, layers, "cross_entropy", precision=precision, seed=seed, engine="compiled")
            net.fit(X, y, epochs=10, batch_size=128, optimizer=cr.Adam(1e-3), verbose=False)
            errors.append(100 * float(np.mean(net.predict(X_test).argmax(1) != y_test)))
        yield f"{precision:9}" + "".join(f"{e:8.2f}" for e in errors) + f"{statistics.mean(errors):8.3f}"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--mnist", type=Path)
    options = parser.parse_args()
    if options.mnist is not None:
        for line in test_errors(options.mnist):
            print(line, flush=True)
        return
    products = all_products()
    if options.svg is not None:
        options.svg.write_text(picture(products), encoding="utf-8")
    print("\n".join(lines(products)))


if __name__ == "__main__":
    main()
