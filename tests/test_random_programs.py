"""Random programs: their gradients, tangents, samples' parts and texts, and both engines, are held to each other."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.compiled.plan import Recipe, plan
from chainrule.engines.reference import ReferenceEngine, handler
from chainrule.errors import ProgramError, SpecError
from chainrule.glass.trace import trace
from chainrule.notation import MATHEMATICAL, derivation, source
from chainrule.program import Equation, MatMul, Program, Reduce, ReduceGroups, ScatterAdd, Symbol
from chainrule.program.builder import Builder
from chainrule.program.scalar import Variable
from chainrule.program.symbol import Shape
from chainrule.rules import chain
from chainrule.rules.per_sample import parts, second_moments, squared_norms
from chainrule.rules.tangent import tangent
from finite_differences import TOLERANCE, disagreement, slope_along
from random_programs import Fitting, program

sys.path.append(str(Path(__file__).parent / "glass"))
from evaluate import disagreements

REFERENCE = ReferenceEngine(np.dtype(np.float64))
STEPS = (2e-4, 2e-5, 2e-6)
"""The smaller ones are asked where a maximum or a choice may lie between two values of a larger one."""
NORMAL, LONG = 30, 2000


def fittings(*, plain: bool | None = None) -> st.SearchStrategy[Fitting]:
    """Programs drawn by Hypothesis, which looks for the smallest that fails."""

    @st.composite
    def draw_one(draw: Any) -> Fitting:
        kind = draw(st.booleans()) if plain is None else plain
        return program(lambda options: draw(st.sampled_from(list(options))), plain=kind)

    return draw_one()


def numbered(seed: int, *, plain: bool = False) -> Fitting:
    """The program of that number."""
    rng = np.random.default_rng(seed)
    return program(lambda options: options[int(rng.integers(len(options)))], plain=plain)


def run(one: Program, values: dict[str, Any], names: Sequence[str]) -> dict[str, np.ndarray]:
    return {n: np.array(v) for n, v in REFERENCE.run(one, values, tuple(names)).items()}


def close(found: Any, expected: Any, tolerance: float) -> bool:
    scale = max(float(np.abs(expected).max(initial=0)), 1e-2)
    return bool(np.abs(np.asarray(found) - expected).max(initial=0) <= tolerance * scale)


# --- what is held ----------------------------------------------------------------------------------------------------


def check_gradients(fitting: Fitting) -> None:
    """Every gradient is the slope of J along a random direction."""
    values, one = fitting.values, fitting.program
    forward = one.pruned(update=False, wanted=[one.symbols["J"]])

    def cost() -> float:
        return float(REFERENCE.run(forward, values, ("J",))["J"])

    found = run(one, values, [g.name for _, g in one.gradients])
    for symbol, gradient in one.gradients:
        values[symbol.name] = np.array(values[symbol.name])
        array, slope = values[symbol.name], found[gradient.name]
        assert any(disagreement(cost, array, slope, step) < max(TOLERANCE, 1e-10 / step) for step in STEPS), (
            f"d{symbol.name} is not the slope of J:\n{one}"
        )


def check_tangents(fitting: Fitting) -> None:
    """The tangent of every gradient is the difference of gradients: H v."""
    one, values = fitting.program, fitting.values
    moved = [s for s, _ in one.gradients]
    moving = tangent(one, moved)
    rng = np.random.default_rng(fitting.seed + 1)
    directions = {s.name: rng.normal(size=np.shape(values[s.name])) for s in moved}
    pairs = [(g.name, t.name) for (_, g), (_, t) in zip(one.gradients, moving.gradients, strict=True)]
    changes = run(moving, {**values, **{f"t_{n}": d for n, d in directions.items()}}, [t for _, t in pairs])
    for gradient, change in pairs:
        needed = one.pruned([one.symbols[gradient]], update=False)
        at = np.zeros(())

        def moved_gradient(needed: Program = needed, gradient: str = gradient, at: Any = at) -> np.ndarray:
            there = {**values, **{n: values[n] + at * d for n, d in directions.items()}}
            return run(needed, there, (gradient,))[gradient]

        differences = [slope_along(moved_gradient, at, np.ones(()), step) for step in STEPS]
        assert any(close(changes[change], d, 1e-9 / s) for d, s in zip(differences, STEPS, strict=True)), (
            f"{change} is not the change of {gradient}:\n{moving}"
        )


def check_samples(fitting: Fitting) -> None:
    """Where a gradient adds up over the samples: the norms and squares of what it adds up."""
    one = fitting.program
    try:
        sums = parts(one)
        (normed, norms), (squared, moments) = squared_norms(one), second_moments(one)
    except SpecError:
        return
    values = fitting.values
    known = dict(trace(one, values, np.dtype(np.float64)))
    for name in norms:
        (equation,) = sums[name]
        each = np.array(
            [handler(equation, np.dtype(np.float64))(_row(equation, known, i)) for i in range(fitting.samples)]
        )
        assert close(each.sum(0), known[equation.target.name], 1e-12)
        squares = (each**2).reshape(fitting.samples, -1).sum(1)
        assert close(run(normed, values, [norms[name].name])[norms[name].name].ravel(), squares, 1e-12), f"{one}"
        assert close(run(squared, values, [moments[name].name])[moments[name].name], (each**2).sum(0), 1e-12), f"{one}"


def _row(equation: Equation, known: dict[str, Any], sample: int) -> dict[str, Any]:
    """The operands of an equation, of one sample alone."""
    return {s.name: known[s.name][sample : sample + 1] if s.batched else known[s.name] for s in equation.operands}


def check_texts(fitting: Fitting) -> None:
    """Every line in every notation gives the engine's numbers, and the source its bits."""
    one, values = fitting.program, {**fitting.values, "lr": 0.1}
    for name, notation in MATHEMATICAL.items():
        derived = derivation(one, name, mean_at="cost")
        traced = trace(derived.program, {**values, **derived.penalties}, np.dtype(np.float64))
        wrong = disagreements(derived, dict(traced), traced.updated, components=notation.components)
        assert wrong == [], f"{name}:\n" + "\n".join(wrong) + f"\n{one}"
    scope: dict[str, Any] = {}
    exec(source(one), scope)
    data = [values[s.name] for s in one.given if s.role in ("input", "target", "weight")]
    names = [s.name for s in one.given if s.role in ("parameter", "counter")]
    numbers = scope["step"](*data, **{n: values[n] for n in names})
    for name, expected in run(one, values, list(numbers)).items():
        np.testing.assert_array_equal(numbers[name], expected, err_msg=name)


