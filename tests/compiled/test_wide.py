"""Equations over parameters alone, of shapes on both sides of a panel: products in all forms, sums, what repeats."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.reference import ReferenceEngine
from chainrule.program.builder import Builder
from chainrule.program.equation import Program
from chainrule.program.op import MatMul, Reduce
from chainrule.program.scalar import Variable, apply
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify

SHAPES = [(1, 1, 1), (3, 5, 2), (17, 33, 40), (70, 16, 31)]


def program(k: int, n: int, p: int) -> Program:
    """Every form of product of (k, n), (n, p) and their transposes, every reduction, and what repeats in (k, n)."""
    write = Builder()
    shapes = {"A": (k, n), "B": (n, p), "C": (p, n), "D": (n, k), "r": (k, 1), "c": (n,), "s": (1, n), "u": ()}
    A, B, C, D, r, c, s, u = (write.parameter(Symbol(letter), shape) for letter, shape in shapes.items())

    def product(left: Symbol, right: Symbol, *, turned: bool = False, across: bool = False) -> Symbol:
        return write.apply(Symbol("P"), MatMul(turned, across), (left, right), rule="")

    products = [product(A, B), product(A, C, across=True), product(D, B, turned=True)]
    products += [product(D, C, turned=True, across=True), product(A, A, turned=True), product(A, A, across=True)]
    ones = write.write(Symbol("O"), Variable(A.name) + 1, rule="")  # past its end it is not 0
    products += [product(ones, ones, across=True), product(ones, ones, turned=True)]
    a = Variable(A.name)
    mixed = a * Variable(r.name) + apply("maximum", Variable(c.name), Variable(s.name)) / (2 + Variable(u.name) ** 2)
    mixed = -9 - mixed**2
    write.write(Symbol("F"), mixed, rule="")
    for kind in ("sum", "max"):
        for over in ("rows", "columns", "all"):
            write.reduce(Symbol("S"), Reduce(kind, over, mixed), rule="")
            write.reduce(Symbol("S"), Reduce(kind, over, a * a), rule="")
    return verify(Program(tuple(write.given), tuple(write.equations), products[0]))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (SHAPES[2], "float32"),
        (SHAPES[3], "float64"),
        *(pytest.param(shape, dtype, marks=pytest.mark.long) for shape in SHAPES for dtype in ("float32", "float64")),
        pytest.param((5, 9000, 3), "float32", marks=pytest.mark.long),
        pytest.param((9000, 5, 17), "float32", marks=pytest.mark.long),
    ],
)
def test_all_forms_as_the_reference_has_them(shape: tuple[int, int, int], dtype: str) -> None:
    made = program(*shape)
    rng = np.random.default_rng(3)
    given = {s.name: rng.normal(size=[int(d) for d in s.shape]).astype(dtype) for s in made.given}
    wanted = tuple(e.target.name for e in made.equations)
    exact = ReferenceEngine(np.dtype(np.float64)).run(made, {k: v.astype(np.float64) for k, v in given.items()}, wanted)
    found = CompiledEngine(np.dtype(dtype)).run(made, {**given, "m": np.float64(1)}, wanted)
    for name in wanted:
        unit = np.finfo(dtype).eps * max(float(np.abs(exact[name]).max()), 1.0)
        np.testing.assert_allclose(found[name], exact[name], rtol=0, atol=30 * unit, err_msg=name)
