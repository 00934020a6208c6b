"""Stages that are the same code at other places: the layers of a deep network, compiled once and called for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from chainrule.engines.compiled.lower.frame import rate_names
from chainrule.engines.compiled.plan import Plan
from chainrule.engines.compiled.plan.stages import Flat, Pack, PerSample, Plain, Product, Stage, Sums
from chainrule.program.equation import Equation
from chainrule.program.op import Elementwise, Op, Reduce
from chainrule.program.scalar import Apply, Constant, Expression, Variable
from chainrule.program.walk import parts

ONCE = 4
"""Stages of one likeness that still get their own code, with their places as numbers in it."""
_KINDS = (Product, Pack, PerSample, Sums, Flat, Plain)
"""Kinds of stages whose code depends on nothing but what a likeness says."""


@dataclass(frozen=True)
class Likeness:
    """What the code of a stage depends on, but for the places of its values: equal ones have the same code."""

    facts: Hashable
    """The stage's equations, with numbers for names, and all that is said of each."""
    names: tuple[str, ...] = field(compare=False)
    """The names, in the order of their numbers."""


class Likenesses:
    """The likeness of each stage of a plan that is repeated often enough to be compiled once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._rates = {name: k for k, name in enumerate(rate_names(plan))}
        self._of: dict[int, Likeness] = {}
        candidates = [stage for stage in plan.stages if isinstance(stage, _KINDS)]
        if len(candidates) > ONCE:
            likenesses = {id(stage): self._likeness(stage) for stage in candidates}
            count = Counter(likenesses.values())
            self._of = {key: likeness for key, likeness in likenesses.items() if count[likeness] > ONCE}

    def of(self, stage: Stage) -> Likeness | None:
        """The stage's likeness, if it is repeated."""
        return self._of.get(id(stage))

    def _likeness(self, stage: Stage) -> Likeness:
        numbers: dict[str, int] = {}
        bias: list[Equation] = []
        rest: tuple[Hashable, ...] = ()
        if isinstance(stage, Product):
            bias = stage.bias
            rest = (stage.form, stage.nonzero if stage.nonzero is None else self.plan.lists[stage.nonzero])
            if stage.nonzero is not None:
                numbers[stage.nonzero] = 0
            rest = (*rest, *((p.form, p.groups) for p in stage.packed.values()))
            for name in stage.packed:
                numbers[name] = len(numbers)
        elif isinstance(stage, Pack):
            rest = (stage.packing.form, stage.packing.groups, stage.packing.parts)
            numbers.update({stage.packing.symbol.name: 0, stage.packing.name: 1})
        said = (_said(stage.equations, numbers), _said(bias, numbers))
        for p in stage.packs:
            ends = tuple(numbers.setdefault(name, len(numbers)) for name in (p.symbol.name, p.name))
            rest = (*rest, (p.form, p.groups, p.parts, ends))
        for label in [self.plan.labels[name].name for name in numbers if name in self.plan.labels]:
            numbers.setdefault(label, len(numbers))
        facts = tuple(self._facts(name, numbers) for name in numbers)
        return Likeness((type(stage), rest, said, facts), tuple(numbers))

    def _facts(self, name: str, numbers: dict[str, int]) -> Hashable:
        """All that the code may ask about a name."""
        plan, memory = self.plan, self.plan.memory
        symbol = plan.program.symbols.get(name)
        label = plan.labels.get(name)
        where = [name in places for places in (memory.stored, memory.fixed, memory.batch, memory.packed)]
        where.append(memory.owned(name))
        return (
            None if symbol is None else (symbol.shape, symbol.role, symbol.integers, plan.kinds[name]),
            name in plan.kept,
            self._rates.get(name),
            None if label is None else numbers[label.name],
            *where,
        )


def _said(equations: Iterable[Equation], numbers: dict[str, int]) -> Hashable:
    """The equations with numbers for names, in the order in which they appear."""

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    return tuple(
        (tuple(number(s.name) for s in e.operands), number(e.target.name), _operation(e.op, numbers)) for e in equations
    )


def _operation(op: Op, numbers: dict[str, int]) -> Hashable:
    if isinstance(op, Elementwise):
        return _expression(op.expression, numbers)
    if isinstance(op, Reduce):
        return op.kind, op.over, _expression(op.expression, numbers)
    return op


def _expression(e: Expression, numbers: dict[str, int]) -> Hashable:
    """The expression's parts in order, each with the places of those under it."""
    places: dict[Expression, int] = {}
    said: list[Hashable] = []
    for part in parts(e):
        places[part] = len(places)
        if isinstance(part, Variable):
            said.append(("variable", numbers[part.name]))
        elif isinstance(part, Constant):
            said.append(repr(part.value))
        else:
            assert isinstance(part, Apply)
            said.append((part.function, *(places[x] for x in part.arguments)))
    return tuple(said)
