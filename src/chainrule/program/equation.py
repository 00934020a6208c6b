"""Equation and Program: the derivation as data.

    equation ::= target = op(operand, ...)                 assigned once
               | stored := op(operand, ...)                in the update: overwrites a parameter, slot or statistic
    program  ::= given, forward, cost, backward, update    sections of equations, run in this order
    target, operand, stored ::= symbol

An equation reads symbols that are given or were assigned before.  In the update a stored symbol has its old value until
it is overwritten, and its new value after.  `print(program)` shows the derivation in row notation with shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from chainrule.display import Displayed
from chainrule.program.op import Elementwise, GroupedMatMul, MatMul, Op, Reduce
from chainrule.program.scalar import Expression
from chainrule.program.symbol import STORED, Shape, Symbol
from chainrule.program.text import equation_text, program_text
from chainrule.program.walk import variables

if TYPE_CHECKING:
    from chainrule.glass.exercise import Exercise
    from chainrule.notation.steps import Worked

SECTIONS = ("forward", "cost", "backward", "update")


@dataclass(frozen=True)
class Equation:
    """target = op(operands), and why."""

    target: Symbol
    """What is defined, or overwritten."""
    op: Op
    """The operation."""
    operands: tuple[Symbol, ...]
    """What it reads, in the operation's order."""
    rule: str = field(default="", compare=False)
    """The rule that wrote it."""
    through: tuple[Symbol, ...] = field(default=(), compare=False)
    """The targets of the equations that it goes back through."""
    layer: int | None = field(default=None, compare=False)
    """The place, from 0, of the layer that it belongs to; None where it belongs to none (the cost)."""

    def __repr__(self) -> str:
        return f"Equation({_cut(equation_text(self))})"

    def __str__(self) -> str:
        return equation_text(self)


