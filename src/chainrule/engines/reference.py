"""The reference engine: NumPy, equation by equation, with no fast path.  It defines what a program means.

Numbers below the smallest normal one of the dtype (subnormal, 1.2e-38 in float32) are 0: in what is given and stored,
and as the result of any function.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np

from chainrule.engines.base import Array, Epoch, EpochResult, Session, Values, rate_scalars
from chainrule.engines.flushing import RAISING, all_flushed, carefully, flushed, without_subnormal
from chainrule.engines.philox import random_words
from chainrule.engines.recent import Recent
from chainrule.engines.scalars import FLUSHING, SCALAR, Evaluate, Functions, evaluator
from chainrule.program.equation import Equation, Program
from chainrule.program.op import (
    AtRows,
    Beside,
    Columns,
    Elementwise,
    Gather,
    GroupedMatMul,
    Mask,
    MatMul,
    OneHot,
    OverShards,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.precision import pairs
from chainrule.program.symbol import BATCH, STORED, Symbol

LONG = 4096
"""Terms up to which a sum is taken as it comes."""

_AXES = {"rows": {"axis": 0}, "columns": {"axis": 1, "keepdims": True}, "all": {}}


def bf16(x: Array) -> Array:
    """float32 numbers rounded to bfloat16: to the nearest, halves to even; above 3.39e38 to infinity."""
    bits = x.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(x), x, rounded.view(np.float32))


def split(x: Array, parts: int) -> list[Array]:
    """x₁ = bf16(x), x₂ = bf16(x - x₁), ...; beside an infinite part the others are 0."""
    found = []
    x = np.ascontiguousarray(x)
    with np.errstate(all="ignore"):
        for _ in range(parts):
            found.append(bf16(x))
            x = without_subnormal(np.where(np.isinf(found[-1]), np.float32(0), x - found[-1]))
    return found


def _product(left: Array, right: Array, parts: int) -> Array:
    """The product of two matrices, or of each two of as many; in float32 of so many parts of both sides, if any."""
    if parts == 0 or left.dtype != np.float32:
        return _plain_product(left, right)
    lefts, rights = split(left, parts), split(right, parts)
    (a, b), *more = pairs(parts)
    total = _plain_product(lefts[a], rights[b])
    for a, b in more:
        total += _plain_product(lefts[a], rights[b])
    return total


def _plain_product(left: Array, right: Array) -> Array:
    """What is summed over is taken in parts where it is long, so that digits are kept."""
    depth = left.shape[-1]
    if depth <= LONG:
        return np.asarray(np.matmul(left, right))
    total = np.matmul(left[..., :LONG], right[..., :LONG, :])
    for first in range(LONG, depth, LONG):
        total += np.matmul(left[..., first : first + LONG], right[..., first : first + LONG, :])
    return np.asarray(total)


def _grouped(op: GroupedMatMul, left: str, right: str) -> Evaluate:
    """The product of each group: what stands side by side (m, g·n) as (g, m, n), matrices as (g, a, b).

    Where the matrix is shared, samples and groups are rows of one product.
    """
    g = op.groups

    def stacked(value: Array) -> Array:
        return value.reshape(len(value), g, value.shape[1] // g).swapaxes(0, 1)

    def rows(value: Array) -> Array:
        return value.reshape(len(value) * g, value.shape[1] // g)

    def shared(v: dict[str, Any]) -> Array:
        W = v[right].T if op.transpose_right else v[right]
        return _product(rows(v[left]), W, op.parts).reshape(len(v[left]), g * W.shape[1])

    def each(v: dict[str, Any]) -> Array:
        W = v[right].reshape(g, len(v[right]) // g, v[right].shape[1])
        W = W.swapaxes(1, 2) if op.transpose_right else W
        return _product(stacked(v[left]), W, op.parts).swapaxes(0, 1).reshape(len(v[left]), g * W.shape[2])

    def weights(v: dict[str, Any]) -> Array:
        if op.shared:
            return _product(rows(v[left]).T, rows(v[right]), op.parts)
        return _product(stacked(v[left]).swapaxes(1, 2), stacked(v[right]), op.parts).reshape(v[left].shape[1], -1)

    return weights if op.transpose_left else shared if op.shared else each


def _sum_of_rows(x: Array) -> Array:
    """Σ over the rows (m, n) → (n,); NumPy adds row after row, so that many are taken in parts."""
    if len(x) <= LONG:
        return np.asarray(np.sum(x, axis=0))
    starts = np.arange(0, len(x), 64)
    return _sum_of_rows(np.add.reduceat(x, starts, axis=0))


def named_rows(op: Gather | ScatterAdd | AtRows, tokens: Array, count: int) -> tuple[Array, Array | None]:
    """The rows (m, c) of a table of so many that the tokens name, and which of them are meant; None for all.

    The user's array may change while a fit runs: whatever it holds then, it names a row.
    """
    read = (tokens if op.column is None else tokens[:, op.column : op.column + 1]).view(np.uint64)
    rows = np.minimum(read + np.array(op.starts, np.uint64) if op.starts else read, np.uint64(count - 1))
    return rows, None if op.padding is None else read != op.padding


def handler(equation: Equation, dtype: np.dtype[Any], functions: Functions = SCALAR) -> Evaluate:
    """The equation's right side as a function of the values so far, computed in the dtype by these functions."""
    names, op = [s.name for s in equation.operands], equation.op
    match op:
        case MatMul(transpose_left, transpose_right, parts):
            left, right = names
            return lambda v: _product(
                v[left].T if transpose_left else v[left], v[right].T if transpose_right else v[right], parts
            )
        case Elementwise(expression):
            value = evaluator(expression, dtype, functions)
            shape = equation.target.shape
            if op.shape(equation.operands) == shape:
                return value

            def repeated(v: dict[str, Any]) -> Array:
                return np.broadcast_to(value(v), [int(v[BATCH]) if d == BATCH else int(d) for d in shape]).copy()

            return repeated
        case Reduce(kind, over, expression):
            value, axes = evaluator(expression, dtype, functions), _AXES[over]
            if kind == "sum" and over == "rows":
                return lambda v: _sum_of_rows(value(v))
            function: Callable[..., Any] = np.sum if kind == "sum" else np.max
            return lambda v: function(value(v), **axes)
        case Gather():
            table, tokens = names

            def gather(v: dict[str, Any]) -> Array:
                rows, some = named_rows(op, v[tokens], len(v[table]))
                looked_up = v[table][rows]
                if some is not None:
                    looked_up[~some] = 0
                return np.asarray(looked_up.sum(axis=1) if op.starts else looked_up.reshape(len(rows), -1))

            return gather
        case ScatterAdd(count):
            pieces, tokens = names
            width = int(equation.target.shape[1])

            def scatter(v: dict[str, Any]) -> Array:
                rows, some = named_rows(op, v[tokens], count)
                parts = v[pieces].reshape(len(rows), op.columns(equation.operands[1]), width)
                parts = np.broadcast_to(parts, (*rows.shape, width))
                result = np.zeros((count, width), dtype)
                if some is None:
                    np.add.at(result, rows.reshape(-1), parts.reshape(-1, width))
                else:
                    np.add.at(result, rows[some], parts[some])
                return result

            return scatter
        case AtRows(expression):
            table, tokens = names[:2]
            value = evaluator(expression, dtype, functions)

            def at_rows(v: dict[str, Any]) -> Array:
                rows, some = named_rows(op, v[tokens], len(v[table]))
                named = np.unique(rows if some is None else rows[some])
                result = v[table].copy()
                own = {s.name: v[s.name][named] if len(s.shape) == 2 else v[s.name] for s in equation.operands[2:]}
                result[named] = value({**own, table: v[table][named]})
                return np.asarray(result)

            return at_rows
        case Mask(rate, stream, columns):
            seed, step, *given = names

            def mask(v: dict[str, Any]) -> Array:
                least = math.floor((float(v[given[0]]) if rate is None else rate) * 2**32)
                words = random_words(int(v[seed]), int(v[step]), stream, int(v[BATCH]), columns)
                return np.asarray(words >= least).astype(dtype)

            return mask
        case OneHot(classes):
            labels = names[0]
            return lambda v: (v[labels][:, None] == np.arange(classes)).astype(dtype)
        case Beside(starts, width):
            places = [slice(k, k + int(s.shape[1])) for k, s in zip(starts, equation.operands, strict=True)]

            def beside(v: dict[str, Any]) -> Array:
                result = np.zeros((len(v[names[0]]), width), dtype)
                for name, place in zip(names, places, strict=True):
                    result[:, place] = v[name]
                return result

            return beside
        case Columns(start, count):
            (whole,) = names
            return lambda v: v[whole][:, start : start + count].copy()
        case GroupedMatMul():
            return _grouped(op, *names)
        case Repeat(times, within):
            (one,) = names
            return lambda v: np.repeat(v[one], times, axis=1) if within else np.tile(v[one], (1, times))
        case ReduceGroups(kind, groups, within):
            (beside_each_other,) = names
            width, fold = int(equation.operands[0].shape[1]) // groups, np.sum if kind == "sum" else np.max

            def folded(v: dict[str, Any]) -> Array:
                whole = v[beside_each_other]
                return np.asarray(fold(whole.reshape(len(whole), groups, width), axis=2 if within else 1))

            return folded
        case OverShards():  # of one shard; `engines/shards` adds up those of several
            (one,) = names
            return lambda v: np.array(v[one])
        case _:
            assert_never(op)


