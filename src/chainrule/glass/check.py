"""check: every gradient against finite differences, and where one is wrong, the equation and what is wrong with it.

Each gradient dT of the backward section is compared with the slope of the cost by T, T moved by itself: so an equation
is judged by its own value, and the first wrong one whose operands are right is at fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.display import Displayed
from chainrule.engines.reference import ReferenceEngine
from chainrule.glass.diagnosis import diagnose
from chainrule.glass.slopes import Slopes
from chainrule.program.equation import Equation, Program
from chainrule.program.symbol import Symbol, shape_text

Array = NDArray[Any]
TOLERANCE = 1e-6
FULL = 600
"""Elements up to which every single one is compared; above, random directions and a sample of the elements."""
DIRECTIONS = 3
SAMPLE = 60


@dataclass(frozen=True)
class GradientCheck:
    """One gradient beside differences of the cost."""

    name: str
    """The gradient's."""
    of: str
    """By what."""
    shape: tuple[int, ...]
    """Its shape."""
    kind: str
    """How it was compared: each element ("full"), or along random directions ("directional")."""
    error: float
    """The largest relative error."""
    ok: bool
    """Whether that is small enough."""

    @property
    def compared(self) -> str:
        """How, in words."""
        return "elements" if self.kind == "full" else "directions"


@dataclass(frozen=True)
class Fault:
    """A wrong equation."""

    target: str
    """What it defines."""
    diagnosis: str
    """What is wrong, in words."""
    place: str
    """Itself with its neighbours."""
    derived: str = ""
    """What the rules derive instead."""

    def __str__(self) -> str:
        rule = f"\n    the rules derive: {self.derived}" if self.derived else ""
        place = f"\n{self.place}" if self.place else ""
        return f"{self.target}: {self.diagnosis}{place}{rule}"


@dataclass(frozen=True)
class CheckReport(Displayed):
    """The outcome: true if every gradient agrees."""

    gradients: tuple[GradientCheck, ...]
    """Of what was asked for: each parameter, X."""
    inner: tuple[GradientCheck, ...]
    """Those on the way."""
    faults: tuple[Fault, ...]
    """The equations to blame."""
    cost: float
    """J of the samples."""
    parts: int = 0
    """The bfloat16 parts of the network's products; what is compared is in float64, where there are none."""

    def __bool__(self) -> bool:
        return not self.faults and all(g.ok for g in self.gradients)

    @property
    def verdict(self) -> str:
        """The outcome in a line."""
        wrong = sum(not g.ok for g in self.gradients)
        if self:
            return "every gradient agrees with finite differences"
        return f"{wrong} of {len(self.gradients)} gradients are wrong"

    def __repr__(self) -> str:
        largest = max((g.error for g in self.gradients), default=0.0)
        return f"CheckReport({self.verdict}, largest relative error {largest:.1e})"

    def __str__(self) -> str:
        width = max((len(g.name) for g in self.gradients), default=4)
        shapes = [shape_text(g.shape) for g in self.gradients]
        wide = max((len(s) for s in shapes), default=2)
        how = max((len(g.compared) for g in self.gradients), default=4)
        lines = [
            f"    {g.name:<{width}}   {s:<{wide}}   {g.compared:<{how}}   error {g.error:<7.1e}   "
            f"{'ok' if g.ok else 'WRONG'}"
            for g, s in zip(self.gradients, shapes, strict=True)
        ]
        note = ["compared in float64, where products are not of bfloat16 parts"] if self.parts else []
        return "\n".join([self.verdict, *lines, *note, *(str(f) for f in self.faults)])


def check(program: Program, given: Mapping[str, Any], *, sound: Program | None = None, seed: int = 0) -> CheckReport:
    """Compares every gradient of the program with finite differences, in float64.

    given: the given symbols' values, as float64.  sound: the program that the rules derive, to say what an equation at
    fault should be.  seed: of the random directions.
    """
    slopes = Slopes(program, given)
    engine = ReferenceEngine(np.dtype(np.float64))
    names = tuple(dict.fromkeys(e.target.name for e in program.backward))
    values = engine.run(program.pruned([e.target for e in program.backward], update=False), given, names)
    rng = np.random.default_rng(seed)
    asked = {g.name: s for s, g in program.gradients}
    checks: dict[str, GradientCheck] = {}
    for equation in program.backward:
        of = subject(equation, program, asked)
        if of is not None:
            checks[equation.target.name] = compare(slopes, of, equation.target, values, rng)
    faults = _faults(program, sound, checks, slopes, values, asked, rng)
    outer = tuple(checks[g.name] for _, g in program.gradients if g.name in checks)
    inner = tuple(c for name, c in checks.items() if name not in asked)
    return CheckReport(outer, inner, tuple(faults), slopes.cost, program.parts)


def subject(equation: Equation, program: Program, asked: Mapping[str, Symbol]) -> Symbol | None:
    """T, of the gradient dT that the equation makes; None where it makes none that can be compared."""
    target = equation.target
    if target.name in asked:
        return asked[target.name]
    if target.role != "gradient" or target.how != "gradient":
        return None
    of = program.symbols.get(target.of[0].name)
    if of is not None and of.role == "inner" and any(of in equation.operands for equation in program.cost):
        return None  # a pair says its slope by Z at once, past what it shares with the activation
    return of if of is not None and target.is_gradient_of(of) else None


