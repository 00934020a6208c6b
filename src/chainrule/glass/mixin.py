"""GlassBox: what every network lets one see, mixed into Network; each method prepares values and calls its module.

That module is imported when it is first asked for: checks, traces and notations are a third of the package, and a
network that is only trained needs none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.checks import Inputs, inputs
from chainrule.describe.losses import Targets, usual_targets
from chainrule.describe.network import NetworkSpec
from chainrule.describe.optimizers import Optimizer
from chainrule.describe.schedules import Schedule, as_schedule
from chainrule.engines.base import sample_count
from chainrule.errors import SpecError
from chainrule.program.equation import Program
from chainrule.program.symbol import BATCH
from chainrule.program.verify import verify
from chainrule.rules.derive import Mode
from chainrule.train.schedules import numbers_at

if TYPE_CHECKING:
    from chainrule.glass.beyond import Case
    from chainrule.glass.check import CheckReport
    from chainrule.glass.trace import Trace
    from chainrule.notation.tables import FormatName, NotationName
    from chainrule.notation.views import Mean

Array = NDArray[Any]


class GlassBox:
    """The derivation in any notation, the numbers of a step, checks, and more than gradients."""

    spec: NetworkSpec
    dtype: np.dtype[Any]
    seed: int
    feature_names: tuple[str, ...] | None
    _parameters: dict[str, Array]
    _state: dict[str, Array]

    if TYPE_CHECKING:

        def derive(
            self,
            *,
            optimizer: Optimizer | None = None,
            mode: Mode = "training",
            targets: Targets = "values",
            weighted: bool = False,
            canonical: bool = True,
        ) -> Program: ...

        def _data(self, X: Inputs, y: ArrayLike, w: ArrayLike | None = None) -> tuple[dict[str, Array], Targets]: ...

        def _counters(self, step: int) -> dict[str, Any]: ...

        def _run(self, program: Program, data: Mapping[str, Any], wanted: tuple[str, ...]) -> dict[str, Array]: ...

    # --- the derivation ----------------------------------------------------------------------------------------

    def show(
        self,
        notation: NotationName | str = "row",
        format: FormatName | str = "unicode",
        *,
        optimizer: Optimizer | None = None,
        canonical: bool = True,
        why: bool = False,
        mean_at: Mean | None = None,
    ) -> str:
        """The derivation of this network as a text writes it.

        Parameters
        ----------
        notation
            Whose way of writing; "numpy" and "javascript" are source code that runs.
        format
            As what kind of text.
        optimizer
            With its update.
        canonical
            False goes the long way round where a pair of activation and loss has a short gradient.
        why
            With the rule behind each line.
        mean_at
            Where 1/m stands; None: where the notation has it.

        Raises
        ------
        SpecError
            With the names that are known.
        """
        from chainrule.notation import show

        program = self.derive(optimizer=optimizer, targets=usual_targets(self.spec.loss), canonical=canonical)
        return show(program, notation, format, why=why, mean_at=mean_at)

    # --- the numbers of one step -------------------------------------------------------------------------------

    def trace(
        self,
        X: Inputs,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        training: bool = False,
        optimizer: Optimizer | None = None,
        step: int = 1,
        notation: NotationName | str | None = None,
        mean_at: Mean | None = None,
    ) -> Trace:
        """Every symbol of one step on these data, with its array, a summary and the equation that made it.

        Parameters
        ----------
        X, y
            As for `fit`.
        sample_weight
            (m,).
        training
            With the dropout masks of that step and the batch's own statistics.
        optimizer
            With the update's values, from slots of 0; the network itself is not changed.
        step
            Which step, from 1.
        notation, mean_at
            The values of the lines as that notation has them, 1/m at the weights, say.

        Returns
        -------
        Trace
            Its arrays by name, `trace["dW1"]`; `print` shows a line for each.

        Raises
        ------
        DataError, SpecError
            For data that do not fit, and names that are not known.
        """
        from chainrule.glass.trace import trace
        from chainrule.notation import derivation

        data, targets = self._data(X, y, sample_weight)
        program = self.derive(
            optimizer=optimizer,
            mode="training" if training else "inference",
            targets=targets,
            weighted=sample_weight is not None,
        )
        given = self._given(data, step)
        if optimizer is not None:
            for symbol in program.given:
                if symbol.role == "slot":
                    given[symbol.name] = np.zeros([int(d) for d in symbol.shape], self.dtype)
            given["lr"] = _rate(optimizer, step)
            given.update(numbers_at(optimizer.columns(), step))
        if notation is not None:
            arranged = derivation(program, notation, mean_at=mean_at)
            program, given = arranged.program, {**given, **arranged.penalties}
        return trace(program, given, self.dtype)

    def kept(self, X: Inputs) -> dict[str, Array]:
        """The values that the network keeps under names (`Keep`), by these: as `predict` computes them, (m, n) each.

        Raises DataError.
        """
        data = inputs(self.spec, X, self.dtype, self.feature_names)
        program = self.derive(mode="inference")
        symbols = {name: program.outputs[node] for name, node in self.spec.graph.names.items() if node >= 0}
        wanted = list(dict.fromkeys(s for s in symbols.values() if s.role != "input"))
        values: Mapping[str, Any] = data
        if wanted:
            needed = program.pruned(wanted, update=False)
            values = {**data, **self._run(needed, data, tuple(s.name for s in wanted))}
        return {name: np.array(values[s.name]) for name, s in symbols.items()}

    # --- checks ------------------------------------------------------------------------------------------------

    def check(
        self,
        X: Inputs,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        training: bool = True,
        step: int = 1,
        canonical: bool = True,
        program: Program | None = None,
        gradients: Mapping[str, ArrayLike] | None = None,
        seed: int = 0,
    ) -> CheckReport:
        """Every gradient against finite differences, in float64 and on copies; true if all agree.

        Arrays of up to 600 elements are compared element by element, larger ones along random directions.  Where the
        cost has a corner at the very value (relu's at 0), there is no slope, and that element is passed by.  Where one
        is wrong the report shows the equation with its neighbours and says what is wrong: a factor, a sign, a
        transpose, a missing term.

        Parameters
        ----------
        X, y
            As for `fit`; a few samples are enough.
        sample_weight
            (m,).
        training
            With dropout masks and the batch's own statistics, which are held fast.
        step
            Which step, from 1.
        canonical
            False checks the long way round.
        program
            Another derivation for the same data, to be checked instead of this network's own.
        gradients
            Gradients written by hand, to be checked instead of the derived ones: by the parameter's name or the
            gradient's, {"W1": ..., "dZ1": ...}, any of them.  Of one that is wrong the report says how.
        seed
            Of the random directions.

        Returns
        -------
        CheckReport
            True if every gradient agrees; `print` shows what was compared.

        Raises
        ------
        DataError, SpecError
            For data that do not fit, a name that is no gradient's, both a program and gradients.
        ProgramError
            For a program that breaks its laws.
        """
        from chainrule.glass.check import check
        from chainrule.glass.claimed import check_claimed

        if program is not None and gradients is not None:
            raise SpecError("Either a program is checked or gradients are: give one of the two.")

        data, targets = self._data(X, y, sample_weight)
        sound = self.derive(
            mode="training" if training else "inference",
            targets=targets,
            weighted=sample_weight is not None,
            canonical=canonical,
        )
        given = {name: _double(value) for name, value in self._given(data, step).items()}
        checked = sound if program is None else verify(program)
        if checked.objective is None or not checked.gradients:
            raise SpecError("The program to check has no cost or no gradients.")
        lacking = [s.name for s in checked.given if s.name not in given and s.role not in ("rate", "slot")]
        if lacking:
            raise SpecError(f"The program to check needs {', '.join(lacking)}, which these data do not give.")
        if gradients is not None:
            return check_claimed(checked, given, gradients, seed=seed)
        return check(checked, given, sound=sound, seed=seed)

    # --- more than gradients -----------------------------------------------------------------------------------

    def per_example_gradients(
        self, X: Inputs, y: ArrayLike, *, sample_weight: ArrayLike | None = None
    ) -> dict[str, Array]:
        """∂L_i/∂θ of every sample by parameter, (m, *shape): of its loss times its weight, without penalties.

        They add up to m (or Σ w) times the gradient of the unpenalised mean.  Without dropout and with the running
        means of batch normalisation, as samples must not mix.  Raises DataError; SpecError for a Cost.
        """
        from chainrule.glass import beyond

        return beyond.per_example_gradients(self.spec, self._case(X, y, sample_weight))

    def gradient_norms(self, X: Inputs, y: ArrayLike, *, sample_weight: ArrayLike | None = None) -> dict[str, Array]:
        """‖∂L_i/∂θ‖ of every sample by parameter, (m,), and of all parameters together under "all".

        A dense layer's is ‖a_i‖ ‖dz_i‖: no sample's gradient is formed.  Raises as per_example_gradients.
        """
        from chainrule.glass import beyond

        return beyond.gradient_norms(self.spec, self._case(X, y, sample_weight))

    def gradient_variance(self, X: Inputs, y: ArrayLike, *, sample_weight: ArrayLike | None = None) -> dict[str, Array]:
        """The variance of ∂L_i/∂θ over the samples, element by element, in each parameter's shape.

        (1/m) Σ_i g_i² - ((1/m) Σ_i g_i)².  Raises as per_example_gradients.
        """
        from chainrule.glass import beyond

        return beyond.gradient_variance(self.spec, self._case(X, y, sample_weight))

    @overload
    def jacobian(self, X: Mapping[str, ArrayLike], *, output: str | None = None) -> dict[str, Array]: ...

    @overload
    def jacobian(self, X: ArrayLike, *, output: str | None = None) -> Array: ...

    def jacobian(self, X: Inputs, *, output: str | None = None) -> Array | dict[str, Array]:
        """∂ŷ_i/∂x_i of every sample: (m, outputs, inputs), without dropout; of several inputs by name, of numbers.

        output: of several outputs, which.  Raises DataError (where all that comes in is tokens as well); SpecError for
        an output that is not there.
        """
        from chainrule.glass import beyond

        data = inputs(self.spec, X, self.dtype, self.feature_names)
        several = beyond.jacobian(self.spec, self._given(data, 1), self.dtype, output)
        if not self.spec.named:
            return several[self.spec.sources[0].symbol.name]
        return {s.name: several[s.symbol.name] for s in self.spec.sources if s.symbol.name in several}

    def hessian_vector(
        self,
        X: Inputs,
        y: ArrayLike,
        v: Mapping[str, Array],
        *,
        sample_weight: ArrayLike | None = None,
        training: bool = False,
        step: int = 1,
    ) -> dict[str, Array]:
        """H v by parameter, H the Hessian of the cost: the tangent of the backward program.

        v: a direction by parameter name; parameters left out do not move.  Raises DataError.
        """
        from chainrule.glass import beyond

        case = self._case(X, y, sample_weight, training=training, step=step)
        return beyond.hessian_vector(case, beyond.checked_vector(self._parameters, v))

    def gauss_newton_vector(
        self,
        X: Inputs,
        y: ArrayLike,
        v: Mapping[str, Array],
        *,
        sample_weight: ArrayLike | None = None,
        training: bool = False,
        step: int = 1,
    ) -> dict[str, Array]:
        """G v by parameter, G = Jᵀ H_L J: the Hessian without the curvature of the network, positive for a convex loss.

        J: the Jacobian of the last layer's Z where a canonical pair takes loss and activation together, else of Ŷ; H_L:
        the Hessian of the cost by it.  The penalties' own Hessian is added.  Raises DataError; SpecError for a loss of
        more than Ŷ (several outputs, kept values, parameters).
        """
        from chainrule.glass import beyond

        beyond.of_one_output(self.spec)
        case = self._case(X, y, sample_weight, training=training, step=step)
        return beyond.gauss_newton_vector(case, beyond.checked_vector(self._parameters, v))

    # --- behind it -----------------------------------------------------------------------------------------------

    def _given(self, data: Mapping[str, Array], step: int) -> dict[str, Any]:
        """Everything that a program of this network may be given, but slots and rates."""
        m = self.dtype.type(sample_count(data))
        return {**self._parameters, **self._state, **data, BATCH: m, **self._counters(step)}

    def _case(self, X: Inputs, y: ArrayLike, w: ArrayLike | None, *, training: bool = False, step: int = 1) -> Case:
        from chainrule.glass.beyond import Case

        data, targets = self._data(X, y, w)
        program = self.derive(mode="training" if training else "inference", targets=targets, weighted=w is not None)
        return Case(program, self._given(data, step), self.dtype)


def _double(value: Any) -> Any:
    """Floats as float64; tokens, labels and counters as they are."""
    if isinstance(value, np.ndarray | np.floating):
        return value.astype(np.float64) if np.asarray(value).dtype.kind == "f" else value
    return value


def _rate(optimizer: Optimizer, step: int) -> float:
    """The learning rate of a step; a schedule's as in a fit of that many steps and one more."""
    rate = optimizer.learning_rate
    assert isinstance(rate, int | float | Schedule)
    return float(as_schedule(rate).start(1, step + 1).rates(step - 1, 1)[0])
