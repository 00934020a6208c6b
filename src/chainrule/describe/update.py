"""What an optimizer is: its settings, and the equations of a step, written for one parameter after the other.

A step is data: formulas over w (the weight), g (its gradient), slots, lr, t (the step, from 1), or equations written
with a Builder.  Slots start at 0 and are named SLOT_PARAMETER (`M_W1`).  A setting that goes by a schedule is a given
number of each step, as the learning rate is: a column of the epoch's table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from dataclasses import replace as replaced
from functools import lru_cache
from numbers import Real
from typing import Any, ClassVar, Protocol, runtime_checkable

from chainrule.describe.averages import column
from chainrule.describe.schedules import Column, Schedule
from chainrule.describe.settings import factors
from chainrule.errors import SpecError, expected, is_number
from chainrule.program.builder import Builder
from chainrule.program.op import Gather, Op, Reduce
from chainrule.program.parse import formula
from chainrule.program.scalar import ZERO, Constant, Expression, Over, Variable
from chainrule.program.symbol import How, Shape, Symbol
from chainrule.program.walk import replace, walk


@runtime_checkable
class ScheduleLike(Protocol):
    """A setting that changes from step to step (see chainrule.describe.schedules)."""

    def to_dict(self) -> Mapping[str, object]:
        """Its settings."""


Factors = Mapping[str, float] | tuple[tuple[str, float], ...]
"""By the name of a parameter ("W1") or the letter of several ("b"); kept as pairs."""


@dataclass(frozen=True)
class UpdateRule:
    """An optimizer's step, as formulas."""

    shared: tuple[tuple[str, Expression], ...]
    """(name, formula in lr and t): what all parameters share."""
    steps: tuple[tuple[str, Expression], ...]
    """(slot or "w", formula in w, g, slots, shared, lr, t), in order."""
    kept: frozenset[str] = frozenset()
    """The names of what is shared and remembered between steps: slots of no parameter."""

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of what is remembered of a parameter between steps."""
        return tuple(name for name, _ in self.steps if name != "w")


def update_rule(
    shared: Sequence[tuple[str, str]],
    steps: Sequence[tuple[str, str]],
    *,
    kept: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> UpdateRule:
    """The rule from its formulas as texts: shared scalars in lr and t; steps in w, g, slots, shared, lr and t.

    kept: the shared scalars that are remembered; a formula may read its own old value.  settings: those of the
    optimizer that the formulas name, those by a schedule and "weight_decay", which is the parameter's own.
    """
    return _parsed(tuple(shared), tuple(steps), frozenset(kept), tuple(settings))


@lru_cache(maxsize=256)
def _parsed(
    shared: tuple[tuple[str, str], ...],
    steps: tuple[tuple[str, str], ...],
    kept: frozenset[str],
    settings: tuple[str, ...],
) -> UpdateRule:
    names = ["lr", "t", *settings, *sorted(kept)]
    made_shared = []
    for name, text in shared:
        made_shared.append((name, formula(text, names)))
        names.append(name)
    names += ["w", "g", *(name for name, _ in steps if name != "w")]
    made_steps = tuple((name, formula(text, names)) for name, text in steps)
    return UpdateRule(tuple(made_shared), made_steps, kept)


def rate_symbol(letter: str, mark: str = "") -> Symbol:
    """A number that is given for each step: lr, or a setting that goes by a schedule; mark: whose it is."""
    return Symbol("momentum" if letter == "beta1" else letter, (), "rate", mark=mark)  # beta1 is a normalisation's β


Rows = tuple[Symbol, Gather]
"""Tokens, and how they are looked up in a table."""


@dataclass(frozen=True)
class Step:
    """One parameter's step in the making: what an optimizer's equations are written with."""

    write: Builder
    """Where they are written down."""
    parameter: Symbol
    """W, which is overwritten."""
    gradient: Expression
    """g, clipped where that was asked for."""
    rule: str
    """The name of the rule that writes."""
    move: Callable[[Symbol, Expression, str, Rows | None], None]
    """move(W, value, rule, rows): W := value, in these rows alone where there are some, and what follows a step."""
    factor: float = 1.0
    """Of the learning rate, for this parameter."""
    decay: float = 1.0
    """Of the weight decay, for this parameter."""
    hidden: bool = False
    """Whether W is the matrix of a hidden dense layer."""
    rows: Rows | None = None
    """Where only the rows of a table are updated that a batch names: the tokens, and how they are looked up."""
    mark: str = ""
    """Whose rates these are: of an optimizer within another one."""
    bound: dict[object, Expression] = field(default_factory=dict)
    """What parameters share, written once: the same for all steps of a program."""

    @property
    def w(self) -> Expression:
        """W as it is: the old value before `become`."""
        return Variable(self.parameter.name)

    @property
    def lr(self) -> Expression:
        """The learning rate of this parameter."""
        return Constant(self.factor) * Variable(self.write.give(rate_symbol("lr", self.mark)).name)

    @property
    def t(self) -> Expression:
        """The number of the step, from 1."""
        return Variable(self.write.give(Symbol("t", (), "counter")).name)

    def setting(self, name: str, value: float | ScheduleLike) -> Expression:
        """A setting's number, or the given number of each step where it goes by a schedule."""
        if not isinstance(value, ScheduleLike):
            return Constant(float(value))
        return Variable(self.write.give(rate_symbol(name, self.mark)).name)

    def shared(self, letter: str, value: Expression) -> Expression:
        """A scalar that all parameters with the same factor share, written once."""
        key = (self.mark, letter, value)
        if key not in self.bound:
            self.bound[key] = self.scalar(letter, value)
        return self.bound[key]

    def scalar(self, letter: str, value: Expression) -> Expression:
        """A scalar of this parameter alone."""
        return Variable(self.write.write(Symbol(letter, (), "inner"), value, rule=self.rule).name)

    def inner(self, how: How, value: Expression) -> Variable:
        """A value on the way, in its operands' shape."""
        return Variable(self.write.write(self.parameter.said(how), value, rule=self.rule).name)

    def sum(self, how: How, over: Over, value: Expression) -> Variable:
        """Σ value over the rows (n,), the columns (k, 1), or all."""
        op = Reduce("sum", over, value)
        return Variable(self.write.reduce(self.parameter.said(how), op, rule=self.rule).name)

    def ones(self) -> Variable:
        """A row of ones (1, k), by which matrices below each other are added up, each by itself (`GroupedMatMul`)."""
        shape = (1, self.parameter.shape[0])
        said = self.parameter.said("ones")
        return Variable(self.write.write(said, Constant(1.0), rule=self.rule, shape=shape).name)

    def product(self, how: How, left: Variable, right: Variable, op: Op) -> Variable:
        """A product of two values on the way."""
        operands = (self.write.scope[left.name], self.write.scope[right.name])
        return Variable(self.write.apply(self.parameter.said(how), op, operands, rule=self.rule).name)

    def decayed(self, weight_decay: float | ScheduleLike) -> Expression:
        """(1 - lr λ) W, written W - lr λ W."""
        strength = Constant(self.decay) * self.setting("weight_decay", weight_decay)
        return self.w - self.lr * strength * self.w

    def slot(self, letter: str, shape: Shape | None = None) -> Symbol:
        """What is remembered of the parameter under the letter; in its shape unless given."""
        slot = self.parameter.slot(letter)
        return self.write.give(slot if shape is None else replaced(slot, shape=shape))

    def overwrite(self, slot: Symbol, value: Expression) -> Expression:
        """slot := value; the slot's new value."""
        self.write.overwrite(slot, value, rule=self.rule)
        return Variable(slot.name)

    def overwrite_rows(self, slot: Symbol, value: Expression, rule: str, rows: Rows) -> None:
        """slot := value in these rows."""
        self.write.overwrite(slot, value, rule=rule, tokens=rows[0], lookup=rows[1])

    def become(self, value: Expression, rule: str = "", rows: Rows | None = None) -> None:
        """W := value, in these rows alone where there are some."""
        self.move(self.parameter, value, rule or self.rule, rows)

    def by(self, other: Optimizer, mark: str) -> Step:
        """The same parameter's step by another optimizer, whose rates bear the mark."""
        return replaced(self, rule=type(other).__name__, mark=mark)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The base of all optimizers.  Raises SpecError, all faults at once."""

    learning_rate: float | ScheduleLike = field(default=0.01, kw_only=False)
    """A positive number or a schedule."""
    clip_norm: float | None = None
    """Where given, all gradients are scaled by min(1, clip_norm / (‖g‖ + 1e-6)), ‖g‖ the norm over all parameters
    together, of any finite size."""
    clip_value: float | None = None
    """Where given, each number of a gradient is kept within ±clip_value, before the norm is taken."""
    rates: Factors = ()
    """Factors of the learning rate: {"W1": 0.1, "b": 2}, by the name of a parameter or the letter of several (the name
    counts more); 0 leaves a parameter as it is, without slots, and out of the norm."""

    average: float | Schedule | None = None
    """Where given, the weights are averaged from step to step, and the network has the average at the end of the fit:
    a number β for `ExponentialAverage(β)`, or `LastAverage(epochs=k)`."""

    reason: ClassVar[str] = ""
    """What its steps do, for people."""
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {}
    _scheduled: ClassVar[tuple[str, ...]] = ()
    """The settings that may go by a schedule, beside the learning rate."""

    def __post_init__(self) -> None:
        faults = []
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Real) and not isinstance(value, int | float):
                object.__setattr__(self, item.name, float(value))  # NumPy's numbers as Python's
        rate = self.learning_rate
        if isinstance(rate, int | float) and not isinstance(rate, bool):
            if not (is_number(rate) and rate > 0):
                faults.append(expected("learning_rate", "a finite number above 0", rate))
        elif not isinstance(rate, ScheduleLike):
            faults.append(expected("learning_rate", "a number or a schedule", rate))
        for name in ("clip_norm", "clip_value"):
            limit = getattr(self, name)
            if limit is not None and not (is_number(limit) and limit > 0):
                faults.append(expected(name, "None or above 0", limit))
        average = self.average
        if not (average is None or isinstance(average, Schedule) or (is_number(average) and 0 < average < 1)):
            what = "None, a number above 0 and below 1, or an average such as LastAverage(epochs=5)"
            faults.append(expected("average", what, average))
        for name in self._by_parameter:
            object.__setattr__(self, name, factors(name, getattr(self, name), faults))
        for name, (low, high, words) in self._ranges.items():
            value = getattr(self, name)
            if isinstance(value, ScheduleLike) and name in self._scheduled:
                continue
            if not (is_number(value) and low <= value < high):
                faults.append(expected(name, words, value))
        if faults:
            raise SpecError([f"{type(self).__name__}: {fault}" for fault in faults])

    @property
    def _by_parameter(self) -> tuple[str, ...]:
        """The fields that are factors by parameter."""
        return tuple(item.name for item in fields(self) if item.name in ("rates", "decays"))

    def rule(self) -> UpdateRule:
        """The formulas."""
        raise TypeError(f"{type(self).__name__} does not say its update rule: define rule() or equations(step).")

    def begin(self, step: Step) -> None:
        """Writes what parameters share, before anything of one of them."""
        self._names(step, self.rule())

    def equations(self, step: Step) -> None:
        """Writes the step of one parameter: its slots are overwritten, and W becomes what it is to be."""
        rule = self.rule()
        names = {**self._names(step, rule), Variable("g"): step.gradient}
        names[Variable("weight_decay")] = Constant(step.decay) * step.setting("weight_decay", self._decay)
        stored = {"w": step.parameter, **{slot: step.slot(slot) for slot in rule.slots}}
        names |= {Variable(n): Variable(s.name) for n, s in stored.items()}
        for target, expression in rule.steps:
            value, rule_name = replace(expression, names), step.rule
            if step.rows is not None:
                stays = replace(expression, {**names, Variable("g"): ZERO}) == Variable(stored[target].name)
                rule_name = "rows of the batch" if stays else "rows of the batch, lazily"
            if target == "w":
                step.become(value, rule_name, step.rows)
            elif step.rows is not None:
                step.overwrite_rows(stored[target], value, rule_name, step.rows)
            else:
                step.overwrite(stored[target], value)

    @property
    def _decay(self) -> float | ScheduleLike:
        """The weight decay; 0 where there is none."""
        decay: float | ScheduleLike = getattr(self, "weight_decay", 0.0)
        return decay

    def _names(self, step: Step, rule: UpdateRule) -> dict[Expression, Expression]:
        """What the rule's formulas name and no parameter has of its own; what is shared is written once."""
        used = [e for _, e in (*rule.shared, *rule.steps)]
        numbers: dict[Expression, Expression] = {}
        for name in ("lr", "t"):
            if any(Variable(name) in walk(e) for e in used):
                numbers[Variable(name)] = step.lr if name == "lr" else step.t
        for name in self._scheduled:
            value = getattr(self, name)
            if isinstance(value, ScheduleLike) and any(Variable(name) in walk(e) for e in used):
                numbers[Variable(name)] = step.setting(name, value)
        for name, expression in rule.shared:
            slot = step.write.give(Symbol(name, (), "slot", mark=step.mark)) if name in rule.kept else None
            if slot is not None:
                numbers[Variable(name)] = Variable(slot.name)
            value = replace(expression, numbers)
            key = (step.mark, name, value)
            if key not in step.bound:
                if slot is not None:
                    step.bound[key] = step.overwrite(slot, value)
                else:
                    scalar = step.write.write(Symbol(name, (), "inner"), value, rule=step.rule)
                    step.bound[key] = Variable(scalar.name)
            numbers[Variable(name)] = step.bound[key]
        return numbers

    def _said(self, name: str) -> str:
        """A setting as formulas have it: its number, or its name where it goes by a schedule."""
        value = getattr(self, name)
        return name if isinstance(value, ScheduleLike) else repr(float(value))

    def _rest(self, name: str) -> str:
        """1 - the setting, as a person would write it (0.1 for 0.9)."""
        value = getattr(self, name)
        if isinstance(value, ScheduleLike):
            return f"(1 - {name})"
        from decimal import Decimal  # slow to load, and not every network is trained

        return repr(float(1 - Decimal(repr(float(value)))))

    def columns(self, mark: str = "") -> dict[str, Column]:
        """The settings beside the learning rate that are given for each step, by their symbols' names."""
        given = {name: getattr(self, name) for name in self._scheduled}
        columns = {
            rate_symbol(name, mark).name: Column(value, *self._ranges[name])
            for name, value in given.items()
            if isinstance(value, ScheduleLike)
        }
        return columns if self.average is None else {**columns, rate_symbol("share", mark).name: column(self.average)}

    def to_dict(self) -> dict[str, object]:
        """The settings, ready for JSON."""
        result: dict[str, object] = {"type": type(self).__name__}
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if item.name in _LATER and value == item.default:
                continue
            if item.name in self._by_parameter:
                value = dict(value)
            result[item.name] = value.to_dict() if isinstance(value, ScheduleLike | Optimizer) else value
        return result


_LATER = frozenset({"clip_value", "rates", "decays", "amsgrad", "average"})
"""Settings that version 0.1.0 did not have: what was written down then reads as it is written now."""


def rule_of(optimizer: Optimizer | None) -> object:
    """What a program has of its optimizer: the same for any learning rate, which is given to it step by step."""
    if not isinstance(optimizer, Optimizer):
        return optimizer
    said: list[object] = [type(optimizer).__name__]
    if type(optimizer).rule is not Optimizer.rule:
        said.append(optimizer.rule())
    for item in fields(optimizer):
        value = getattr(optimizer, item.name)
        if isinstance(value, Optimizer):
            said.append((item.name, rule_of(value)))
        elif item.name != "learning_rate":
            said.append((item.name, "by schedule" if isinstance(value, ScheduleLike) else repr(value)))
    return tuple(said)