def accepted(fitting: Fitting) -> bool:
    """Whether the compiled engine has code for a program; if so, it gives the reference's numbers."""
    one, values = fitting.program, fitting.values
    names = ("J", *(g.name for _, g in one.gradients))
    given = {n: np.ascontiguousarray(v) if np.ndim(v) else v for n, v in values.items()}
    engine = CompiledEngine(np.dtype(np.float64))
    try:
        plan(one, Recipe(names, large=True), engine.layout)
    except ProgramError as fault:
        if not str(fault).startswith("The compiled engine has no code for"):
            raise
        return False
    found = engine.run(one, given, names)
    for name, expected in run(one, values, names).items():
        assert close(found[name], expected, 1e-10), f"{name}:\n{found[name]}\n{expected}\n{fitting}"
    return True


# --- the programs ----------------------------------------------------------------------------------------------------

QUICK = settings(max_examples=NORMAL, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
THOROUGH = settings(QUICK, max_examples=LONG, derandomize=False)
CHECKS: dict[str, Callable[[Fitting], None]] = {
    "gradients": check_gradients,
    "tangents": check_tangents,
    "samples": check_samples,
    "texts": check_texts,
}


@pytest.mark.parametrize("check", CHECKS)
def test_random_programs(check: str) -> None:
    QUICK(given(fittings())(CHECKS[check]))()


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS)
def test_many_random_programs(check: str) -> None:
    THOROUGH(given(fittings())(CHECKS[check]))()


