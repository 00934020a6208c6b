"""Every scalar function at the edges: compiled code says what the reference says of NaN, infinities, signed zeros."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from chainrule.engines.table import ENGINES
from chainrule.program.equation import Equation, Program
from chainrule.program.op import Elementwise
from chainrule.program.scalar import FUNCTIONS, Apply, Variable
from chainrule.program.symbol import Symbol

EDGES = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e4, -1e4, 1e-3, -1e-3]
SIGNED = {"neg", "mul", "div", "tanh", "sqrt", "erf", "abs", "sign", "stop", "where", "add", "sub"}
"""Functions whose zeros have the sign that IEEE 754 or C's library gives them; the others' may have either."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_functions_at_the_edges(name: str, dtype: str) -> None:
    arity = FUNCTIONS[name].arity
    operands = tuple(
        Symbol(letter, ("m", 1), "input" if k == 0 else "target") for k, letter in enumerate("XYV"[:arity])
    )
    expression = Apply(name, tuple(Variable(s.name) for s in operands))
    target = Symbol("T", ("m", 1))
    program = Program(given=operands, forward=(Equation(target, Elementwise(expression), operands),), prediction=target)
    columns = np.array(list(itertools.product(EDGES, repeat=arity)), dtype)
    given = {s.name: np.ascontiguousarray(columns[:, k : k + 1]) for k, s in enumerate(operands)}
    given["m"] = np.dtype(dtype).type(len(columns))
    want, found = (ENGINES[e](np.dtype(dtype)).run(program, given, ("T",))["T"] for e in ("reference", "compiled"))
    wrong = np.isnan(found) != np.isnan(want)
    assert not wrong.any(), f"NaN or not: {columns[wrong[:, 0]][:5]}, reference {want[wrong][:5]}"
    unlike = np.isinf(found) != np.isinf(want)
    unlike |= np.isinf(want) & (found != want)
    assert not unlike.any(), f"infinite or not: {columns[unlike[:, 0]][:5]}, reference {want[unlike][:5]}"
    finite = np.isfinite(want)
    np.testing.assert_allclose(found[finite], want[finite], rtol=1e-6 if dtype == "float32" else 1e-14, atol=1e-37)
    if name in SIGNED:
        zeros = (want == 0) & (found == 0)
        sign = np.signbit(found) != np.signbit(want)
        assert not (zeros & sign).any(), f"the sign of 0: {columns[(zeros & sign)[:, 0]][:5]}"
