"""The update section: gradients clipped, each parameter's step as its optimizer writes it, and what follows a step."""

from __future__ import annotations

from collections.abc import Mapping

from chainrule.describe.constraints import Constraint
from chainrule.describe.optimizers import Optimizer
from chainrule.describe.settings import of_parameters
from chainrule.describe.update import Rows, Step, rate_symbol
from chainrule.errors import SpecError
from chainrule.program.builder import Builder
from chainrule.program.op import Elementwise, GroupedMatMul, MatMul, Op, Reduce
from chainrule.program.scalar import Constant, Expression, Variable, apply
from chainrule.program.symbol import Symbol
from chainrule.program.walk import sum_of

_SQUARED = 1e15
"""The largest gradient below which a norm's squares are added up as they are: 1e8 of them stay below every limit."""


def write_update(
    builder: Builder,
    optimizer: Optimizer,
    gradients: list[tuple[Symbol, Symbol]],
    places: Mapping[str, int | None],
    prediction: Symbol,
    constraints: Mapping[str, tuple[Constraint, ...]],
) -> None:
    """The optimizer's equations for each parameter that it moves; gradients are clipped first.

    places: of each parameter's layer, by name; None of a loss's.  constraints: what each is brought back to, by name.
    Raises SpecError for factors of parameters that are not there.
    """
    faults: list[str] = []
    parameters = [s for s, _ in gradients]
    rates = of_parameters("rates", optimizer.rates, parameters, faults)
    decays = of_parameters("decays", getattr(optimizer, "decays", ()), parameters, faults)
    for name in builder.sparse:
        faults += [
            f"{type(c).__name__} of {name} looks at every row, and the updates are of the rows of a batch alone: "
            "make it Embedding(..., sparse=False)."
            for c in constraints.get(name, ())
            if c.late
        ]
    if faults:
        raise SpecError([f"{type(optimizer).__name__}: {fault}" for fault in faults])
    hidden = {s.name for e in builder.equations if _is_dense(e.op) for s in e.operands if s.penalised}
    hidden -= _of_the_end(builder, prediction)
    moved = [(s, g) for s, g in gradients if rates.get(s.name, 1.0)]
    values = {g.name: _within(Variable(g.name), optimizer.clip_value) for _, g in moved}
    bound: dict[object, Expression] = {}

    def move(parameter: Symbol, value: Expression, rule: str, rows: Rows | None) -> None:
        for constraint in constraints.get(parameter.name, ()):
            value, rule = constraint.equations(builder, parameter, value), type(constraint).__name__
        tokens, lookup = rows or (None, None)
        builder.overwrite(parameter, value, rule=rule, tokens=tokens, lookup=lookup)
        write_average(builder, optimizer, parameter)

    def step(parameter: Symbol, gradient: Symbol) -> Step:
        return Step(
            builder,
            parameter,
            values[gradient.name],
            type(optimizer).__name__,
            move,
            factor=float(rates.get(parameter.name, 1.0)),
            decay=float(decays.get(parameter.name, 1.0)),
            hidden=parameter.name in hidden,
            rows=builder.sparse.get(parameter.name),
            bound=bound,
        )

    for parameter, gradient in moved:
        optimizer.begin(step(parameter, gradient))
    if optimizer.clip_norm is not None and moved:
        unit, factor = _clip(builder, optimizer.clip_norm, [(g, values[g.name]) for _, g in moved])
        values = {name: factor * (unit * value) for name, value in values.items()}
    for parameter, gradient in moved:
        builder.layer = places[parameter.name]
        optimizer.equations(step(parameter, gradient))
    builder.layer = None


def write_average(builder: Builder, optimizer: Optimizer, stored: Symbol) -> None:
    """Ā := Ā + s (W - Ā), where averages are asked for, of what was overwritten just before."""
    if optimizer.average is not None:
        share = Variable(builder.give(rate_symbol("share")).name)
        mean = builder.give(stored.said("mean", "slot"))
        now, before = Variable(stored.name), Variable(mean.name)
        builder.overwrite(mean, before + share * (now - before), rule="average")


def _is_dense(op: Op) -> bool:
    """Whether it is a product with one matrix."""
    return isinstance(op, MatMul) or (isinstance(op, GroupedMatMul) and op.shared)


def _of_the_end(builder: Builder, prediction: Symbol) -> frozenset[str]:
    """Names of the parameters whose product makes the prediction, with no product between."""
    made_by = {e.target.name: e for e in builder.equations}
    names, seen, waiting = set(), set(), [prediction]
    while waiting:
        symbol = waiting.pop()
        equation = made_by.get(symbol.name)
        if symbol.name in seen or equation is None:
            continue
        seen.add(symbol.name)
        if any(s.penalised for s in equation.operands) and not isinstance(equation.op, Elementwise | Reduce):
            names |= {s.name for s in equation.operands if s.role == "parameter"}
        else:
            waiting += equation.operands
    return frozenset(names)


def _within(g: Expression, limit: float | None) -> Expression:
    """g, each number kept within ±limit."""
    if limit is None:
        return g
    return apply("minimum", apply("maximum", g, Constant(-float(limit))), Constant(float(limit)))


def _clip(builder: Builder, limit: float, gradients: list[tuple[Symbol, Expression]]) -> tuple[Expression, Expression]:
    """(u, f): g becomes f (u g), which is g min(1, limit / (‖g‖ + 1e-6)), the norm over all gradients together.

    u is 1, unless an element is so large that squares might overflow; then it makes the largest 16.
    """
    rule = "clipping by the global norm"
    largest: list[Expression] = []
    for gradient, g in gradients:
        size = apply("abs", g)
        largest.append(Variable(builder.reduce(gradient.said("largest"), Reduce("max", "all", size), rule=rule).name))
    while len(largest) > 1:  # in pairs: what is nested stays shallow
        pairs = [largest[k : k + 2] for k in range(0, len(largest), 2)]
        largest = [apply("maximum", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
    top = Variable(builder.write(Symbol("largest", (), "inner"), largest[0], rule=rule).name)
    scale = apply("where", apply("lt", top, Constant(_SQUARED)), Constant(1.0), 16 / top)
    unit = Variable(builder.write(Symbol("unit", (), "inner"), scale, rule=rule).name)
    squares: list[Expression] = []
    for gradient, g in gradients:
        square = (unit * g) ** 2
        part = builder.reduce(gradient.said("norm2"), Reduce("sum", "all", square), rule="clipping")
        squares.append(Variable(part.name))
    factor = apply("minimum", limit / (apply("sqrt", sum_of(squares)) + 1e-6 * unit), 1 / unit)
    return unit, Variable(builder.write(Symbol("clip", (), "inner"), factor, rule=rule).name)
