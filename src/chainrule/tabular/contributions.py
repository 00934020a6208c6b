"""What each column adds to each prediction: integrated gradients, from a base to the row.

    φ_c = Σ over the inputs i of column c of (x_i - b_i) ∫₀¹ ∂f/∂x_i (b + t (x - b)) dt          Σ_c φ_c = f(x) - f(b)

x are a network's inputs: numbers, how far they are in their pieces, flags, and the rows of the categories' tables, so
that a category goes from the base's row to its own.  The gradients are those of the derived program; the integral is
Gauss and Legendre's, of as many nodes as it takes.
Source: Sundararajan et al. 2017 (Axiomatic attribution).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.losses import Loss, Losses
from chainrule.describe.network import NetworkSpec
from chainrule.display import Displayed
from chainrule.engines.reference import ReferenceEngine
from chainrule.errors import ProgramError
from chainrule.network import Network
from chainrule.program.op import ScatterAdd
from chainrule.program.symbol import BATCH
from chainrule.rules.derive import derive
from chainrule.tabular.frame import Frame
from chainrule.tabular.inputs import TableInputs
from chainrule.tabular.members import Trained
from chainrule.tabular.preparation import Places, Preparation

Array = NDArray[Any]
Owners = list[tuple[str, int, int]]
"""(part, place in it, column) of every number, flag and category."""
TOLERANCE = 5e-3
"""What the integral may leave of the largest difference from the base; it is spread over the columns in proportion."""
_NODES, _MOST_NODES = 16, 128
_ROWS = 4096
"""Rows that are held at a time."""
_LEAST = 1e-30
"""Probabilities below are as good as this."""


@dataclass(frozen=True, eq=False, repr=False)
class Contributions(Displayed):
    """What each column adds to the prediction of each row; the form that the package shap draws.

    shap.Explanation(c.values, c.base_values, c.data, feature_names=c.feature_names), say.
    """

    values: Array
    """(m, columns); of classes and of several outputs (m, columns, outputs).  Columns that nothing was learned from add
    0.  With `base_values` they add up to what is predicted."""
    base_values: Array
    """(m,) or (m, outputs): what is predicted of the base, the same for all rows."""
    data: Array
    """(m, columns): the cells."""
    feature_names: tuple[str, ...]
    """Of the columns."""
    output_names: tuple[str, ...] | None = None
    """Of the classes, or the targets, where there are several."""
    rest: float = 0.0
    """What the integral left before it was spread over the columns: at most, over the largest change from the base."""

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        of = f" to {', '.join(self.output_names)}" if self.output_names else ""
        rows = f"{len(self):,} row{'' if len(self) == 1 else 's'}" if self.data.ndim == 2 else "a row"
        return f"Contributions(of {len(self.feature_names):,} columns{of}, {rows})"

    def __getitem__(self, rows: Any) -> Contributions:
        """Those of one row, or of some."""
        return replace(self, values=self.values[rows], base_values=self.base_values[rows], data=self.data[rows])

    @property
    def importances(self) -> dict[str, float]:
        """The mean size of what each column adds, over rows and outputs."""
        size = np.abs(self.values).reshape(len(self.values), len(self.feature_names), -1).mean(axis=(0, 2))
        return dict(zip(self.feature_names, map(float, size), strict=True))


def contributions(
    frame: Frame,
    base: TableInputs,
    preparation: Preparation,
    trained: Trained | None,
    constant: Array,
    outputs: tuple[str, ...] | None,
) -> Contributions:
    """What each column of a table adds to each prediction.

    base: rows, the mean of whose inputs is where the way begins.  constant (outputs,): what is predicted where nothing
    was trained.  outputs: their names.  Raises DataError for a table that does not fit.
    """
    inputs, _ = preparation.inputs(frame)
    names, m = preparation.names, len(frame)
    places, rest, start = preparation.places, 0.0, constant
    values = np.zeros((m, len(names), len(constant)))
    if trained is not None:
        owners = _owners(places)
        each = [_of_member(trained, k, inputs, base, owners, len(places)) for k in range(len(trained.networks))]
        some = np.mean([values for values, _, _ in each], axis=0)
        start = np.mean([start for _, start, _ in each], axis=0)
        rest = max(rest for _, _, rest in each)
        values[:, [names.index(name) for name in places]] = _spread(some, trained.predict(inputs) - start)
    bases = np.repeat(start[None, :], m, axis=0)
    one = values.shape[2] == 1
    cells = (frame if frame.named and preparation.named else frame.renamed(names)).beside(names)
    return Contributions(values[:, :, 0] if one else values, bases[:, 0] if one else bases, cells, names, outputs, rest)


def _owners(places: Mapping[str, Places]) -> Owners:
    owners: Owners = []
    for column, place in enumerate(places.values()):
        for part in ("numbers", "flags", "categories"):
            where: slice = getattr(place, part)
            owners += [(part, k, column) for k in range(where.start, where.stop)]
    return owners


def _of_member(
    trained: Trained, k: int, inputs: TableInputs, base: TableInputs, owners: Owners, columns: int
) -> tuple[Array, Array, float]:
    """The same of one member."""
    member = _Member(trained, k, base, owners, columns)
    parts, ends, left = [], [], 0.0
    for row in range(0, inputs.rows, _ROWS):
        given = trained.given(k, inputs.of(slice(row, row + _ROWS)))
        end, nodes = member.predicted(given), _NODES
        while True:
            values = member.integral(given, nodes)
            whole = end - member.start
            size = float(np.abs(whole - values.sum(axis=1)).max() / max(float(np.abs(whole).max()), 1e-9))
            if size <= TOLERANCE or nodes >= _MOST_NODES:
                break
            nodes *= 2
        parts.append(_spread(values, whole))
        ends.append(end)
        left = max(left, size)
    values, end = np.concatenate(parts), np.concatenate(ends)
    if trained.aim.kind == "classes":
        return values, member.start, left
    if trained.aim.kind == "quantiles":  # as they are predicted: in order
        order = np.argsort(end, axis=1, kind="stable")
        values, end = np.take_along_axis(values, order[:, None, :], axis=2), np.take_along_axis(end, order, axis=1)
    start = np.sort(member.start) if trained.aim.kind == "quantiles" else member.start
    first, last = (trained.units.back(each, clip=trained.recipe.clip) for each in (start, end))
    values = values * np.array(trained.units.scale)
    whole, total = last - first, values.sum(axis=1)  # less than the total where predictions are kept within a range
    kept = np.divide(whole, total, out=np.ones_like(total), where=np.abs(whole) < np.abs(total))
    return _spread(values * np.clip(kept, 0, 1)[:, None, :], whole), first, left


def _spread(values: Array, whole: Array) -> Array:
    """Values (m, columns, outputs) that add up to the whole (m, outputs): what lacks is added as they are large."""
    size = np.abs(values)
    sizes = size.sum(axis=1, keepdims=True)
    share = np.divide(size, sizes, out=np.zeros_like(size), where=sizes > 0)
    return np.asarray(values + share * (whole - values.sum(axis=1))[:, None, :])


class _Member:
    """A member's outputs, of classes its probabilities, as a function of its inputs, in float64."""

    def __init__(self, trained: Trained, k: int, base: TableInputs, owners: Owners, columns: int) -> None:
        network = trained.networks[k]
        self.trained, self.columns = trained, columns
        spec, ends = _along(network, trained.temperature), [node for _, node in network.spec.ends]
        self.program = derive(spec, mode="inference")
        self.targets = [(s.name, int(s.shape[1])) for s in self.program.given if s.role == "target"]
        self.ends = [self.program.outputs[node].name for node in ends]
        self.symbols = {source.name: source.symbol.name for source in spec.sources}
        self.engine = ReferenceEngine(np.dtype(np.float64))
        self.stored = {n: a.astype(np.float64) for n, a in {**network.parameters, **network.state}.items()}
        given = trained.given(k, base)
        means = {n: a.mean(axis=0, dtype=np.float64, keepdims=True) for n, a in given.items() if a.dtype.kind == "f"}
        self.base: dict[str, Array] = means
        gradients = {s.name: g.name for s, g in self.program.gradients}
        unit = np.eye(columns)
        self.ways = {n: (gradients[self.symbols[n]], unit[_columns(trained, k, base, owners, n)]) for n in self.base}
        """Of each input the gradient by it, and which column each of its columns is of."""
        places = [column for part, _, column in owners if part == "categories"]
        self.tables: list[tuple[str, str, str, int, int]] = []
        """Of each table its name, the input of its tokens, the gradient by the rows, the place in it, the column."""
        back = {gradients[table]: table for table in self.stored if table in gradients}
        for equation in self.program.backward:
            op = equation.op
            if isinstance(op, ScatterAdd) and equation.target.name in back:
                if op.column is None:
                    raise ProgramError("A table that several columns share has no base of each.")
                tokens = next(n for n, symbol in self.symbols.items() if symbol == equation.operands[1].name)
                rows = (back[equation.target.name], tokens, equation.operands[0].name, op.column, places[op.column])
                self.tables.append(rows)
        self.rows = {
            table: self.stored[table][given[n][:, place]].mean(axis=0) for table, n, _, place, _ in self.tables
        }
        some = {n: a[:1] for n, a in given.items()}
        self.start: Array = self.predicted(some, 0.0)[0]

    def _at(self, given: Mapping[str, Array], t: float) -> dict[str, Any]:
        """Everything that the program is given at a point of the way: 0 is the base, 1 the rows."""
        inputs: dict[str, Any] = {}
        for name, values in given.items():
            moves = name in self.base
            way = self.base[name] + t * (values - self.base[name]) if moves else values.astype(np.int64)
            inputs[self.symbols[name]] = way
        tables = {table: row + t * (self.stored[table] - row) for table, row in self.rows.items()}
        m = len(next(iter(given.values())))
        return {**self.stored, **tables, **inputs, BATCH: np.float64(m)}

    def predicted(self, given: Mapping[str, Array], t: float = 1.0) -> Array:
        """(m, outputs)"""
        program = self.program.pruned([self.program.symbols[name] for name in self.ends], update=False)
        values = self.engine.run(program, self._at(given, t), tuple(self.ends))
        outputs = np.concatenate([values[name] for name in self.ends], axis=1)
        if self.trained.aim.kind != "classes":
            return outputs
        both = np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs
        powers = np.maximum(both, _LEAST) ** (1 / self.trained.temperature)
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def integral(self, given: Mapping[str, Array], nodes: int) -> Array:
        """(m, columns, outputs)"""
        m = len(next(iter(given.values())))
        widths = [width for _, width in self.targets]
        count = sum(widths)
        all_classes = self.trained.aim.kind == "classes"
        asked = range(count - 1) if all_classes and count > 1 else range(count)  # the last one adds up to 1
        values = np.zeros((m, self.columns, len(asked)))
        wanted = [g for g, _ in self.ways.values()] + [g for _, _, g, _, _ in self.tables]
        program = self.program.pruned([self.program.symbols[g] for g in wanted], update=False)
        points, weights = np.polynomial.legendre.leggauss(nodes)
        for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
            at = self._at(given, float(t))
            for j in asked:
                along = np.zeros((m, count))
                along[:, j] = weight
                bounds = np.cumsum([0, *widths])
                for (name, _), low, high in zip(self.targets, bounds[:-1], bounds[1:], strict=True):
                    at[name] = along[:, low:high]
                slopes = self.engine.run(program, at, tuple(wanted))
                for name, (gradient, owner) in self.ways.items():
                    values[:, :, j] += (slopes[gradient] * (given[name] - self.base[name])) @ owner
                for table, tokens, gradient, place, column in self.tables:
                    way = self.stored[table][given[tokens][:, place]] - self.rows[table]
                    values[:, column, j] += (slopes[gradient] * way).sum(axis=1)
        if not all_classes:
            return values
        if count > 1:
            return np.concatenate([values, -values.sum(axis=2, keepdims=True)], axis=2)
        return np.concatenate([-values, values], axis=2)