@dataclass(frozen=True)
class Program(Displayed):
    """The equations of one network: its prediction, its cost J, the gradient of J by everything wanted, the update."""

    given: tuple[Symbol, ...]
    """What comes from outside: data, m, parameters, slots, rates."""
    forward: tuple[Equation, ...]
    """Of the prediction."""
    prediction: Symbol
    """Ŷ"""
    cost: tuple[Equation, ...] = ()
    """Of J."""
    backward: tuple[Equation, ...] = ()
    """Of the gradients."""
    update: tuple[Equation, ...] = ()
    """Of what is stored: slots, parameters, statistics."""
    objective: Symbol | None = None
    """J, or None where there is no cost."""
    gradients: tuple[tuple[Symbol, Symbol], ...] = ()
    """(symbol, its gradient) pairs; parameters in the network's order, then X if it was asked for."""
    outputs: tuple[Symbol, ...] = ()
    """The symbol that leaves each layer, in their order; a layer that does nothing passes on the one before."""
    activations: tuple[tuple[Symbol, Symbol], ...] = ()
    """(A, Z) of each activation A = g(Z)."""
    divisor: Expression | None = None
    """D, by which the sum of the losses is divided in J; None for a sum, or a cost of its own."""

    def sections(self) -> Iterator[tuple[str, tuple[Equation, ...]]]:
        """(name, equations) of each section, in order."""
        for name in SECTIONS:
            yield name, getattr(self, name)

    @cached_property
    def equations(self) -> tuple[Equation, ...]:
        """All equations in order."""
        return self.forward + self.cost + self.backward + self.update

    @cached_property
    def parts(self) -> int:
        """The bfloat16 parts that the sides of its products with samples are split into; 0 for none."""
        return max((e.op.parts for e in self.equations if isinstance(e.op, MatMul | GroupedMatMul)), default=0)

    def of_parts(self, parts: int) -> Program:
        """The same program with so many parts in its products with samples; 0 for none."""

        def changed(e: Equation) -> Equation:
            if isinstance(e.op, MatMul | GroupedMatMul) and any(s.batched for s in e.operands):
                return replace(e, op=replace(e.op, parts=parts))
            return e

        forward, cost, backward, update = (tuple(map(changed, equations)) for _, equations in self.sections())
        return replace(self, forward=forward, cost=cost, backward=backward, update=update)

    @cached_property
    def parameters(self) -> tuple[Symbol, ...]:
        """What is trained."""
        return tuple(s for s in self.given if s.role == "parameter")

    @cached_property
    def stored(self) -> tuple[Symbol, ...]:
        """What outlives a step: parameters, optimizer slots and running statistics."""
        return tuple(s for s in self.given if s.role in STORED)

    @cached_property
    def symbols(self) -> dict[str, Symbol]:
        """Every symbol by name."""
        return {s.name: s for s in (*self.given, *(e.target for e in self.equations))}

    @cached_property
    def gradient_of(self) -> dict[str, Symbol]:
        """dT by the name of T, of every T whose gradient the backward section makes."""
        inner = [e.target for e in self.backward if e.target.how == "gradient" and e.target.role == "gradient"]
        return {g.of[0].name: g for g in inner} | {s.name: g for s, g in self.gradients}

    def symbol(self, name: str) -> Symbol:
        """The symbol of that name.  Raises KeyError."""
        return self.symbols[name]

    def pruned(self, wanted: Iterable[Symbol] = (), *, update: bool = True) -> Program:
        """The same program without what nobody asked for.

        Kept: the prediction if wanted, J, whatever the update needs (if it is kept), and the wanted symbols.
        """
        keep = {s.name for s in wanted}
        kept: list[Equation] = []
        for equation in reversed(self.equations):
            stored = equation.target.role in STORED
            if (update and stored) or (not stored and equation.target.name in keep):
                kept.append(equation)
                keep |= {s.name for s in equation.operands}
        chosen = {id(e) for e in kept}
        cut = {name: tuple(e for e in equations if id(e) in chosen) for name, equations in self.sections()}
        targets = {e.target.name for e in kept}
        return replace(
            self,
            forward=cut["forward"],
            cost=cut["cost"],
            backward=cut["backward"],
            update=cut["update"],
            given=tuple(s for s in self.given if s.name in keep or s.role in STORED),
            objective=self.objective if self.objective and self.objective.name in targets else None,
            gradients=tuple((s, g) for s, g in self.gradients if g.name in targets),
        )

    def to_json(self) -> str:
        """The program as JSON, a line for each symbol and equation, which `Program.from_json` reads back.

        docs/MODEL_FORMAT.md has the format.
        """
        from chainrule.program import to_json  # loaded when it is asked for

        return to_json.to_json(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `to_json()` in hexadecimal: what is written alike has the same, in every process."""
        from chainrule.program import to_json

        return to_json.digest(self)

    if TYPE_CHECKING:  # What reads or makes programs lies above them: the package's top binds the two (readers.py).

        @staticmethod
        def from_json(said: str | bytes | Mapping[str, Any]) -> Program:
            """The program that `to_json` wrote: see `chainrule.program.from_json`."""

        def show(
            self,
            notation: str = "row",
            format: str = "unicode",
            *,
            why: bool = False,
            mean_at: Literal["weights", "cost"] | None = None,
        ) -> str:
            """The derivation as a text writes it: see `chainrule.notation.show`."""

        def steps(self, gradient: str, notation: str = "row") -> Worked:
            """The steps from the chain rule to the line of that gradient: see `chainrule.readers.steps`."""

        def exercise(self, gradient: str, hidden: Sequence[int] | None = None, notation: str = "row") -> Exercise:
            """Those steps with the right sides of some hidden: see `chainrule.readers.exercise`."""

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(equations)}" for name, equations in self.sections() if equations)
        return f"Program({parts or 'no'} equations; print it for the derivation)"

    def __str__(self) -> str:
        return program_text(self)


def _cut(text: str, longest: int = 150) -> str:
    return text if len(text) <= longest else f"{text[:longest]} ..."


def elementwise(
    target: Symbol, expression: Expression, scope: dict[str, Symbol], rule: str, through: tuple[Symbol, ...] = ()
) -> Equation:
    """target = expression, its operands found by name in scope."""
    return Equation(target, Elementwise(expression), operands_of(expression, scope), rule, through)


def reduction(
    target: Symbol, op: Reduce, scope: dict[str, Symbol], rule: str, through: tuple[Symbol, ...] = ()
) -> Equation:
    """target = Σ or max of op's expression, its operands found by name in scope."""
    return Equation(target, op, operands_of(op.expression, scope), rule, through)


def operands_of(expression: Expression, scope: dict[str, Symbol]) -> tuple[Symbol, ...]:
    """The symbols of the expression's variables, in the order of appearance."""
    return tuple(scope[name] for name in variables(expression))


def shape_of(expression: Expression, scope: dict[str, Symbol]) -> Shape:
    """The shape of an expression over symbols (a constant has the shape ())."""
    shape = Elementwise(expression).shape(operands_of(expression, scope))
    assert shape is not None, f"the operands of {expression} do not fit"
    return shape
