"""Trace: every symbol of one step with its numbers and the equation that made it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.display import Displayed
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import unknown_name
from chainrule.notation import EquationView
from chainrule.program.equation import Equation, Program
from chainrule.program.symbol import STORED, Symbol, shape_text
from chainrule.program.text import right_side, written_in_place

Array = NDArray[Any]


@dataclass(frozen=True)
class TraceRecord:
    """One symbol of a run, with a summary.

    A summary over no elements, or over what is not finite, is nan.
    """

    name: str
    """The symbol's."""
    array: Array
    """Its value."""
    section: str
    """Where it was made; "given" for what came from outside."""
    equation: Equation | None
    """What made it; None where it was given."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.array.shape

    @property
    def mean(self) -> float:
        """The mean."""
        return float(np.mean(self.array, dtype=np.float64))

    @property
    def std(self) -> float:
        """The standard deviation."""
        return float(np.std(self.array, dtype=np.float64))

    @property
    def min(self) -> float:
        """The smallest."""
        return float(np.min(self.array))

    @property
    def max(self) -> float:
        """The largest."""
        return float(np.max(self.array))

    @property
    def zeros(self) -> float:
        """The share of zeros."""
        return float(np.mean(self.array == 0))

    @property
    def norm(self) -> float:
        """‖T‖"""
        return float(np.sqrt(np.sum(np.square(self.array, dtype=np.float64))))

    def summary(self) -> dict[str, float | tuple[int, ...]]:
        """shape, mean, std, min, max, zeros, norm."""
        return {
            "shape": self.shape, "mean": self.mean, "std": self.std, "min": self.min, "max": self.max,
            "zeros": self.zeros, "norm": self.norm,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"TraceRecord({self.name!r}, {shape_text(self.shape)}, {self.array.dtype})"

    def __str__(self) -> str:
        origin = "given" if self.equation is None else str(self.equation)
        return f"{origin}\n{np.array2string(self.array, precision=5, threshold=60)}"


class Trace(Displayed, Mapping[str, Array]):
    """The arrays of one step by symbol name; `trace.symbol(name)` has the summary and the equation.

    A parameter, slot or statistic has its value before the step; after it: `trace.updated[name]`.
    """

    def __init__(self, program: Program, records: Mapping[str, TraceRecord], updated: Mapping[str, Array]) -> None:
        self.program = program
        self._records = dict(records)
        self.updated = dict(updated)

    def __getitem__(self, name: str) -> Array:
        return self.symbol(name).array

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def symbol(self, name: str) -> TraceRecord:
        """The symbol's record.  Raises KeyError with the nearest name."""
        if name not in self._records:
            raise KeyError(unknown_name("symbol", str(name), self._records))
        return self._records[name]

    def numbers(self, view: EquationView) -> str:
        """A line's value in numbers: the elements where they are few, else the summary."""
        if not view.targets:
            return ""
        name = view.targets[-1]
        array = self.updated.get(name) if view.section == "update" else None
        record = self._records.get(name) if array is None else TraceRecord(name, array, view.section, None)
        if record is None:
            return ""
        if record.array.size <= 4:
            return "  ".join(number(x) for x in record.array.reshape(-1))
        return (
            f"mean {number(record.mean)}   std {number(record.std)}   min {number(record.min)}   "
            f"max {number(record.max)}   zeros {record.zeros:.0%}   norm {number(record.norm)}"
        )

    def __repr__(self) -> str:
        cost = self.program.objective
        said = f", cost {number(float(self[cost.name]))}" if cost is not None and cost.name in self else ""
        return f"Trace({len(self)} symbols{said})"

    def rows(self) -> list[tuple[str, list[str]]]:
        """(section, cells) of each symbol, the header first: name, shape, mean, ..., equation."""
        hidden = written_in_place(self.program)
        rows = [("", ["", "shape", "mean", "std", "min", "max", "zeros", "norm", "equation"])]
        for name, record in self._records.items():
            if name not in hidden and record.array.size:
                formula = "" if record.equation is None else f"= {right_side(record.equation, hidden)}"
                rows.append((record.section, [*_cells(record), formula]))
        steps = {e.target.name: f":= {right_side(e, hidden)}" for e in self.program.update}
        for name, array in self.updated.items():
            rows.append(("update", [*_cells(TraceRecord(name, array, "update", None)), steps[name]]))
        return rows

    def __str__(self) -> str:
        (_, header), *rows = table = self.rows()
        widths = [max(len(cells[k]) for _, cells in table) for k in range(len(header))]
        lines = [_aligned(header, widths)]
        section = ""
        for its, cells in rows:
            if its != section:
                section = its
                lines.append(section)
            lines.append(_aligned(cells, widths))
        return "\n".join(lines)


def _aligned(cells: list[str], widths: list[int]) -> str:
    first, second, *rest, last = cells
    numbers = "".join(f"   {c:>{w}}" for c, w in zip(rest, widths[2:], strict=False))
    return f"    {first:<{widths[0]}}   {second:<{widths[1]}}{numbers}   {last}".rstrip()


def _cells(record: TraceRecord) -> list[str]:
    shape = shape_text(record.shape)
    numbers = [number(x) for x in (record.mean, record.std, record.min, record.max)]
    return [record.name, shape, *numbers, f"{record.zeros:.0%}", number(record.norm)]


def number(value: float) -> str:
    """Four digits."""
    value = float(value)
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def trace(program: Program, given: Mapping[str, Any], dtype: np.dtype[Any]) -> Trace:
    """Runs the program by its definition (the reference engine) and keeps every value.

    given: every given symbol's value; rates and counters as numbers.
    """
    engine = ReferenceEngine(dtype)
    stored = [e.target.name for e in program.update if e.target.role in STORED]
    equations: list[tuple[str, Equation]] = [(s, e) for s, part in program.sections() for e in part]
    names = [e.target.name for _, e in equations if e.target.role not in STORED]
    values = engine.run(program, given, tuple(dict.fromkeys([*names, *stored])))
    records: dict[str, TraceRecord] = {}
    for symbol in program.given:
        if symbol.name in given:
            records[symbol.name] = TraceRecord(symbol.name, _kept(given[symbol.name], symbol), "given", None)
    for section, equation in equations:
        name = equation.target.name
        if equation.target.role not in STORED:
            records[name] = TraceRecord(name, np.array(values[name]), section, equation)
    return Trace(program, records, {name: np.array(values[name]) for name in stored})


def _kept(value: Any, symbol: Symbol) -> Array:
    """A copy: the trace stays as it is when the network goes on."""
    return np.array(value)
