"""The JavaScript of a program gives the reference engine's numbers: operations, functions, random programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from test_executed import derived

import chainrule as cr
from chainrule.errors import FormulaError
from chainrule.glass.trace import trace
from chainrule.notation.javascript import _CALLS, javascript
from chainrule.program import OPERATIONS, Program
from chainrule.program.builder import Builder
from chainrule.program.scalar import FUNCTIONS as SCALAR
from chainrule.program.scalar import Variable, apply
from chainrule.program.symbol import BATCH, STORED, Symbol
from chainrule.rules.shards import over_shards
from in_node import run_in_node
from problems import PROBLEMS
from random_programs import program as random_program


def hold(cases: Iterable[tuple[Program, dict[str, Any]]]) -> set[type]:
    """Every value of every program, as JavaScript and as the reference engine has it; the operations that were held."""
    cases = list(cases)
    names = [[e.target.name for e in program.equations] for program, _ in cases]
    sources = [javascript(program, dict.fromkeys(n)) for (program, _), n in zip(cases, names, strict=True)]
    given = [{k: v for k, v in values.items() if k in program.symbols and k != BATCH} for program, values in cases]
    with np.errstate(all="ignore"):
        for (program, values), found in zip(cases, run_in_node(list(zip(sources, given, strict=True))), strict=True):
            run = trace(program, values, np.dtype(np.float64))
            # What a normalisation takes away has a gradient of rounding errors alone.
            noise = {s.name for s, g in program.gradients if np.abs(run[g.name]).max(initial=0) < 1e-12}
            for name, value in found.items():
                if program.symbols[name].root.name in noise:
                    continue
                stored = program.symbols[name].role in STORED
                expected = np.asarray(run.updated[name] if stored else run[name]).reshape(-1)
                size = max(1e-3, float(np.abs(expected[np.isfinite(expected)]).max(initial=0)))
                np.testing.assert_allclose(
                    value, expected, rtol=1e-9, atol=1e-11 * size, err_msg=f"{name} of\n{program}"
                )
    return {type(e.op) for program, _ in cases for e in program.equations}


def numbered(seed: int) -> tuple[Program, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    fitting = random_program(lambda options: options[int(rng.integers(len(options)))])
    return fitting.program, fitting.values


def test_problems_and_random_programs() -> None:
    held = hold([derived(PROBLEMS[k], k, canonical=k % 3 != 0) for k in range(0, len(PROBLEMS), 40)])
    held |= hold(numbered(seed) for seed in range(6))
    assert len(held) > 9


@pytest.mark.long
def test_all_of_them() -> None:
    held = hold([derived(p, k, canonical=k % 3 != 0) for k, p in enumerate(PROBLEMS)])
    for first in range(0, 1200, 100):
        held |= hold(numbered(seed) for seed in range(first, first + 100))
    shared = over_shards(derived(PROBLEMS[0], 0, canonical=True)[0])
    held |= hold([(shared, derived(PROBLEMS[0], 0, canonical=True)[1])])
    assert held == set(OPERATIONS)


EXTREME = np.array(
    [[-800.0, -30, -6, -2.5, -1.9, -1e-3, -1e-12, 0, 1e-12, 1e-3, 0.3, 1.2, 1.99, 2.01, 3.3, 6, 30, 800]]
)


def test_functions_keep_their_digits() -> None:
    cases = []
    for function in sorted(name for name, f in SCALAR.items() if f.arity == 1):
        builder = Builder()
        X = builder.give(Symbol("X", (BATCH, EXTREME.shape[1]), "input"))
        z = builder.write(Symbol("Z"), apply(function, Variable(X.name)), rule="test")
        one = Program(tuple(builder.given), tuple(builder.equations), z)
        cases.append((one, {BATCH: np.float64(1), "X": EXTREME}))
    hold(cases)


def test_what_it_looks_like() -> None:
    net = cr.Network(2, [cr.Dense(3, "relu"), cr.Dense(1)], "squared_error")
    code = net.show("javascript", optimizer=cr.SGD(0.1))
    assert "function step({ X, W1, b1, W2, b2, Y, lr }) {\n  const m = X.length / 2;\n" in code
    for line in (
        "const Z1 = each(m * 3, (k) => XW1[k] + b1[k % 3]);",
        "const A1 = each(m * 3, (k) => Math.max(Z1[k], 0));",
        "const XW1 = matmul(X, W1, m, 2, 3);",
        "const dW1 = matmul(transpose(X, m, 2), dZ1, 2, m, 3);",
        "W1 = each(2 * 3, (k) => W1[k] - lr * dW1[k]);",
    ):
        assert line in code
    assert "const erf" not in code and code.count("const matmul") == 1
    assert net.show("javascript", "markdown").startswith("```javascript\n")


def test_names_that_mean_something_else_in_javascript_are_changed() -> None:
    builder = Builder()
    new, k = (builder.give(Symbol(letter, (BATCH, 2), "input")) for letter in ("new", "k"))
    each = builder.write(Symbol("each"), Variable(new.name) * Variable(k.name) + 1, rule="test")
    values = {BATCH: np.float64(3), "new": np.ones((3, 2)), "k": np.arange(6.0).reshape(3, 2)}
    hold([(Program(tuple(builder.given), tuple(builder.equations), each), values)])


def test_what_has_no_javascript_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_CALLS, "tanh")
    with pytest.raises(FormulaError, match="The function tanh has no JavaScript"):
        cr.Network(2, [cr.Dense(3, "tanh")], "squared_error").show("javascript")
