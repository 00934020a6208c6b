"""The steps of a gradient held to numbers: both sides of each on random values.

A factor ∂T/∂S is what differences of the forward equations make of it, entry by entry; a line is what its equation
computes.  So a step is true because its two sides, which come from different places, are the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.reference import handler
from chainrule.engines.scalars import SCALAR, Evaluate
from chainrule.program.equation import Equation, Program
from chainrule.program.op import AtRows, Gather, OneHot
from chainrule.program.scalar import Apply, Constant, Expression, Product, Reduction, Transposed, Variable
from chainrule.program.symbol import BATCH
from chainrule.rules.steps import (
    Chain,
    Factor,
    Jacobian,
    Line,
    Multiplied,
    Side,
    Slope,
    Steps,
    Substituted,
    Through,
    Value,
    has_a_name,
)

Array = NDArray[Any]
SAMPLES = 3
"""Of the random batch."""
LARGEST = 4000
"""Entries of the factors that are checked: each column of one costs two runs of the forward equations."""
_FLOAT = np.dtype(np.float64)
_DIFFERENCE = 1e-6


def random_values(program: Program, seed: int = 0) -> dict[str, Any]:
    """Values for all that the program is given: samples, targets that any loss takes, parameters.

    Targets are zeros and ones, a single 1 in each row of several.
    """
    rng = np.random.default_rng(seed)
    bounds: dict[str, int] = {}
    for equation in program.equations:
        if isinstance(equation.op, OneHot):
            bounds[equation.operands[0].name] = equation.op.classes
        elif isinstance(equation.op, Gather | AtRows) and equation.operands[-1].integers:
            table = equation.operands[0]
            bounds[equation.operands[-1].name] = int(table.shape[0])
    values: dict[str, Any] = {}
    for symbol in program.given:
        shape = tuple(SAMPLES if d == BATCH else int(d) for d in symbol.shape)
        if symbol.role == "size":
            values[symbol.name] = np.float64(SAMPLES if symbol.letter == BATCH else 0.5)
        elif symbol.integers:
            values[symbol.name] = rng.integers(0, bounds.get(symbol.name, 2), shape)
        elif symbol.role == "target":
            wide = len(shape) == 2 and shape[1] > 1
            values[symbol.name] = np.eye(shape[1])[rng.integers(0, shape[1], SAMPLES)] if wide else np.ones(shape) * (
                np.arange(SAMPLES).reshape(-1, 1) % 2 if len(shape) == 2 else 1.0
            )  # fmt: skip
        elif symbol.role in ("weight", "statistic", "slot"):
            values[symbol.name] = rng.uniform(0.5, 1.5, shape)
        elif symbol.role in ("rate", "counter"):
            values[symbol.name] = np.float64(0.1) if symbol.role == "rate" else np.int64(1)
        else:
            values[symbol.name] = rng.normal(0.1, 0.7, shape)
    return values


class Numbers:
    """The value of every side of a gradient's steps on one batch."""

    def __init__(self, said: Steps, values: Mapping[str, Any]) -> None:
        self.said = said
        self.given = dict(values)
        self.functions: dict[int, Evaluate] = {}
        """By an equation's identity, what computes its right side."""
        self.long = self._run(said.long.forward + said.long.cost + said.long.backward, {})
        self.own = self._run(said.program.forward + said.program.cost + said.program.backward, {})
        self.tensors: dict[tuple[str, str], Array] = {}

    def _run(self, equations: Sequence[Equation], fixed: Mapping[str, Array]) -> dict[str, Any]:
        values = {**self.given, **fixed}
        with np.errstate(all="ignore"):
            for equation in equations:
                if equation.target.name not in fixed:
                    values[equation.target.name] = self._right(equation)(values)
        return values

    def _right(self, equation: Equation) -> Evaluate:
        if id(equation) not in self.functions:
            self.functions[id(equation)] = handler(equation, _FLOAT)
        return self.functions[id(equation)]

    def factor(self, factor: Factor) -> Array:
        """∂T/∂S with the axes of T and then those of S, by central differences.

        What else has a name of its own is held, so that ∂T/∂S is one way only; ∂J/∂S is all ways together.
        """
        key = factor.of.name, factor.by.name
        if key not in self.tensors:
            start = np.asarray(self.long[factor.by.name], np.float64)
            columns = []
            forward = self.said.long.forward + self.said.long.cost
            held: dict[str, Any] = {}
            if factor.of != self.said.long.objective:
                held = {e.target.name: self.long[e.target.name] for e in forward if has_a_name(e.target)}
                held.pop(factor.of.name)
            for index in np.ndindex(start.shape):
                ends = []
                for sign in (1.0, -1.0):
                    moved = start.copy()
                    moved[index] += sign * _DIFFERENCE
                    ends.append(np.asarray(self._run(forward, {**held, factor.by.name: moved})[factor.of.name]))
                columns.append((ends[0] - ends[1]) / (2 * _DIFFERENCE))
            self.tensors[key] = np.moveaxis(
                np.array(columns).reshape((*start.shape, *np.shape(columns[0]))),
                range(start.ndim),
                range(-start.ndim, 0),
            )
        return self.tensors[key]

    def size(self, side: Side) -> int:
        """How many entries the largest factor of the side has."""
        factors: list[Factor] = []
        if isinstance(side, Chain):
            factors = [f for way in side.ways for f in way]
        elif isinstance(side, Slope | Multiplied | Jacobian | Through):
            factors = [side.factor]
        return max((int(np.size(self.long[f.of.name]) * np.size(self.long[f.by.name])) for f in factors), default=0)

    def side(self, side: Side) -> Array:
        """The side's value; of a factor, with the axes of both."""
        match side:
            case Value(symbol):
                return np.asarray(self.own.get(symbol.name, self.long.get(symbol.name)))
            case Chain(ways):
                return np.asarray(sum(self._contracted(way) for way in ways))
            case Line(equation, long):
                return np.asarray(self._right(equation)(self.long if long else self.own))
            case Substituted(expression):
                return evaluate(expression, self.long)
            case Jacobian(factor):
                return self.factor(factor)
            case Through(expression, factor):
                tensor, by = self.factor(factor), np.ndim(self.long[factor.by.name])
                row = np.broadcast_to(evaluate(expression, self.long), tensor.shape[: tensor.ndim - by])
                return np.tensordot(row, tensor, row.ndim)
            case Slope(factor, expression):
                return self._slope(factor, expression)
            case Multiplied():
                return self._multiplied(side)

    def _contracted(self, way: tuple[Factor, ...]) -> Array:
        result = self.factor(way[0])
        for factor in way[1:]:
            result = np.tensordot(result, self.factor(factor), np.ndim(self.long[factor.of.name]))
        return result

    def _slope(self, factor: Factor, expression: Expression) -> Array:
        """An entry for each element of T by the element of S that it is made of."""
        t, s = np.asarray(self.long[factor.of.name]), np.asarray(self.long[factor.by.name])
        if t.ndim == 0:
            return np.broadcast_to(evaluate(expression, self.long), s.shape)
        slope = np.broadcast_to(evaluate(expression, self.long), t.shape)
        place = np.broadcast_to(np.arange(s.size).reshape(s.shape), t.shape)
        tensor = np.zeros((t.size, s.size))
        tensor[np.arange(t.size), place.ravel()] = slope.ravel()
        return tensor.reshape(*t.shape, *s.shape)

    def _multiplied(self, side: Multiplied) -> Array:
        op: Any = side.product.op
        other = np.asarray(self.long[side.other.name])
        other = other.T if (op.transpose_right if side.left else op.transpose_left) else other
        rows = np.shape(self.long[side.factor.of.name])
        if side.left:  # ∂T_ij/∂L_pq = δ_ip R_qj
            tensor = np.einsum("ip,qj->ijpq", np.eye(rows[0]), other)
            turned = op.transpose_left
        else:  # ∂T_ij/∂R_pq = L_ip δ_jq
            tensor = np.einsum("ip,jq->ijpq", other, np.eye(rows[1]))
            turned = op.transpose_right
        return np.asarray(tensor.swapaxes(2, 3) if turned else tensor)