@pytest.mark.parametrize(("plain", "first", "least"), [(True, 0, 11), (False, 12, 4)])
def test_the_compiled_engine_gives_the_references_numbers(plain: bool, first: int, least: int) -> None:
    """Or says which equation it has no code for; products A W and formulas over samples it nearly always has."""
    assert sum(accepted(numbered(seed, plain=plain)) for seed in range(first, first + 12)) >= least


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 600))
def test_the_compiled_engine_on_many_programs(seed: int) -> None:
    accepted(numbered(seed, plain=seed % 3 != 0))


# --- planted faults --------------------------------------------------------------------------------------------------


def _transposes_forgotten(
    self: Any, equation: Equation, op: MatMul, slope: Symbol, through: tuple[Symbol, ...]
) -> None:
    _product(self, equation, MatMul(), slope, through)


def _once_for_both(self: Any, equation: Equation, op: MatMul, slope: Symbol, through: tuple[Symbol, ...]) -> None:
    left, right = equation.operands
    if left == right:
        self.users[left.name] -= 1
        self._apply(left, MatMul(False, True), (slope, right), "product rule", through)
    else:
        _product(self, equation, op, slope, through)


def _passes_nothing(self: Any, equation: Equation) -> None:
    if not isinstance(equation.op, ScatterAdd):
        _through(self, equation)


def _as_narrow_as_it_came(self: Any, symbol: Symbol, term: Any, target: Symbol, through: str, over: Any = None) -> None:
    self._receive(symbol, term, through)


def _all_are_largest(self: Any, equation: Equation, op: ReduceGroups, slope: Symbol, through: Any) -> None:
    _reduced_groups(self, equation, replace(op, kind="sum"), slope, through)


_product, _through = chain._Chain._product, chain._Chain._through
_reduced_groups = chain._Chain._reduced_groups
FAULTS: dict[str, tuple[str, Any]] = {
    "each of a group is its largest": ("_reduced_groups", _all_are_largest),
    "transposes forgotten": ("_product", _transposes_forgotten),
    "a shared operand's second part lost": ("_product", _once_for_both),
    "an operation without a rule": ("_through", _passes_nothing),
    "what repeats is not summed": ("_pass", _as_narrow_as_it_came),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain._Chain, *FAULTS[fault])

    def search() -> None:
        for seed in range(200):
            fitting = None
            with contextlib.suppress(ProgramError, AssertionError):  # shapes that do not fit are found at once
                fitting = numbered(seed)
            if fitting is not None:
                check_gradients(fitting)

    with pytest.raises(AssertionError, match="is not the slope of J"):
        search()


# --- an operation that nobody has told the readers of ----------------------------------------------------------------


@dataclass(frozen=True)
class Twice:
    """T = 2 A"""

    def shape(self, operands: tuple[Symbol, ...]) -> Shape | None:
        return operands[0].shape


def test_an_unknown_operation_is_an_error_in_every_reader() -> None:
    """Never a gradient of 0, an empty line or a None."""
    builder = Builder()
    w = builder.parameter(Symbol("W"), (2, 2))
    made = builder.apply(Symbol("A"), Twice(), (w,), rule="twice")  # type: ignore[arg-type]
    cost = builder.reduce(Symbol("J", (), "cost"), Reduce("sum", "all", Variable(made.name)), rule="cost")
    forward = Program(tuple(builder.given), tuple(builder.equations), made)
    readers: dict[str, Callable[[], object]] = {
        "chain": lambda: chain.backward(builder, cost, [w]),
        "tangent": lambda: tangent(forward, [w]),
        "reference": lambda: REFERENCE.run(forward, {"W": np.ones((2, 2))}, (made.name,)),
        "text": lambda: str(forward),
        "source": lambda: source(forward),
        **{name: partial(derivation, forward, name) for name in MATHEMATICAL},
    }
    for read in readers.values():
        with pytest.raises(AssertionError, match="Twice"):
            read()
