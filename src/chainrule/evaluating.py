"""Evaluating: what a network's program gives for data (predictions, cost, gradients), mixed into Network."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import checks, storage
from chainrule.blocks import Blocks, as_blocks, as_inputs
from chainrule.calls import says_arguments
from chainrule.checks import Inputs
from chainrule.describe.losses import Cost, Losses, Targets
from chainrule.describe.network import NetworkSpec
from chainrule.engines.base import Engine, OneRow, Values, sample_count
from chainrule.engines.choose import Engines
from chainrule.engines.table import ENGINES
from chainrule.errors import ArgumentError, SpecError, unknown_name
from chainrule.program.equation import Program
from chainrule.program.symbol import BATCH
from chainrule.rules.derive import Mode, derive_penalty
from chainrule.train.schedules import numbers_at

Array = NDArray[Any]


class Evaluating:
    """Everything that is computed with the parameters as they are."""

    spec: NetworkSpec
    dtype: np.dtype[Any]
    seed: int
    feature_names: tuple[str, ...] | None
    _parameters: dict[str, Array]
    _state: dict[str, Array]
    _programs: dict[object, Program]
    _engines: Engines
    _one_row: OneRow | None
    _asked: Engine | None

    if TYPE_CHECKING:

        def derive(self, *, mode: Mode = ..., targets: Targets = ..., weighted: bool = ...) -> Program: ...

    @says_arguments
    def predict(self, X: Inputs | Blocks) -> Array:
        """What the network says of each sample, without dropout.

        The same call gives the same bits every time, however X is held.  A single row has a way of its own: its last
        bits may differ from those of the same row among others.

        Parameters
        ----------
        X
            (m, inputs); of several inputs a dict of arrays.  Or data that need not fit into memory, as `fit` takes
            them; the predictions are held as a whole.

        Returns
        -------
        Array
            Ŷ (m, outputs); of several outputs a dict of such arrays, by their names.

        Raises
        ------
        DataError
            For data that do not fit.
        """
        quick = self._one_row
        if quick is not None and type(X) is np.ndarray and X.shape == quick.shape:
            prediction = quick.call(X)
            if prediction is not None:
                return prediction
        blocks = as_inputs(X, self.feature_names)
        if blocks is not None:
            from chainrule.blocks.outcome import predicted  # loaded when it is asked for

            return cast(Array, predicted(self, blocks))
        data = checks.inputs(self.spec, cast(Inputs, X), self.dtype, self.feature_names)
        program = self._pruned("predict", "inference", "values", False, ("prediction",))
        if not (self.spec.named or isinstance(self.spec.loss, Losses)) and sample_count(data) == 1:
            (checked,) = data.values()
            if quick is None and (engine := self._engines.for_call(program, 1)) is not self._asked:
                self._one_row = quick = engine.one_row(program, {**self._parameters, **self._state})
                self._asked = engine  # now: a handler of signals that predicts takes the same way
            if quick is not None and (prediction := quick.call(checked)) is not None:
                return prediction
        return self._predicted(self._run(program, data, self._ends))

    @says_arguments
    def cost(
        self,
        X: Inputs,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        training: bool = False,
        step: int = 1,
    ) -> float:
        """J: the mean (or sum) of the losses plus the penalties.

        Parameters
        ----------
        X, y
            As for `fit`.
        sample_weight
            (m,): the mean is then Σ w L / Σ w.
        training
            With the dropout masks of that step and the batch's own statistics.
        step
            Which step, from 1.

        Raises
        ------
        DataError
            For data that do not fit.
        """
        data, targets = self._data(X, y, sample_weight)
        program = self._pruned("cost", _mode(training), targets, sample_weight is not None, ("objective",))
        assert program.objective is not None
        name = program.objective.name
        return float(self._run(program, {**data, **self._counters(step)}, (name,))[name])

    @says_arguments
    def gradients(
        self,
        X: Inputs,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        training: bool = False,
        step: int = 1,
    ) -> dict[str, Array]:
        """The gradients of `cost`, with the same arguments.

        Returns
        -------
        dict
            dJ by every parameter, "W1" (n0, n1), and by "X" (m, n0) where X is no tokens: each in the shape of what it
            is by.

        Raises
        ------
        DataError
            For data that do not fit.
        """
        data, targets = self._data(X, y, sample_weight)
        program = self._pruned("gradients", _mode(training), targets, sample_weight is not None, ("gradients",))
        names = {s.name: g.name for s, g in program.gradients}
        values = self._run(program, {**data, **self._counters(step)}, tuple(names.values()))
        return {s: np.array(values[g]) for s, g in names.items()}

    @says_arguments
    def cost_and_gradients(
        self, X: Inputs, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> tuple[float, dict[str, Array]]:
        """J and its gradient by every parameter, by name, in one run: what a quasi-Newton method asks for.

        Raises DataError.
        """
        return self.checked_cost_and_gradients(*self._data(X, y, sample_weight))

    def checked_cost_and_gradients(self, data: dict[str, Array], targets: Targets) -> tuple[float, dict[str, Array]]:
        """The same of data that were checked before ("X", "y" or "Y", "w"), for those who ask many times."""
        program = self._pruned("cost and gradients", "training", targets, "w" in data, ("objective", "parameters"))
        assert program.objective is not None
        names = {s.name: g.name for s, g in program.gradients}
        cost = program.objective.name
        values = self._run(program, {**data, **self._counters(1)}, (cost, *names.values()))
        return float(values[cost]), {s: values[g] for s, g in names.items()}

    def penalty(self) -> tuple[float, dict[str, Array]]:
        """P = λ₁ Σ|W| + λ₂/2 Σ W² and its gradient by each W, in float64: what `cost` has of it, times m."""
        if not (self.spec.l1 or self.spec.l2):
            return 0.0, {}
        key = ("penalty",)
        if key not in self._programs:
            self._programs[key] = derive_penalty(self.spec)
        program = self._programs[key]
        assert program.objective is not None
        engine, names = ENGINES["reference"](np.dtype(np.float64)), {s.name: g.name for s, g in program.gradients}
        arrays = {name: self._parameters[name].astype(np.float64) for name in names}
        values = engine.run(program, arrays, (program.objective.name, *names.values()))
        return float(values[program.objective.name]), {s: values[g] for s, g in names.items()}

    @says_arguments
    def value(self, name: str, X: Inputs) -> Array:
        """A symbol of the forward propagation by name ("Z1", "A1", ...), without dropout, for X (m, inputs).

        Raises DataError; SpecError for a name that the program does not have.
        """
        data = checks.inputs(self.spec, X, self.dtype, self.feature_names)
        program = self.derive(mode="inference")
        symbols = {e.target.name: e.target for e in program.forward}
        if name not in symbols:
            raise SpecError(unknown_name("symbol", name, symbols))
        key = ("value", name)
        if key not in self._programs:
            self._programs[key] = program.pruned([symbols[name]], update=False)
        return self._run(self._programs[key], data, (name,))[name]

    @says_arguments
    def predict_and_cost(
        self, X: Inputs, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> tuple[Array, float]:
        """Ŷ (as `predict` gives it) and J in one run.  Raises DataError."""
        return self._outcome(*self._data(X, y, sample_weight))

    @says_arguments
    def evaluate(
        self, X: Inputs | Blocks, y: ArrayLike | None = None, *, sample_weight: ArrayLike | None = None
    ) -> tuple[float, str, float]:
        """The cost and a number for people, of data as `fit` takes them.

        Returns
        -------
        tuple
            J, the metric's name, its value: "accuracy" for classes and for outputs of yes and no, else "error", the
            root of the mean squared error; of several outputs the cost again.

        Raises
        ------
        DataError
            For data that do not fit.
        """
        if (blocks := as_blocks(X, y, sample_weight, self.feature_names)) is not None:
            return self._evaluated(blocks)
        if y is None:
            raise ArgumentError("Network.evaluate needs y: the targets, one for each sample.")
        data, targets = self._data(cast(Inputs, X), y, sample_weight)
        prediction, cost = self._outcome(data, targets)
        return self._judged(prediction, cost, data, targets)

    def _judged(
        self, prediction: Array, cost: float, data: dict[str, Array], targets: Targets
    ) -> tuple[float, str, float]:
        """J, the metric's name and value."""
        if isinstance(self.spec.loss, Losses):  # one number for outputs of several kinds is their cost
            return cost, "cost", cost
        return cost, *storage.metric(
            self.spec.loss, prediction, checks.targets_as_given(self.spec, data, targets), data.get("w")
        )

    def _evaluated(self, blocks: Blocks) -> tuple[float, str, float]:
        from chainrule.blocks.outcome import outcome, targets_of  # loaded when it is asked for

        if isinstance(self.spec.loss, Cost):
            raise SpecError("A Cost is of the whole batch, f(Ŷ, Y), and cannot be put together from blocks.")
        added = self.spec.reduction == "sum"
        per_weight = self.spec.penalty_per == "weight" and not added
        prediction, cost, kept = outcome(self, blocks, added=added, per_weight=per_weight)
        y, w, samples = targets_of(kept)
        targets, data = checks.targets(self.spec, y, samples, self.dtype)
        if w is not None:
            data["w"] = self._weights(w, samples)
        return self._judged(prediction, cost, data, targets)

    # --- behind it -----------------------------------------------------------------------------------------------

    def _data(
        self,
        X: Inputs,
        y: Any,
        w: ArrayLike | None = None,
        names: tuple[str, ...] | None = None,
        *,
        some: bool = False,
    ) -> tuple[dict[str, Array], Targets]:
        """X, the targets and the weights, checked, under their symbols' names.

        names: of the inputs; those of the last fit where not given.  some: whether there are other samples beside.
        """
        data = checks.inputs(self.spec, X, self.dtype, names or self.feature_names)
        samples = sample_count(data)
        kind, arrays = checks.targets(self.spec, y, samples, self.dtype)
        data |= arrays
        if w is not None:
            data["w"] = self._weights(w, samples, some=some)
        return data, kind

    def _weights(self, w: ArrayLike, samples: int, *, some: bool = False) -> Array:
        if isinstance(self.spec.loss, Cost):
            raise SpecError("Sample weights do not go with a Cost: f(Ŷ, Y) itself says how samples count.")
        relative = self.spec.reduction == "mean" and self.spec.penalty_per == "sample"
        return checks.weights(w, samples, self.dtype, relative=relative and not some, some=some)

    def _outcome(self, data: dict[str, Array], targets: Targets) -> tuple[Array, float]:
        program = self._pruned("evaluate", "inference", targets, "w" in data, ("prediction", "objective"))
        assert program.objective is not None
        cost = program.objective.name
        values = self._run(program, data, (*self._ends, cost))
        return self._predicted(values), float(values[cost])

    @cached_property
    def _ends(self) -> tuple[str, ...]:
        """The symbols of the outputs, by name."""
        outputs = self.derive(mode="inference").outputs
        return tuple(outputs[node].name for _, node in self.spec.ends)

    def _predicted(self, values: Values) -> Array:
        """The outputs as `predict` gives them; type checkers hear of one alone, as few networks have several."""
        by_name = {name: values[symbol] for (name, _), symbol in zip(self.spec.ends, self._ends, strict=True)}
        return cast(Array, by_name) if isinstance(self.spec.loss, Losses) else by_name[""]

    def _counters(self, step: int) -> dict[str, Any]:
        counters = {"seed": self.seed, "t": checks.positive_integer("step", step)}
        return {**counters, **numbers_at(self.spec.columns, step)} if self.spec.columns else counters

    def _pruned(self, use: str, mode: Mode, targets: Targets, weighted: bool, ends: tuple[str, ...]) -> Program:
        key = (use, mode, targets, weighted)
        if key not in self._programs:
            program = self.derive(mode=mode, targets=targets, weighted=weighted)
            wanted = {
                "prediction": [program.outputs[node] for _, node in self.spec.ends],
                "objective": [program.objective] if program.objective else [],
                "gradients": [g for _, g in program.gradients],
                "parameters": [g for s, g in program.gradients if s.role == "parameter"],
            }
            self._programs[key] = program.pruned([s for end in ends for s in wanted[end]], update=False)
        return self._programs[key]

    def _run(self, program: Program, data: Values, wanted: tuple[str, ...]) -> dict[str, Array]:
        given: dict[str, Any] = {**self._parameters, **self._state, **data}
        samples = sample_count(data)
        given[BATCH] = self.dtype.type(samples)
        if self.spec.columns and "t" not in data:  # a cost that is no step's: the settings are those of the first one
            given.update(numbers_at(self.spec.columns, 1))
        return self._engines.for_call(program, samples).run(program, given, wanted)


def _mode(training: bool) -> Mode:
    return "training" if training else "inference"
