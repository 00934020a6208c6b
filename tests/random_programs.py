"""Random programs: any of the operations in any order, over operands that are shared, repeated and transposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from chainrule.program import (
    Beside,
    Columns,
    Elementwise,
    Gather,
    GroupedMatMul,
    Mask,
    MatMul,
    OneHot,
    Program,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
    Symbol,
    verify,
)
from chainrule.program.builder import SIZE, Builder
from chainrule.program.equation import operands_of
from chainrule.program.parse import parse
from chainrule.program.scalar import ZERO, Constant, Expression, Variable
from chainrule.program.symbol import BATCH
from chainrule.program.walk import replace as exchange
from chainrule.rules.chain import backward

T = TypeVar("T")
Choose = Callable[[Sequence[T]], T]
"""Picks one of several: Hypothesis, or a generator of random numbers."""

FORMULAS = [
    "tanh(x)", "sigmoid(x)", "x * y", "x + y", "x - y", "x / (1 + y ** 2)", "exp(-(x ** 2))", "softplus(x)",
    "where(x > y, x, 0.5 * y)", "abs(x) + y", "maximum(x, y)", "minimum(x, 0.2)", "sqrt(x ** 2 + 0.3)",
    "log(1 + x ** 2)", "log1p(x ** 2)", "expm1(0.3 * x)", "erf(x)", "x * y + x * z", "0.1 * (x + 1) ** 3", "x ** 2 * y",
    "2.5 * x", "cos(2 * x)", "x * sin(y)", "x / m", "x * x / (0.5 + x ** 2)", "-x", "y * tanh(x) - x",
]  # fmt: skip
OPERATIONS = ["product", "product", "product", "elementwise", "elementwise", "repeat", "reduce", "gather", "scatter",
              "mask", "one-hot", "beside", "columns", "grouped", "groups"]  # fmt: skip
VOCABULARY = 3
LOOKUPS = [ScatterAdd(VOCABULARY, column=1), ScatterAdd(VOCABULARY, starts=(0, 0)), ScatterAdd(VOCABULARY, padding=1)]
"""One column alone, rows added up, a token that names no row."""


@dataclass
class Fitting:
    """A program, and a batch that it can be run on."""

    program: Program
    samples: int
    seed: int

    def __repr__(self) -> str:
        return f"{self.samples} samples, seed {self.seed}\n{self.program}"

    @property
    def values(self) -> dict[str, Any]:
        """What is given, at random."""
        rng = np.random.default_rng(self.seed)
        found: dict[str, Any] = {BATCH: np.float64(self.samples), "seed": self.seed, "t": 3}
        for symbol in self.program.given:
            shape = [self.samples if d == BATCH else int(d) for d in symbol.shape]
            if symbol.shape and symbol.integers:
                found[symbol.name] = rng.integers(0, VOCABULARY, shape)
            elif symbol.name not in found:
                found[symbol.name] = 0.7 * rng.normal(size=shape)
        return found


def program(choose: Choose[Any], *, plain: bool = False) -> Fitting:
    """A program.  plain: of products A W and formulas over samples alone, as layers write them."""
    return _Writer(choose, plain).run()


class _Writer:
    def __init__(self, choose: Choose[Any], plain: bool) -> None:
        self.choose, self.plain = choose, plain
        self.builder = Builder()
        n, k, v = (choose([2, 3]) for _ in range(3))
        give = self.builder.give
        self.m = Variable(give(SIZE).name)
        self.inputs = give(Symbol("X", (BATCH, n), "input"))
        self.tokens = give(Symbol("T", (BATCH, 2), "input", integers=True))
        self.labels = give(Symbol("y", (BATCH,), "target", integers=True))
        self.weights = give(Symbol("w", (BATCH, 1), "weight"))
        shapes = {"W": (n, n), "V": (n, k), "U": (k, n), "b": (n,), "c": ()}
        self.parameters = [self.builder.parameter(Symbol(letter), shape) for letter, shape in shapes.items()]
        self.table = self.builder.parameter(Symbol("E"), (VOCABULARY, n if v == 2 else 2))
        self.pool = [self.inputs, self.weights, *self.parameters, self.table]
        self.used: set[str] = set()

    def run(self) -> Fitting:
        choose, builder = self.choose, self.builder
        for _ in range(choose([2, 3, 4, 5, 6])):
            made = self.step(choose(["product", "elementwise", "reduce"] if self.plain else OPERATIONS))
            if made is not None:
                self.pool.append(made)
        prediction = builder.equations[-1].target if builder.equations else self.activated(self.inputs)
        forward_end = len(builder.equations)
        cost = self.cost()
        cost_end = len(builder.equations)
        gradients = backward(builder, cost, [*self.parameters, self.table, self.inputs])
        equations = builder.equations
        program = Program(
            given=tuple(builder.given),
            forward=tuple(equations[:forward_end]),
            prediction=prediction,
            cost=tuple(equations[forward_end:cost_end]),
            backward=tuple(equations[cost_end:]),
            objective=cost,
            gradients=tuple(gradients),
        )
        return Fitting(verify(program), choose([2, 3, 4]), choose(range(1000)))

    def step(self, kind: str) -> Symbol | None:
        """One more equation; None where nothing fits."""
        match kind:
            case "product":
                return self.product()
            case "elementwise":
                return self.activated(self.pick(self.samples_of(self.pool) if self.plain else self.pool))
            case "repeat":
                wide = self.pick([s for s in self.pool if len(s.shape) == 2])
                small = [s for s in self.pool if s.shape in ((), (wide.shape[1],), (wide.shape[0], 1))]
                return self.activated(self.pick(small), shape=wide.shape)
            case "reduce":
                return self.reduced(self.pick(self.samples_of(self.pool) if self.plain else self.pool))
            case "gather":
                tables = [
                    s for s in self.pool if len(s.shape) == 2 and s.shape[0] == VOCABULARY and s.shape[1] != BATCH
                ]
                op = self.choose([Gather(), Gather(), *(k.turned() for k in LOOKUPS)])
                return self.builder.apply(self.draft("G"), op, (self.pick(tables), self.tokens), rule="embedding")
            case "scatter":
                pieces = [s for s in self.pool if s.batched and len(s.shape) == 2 and s.shape[1] in (2, 4, 6)]
                if not pieces:
                    return None
                add = self.choose([ScatterAdd(VOCABULARY), ScatterAdd(VOCABULARY), *LOOKUPS])
                return self.builder.apply(self.draft("D"), add, (self.pick(pieces), self.tokens), rule="sum")
            case "mask":
                seed, step = self.builder.give(Symbol("seed", (), "counter")), self.builder.give(_STEP)
                op = Mask(0.4, self.choose([0, 1]), self.choose([2, 3]))
                mask = self.builder.apply(Symbol("R", (), "mask"), op, (seed, step), rule="dropout")
                return self.activated(mask)
            case "beside":
                return self.beside_others()
            case "columns":
                wide = self.pick([s for s in self.pool if len(s.shape) == 2 and s.shape[1] != BATCH])
                start = self.choose(range(int(wide.shape[1])))
                count = self.choose(range(1, int(wide.shape[1]) - start + 1))
                self.used.add(wide.name)
                return self.builder.apply(self.draft("C"), Columns(start, count), (wide,), rule="some columns")
            case "grouped":
                return self.grouped()
            case "groups":
                wide = self.pick([s for s in self.pool if len(s.shape) == 2 and s.shape[1] != BATCH])
                within = self.choose([False, True])
                folds = [ReduceGroups(kind, g, within) for kind in ("sum", "max") for g in (1, 2, 3)]
                ways = [Repeat(2, within), Repeat(3, within), *(op for op in folds if op.shape((wide,)))]
                self.used.add(wide.name)
                return self.builder.apply(self.draft("G"), self.choose(ways), (wide,), rule="groups")
            case _:
                op = OneHot(self.choose([VOCABULARY, 4]))
                return self.builder.apply(Symbol("Y", (), "inner"), op, (self.labels,), rule="one-hot")

    def beside_others(self) -> Symbol:
        """A few values of one number of rows side by side, now and then the same twice, with zeros between or not."""
        first = self.pick([s for s in self.pool if len(s.shape) == 2 and s.shape[1] != BATCH])
        fitting = [s for s in self.pool if len(s.shape) == 2 and s.shape[0] == first.shape[0] and s.shape[1] != BATCH]
        chosen = (first, *(self.pick(fitting) for _ in range(self.choose([0, 1, 2]))))
        starts, end = [], self.choose([0, 0, 1])
        for symbol in chosen:
            starts.append(end)
            end += int(symbol.shape[1]) + self.choose([0, 0, 2])
        self.used |= {s.name for s in chosen}
        return self.builder.apply(self.draft("B"), Beside(tuple(starts), end), chosen, rule="side by side")

    def product(self) -> Symbol | None:
        """L R of any two matrices that fit, either side transposed, both the same now and then."""
        if self.plain:
            left = self.pick([s for s in self.samples_of(self.pool) if s != self.weights])
            fitting = [(s, False, False) for s in self.parameters if len(s.shape) == 2 and s.shape[0] == left.shape[1]]
        else:
            matrices = [s for s in self.pool if len(s.shape) == 2]
            left = self.pick(matrices)
            ways = [(s, a, b) for s in matrices for a in (False, True) for b in (False, True)]
            fitting = [(s, a, b) for s, a, b in ways if MatMul(a, b).shape((left, s)) is not None]
            fitting += [way for way in fitting if way[0] == left]
        if not fitting:
            return None
        right, turned_left, turned_right = self.choose(fitting)
        self.used |= {left.name, right.name}
        return self.builder.apply(
            self.draft("P"), MatMul(turned_left, turned_right), (left, right), rule="dense without bias"
        )

    def grouped(self) -> Symbol | None:
        """A product group by group of any two matrices that fit, the matrix shared or not."""
        matrices = [s for s in self.pool if len(s.shape) == 2]
        left = self.pick([s for s in matrices if s.shape[1] != BATCH])
        turned = ((False, False), (False, True), (True, False))
        ops = [GroupedMatMul(g, a, b, s) for g in (1, 2, 3) for a, b in turned for s in (False, True)]
        fitting = [(op, s) for op in ops for s in matrices if op.shape((left, s)) is not None]
        fitting += [way for way in fitting if way[0].groups > 1] * 3
        if not fitting:
            return None
        op, right = self.choose(fitting)
        self.used |= {left.name, right.name}
        return self.builder.apply(self.draft("P"), op, (left, right), rule="dense without bias")

    def activated(self, first: Symbol, shape: Any = None) -> Symbol:
        return self.builder.write(self.draft("A"), self.formula(first, shape), rule="tanh", shape=shape)

    def reduced(self, first: Symbol) -> Symbol | None:
        """Σ or max of a formula, over what its shape allows."""
        expression = self.formula(first)
        ways = [Reduce(kind, over, expression) for kind in ("sum", "max") for over in ("rows", "columns", "all")]
        if self.plain:
            ways = [op for op in ways if op.over != "all"]
        fitting = [op for op in ways if op.shape(self.operands(expression)) is not None]
        return self.builder.reduce(self.draft("S"), self.choose(fitting), rule="penalty") if fitting else None

    def formula(self, first: Symbol, shape: Any = None) -> Expression:
        """A formula of the symbol, and of others that repeat to its shape or it to theirs."""
        chosen = [first]
        for _ in "yz":
            one = self.pick(self.beside(chosen[0]) if self.plain else self.pool)
            small = shape is None or one.shape in ((), first.shape)
            if small and Elementwise(_sum([*chosen, one])).shape(tuple(dict.fromkeys([*chosen, one]))) is not None:
                chosen.append(one)
            else:
                chosen.append(first)
        text = self.choose(FORMULAS)
        bind: dict[Expression, Expression] = {Variable("m"): self.m}
        bind |= {Variable(n): Variable(s.name) for n, s in zip("xyz", chosen, strict=True)}
        expression = exchange(parse(text, ("x", "y", "z", "m")), bind)
        self.used |= {s.name for s in self.operands(expression)}
        return expression

    def operands(self, expression: Expression) -> tuple[Symbol, ...]:
        return operands_of(expression, self.builder.scope)

    def cost(self) -> Symbol:
        """Σ over all that nothing has used, and a little of the rest, so that no gradient is 0 by construction."""
        total: Expression = ZERO
        ends = [s for s in self.pool if s.name not in self.used and s.role not in ("parameter", "input", "weight")]
        for k, symbol in enumerate([*ends, *(self.choose(self.pool) for _ in range(2))]):
            text = self.choose(["tanh(x)", "x ** 2 / (1 + x ** 2)", "x * sigmoid(x)", "x"])
            each = exchange(parse(text, ("x",)), {Variable("x"): Variable(symbol.name)})
            part = self.builder.reduce(Symbol("S", (), "loss"), Reduce("sum", "all", each), rule="sum of the losses")
            total = total + Constant(0.5 + 0.3 * k) * Variable(part.name)
        if self.choose([False, True]):
            total = total / self.m
        return self.builder.write(Symbol("J", (), "cost"), total, rule="cost", shape=())

    def draft(self, letter: str) -> Symbol:
        return Symbol(letter, (), self.choose(["value", "inner", "temporary"]))

    def pick(self, symbols: Sequence[Symbol]) -> Symbol:
        """One of them, the later ones more often."""
        return self.choose([*symbols, *symbols[len(symbols) // 2 :]])  # type: ignore[no-any-return]

    def samples_of(self, symbols: Sequence[Symbol]) -> list[Symbol]:
        return [s for s in symbols if s.batched and len(s.shape) == 2]

    def beside(self, symbol: Symbol) -> list[Symbol]:
        return [s for s in self.pool if s.batched or s.shape in ((), symbol.shape[1:])]


_STEP = Symbol("t", (), "counter")


def _sum(symbols: Sequence[Symbol]) -> Expression:
    total: Expression = ZERO
    for symbol in symbols:
        total = total + Variable(symbol.name)
    return total