def compare(
    slopes: Slopes,
    of: Symbol,
    gradient: Symbol,
    values: Mapping[str, Array],
    rng: np.random.Generator,
    tolerance: float = TOLERANCE,
) -> GradientCheck:
    """The gradient's value beside the slope of the cost by T.  tolerance: the relative error that is allowed."""
    analytic = np.asarray(values[gradient.name], np.float64)
    if of.name not in slopes.values:  # the cost does not depend on it
        error = float(np.abs(analytic).max(initial=0))
        return GradientCheck(gradient.name, of.name, analytic.shape, "full", error, error == 0)
    size = max(float(np.linalg.norm(analytic)) / max(analytic.size, 1) ** 0.5, slopes.rounding() * 1e3)
    if analytic.size <= FULL:
        numeric = slopes.entries(of, np.arange(analytic.size), analytic.reshape(-1)).reshape(analytic.shape)
        scale = np.maximum(np.maximum(np.abs(numeric), np.abs(analytic)), size)
        error = float((np.abs(numeric - analytic) / scale).max(initial=0))
        return GradientCheck(
            gradient.name, of.name, analytic.shape, "full", error, error <= _allowed(slopes, size, tolerance)
        )
    worst = 0.0
    for _ in range(DIRECTIONS):
        direction = rng.normal(size=analytic.shape)
        direction /= np.linalg.norm(direction)
        derived = float((analytic * direction).sum())
        numeric_one = slopes.nearest(of, direction, derived)
        worst = max(worst, abs(numeric_one - derived) / max(abs(numeric_one), abs(derived), size))
    return GradientCheck(
        gradient.name, of.name, analytic.shape, "directional", worst, worst <= _allowed(slopes, size, tolerance)
    )


def _allowed(slopes: Slopes, size: float, tolerance: float) -> float:
    """The relative error allowed, and what finite differences may have themselves."""
    return tolerance + slopes.rounding() / size


def _faults(
    program: Program,
    sound: Program | None,
    checks: Mapping[str, GradientCheck],
    slopes: Slopes,
    values: Mapping[str, Array],
    asked: Mapping[str, Symbol],
    rng: np.random.Generator,
) -> list[Fault]:
    """The wrong equations whose operands are right, each with its diagnosis."""
    made_by = {e.target.name: e for e in program.backward}
    faults = []
    for position, equation in enumerate(program.backward):
        name = equation.target.name
        if name not in checks or checks[name].ok:
            continue
        if any(n in checks and not checks[n].ok for n in _reads(equation, made_by)):
            continue
        of = program.symbols[checks[name].of]
        analytic = np.asarray(values[name], np.float64).reshape(-1)
        places = np.arange(analytic.size)
        if analytic.size > FULL:
            places = np.sort(rng.choice(analytic.size, SAMPLE, replace=False))
        numeric = slopes.entries(of, places, analytic[places])
        derived = None if sound is None else next((e for e in sound.backward if e.target.name == name), None)
        inner = _inner(equation, made_by, checks)
        diagnosis = diagnose(equation, inner, of, values, slopes.values, places, numeric, derived)
        differs = derived is not None and (derived.op != equation.op or derived.operands != equation.operands)
        said = str(derived) if differs else ""
        place = _place(program.backward, position)
        if derived is not None and not differs and sound is not None:
            place, said = _inner_place(program, sound, inner, place)
        faults.append(Fault(name, diagnosis, place, said))
    return faults


def _reads(equation: Equation, made_by: Mapping[str, Equation]) -> set[str]:
    """The gradients that the equation reads, directly or through temporaries."""
    names: set[str] = set()
    for symbol in equation.operands:
        if symbol.name in made_by:
            names.add(symbol.name)
            if made_by[symbol.name].target.role in ("temporary", "inner"):
                names |= _reads(made_by[symbol.name], made_by)
    return names


def _inner(equation: Equation, made_by: Mapping[str, Equation], checks: Mapping[str, GradientCheck]) -> list[Equation]:
    """The unchecked equations behind it: its temporaries."""
    return [made_by[s.name] for s in equation.operands if s.name in made_by and s.name not in checks]


def _inner_place(program: Program, sound: Program, inner: list[Equation], place: str) -> tuple[str, str]:
    """Where the equation itself is as derived, the temporary that is not."""
    known = {e.target.name: e for e in sound.backward}
    for equation in inner:
        other = known.get(equation.target.name)
        if other is not None and (other.op != equation.op or other.operands != equation.operands):
            position = next(k for k, e in enumerate(program.backward) if e is equation)
            return _place(program.backward, position), str(other)
    return place, ""


def _place(equations: tuple[Equation, ...], position: int) -> str:
    near = range(max(0, position - 2), min(len(equations), position + 3))
    return "\n".join(f"    {'>' if k == position else ' '} {equations[k]}" for k in near)
