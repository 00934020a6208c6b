"""Beyond gradients: what each sample adds, Jacobians, Hessian and Gauss-Newton products; all by derived programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.losses import Cost, Loss, Losses
from chainrule.describe.network import NetworkSpec
from chainrule.engines.base import Engine
from chainrule.engines.reference import ReferenceEngine, named_rows
from chainrule.engines.scalars import evaluator
from chainrule.errors import DataError, SpecError, expected, shown, unknown_name
from chainrule.program.equation import Equation, Program
from chainrule.program.op import GroupedMatMul, MatMul, Reduce, ScatterAdd
from chainrule.program.symbol import BATCH, Symbol
from chainrule.rules.derive import derive_along
from chainrule.rules.mean_at_weights import mean_at_weights
from chainrule.rules.per_sample import parts, second_moments, squared_norms
from chainrule.rules.tangent import gauss_newton, tangent

Array = NDArray[Any]
CHUNK = 64
"""Samples at a time where every sample's gradient is held."""


@dataclass(frozen=True)
class Case:
    """A program and what it is run on."""

    program: Program
    """The equations."""
    given: Mapping[str, Any]
    """The values of what it is given."""
    dtype: np.dtype[Any]
    """What is computed in."""

    @property
    def samples(self) -> int:
        """m"""
        return int(self.given[BATCH])

    def run(self, program: Program, wanted: tuple[str, ...], more: Mapping[str, Any] | None = None) -> dict[str, Array]:
        """The wanted symbols of a program over these values, by the definition of what it means."""
        engine: Engine = ReferenceEngine(self.dtype)
        needed = program.pruned([program.symbols[n] for n in wanted if n in program.symbols], update=False)
        return engine.run(needed, {**self.given, **(more or {})}, wanted)


def _apart(spec: NetworkSpec, case: Case) -> Program:
    """The program in which every gradient on the way is one sample's own: 1/m stands at the parameters.

    Raises SpecError for a Cost: f(Ŷ, Y) need not be a sum over samples.
    """
    if isinstance(spec.loss, Cost):
        raise SpecError(
            f"A gradient of each sample needs a loss of each sample. The cost {spec.loss.name} is of the whole batch; "
            "write it as a Loss(...) if it is a sum over samples."
        )
    return mean_at_weights(case.program)


# --- each sample ---------------------------------------------------------------------------------------------------


def per_example_gradients(spec: NetworkSpec, case: Case) -> dict[str, Array]:
    """∂L_i/∂θ for every sample i and parameter θ: (m, *shape), with the sample's weight and without penalties.

    An outer product of each sample's own values; a batch of them is no array of the program's language (its arrays have
    two axes), so they are formed from traced values.
    """
    program = _apart(spec, case)
    sums = parts(program)
    wanted = tuple(dict.fromkeys(s.name for part in sums.values() for e in part for s in e.operands))
    traced = {**case.given, **case.run(program, tuple(n for n in wanted if n not in case.given))}
    shapes = {s.name: _shape(s) for s, _ in program.gradients if s.name in sums}
    return {name: _each(part, traced, shapes[name], case) for name, part in sums.items()}


