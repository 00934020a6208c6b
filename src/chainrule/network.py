"""Network: a spec, its parameters and an engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import checks, storage
from chainrule.calls import constructor, says_arguments
from chainrule.checks import Inputs
from chainrule.describe.constraints import Constraint
from chainrule.describe.layers import Layer
from chainrule.describe.losses import Targets, usual_targets
from chainrule.describe.network import GivenLoss, NetworkSpec, PenaltyPer, Reduction
from chainrule.describe.optimizers import Optimizer, OptimizerName, rule_of
from chainrule.display import Displayed
from chainrule.engines.base import Engine, OneRow
from chainrule.engines.choose import Engines
from chainrule.engines.pinned import pinned
from chainrule.engines.table import ENGINES, EngineName, engine_names, listed
from chainrule.errors import SpecError, expected
from chainrule.evaluating import Evaluating
from chainrule.files import reading
from chainrule.glass.mixin import GlassBox
from chainrule.initialise import initialise
from chainrule.program.equation import Program
from chainrule.program.layout import ParameterLayout
from chainrule.program.precision import Precision
from chainrule.rules.derive import Mode, derive, derive_constraints, derive_step
from chainrule.train.alone import alone
from chainrule.train.callbacks import Callback
from chainrule.train.history import History
from chainrule.words import METHODS, no_attribute

if TYPE_CHECKING:
    from pathlib import Path

    from chainrule.blocks import Blocks
    from chainrule.data import Standardizer
    from chainrule.fitting import Ended
    from chainrule.model_file import Saved
    from chainrule.notation.tables import NotationName
    from chainrule.report.html import InlineReport
    from chainrule.train.monitor import Monitor

Array = NDArray[Any]
_SEEDS = 10**1000
"""More than any has digits, and few enough for a file (`files/strict_json.py`)."""
DTypeName = Literal["float32", "float64"]
_DTYPES = get_args(DTypeName)


@constructor
class Network(Displayed, Evaluating, GlassBox):
    """A feedforward network: what it computes is a derived program, which an engine runs.

        net = Network(inputs=784, layers=[Dense(256, "sigmoid"), Dense(10, "softmax")], loss="cross_entropy")
        net.fit(X, y, epochs=10)
        net.predict(X)

    Parameters
    ----------
    inputs
        Features a sample, or tokens if an `Embedding` reads them; or several inputs by name (see `NetworkSpec`): X is
        then a dict with an array for each.
    layers
        In their order; `Residual` and `Branches` hold others.
    loss
        A name, a `Loss` of one sample or a `Cost` of the batch; a dict of these for several outputs.
    l1, l2
        λ₁/m Σ|W| and λ₂/(2m) Σ W² are added to the cost.
    reduction
        Whether the cost is the mean or the sum of the losses.
    penalty_per
        "weight" puts the sum of the sample weights, Σ w, in the place of m in the penalties.
    penalties
        Factors of l1 and l2 by parameter, {"W1": 0.5, "b": 1}.
    constraints
        What parameters are brought back to after each step, {"W": MaxNorm(3), "b": NonNegative()}: by the name of a
        parameter, or by the letter of several.
    precision
        How products with values of the samples are done, in float32: "highest" multiplies as numbers are, "high" adds
        up three products of bfloat16 numbers (5 digits), "medium" takes one (3 digits); see docs/precision.md.
    dtype
        Of all numbers.
    seed
        Of first weights, shuffling and dropout; None draws one.
    engine
        What runs it; "auto" takes the faster of the two for the work at hand.

    Raises
    ------
    SpecError
        With all faults at once.
    """

    def __init__(
        self,
        inputs: int | Mapping[str, int | Sequence[int]],
        layers: Sequence[Layer | Sequence[Any]],
        loss: GivenLoss,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
        reduction: Reduction = "mean",
        penalty_per: PenaltyPer = "sample",
        penalties: Mapping[str, float] | None = None,
        constraints: Mapping[str, Constraint | Sequence[Constraint]] | None = None,
        precision: Precision | str = "highest",
        dtype: DTypeName | str = "float32",
        seed: int | None = 0,
        engine: EngineName | str = "auto",
    ) -> None:
        try:
            spec = NetworkSpec(
                inputs,
                layers,
                loss,
                l1=l1,
                l2=l2,
                reduction=reduction,
                penalty_per=penalty_per,
                penalties=penalties or {},
                constraints=constraints or {},
                precision=precision,
            )
        except SpecError as fault:
            raise SpecError([*fault.faults, *_faults(dtype, seed, engine)]) from None
        self._setup(spec, dtype, seed, engine)
        self._initialise()

    @classmethod
    @says_arguments
    def from_spec(
        cls,
        spec: NetworkSpec,
        *,
        dtype: DTypeName | str = "float32",
        seed: int | None = 0,
        engine: EngineName | str = "auto",
    ) -> Network:
        """The network that the spec describes, with first weights from the seed.  Raises SpecError."""
        net = cls.__new__(cls)
        net._setup(spec, dtype, seed, engine)
        net._initialise()
        return net

    def _initialise(self) -> None:
        arrays = {**self._parameters, **self._state}
        initialise(self.spec, arrays, self.seed)
        if self.spec.constrained:
            names = tuple(self.spec.constrained)
            values = ENGINES["reference"](self.dtype).run(derive_constraints(self.spec), arrays, names)
            for name in names:
                self._parameters[name][...] = values[name]

    def _setup(self, spec: NetworkSpec, dtype: object, seed: int | None, engine: str) -> None:
        if faults := _faults(dtype, seed, engine, spec):
            raise SpecError(faults)
        self.spec = spec
        self.dtype = np.dtype(str(_dtype_name(dtype)))
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else int(seed)
        self.history: History | None = None
        self.feature_names: tuple[str, ...] | None = None
        """Of the inputs, where the last fit was of a data frame with names: frames are matched by them."""
        self._fits = 0
        self._before: Ended | None = None
        self._programs: dict[object, Program] = {}
        self._engines = Engines(engine, self.dtype)
        self._one_row: OneRow | None = None
        self._asked: Engine | None = None  # for a quick way; an engine that has none is not asked again
        stored = derive(spec, optimizer=None).stored
        self._layout = ParameterLayout.of(stored, self.dtype.itemsize)
        if self._layout.size * self.dtype.itemsize > sys.maxsize:
            raise SpecError(f"The network would have {self._layout.size:,} parameters: more than any memory holds.")
        self._buffer = pinned(self._layout.allocate(self.dtype))
        self._views: dict[str, Array] = {}
        views = self._layout.views(self._buffer)
        roles = {s.name: s.role for s in stored}
        self._parameters = {k: v for k, v in views.items() if roles[k] == "parameter"}
        self._state = {k: v for k, v in views.items() if roles[k] == "statistic"}

    # --- what it is ----------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> dict[str, Array]:
        """Writable views by name: W1 (n0, n1), b1 (n1,), ..., E (v, d), gamma, beta."""
        return checks.Views(self._handed_out(self._parameters))

    @property
    def state(self) -> dict[str, Array]:
        """Writable views of what is kept beside the parameters: running means and variances."""
        return checks.Views(self._handed_out(self._state))

    def overwrite(
        self, fill: Callable[[Mapping[str, Array]], None], rows: Mapping[str, NDArray[np.int64]] | None = None
    ) -> None:
        """Overwrites all arrays with what `fill` makes of those that it is given: copies of them, by name.

        rows: where there are some, of these arrays only the rows so numbered are given and overwritten.
        The network has them all at once, in one step for the interpreter: a handler of signals finds the old numbers or
        the new ones, never some of each.
        """
        if rows:
            places, parts = self._layout.places(rows)
            values = self._buffer[places]
            fill({name: values[part].reshape(shape) for name, (part, shape) in parts.items()})
            self._buffer[places] = values
            return
        copy = self._layout.allocate(self.dtype)
        np.copyto(copy, self._buffer)
        fill(self._layout.views(copy))
        np.copyto(self._buffer, copy)

    def _handed_out(self, arrays: dict[str, Array]) -> dict[str, Array]:
        """Views of these that are the caller's: one whose shape or dtype he has changed is made anew."""
        for name, array in arrays.items():
            view = self._views.get(name)
            if view is None or (view.shape, view.strides, view.dtype) != (array.shape, array.strides, array.dtype):
                self._views[name] = array.view()
        return {name: self._views[name] for name in arrays}

    @property
    def program(self) -> Program:
        """The derivation of one training step, without an optimizer; `print(net.program)`."""
        return self.derive(targets=usual_targets(self.spec.loss))

    def derive(
        self,
        *,
        optimizer: Optimizer | None = None,
        mode: Mode = "training",
        targets: Targets = "values",
        weighted: bool = False,
        canonical: bool = True,
    ) -> Program:
        """The program of this network with these choices (see `chainrule.derive`); derived once."""
        key = (rule_of(optimizer), mode, targets, weighted, canonical)
        if key not in self._programs:
            self._programs[key] = derive(
                self.spec, optimizer=optimizer, mode=mode, targets=targets, weighted=weighted, canonical=canonical
            )
        return self._programs[key]

    def training_program(self, optimizer: Optimizer, *, targets: Targets = "values", weighted: bool = False) -> Program:
        """One step of training, the cost and the update, without what neither of them needs; made once."""
        key = ("training step", rule_of(optimizer), targets, weighted)
        if key not in self._programs:
            self._programs[key] = derive_step(self.spec, optimizer, targets=targets, weighted=weighted)
        return self._programs[key]

    @property
    def engines(self) -> Engines:
        """Its engines, for those who drive a program of it themselves (the estimators)."""
        return self._engines

    def summary(self) -> str:
        """The layers with their shapes and parameters, one line each."""
        return storage.summary(self.spec, self._parameters, self.dtype.name)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or another process needs: no programs, engines or machine code, which are made anew."""
        arrays = {k: v.copy() for k, v in (self._parameters | self._state).items()}
        setup = (self.spec, self.dtype.name, self.seed, self._engines.name)
        fitted = (self._fits, self._engines.fitted)
        return {
            "setup": setup,
            "arrays": arrays,
            "history": self.history,
            "fitted": fitted,
            "feature_names": self.feature_names,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._setup(*state["setup"])
        for name, array in (self._parameters | self._state).items():
            array[...] = state["arrays"][name]
        self.history = state["history"]
        self.feature_names = state.get("feature_names")
        self._fits, self._engines.fitted = state["fitted"]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What networks of other libraries have is told what to write here."""
            raise AttributeError(no_attribute("'Network' object", name, METHODS), name=name, obj=self)

    def __repr__(self) -> str:
        return f"Network({self.spec.shape_words}, loss={self.spec.loss.name!r}, dtype={self.dtype.name!r})"

    # --- training it ----------------------------------------------------------------------------------------------

    @says_arguments
    def fit(
        self,
        X: Inputs | Blocks,
        y: ArrayLike | None = None,
        *,
        epochs: int,
        batch_size: int = 32,
        optimizer: OptimizerName | str | Optimizer | None = None,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        validation_data: tuple[Any, ...] | Blocks | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: bool | Literal["auto"] = "auto",
        threads: int | None = None,
        time_limit: float | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int | str = 1,
        resume: bool = False,
        continue_: bool = False,
        group: object | None = None,
        sync_every: int | None = None,
    ) -> History:
        """Trains by mini-batches and returns a record of every epoch.

        Ctrl-C and SIGTERM leave the network as of the last finished batch.

        Parameters
        ----------
        X
            (m, inputs); of several inputs a dict of arrays.  Or data that need not fit into memory: a large
            memory-mapped array, a Parquet file, a folder, a lazy frame, a function that returns blocks (X, y), and what
            else `Blocks` takes.
        y
            Labels (m,), or numbers (m, outputs); of several outputs a dict.  None where X brings them; of a table the
            name of a column.
        epochs
            Passes over the samples.
        batch_size
            Samples a step; the last batch may be smaller, and has its own m.
        optimizer
            Adam() by default; a name is that optimizer with its own settings.
        shuffle
            Whether every epoch has a new order, from the seed.
        sample_weight
            (m,): how much each sample counts.
        validation_data
            (X, y) or (X, y, sample_weight), evaluated after each epoch; also as blocks, if they fit into memory.
        callbacks
            What is called at the hooks of the fit, in this order.
        verbose
            Whether a bar shows the progress; "auto" shows it on a terminal and in a notebook.
        threads
            At most so many; the result does not depend on it.  None: what the network is worth.
        time_limit
            Seconds after which the fit ends, between two batches.
        checkpoint
            A folder into which the fit is written down, also at an interrupt and at the end.
        every
            After so many epochs, or seconds ("60s"), it is written down.
        resume
            Goes on from what the folder holds, to the same bits as a fit that was never interrupted, or starts;
            without it a folder that holds checkpoints is refused.
        continue_
            Goes on where the fit before ended, with the optimizer's moments and counters, the history and the order of
            the epochs; else moments begin at 0.
        group
            Those who train this network together: a communicator of mpi4py, or a process group of torch.distributed,
            as it is (`as_group` gives it another timeout). Every worker calls `fit` with the same data and settings,
            computes its part of each batch, and ends with the same network: the same bits for any number of workers.
        sync_every
            Another algorithm, with less to send: each worker takes so many steps with its part of each batch alone, and
            then all go on from the average of their parameters. The result depends on the number of workers.

        Returns
        -------
        History
            A record of every epoch; also as `history` of the network.

        Raises
        ------
        DataError, SpecError
            For data and settings that cannot be, and for a fit within a fit of the same network.
        GroupError
            At every worker: the workers' data, settings or versions differ, or one of them was lost.
        DivergedError
            When the cost is no longer finite; the last finite parameters are kept.
        """
        options: dict[str, Any] = {k: v for k, v in locals().items() if k != "self"}
        with alone(self, "network"):
            from chainrule.fitting import prepared  # what only a fit needs

            fit, before = prepared(self, **options)
            self.history = fit.history
            try:
                return fit.run()
            finally:
                self._before = replace(before, epochs=len(fit.history), records=tuple(fit.history))

    _report: ClassVar[Callable[..., Path | InlineReport]]
    """What writes reports.  It reads networks and lies above them: the package's top binds the two (readers.py)."""

    @says_arguments
    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        X: Inputs | None = None,
        y: ArrayLike | None = None,
        *,
        monitor: Monitor | None = None,
        history: History | None = None,
        optimizer: Optimizer | None = None,
        notation: NotationName | str = "row",
        names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        shape: tuple[int, int] | None = None,
        title: str | None = None,
        settings: Mapping[str, object] | None = None,
        part: str = "",
        target: str = "",
        target_scale: Standardizer | None = None,
        columns: Sequence[str] | None = None,
        kept: int | None = None,
        command: str = "",
        date: str | None = None,
    ) -> Path | InlineReport:
        """Writes an HTML page on this network and these data: results, curves, derivation, numbers, check.

        The same input makes the same bytes on the same day.

        Parameters
        ----------
        path
            Of the page; without one, `net.report(X=X, y=y)`, a notebook shows it in its cell.
        X, y
            All are scored and drawn; the first 32 make the step whose numbers are shown.
        monitor
            What watched a fit.
        history
            Of a fit, by default the last one.
        optimizer
            The derivation has its update.
        notation
            The one shown first.
        names
            Of the classes; of several outputs a dict of those of each.
        shape
            Height and width of inputs that are images; without it none are drawn as such.
        title
            The heading.
        settings
            More lines for the table of settings.
        part
            Of the data, which the samples are: "test", say.
        target
            The name of what is predicted.
        target_scale
            Of a target that is predicted standardised: numbers are shown in the target's own unit.
        columns
            For each input the name of the column that it was made of; several may be of one.
        kept
            The epoch whose weights the network has.
        command
            What makes the network again.
        date
            When it was trained; None for today, "" for none.

        Raises
        ------
        DataError
            For a path that cannot be written, before any work, and for data that do not fit.
        MissingDependencyError
            Without matplotlib or jinja2: pip install 'chainrule[report]'.
        """
        options = {k: v for k, v in locals().items() if k not in ("self", "path", "X", "y")}
        return type(self)._report(self, path, X, y, **options)

    # --- keeping it ----------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes spec and parameters to a .safetensors file, atomically.  Raises DataError if it cannot be written."""
        from chainrule import model_file  # slow to load, and most networks are never saved

        arrays = {**self._parameters, **self._state}
        settings: dict[str, Any] = {"dtype": self.dtype.name, "seed": self.seed}
        if self.feature_names is not None:
            settings["feature_names"] = list(self.feature_names)
        model_file.save(path, self.spec, arrays, settings)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        engine: EngineName | str = "auto",
        own_layers: Iterable[type[Layer]] = (),
    ) -> Network:
        """The network that was saved there, the same bits; nothing in the file is run.

        Parameters
        ----------
        path
            What `save` wrote.
        engine
            What is to run it.
        own_layers
            Classes of layers beside chainrule's that it may have.

        Raises
        ------
        DataError
            If it is no network, or damaged.
        """
        from chainrule import model_file

        with model_file.opened(path, own_layers) as saved:
            return cls.of_saved(saved, engine=engine)

    @classmethod
    def of_saved(cls, saved: Saved, *, engine: str = "auto") -> Network:
        """The network of an open file (see `model_file.opened`).  Raises DataError; SpecError for the engine's name."""
        if faults := _faults(saved.dtype, saved.seed, engine, saved.spec):
            raise SpecError(faults)
        net = cls.__new__(cls)
        with reading(saved.file.path):
            net._setup(saved.spec, saved.dtype, saved.seed, engine)
            net.feature_names = saved.feature_names
            saved.fill({**net._parameters, **net._state})
        return net


def _dtype_name(dtype: object) -> object:
    return np.dtype(dtype).name if isinstance(dtype, type | np.dtype) else dtype


def _faults(dtype: object, seed: object, engine: object, spec: NetworkSpec | None = None) -> list[str]:
    """What is wrong with a network's settings beside its spec, or does not go with that."""
    faults = []
    if spec is not None and spec.precision != "highest" and _dtype_name(dtype) == "float64":
        faults.append(
            f"precision={spec.precision!r} is of float32 products, and dtype is 'float64'. "
            f"Leave precision out (it is 'highest'), or take dtype='float32'."
        )
    if _dtype_name(dtype) not in _DTYPES:
        faults.append(expected("dtype", "'float32' or 'float64'", dtype))
    if engine not in engine_names():
        faults.append(expected("engine", listed(quoted=True), engine))
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if seed is not None and not (whole and 0 <= seed < _SEEDS):  # type: ignore[operator]
        faults.append(expected("seed", "None or a whole number of at least 0 (and at most 1,000 digits)", seed))
    return faults