@dataclass(frozen=True)
class Step:
    """An equation as a function of the values so far."""

    name: str
    """Its target's."""
    stored: bool
    """Whether the target is stored, which is to be overwritten."""
    value: Evaluate
    """Its right side."""
    careful: Evaluate
    """The same where something on the way to it is subnormal."""
    last_used: tuple[str, ...]
    """The targets that nothing has a use for after it."""


@dataclass(frozen=True)
class Steps:
    """A program's equations as functions of the values so far."""

    given: list[Symbol]
    """Its given rates and counters."""
    rates: list[tuple[str, Evaluate]]
    """Scalars of rates and counters alone, in float64, by name."""
    equations: list[Step]
    """All others."""


@functools.cache
def _made_ready(dtype: np.dtype[Any]) -> Recent[str, Steps]:
    """What programs were made ready of late, by their digests: all networks of a dtype share it."""
    return Recent()


class ReferenceEngine:
    """Runs a program's equations one after the other, each as one NumPy expression."""

    name = "reference"

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._steps = _made_ready(dtype)

    def run(self, program: Program, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values."""
        values: dict[str, Any] = all_flushed(given)
        steps = self.steps(program)
        self.rates(steps, values)
        with np.errstate(**RAISING):
            for step in steps.equations:
                try:
                    values[step.name] = step.value(values)
                except FloatingPointError:
                    values[step.name] = step.careful(values)
                for name in step.last_used:
                    if name not in wanted:
                        del values[name]
        return {name: np.asarray(values[name]) for name in wanted}

    def one_row(self, program: Program, stored: Mapping[str, Array]) -> None:
        """None: there is no fast path here."""

    def open(self, program: Program, stored: Values, lent: Collection[str] = ()) -> Session:
        """A session that begins with these arrays."""
        return _ReferenceSession(self, program, stored)

    def steps(self, program: Program) -> Steps:
        """The program's equations, made ready once."""
        steps = self._steps.get(program.digest)
        if steps is None:
            exact = rate_scalars(program)
            others = [e for e in program.equations if e not in exact]
            steps = Steps(
                [s for s in program.given if s.role in ("rate", "counter")],
                [(e.target.name, handler(e, np.dtype(np.float64))) for e in exact],
                [
                    Step(
                        e.target.name,
                        e.target.role in STORED,
                        handler(e, self.dtype),
                        carefully(handler(e, self.dtype, FLUSHING)),
                        last_used,
                    )
                    for e, last_used in zip(others, _last_used(program, others), strict=True)
                ],
            )
            self._steps.keep(program.digest, steps)
        return steps

    def rates(self, steps: Steps, values: dict[str, Any]) -> None:
        """Adds what follows from the given rates and counters alone: computed in float64, and rounded then."""
        exact: dict[str, Any] = {}
        with np.errstate(all="ignore"):
            for symbol in steps.given:
                if symbol.name in values:
                    exact[symbol.name] = np.float64(values[symbol.name])
                    if symbol.role == "rate":
                        values[symbol.name] = self.dtype.type(values[symbol.name])
            for name, value in steps.rates:
                exact[name] = value(exact)
                values[name] = np.asarray(exact[name], self.dtype)


def _last_used(program: Program, equations: Sequence[Equation]) -> list[tuple[str, ...]]:
    """For each of the equations the targets that none after it uses; what is stored outlives them all, as does J."""
    objective = program.objective
    kept = {s.name for s in program.stored} | ({objective.name} if objective is not None else set())
    last: dict[str, int] = {}
    for k, equation in enumerate(equations):
        for symbol in (equation.target, *equation.operands):
            last[symbol.name] = k
    names: list[list[str]] = [[] for _ in equations]
    for equation in equations:
        if (name := equation.target.name) not in kept:
            names[last[name]].append(name)
    return [tuple(each) for each in names]


class _ReferenceSession(Session):
    """The stored arrays as they are."""

    def __init__(self, engine: ReferenceEngine, program: Program, stored: Values) -> None:
        self.engine, self.program, self._steps = engine, program, engine.steps(program)
        arrays = {
            s.name: np.array(stored[s.name], engine.dtype)
            if s.name in stored or s.role != "slot"
            else np.zeros([int(d) for d in s.shape], engine.dtype)
            for s in program.stored
        }
        self._costs = np.zeros(0)
        self._now: tuple[dict[str, Array], int] = (all_flushed(arrays), 0)
        """What is stored, and how many steps of the epoch are done: one step changes both at once, whatever
        interrupts it; an array that is stored is never overwritten."""

    @property
    def stored(self) -> dict[str, Array]:
        """What is stored, by name."""
        return self._now[0]

    @property
    def last(self) -> EpochResult:
        """The costs so far."""
        return EpochResult(self._costs[: self._now[1]].copy())

    def epoch(self, epoch: Epoch, stop: Callable[[], bool] | None = None) -> EpochResult:
        """Trains one epoch, a batch at a time."""
        assert self.program.objective is not None
        objective, dtype = self.program.objective.name, self.engine.dtype
        self._now = (self.stored, 0)
        self._costs = np.zeros(epoch.steps)
        self.calls += 1
        for k in range(epoch.steps):
            if stop is not None and stop():
                break
            rows = epoch.order[k * epoch.batch_size : (k + 1) * epoch.batch_size]
            values: dict[str, Any] = {**self.stored, **{name: array[rows] for name, array in epoch.data.items()}}
            values[BATCH] = dtype.type(len(rows))
            values.update(lr=epoch.rates[k], t=epoch.first_step + k, seed=epoch.seed)
            values.update({name: numbers[k] for name, numbers in epoch.settings.items()})
            stored = self._step(values, epoch.data, objective)
            self._costs[k] = values[objective]
            self._now = (self.stored if stored is None else stored, k + 1)
            if stored is None:
                break
        return self.last

    def _step(self, values: dict[str, Any], batched: Iterable[str], objective: str) -> dict[str, Array] | None:
        """What is stored after a step; None if the cost is not finite."""
        steps = self._steps
        self.engine.rates(steps, values)
        with np.errstate(**RAISING):
            values.update({name: flushed(values[name]) for name in batched})
            for step in steps.equations:
                try:
                    result = step.value(values)
                except FloatingPointError:
                    result = step.careful(values)
                values[step.name] = np.asarray(result, self.engine.dtype, order="C") if step.stored else result
                if step.name == objective and not math.isfinite(result):
                    return None
                for name in step.last_used:
                    del values[name]
        return {name: values[name] for name in self.stored}

    def run(self, given: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        """The wanted symbols' values; what is stored stays as it is."""
        values = self.engine.run(self.program, {**self.stored, **given}, wanted)
        return {name: np.array(value) for name, value in values.items()}

    def read(self, names: Iterable[str] | None = None) -> dict[str, Array]:
        """Copies."""
        return {name: self.stored[name].copy() for name in (self.stored if names is None else names)}

    def read_into(self, arrays: Mapping[str, Array], rows: Mapping[str, Array] | None = None) -> None:
        """Overwrites these arrays."""
        for name in arrays.keys() & self.stored.keys():
            arrays[name][...] = self.stored[name]

    def write(self, arrays: Values) -> None:
        """Copies take the place of what is stored."""
        copies = {name: np.array(arrays[name], self.engine.dtype) for name in arrays.keys() & self.stored.keys()}
        self._now = ({**self.stored, **all_flushed(copies)}, self._now[1])