def _each(part: tuple[Equation, ...], traced: Mapping[str, Any], shape: tuple[int, ...], case: Case) -> Array:
    total = np.zeros((case.samples, *shape), case.dtype)
    for equation in part:
        op = equation.op
        values = [np.asarray(traced[s.name]) for s in equation.operands]
        match op:
            case MatMul():
                total += values[0][:, :, None] * values[1][:, None, :]  # g_i = a_i dz_iᵀ
            case GroupedMatMul(groups, shared=shared):
                a, dz = (value.reshape(len(value), groups, value.shape[1] // groups) for value in values)
                each = a[:, :, :, None] * dz[:, :, None, :]  # of each group
                total += each.sum(axis=1) if shared else each.reshape(len(a), *shape)
            case Reduce(_, over, expression):
                each = case_value(expression, traced, case)
                total += each.sum(axis=1) if over == "all" else each
            case ScatterAdd():
                pieces, tokens = values
                rows, some = named_rows(op, tokens, shape[0])
                each = pieces.reshape(len(rows), op.columns(equation.operands[1]), shape[1])
                each = np.broadcast_to(each, (*rows.shape, shape[1]))
                sample = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
                chosen = np.ones(rows.shape, bool) if some is None else some
                np.add.at(total, (sample[chosen], rows[chosen]), each[chosen])
    return total


def case_value(expression: Any, traced: Mapping[str, Any], case: Case) -> Array:
    """An element-wise expression of traced values."""
    return np.asarray(evaluator(expression, case.dtype)(dict(traced)))


def gradient_norms(spec: NetworkSpec, case: Case) -> dict[str, Array]:
    """‖∂L_i/∂θ‖ of each sample by parameter, (m,), and of all together under "all"; no array of m gradients is made.

    A dense layer's is ‖a_i‖ ‖dz_i‖.  A table's rows are added up within a sample first, as a token may come twice;
    so are the groups of a shared matrix.
    """
    program, symbols = squared_norms(_apart(spec, case))
    values = case.run(program, tuple(s.name for s in symbols.values()))
    squares = {name: values[s.name].reshape(-1) for name, s in symbols.items()}
    for name, (start, each) in _lookups(program, set(symbols), case):
        squares.setdefault(name, np.zeros(case.samples, case.dtype))
        squares[name][start : start + len(each)] = np.square(each).reshape(len(each), -1).sum(axis=1)
    order = [s.name for s, _ in program.gradients if s.name in squares]
    norms = {name: np.sqrt(squares[name]) for name in order}
    return {**norms, "all": np.sqrt(sum(squares.values(), np.zeros(case.samples, case.dtype)))}


def gradient_variance(spec: NetworkSpec, case: Case) -> dict[str, Array]:
    """(1/m) Σ_i (g_i - ḡ)² element by element, g_i = ∂L_i/∂θ, ḡ their mean; in each parameter's shape.

    A dense layer's Σ_i g_i² is (A²)ᵀ dZ².
    """
    program, moments = second_moments(_apart(spec, case))
    sums = parts(program)
    m = case.samples
    wanted = [s.name for s in moments.values()] + [e.target.name for p in sums.values() for e in p]
    values = case.run(program, tuple(dict.fromkeys(wanted)))
    result = {}
    for name, symbol in moments.items():
        mean = values[sums[name][0].target.name] / m
        result[name] = np.maximum(values[symbol.name] / m - mean**2, 0)
    squares: dict[str, Array] = {}
    for name, (_, each) in _lookups(program, set(moments), case):
        squares[name] = squares.get(name, np.zeros(each.shape[1:], case.dtype)) + np.square(each).sum(axis=0)
    for name, square in squares.items():
        mean = sum((values[e.target.name] for e in sums[name]), np.zeros_like(square)) / m
        result[name] = np.maximum(square / m - mean**2, 0)
    return {s.name: result[s.name] for s, _ in program.gradients if s.name in result}


def _shape(symbol: Symbol) -> tuple[int, ...]:
    return tuple(int(d) for d in symbol.shape)


def _lookups(program: Program, done: set[str], case: Case) -> list[tuple[str, tuple[int, Array]]]:
    """Each sample's gradient of the tables, some samples at a time: (name, (first sample, (k, v, d)))."""
    lookups = []
    for name, part in parts(program).items():
        if name in done:
            continue
        shape = next(_shape(s) for s, _ in program.gradients if s.name == name)
        names = tuple(s.name for e in part for s in e.operands if s.name not in case.given)
        values = {**case.given, **case.run(program, names)}
        for start in range(0, case.samples, CHUNK):
            rows = slice(start, start + CHUNK)
            operands = {s.name: s for e in part for s in e.operands}
            some = {n: np.asarray(values[n])[rows] if s.batched else values[n] for n, s in operands.items()}
            size = min(CHUNK, case.samples - start)
            few = Case(program, {**case.given, BATCH: case.dtype.type(size)}, case.dtype)
            lookups.append((name, (start, _each(part, some, shape, few))))
    return lookups


# --- Jacobians ------------------------------------------------------------------------------------------------------


def jacobian(
    spec: NetworkSpec, given: Mapping[str, Any], dtype: np.dtype[Any], output: str | None = None
) -> dict[str, Array]:
    """∂ŷ_i/∂x_i of every sample, (m, outputs, columns) by input of numbers: backward from each output, or forward from
    each column that comes in, whichever are fewer.

    Raises DataError where all inputs are tokens, which have no derivative; SpecError for an output that is not there.
    """
    sources = {s.symbol.name: s for s in spec.sources if not s.tokens}
    if not sources:
        raise DataError("A network of tokens has no Jacobian by its inputs: tokens are not numbers to be moved.")
    program = derive_along(spec, _chosen(spec, output))
    m, k = int(given[BATCH]), int(program.prediction.shape[1])
    result = {name: np.empty((m, k, source.width), dtype) for name, source in sources.items()}
    if k <= sum(source.width for source in sources.values()):
        names = {s.name: gradient.name for s, gradient in program.gradients}
        case = Case(program, given, dtype)
        for column in range(k):
            chosen = np.zeros((m, k), dtype)
            chosen[:, column] = 1
            rows = case.run(program, tuple(names.values()), {"Y": chosen})
            for name in sources:
                result[name][:, column, :] = rows[names[name]]
        return result
    plain = Program(program.given, program.forward, program.prediction).pruned([program.prediction], update=False)
    for x in [s for s in program.given if s.name in sources]:
        moving = tangent(plain, [x])
        change, case = program.prediction.tangent.name, Case(moving, given, dtype)
        for column in range(sources[x.name].width):
            direction = np.zeros((m, sources[x.name].width), dtype)
            direction[:, column] = 1
            if change in moving.symbols:
                result[x.name][:, :, column] = case.run(moving, (change,), {x.tangent.name: direction})[change]
            else:  # the prediction does not depend on X
                result[x.name][:, :, column] = 0
    return result


def _chosen(spec: NetworkSpec, output: str | None) -> str:
    """The output that is meant; "" for the only one.  Raises SpecError."""
    names = [name for name, _ in spec.ends]
    if output is None and len(names) > 1:
        raise SpecError(f"This network has several outputs: say of which, output={names[0]!r} ({', '.join(names)}).")
    if output is not None and names == [""]:
        raise SpecError(f"This network has one output, which has no name. Got output={shown(output)}; leave it out.")
    if output is not None and output not in names:
        raise SpecError(unknown_name("output", str(output), names))
    return names[0] if output is None else output


# --- products with second derivatives ------------------------------------------------------------------------------


def hessian_vector(case: Case, vector: Mapping[str, Array]) -> dict[str, Array]:
    """H v by parameter: the tangent of the backward program, forward over reverse."""
    return _product(case, vector, curved=True)


def of_one_output(spec: NetworkSpec) -> None:
    """Raises SpecError where the loss is of more than Ŷ: H_L would have more than one output to be taken by."""
    loss = spec.loss
    if isinstance(loss, Losses) or (isinstance(loss, Loss) and (loss.values or loss.parameters)):
        raise SpecError(
            "A Gauss-Newton product needs a loss of one output alone. This one is of several values or has parameters: "
            f"{loss.name}. hessian_vector takes it."
        )


def gauss_newton_vector(case: Case, vector: Mapping[str, Array]) -> dict[str, Array]:
    """G v by parameter, G = Jᵀ H_L J with H_L the cost's Hessian by the network's output, plus the penalties'."""
    return _product(case, vector, curved=False)


def _product(case: Case, vector: Mapping[str, Array], *, curved: bool) -> dict[str, Array]:
    program = case.program
    pairs = tuple((s, g) for s, g in program.gradients if s.role == "parameter")
    symbols = {s.name: s for s, _ in pairs}
    moved = [symbols[n] for n in vector]
    narrowed = Program(
        program.given,
        program.forward,
        program.prediction,
        program.cost,
        program.backward,
        (),
        program.objective,
        pairs,
    )
    moving = tangent(narrowed, moved) if curved else gauss_newton(narrowed, moved)
    names = {s.name: t.name for s, t in moving.gradients}
    values = case.run(moving, tuple(names.values()), {symbols[n].tangent.name: v for n, v in vector.items()})
    return {n: np.array(values[t]) for n, t in names.items()}


def checked_vector(parameters: Mapping[str, Array], v: Mapping[str, Any]) -> dict[str, Array]:
    """The direction by parameter name, each in its parameter's shape and dtype; those left out do not move.

    Raises DataError.
    """
    if not isinstance(v, Mapping):
        raise DataError(expected("v", "a dictionary from parameter names to arrays", type(v).__name__))
    vector_of = {}
    for name, value in v.items():
        if name not in parameters:
            raise DataError(unknown_name("parameter", str(name), parameters))
        array = np.asarray(value)
        if array.shape != parameters[name].shape or array.dtype.kind not in "fiu":
            raise DataError(expected(f"v[{name!r}]", f"numbers of shape {parameters[name].shape}", array.shape))
        if not np.isfinite(array).all():
            raise DataError(f"v[{name!r}] must be finite.")
        vector_of[name] = array.astype(parameters[name].dtype)
    return vector_of


__all__ = [
    "Case", "checked_vector", "gauss_newton_vector", "gradient_norms", "gradient_variance",
    "hessian_vector", "jacobian", "of_one_output", "per_example_gradients",
]  # fmt: skip
