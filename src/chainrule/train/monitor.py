"""Monitor: a fit watched from inside: activations, gradients and updates, a record every N batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.calls import constructor
from chainrule.engines.base import Engine, sample_count
from chainrule.engines.scalars import evaluator
from chainrule.errors import DataError, SpecError, expected, unknown_name
from chainrule.program.derivative import differentiate
from chainrule.program.equation import Equation, Program, operands_of
from chainrule.program.op import Elementwise, Reduce
from chainrule.program.scalar import Expression, Over, Variable, apply
from chainrule.program.symbol import BATCH, How, Symbol
from chainrule.program.verify import verify
from chainrule.program.walk import replace, variables
from chainrule.train.callbacks import Callback
from chainrule.train.history import EpochRecord
from chainrule.train.state import FitState

Array = NDArray[Any]

PROBE = 32
"""Samples of the training data that are looked at where none are given: few enough to cost less than 5 %."""
SNAPSHOTS, SNAPSHOT_BYTES = 24, 32_000_000
"""Records whose weights are kept, and how large they may be together."""
SATURATED = 0.01
"""Of an activation's largest slope: below it hardly anything is learned through the unit."""


@constructor
class Monitor(Callback):
    """Records what goes on inside the network, before the first step and after every `every` batches.

    X, y: a few samples to look at, the same ones every time; by default the first 32 of the training data.  Dropout
    and batch normalisation act as they do in training.

    `records` is a list of dictionaries of plain numbers:
      step, epoch, cost            steps taken; J of the probe
      size.cost                    of several outputs, J_k of each by its name, without its factor
      A1.mean, A1.std              of the values that leave each layer
      A1.saturated                 the share of values whose slope g'(z) is below 1 % of g's largest: no learning there
      A1.dead                      the share of units that are saturated for every sample of the probe
      W1.norm, W1.gradient         ‖W‖ and ‖∂J/∂W‖, the square root of the sum of squares
      W1.update                    ‖W_t - W_{t-N}‖ / (N ‖W_{t-N}‖): how far the weights have moved since the record N
                                   batches ago, a batch, relative to their size; with every=1 each update to its weight
    Vector-valued activations (softmax) have no slope of their own: neither saturated nor dead is told.

    `snapshots` has the parameters and statistics at some of the records, the first among them, spread over the fit: for
    the report, which shows the numbers of a step at each.  A fit that goes on from a checkpoint begins anew with them.

    Each look is at a copy of the network, on a thread of its own while training goes on; `records` is complete at the
    end of every epoch.

    Raises SpecError for settings that cannot be; DataError, before training, where X and y do not fit the network.
    """

    looks = writes = False  # it asks for the arrays when it takes its copy

    def __init__(self, every: int = 100, X: ArrayLike | None = None, y: ArrayLike | None = None) -> None:
        faults = []
        if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
            faults.append(expected("The 'every' of Monitor", "an integer of at least 1 (batches)", every))
        if (X is None) != (y is None):
            faults.append(f"Monitor needs X and y together. Got only {'y' if X is None else 'X'}.")
        if faults:
            raise SpecError(faults)
        self.every: int = int(every)
        self.records: list[dict[str, float]] = []
        self.snapshots: list[tuple[int, dict[str, Array]]] = []
        """(steps taken, arrays by name), at most 24 and of 32 MB together."""
        self._apart = 1
        """Every so many records there is a snapshot."""
        self.layers: tuple[str, ...] = ()
        self.parameters: tuple[str, ...] = ()
        self.matrices: tuple[str, ...] = ()
        """Of the parameters, the weights and tables; biases, say, are none."""
        self.outputs: tuple[str, ...] = ()
        """The names of several outputs."""
        self._given = None if X is None else (X, y)
        self._probe: _Probe | None = None
        self._before: dict[str, Array] = {}
        self._worker: ThreadPoolExecutor | None = None
        self._pending: Future[dict[str, float]] | None = None

    # --- reading it ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that was recorded: "step", "epoch", "cost", "A1.mean", ..."""
        return tuple(dict.fromkeys(name for record in self.records for name in record))

    def column(self, name: str) -> NDArray[np.float64]:
        """One number of every record, shape (records,); NaN where it is not told.  Raises DataError."""
        if name not in self.names:
            raise DataError(unknown_name("column of a Monitor", name, self.names))
        return np.array([record.get(name, math.nan) for record in self.records], dtype=np.float64)

    def __repr__(self) -> str:
        return f"Monitor(every={self.every}, {len(self.records)} record{'' if len(self.records) == 1 else 's'})"

    # --- the hooks -----------------------------------------------------------------------------------------------

    def on_fit_begin(self, fit: FitState) -> None:
        self._before = {}
        self._probe = _Probe.of(fit, self._given)
        self.layers, self.parameters = tuple(self._probe.layers), tuple(self._probe.gradients)
        self.matrices = self._probe.matrices
        self.outputs = tuple(self._probe.outputs)
        self.records, self.snapshots, self._apart = [], [], 1
        self._worker = ThreadPoolExecutor(1, "chainrule monitor")
        self._submit(fit)
        self._finish()

    def on_batches_end(self, fit: FitState) -> None:
        self._submit(fit)

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        self._finish()

    def on_fit_end(self, fit: FitState) -> None:
        try:
            self._finish()
        finally:
            if self._worker is not None:
                self._worker.shutdown()
            self._worker = self._probe = None
            self._before = {}

    def state(self) -> dict[str, Any]:
        """The records, and the weights at the last of them."""
        self._finish()
        return {"records": [*self.records], "before": {name: array.copy() for name, array in self._before.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        self._finish()
        self.records = [dict(record) for record in state["records"]]
        self._before = {name: np.array(array) for name, array in state["before"].items()}

    def _submit(self, fit: FitState) -> None:
        """Takes a copy of the network, and looks at it while training goes on: machine code leaves Python free."""
        assert self._worker is not None
        self._finish()
        fit.refresh()
        arrays = {name: array.copy() for name, array in (*fit.network.parameters.items(), *fit.network.state.items())}
        self._pending = self._worker.submit(self._record, fit.step, fit.epoch, arrays, fit.settings)

    def _finish(self) -> None:
        """Waits for the look that is under way."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self.records.append(pending.result())

    def _record(
        self, step: int, epoch: int, arrays: dict[str, Array], settings: Mapping[str, float]
    ) -> dict[str, float]:
        assert self._probe is not None
        record: dict[str, float] = {"step": step, "epoch": epoch, **self._probe.look(arrays, step, settings)}
        steps = step - self.records[-1]["step"] if self.records else 0
        for name in self.parameters:
            record[f"{name}.norm"] = _norm(arrays[name])
            if steps:
                size = self.records[-1][f"{name}.norm"]
                moved = _norm(np.subtract(arrays[name], self._before[name], out=self._before[name]))
                record[f"{name}.update"] = moved / (steps * size) if size else math.nan
        self._keep(step, arrays)
        self._before = arrays
        return record

    def _keep(self, step: int, arrays: Mapping[str, Array]) -> None:
        """A snapshot, every so many records; where there are too many, every second goes."""
        if len(self.records) % self._apart:
            return
        self.snapshots.append((step, {name: array.copy() for name, array in arrays.items()}))
        size = sum(array.nbytes for array in arrays.values())
        while len(self.snapshots) > max(1, min(SNAPSHOTS, SNAPSHOT_BYTES // max(1, size))):
            self.snapshots = self.snapshots[::2] if len(self.snapshots) > 2 else self.snapshots[:1]
            self._apart *= 2


class _Probe:
    """The samples that are looked at, and what is to be seen as equations added to the training program's own.

    So the engine does the looking, and hands over a few numbers instead of arrays.
    """

    def __init__(
        self, engine: Engine, program: Program, data: Mapping[str, Array], dtype: np.dtype[Any], mask_seed: int
    ) -> None:
        self.engine = engine
        self.data = dict(data)
        self.dtype = dtype
        self.samples = sample_count(data)
        self.mask_seed = mask_seed
        activations = watched(program)
        pairs = [(s, g) for s, g in program.gradients if s.role == "parameter"]
        self.layers = {e.target.name: int(e.target.shape[1]) for e in activations}
        self.gradients = {s.name: g.name for s, g in pairs}
        self.matrices = tuple(s.name for s, _ in pairs if len(s.shape) == 2)
        assert program.objective is not None
        self.objective = program.objective.name
        losses = [e.target for e in program.cost if e.target.role == "loss" and not e.target.shape]
        self.outputs = {s.mark: s.name for s in losses if s.mark}
        """Of several outputs, the name of the sum of its losses by its own."""
        self.divisor = 1.0 if program.divisor is None else float(data["w"].sum() if "w" in data else self.samples)
        self.sums: dict[tuple[str, How], str] = {}
        """(symbol, what is summed of it) -> the name of the sum."""
        sums: list[Equation] = []

        def add(of: Symbol, how: How, over: Over, expression: Expression, *scope: Symbol) -> None:
            sums.append(_sum(of, how, over, expression, *scope))
            self.sums[of.name, how] = sums[-1].target.name

        for equation in activations:
            a = equation.target
            add(a, "sum", "all", Variable(a.name))
            add(a, "squares", "all", Variable(a.name) ** 2)
            flat = _flat(equation)
            if flat is not None:
                add(a, "flat", "rows", flat, *equation.operands)
        for _, g in pairs:
            add(g, "squares", "all", Variable(g.name) ** 2)
        watching = dataclasses.replace(program, backward=(*program.backward, *sums))
        self.wanted = (self.objective, *self.outputs.values(), *self.sums.values())
        pruned = watching.pruned([watching.symbols[name] for name in self.wanted], update=False)
        read = {s.name for e in pruned.equations for s in e.operands}
        self.program = verify(dataclasses.replace(pruned, given=tuple(s for s in pruned.given if s.name in read)))

    @classmethod
    def of(cls, fit: FitState, given: tuple[Any, Any] | None) -> _Probe:
        """The given samples, checked, or the first of the training data."""
        if fit.engine is None or fit.program is None or fit.check is None:
            raise SpecError("Monitor watches the fits of a Network; this one does not say its program.")
        data: dict[str, Array]
        if given is None:
            data = {name: array[:PROBE] for name, array in fit.data.items()}
        else:
            data = dict(fit.check(*given))
            if "w" in fit.data:
                data["w"] = np.ones((sample_count(data), 1), fit.data["w"].dtype)
            if data.keys() != fit.data.keys():
                kind = "labels (m,)" if "y" in fit.data else "values (m, outputs)"
                if not fit.data.keys() & {"y", "Y"}:
                    kind = "labels and values by output"
                raise DataError(f"The y of Monitor must be {kind}, like the y of the fit.")
        dtype = next(iter(fit.network.parameters.values())).dtype
        return cls(fit.engine, fit.program, data, dtype, fit.mask_seed)

    def look(self, arrays: Mapping[str, Array], step: int, settings: Mapping[str, float]) -> dict[str, float]:
        """One record's numbers, the network's arrays being these."""
        values: dict[str, Any] = {**arrays, **self.data, **settings}
        values |= {BATCH: self.dtype.type(self.samples), "seed": self.mask_seed, "t": max(1, step)}
        results = self.engine.run(self.program, values, self.wanted)
        sums = {key: results[name] for key, name in self.sums.items()}
        record = {"cost": float(results[self.objective])}
        record |= {f"{name}.cost": float(results[s]) / self.divisor for name, s in self.outputs.items()}
        for name, width in self.layers.items():
            size = self.samples * width
            mean = float(sums[name, "sum"]) / size
            record[f"{name}.mean"] = mean
            record[f"{name}.std"] = math.sqrt(max(0.0, float(sums[name, "squares"]) / size - mean * mean))
            counts = sums.get((name, "flat"))
            if counts is not None:
                record[f"{name}.saturated"] = float(counts.sum()) / size
                record[f"{name}.dead"] = float((counts >= self.samples).mean())
        for name, gradient in self.gradients.items():
            record[f"{name}.gradient"] = math.sqrt(float(sums[gradient, "squares"]))
        return record


def _sum(of: Symbol, how: How, over: Over, expression: Expression, *scope: Symbol) -> Equation:
    """Σ expression, of a symbol and of others in scope."""
    op = Reduce("sum", over, expression)
    operands = operands_of(expression, {s.name: s for s in (of, *scope)})
    shape = op.shape(operands)
    assert shape is not None
    return Equation(of.said(how, shape=shape), op, operands, "monitor")


def _flat(equation: Equation) -> Expression | None:
    """For A = g(Z): whether |g'(z)| is below 1 % of its largest, 1 or 0; None for vector-valued activations."""
    if not isinstance(equation.op, Elementwise) or len(equation.operands) != 1:
        return None
    variable, expression = equation.operands[0].name, equation.op.expression
    slope = differentiate(expression, variable)
    if not variables(slope):
        return None  # the same slope everywhere
    with np.errstate(all="ignore"):
        exact = np.abs(np.asarray(evaluator(slope, np.dtype(np.float64))({variable: np.linspace(-10, 10, 2001)})))
    least = SATURATED * float(np.max(exact[np.isfinite(exact)], initial=0.0))
    # g'(z) often contains g(z): that value is there already.
    return apply("lt", apply("abs", replace(slope, {expression: Variable(equation.target.name)})), least)


def watched(program: Program) -> tuple[Equation, ...]:
    """The equations of the values that leave the layers: A1, D1, A2, ...; Z where a layer has no activation."""
    return tuple(e for e in program.forward if e.target in program.outputs)


def _norm(array: Array) -> float:
    """The square root of the sum of squares."""
    flat = array.reshape(-1)
    return math.sqrt(float(np.vdot(flat, flat)))