def _along(network: Network, temperature: float) -> NetworkSpec:
    """The network with what its outputs are along Y in the place of its loss; of classes, with the temperature."""
    spec = network.spec
    if isinstance(spec.loss, Losses):
        loss: Any = Losses({name: Loss("y * yhat") for name in spec.loss.names})
    elif spec.loss.kind == "yes/no":
        yes, no = (f"max({p}, {_LEAST}) ** {1 / temperature!r}" for p in ("yhat", "1 - yhat"))
        loss = Loss(f"y * {yes} / ({yes} + {no})")
    elif isinstance(spec.loss, Loss) and spec.loss.classes:
        power = f"max(yhat, {_LEAST}) ** {1 / temperature!r}"
        loss = Loss(f"sum(y * {power}) / sum({power})")
    else:
        loss = Loss("y * yhat")
    return NetworkSpec(dict(spec.named), spec.layers, loss, reduction="sum")


def _columns(trained: Trained, k: int, base: TableInputs, owners: Owners, name: str) -> list[int]:
    """The column that each of an input's columns is made of: it moves as that one goes from end to end."""
    one = base.of(slice(0, 1))
    made: dict[int, int] = {}
    for part, place, column in owners:
        if part == "categories":
            continue
        ends = []
        for value in (-4.0, 4.0):
            moved = getattr(one, part).copy()
            moved[:, place] = value
            ends.append(trained.given(k, replace(one, **{part: moved}))[name][0])
        made |= dict.fromkeys(np.flatnonzero(ends[0] != ends[1]).tolist(), column)
    return [made[i] for i in range(len(made))]