def evaluate(e: Expression, values: Mapping[str, Any]) -> Array:
    """An expression with sums and products of matrices at values."""
    with np.errstate(all="ignore"):
        return np.asarray(_value(e, values))


def _value(e: Expression, values: Mapping[str, Any]) -> Any:
    match e:
        case Constant(value):
            return np.float64(value)
        case Variable():
            return values[e.name]
        case Transposed():
            return _value(e.argument, values).T
        case Product():
            return _value(e.left, values) @ _value(e.right, values)
        case Reduction(kind, over, argument):
            inner = _value(argument, values)
            fold: Any = {"sum": np.sum, "max": np.max, "mean": np.mean}[kind]
            return (
                fold(inner) if over == "all" else fold(inner, axis=0 if over == "rows" else 1, keepdims=over != "rows")
            )
        case Apply(function, arguments):
            return SCALAR[function](*(_value(a, values) for a in arguments))
    raise AssertionError(e)


def agree(left: Array, right: Array) -> bool:
    """Whether they are the same numbers, as far as differences have digits."""
    try:
        left, right = np.broadcast_arrays(left, right)
    except ValueError:
        return False
    size = max(float(np.max(np.abs(left), initial=0.0)), 1e-3)
    return bool(np.allclose(left, right, rtol=1e-5, atol=1e-6 * max(size, 1.0), equal_nan=True))


def disagreements(said: Steps, values: Mapping[str, Any] | None = None, seed: int = 0) -> list[int]:
    """The places, from 0, of the steps whose sides are different numbers; none where all is true.

    values: of all that the program is given (random ones unless given).  Factors of more than LARGEST entries are
    passed over.
    """
    numbers = Numbers(said, random_values(said.program, seed) if values is None else values)
    wrong = []
    for place, step in enumerate(said.steps):
        if max(numbers.size(step.left), numbers.size(step.right)) > LARGEST:
            continue
        if not agree(numbers.side(step.left), numbers.side(step.right)):
            wrong.append(place)
    return wrong
