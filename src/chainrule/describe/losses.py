"""Losses: L(ŷ, y) of one sample; Cost: any f(Ŷ, Y) of the whole batch.

A loss formula is element-wise in ŷ and y and summed over the outputs, or reduces over them itself.  The cost adds up
the samples: J = (1/m) Σ_i L_i, Σ_i L_i with reduction="sum", or Σ w_i L_i / Σ w_i with sample weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal, get_args

from chainrule.calls import constructor, says_arguments
from chainrule.describe.parameters import Named, Parameter, declared, formula_over
from chainrule.describe.schedules import Schedule
from chainrule.describe.settings import LONGEST
from chainrule.errors import ChainruleError, SpecError, expected, is_number, shorten, unknown_name
from chainrule.program.parse import formula, known_functions, source
from chainrule.program.scalar import Expression
from chainrule.program.symbol import BATCH, Symbol

TINY = 1e-37
"""The least probability whose logarithm is taken: near the smallest normal float32, so that log never meets 0."""

Kinds = Literal["values", "labels"]
Targets = Kinds | tuple[Kinds, ...]
"""What targets are given as; of several outputs one word for all, or those of each in the order of their losses."""
TargetKind = Literal["values", "classes", "yes/no", "signs", "counts"]
"""What a target is: any numbers; one of several classes (a label, or a row of probabilities); 0 or 1 an output; -1 or
1; numbers of at least 0."""


@constructor
@dataclass(frozen=True, init=False)
class Loss:
    """L(ŷ, y) of one sample, from text or a callable over expressions in yhat and y.

        Loss("(yhat - y) ** 2")                         summed over the outputs
        Loss("sqrt(sum((yhat - y) ** 2) + 1e-12)")      reduces over the outputs itself
        Loss(lambda yhat, y: functions.log(1 + (yhat - y) ** 2))
        Loss("0.5 * v + 0.5 * (yhat - y) ** 2 * exp(-v)", values=("v",))        v: a value that the network keeps
        Loss("abs(yhat - y) / s + log(s)", s=Parameter(value=1))                s: trained with the network

    A kept value is (m, n) as ŷ is, or (m, 1); a parameter is a number, or one of each output ("n").
    A loss says what it is for: `kind` of target, `fits`, `natural`.  Whoever scores, checks, draws or chooses reads it
    here.  A formula that is chainrule's own, whatever it is called, is of that kind unless it says otherwise.
    Raises FormulaError; SpecError for a kind that is not known, and with all faults of parameters and values.
    """

    expression: Expression
    """L, a formula in yhat and y, kept values and parameters."""
    name: str
    """Shown in the summary."""
    kind: TargetKind = "values"
    """What a target is; classes=True is short for kind="classes"."""
    fits: frozenset[str] | None = None
    """The activations of the last layer that it is meant for; None: any.  An own activation always may."""
    smoothing: float | Schedule = 0.0
    """The share ε of a label that is spread evenly, Y ← (1 - ε) Y + ε/n."""
    between: tuple[float, float] | None = None
    """The least and largest y allowed."""
    cap: float | None = None
    """Where given, a canonical pair reports at most this for a term, while its slope stays that of the loss itself:
    scikit-learn's clipped probabilities."""
    natural: str = field(default="identity", compare=False)
    """The activation of the last layer that goes with it, where nobody chooses one."""
    proper: bool = field(default=False, compare=False)
    """Whether its mean is least at the mean of y, so that outputs for targets of 0 and 1 are probabilities."""
    values: tuple[str, ...] = ()
    """The names of kept values (`Keep`) that the formula uses beside ŷ."""
    parameters: Named = ()
    """By name, in their order."""

    def __init__(
        self,
        given: str | Expression | Callable[..., object],
        parameters: Mapping[str, Parameter] | None = None,
        *,
        values: Sequence[str] = (),
        name: str | None = None,
        classes: bool = False,
        kind: TargetKind | None = None,
        fits: frozenset[str] | None = None,
        between: tuple[float, float] | None = None,
        natural: str | None = None,
        proper: bool = False,
        **named: Parameter,
    ) -> None:
        faults: list[str] = []
        kept = _values(values, faults)
        several = declared(parameters, named, ("yhat", "y", *kept), faults, sizes=("n",))
        if faults:
            raise SpecError([f"Loss: {fault}" for fault in faults])
        expression = formula_over(given, ("yhat", "y", *kept, *several), (*kept, *several))
        if kind is not None and kind not in get_args(TargetKind):
            raise SpecError(unknown_name("kind of target", str(kind), get_args(TargetKind)))
        if classes and kind not in (None, "classes"):
            raise SpecError(expected("The kind of a loss with classes=True", "'classes', or left out", kind))
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "name", name or (given if isinstance(given, str) else source(expression)))
        object.__setattr__(self, "kind", kind or ("classes" if classes else _kind_of(expression)))
        object.__setattr__(self, "fits", fits)
        object.__setattr__(self, "smoothing", 0.0)
        object.__setattr__(self, "between", between)
        object.__setattr__(self, "cap", None)
        object.__setattr__(self, "natural", natural or _natural(fits))
        object.__setattr__(self, "proper", proper)
        object.__setattr__(self, "values", kept)
        object.__setattr__(self, "parameters", tuple(several.items()))

    def __setstate__(self, state: Mapping[str, object]) -> None:
        """Of a pickle, also of version 0.1.0, which had `classes` and nothing of what a loss says of its targets."""
        said: dict[str, object] = {"values": (), "parameters": ()}
        said |= {name: value for name, value in state.items() if name != "classes"}
        if "kind" not in said:
            alike = (k for k in LOSSES.values() if k.expression == said["expression"])
            usual = next((k for k in alike if k.classes == bool(state["classes"])), None)
            said["kind"] = usual.kind if usual else "classes" if state["classes"] else "values"
            said["natural"] = usual.natural if usual else "identity"
            said["proper"] = usual.proper if usual else False
        self.__dict__.update(said)

    @property
    def classes(self) -> bool:
        """Whether y may be an integer label, standing for a one-hot row."""
        return self.kind == "classes"

    @property
    def decides(self) -> bool:
        """Whether its targets are classes, or yes and no: predictions are right or wrong."""
        return self.kind in ("classes", "yes/no", "signs")

    @property
    def low(self) -> float:
        """What stands for no in a target; yes is 1."""
        return -1.0 if self.kind == "signs" else 0.0

    @property
    def middle(self) -> float:
        """Above it, one output for two classes means the second."""
        return (self.low + 1) / 2

    def __repr__(self) -> str:
        return f"Loss({shorten(self.name, LONGEST)!r})"

    def __str__(self) -> str:
        return self.name


def _values(given: object, faults: list[str]) -> tuple[str, ...]:
    """The names of values that a loss uses."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        faults.append(expected("values", "a tuple of names of kept values, such as ('log_variance',)", given))
        return ()
    for k, name in enumerate(given):
        if not isinstance(name, str) or not name.isidentifier():
            faults.append(expected(f"values[{k}]", "the name of a kept value, a word that a formula can use", name))
        elif name in ("yhat", "y", "pi", "e") or name in known_functions():
            faults.append(f"a value cannot be called {name}: the formula means something else by it.")
        elif name in given[:k]:
            faults.append(f"{name} is twice in values.")
    return tuple(name for name in given if isinstance(name, str))


def _kind_of(expression: Expression) -> TargetKind:
    """That of chainrule's loss with this formula; of classes only those that say so."""
    kinds = (usual.kind for usual in LOSSES.values() if usual.expression == expression)
    return next((kind for kind in kinds if kind != "classes"), "values")


def _natural(fits: frozenset[str] | None) -> str:
    """The first of the activations that it is meant for."""
    preferred = ("identity", "sigmoid", "softmax")
    return next((a for a in preferred if fits is None or a in fits), min(fits or preferred))


@constructor
@dataclass(frozen=True, init=False)
class Cost:
    """f(Ŷ, Y) of the whole batch, a scalar: J itself.  Reductions over rows, columns and all are allowed.

        Cost("sum((yhat - y) ** 2)")
        Cost("1 - sum(yhat * y) / sqrt(sum(yhat ** 2) * sum(y ** 2))")

    m, the batch's size, may be used.  Sample weights are refused: f says itself how samples count.
    """

    expression: Expression
    """f, a formula in yhat, y and m."""
    name: str
    """Shown in the summary."""
    kind: ClassVar[TargetKind] = "values"
    """What a target is."""
    classes: ClassVar[bool] = False
    """Labels are not for a Cost."""
    decides: ClassVar[bool] = False
    """Nor are yes and no."""

    def __init__(self, given: str | Expression | Callable[..., object], *, name: str | None = None) -> None:
        names = ("yhat", "y", "m") if isinstance(given, str | Expression) else ("yhat", "y")
        expression = formula(given, names)
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "name", name or (given if isinstance(given, str) else source(expression)))

    def __repr__(self) -> str:
        return f"Cost({shorten(self.name, LONGEST)!r})"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, init=False)
class Losses:
    """J = Σ_k c_k J_k: several outputs, each a value that was kept under a name, with a loss of its own.

        Losses({"kind": "cross_entropy", "size": ("squared_error", 0.1)})

    J_k is the mean (or sum) of L_k over the samples, c_k its factor, 1 where none is given.  `Network` takes the dict
    as it is.  Raises SpecError with all faults.
    """

    parts: tuple[tuple[str, Loss, float], ...]
    """The name of each output, its loss, and c_k."""
    kind: ClassVar[TargetKind] = "values"
    """Of the outputs together; each loss has its own."""
    classes: ClassVar[bool] = False
    """Nor are labels for all of them."""
    decides: ClassVar[bool] = False
    """Nor are yes and no."""

    def __init__(self, given: Mapping[str, object]) -> None:
        faults: list[str] = []
        parts: list[tuple[str, Loss, float]] = []
        if not given:
            faults.append("loss is empty: name at least one output, such as {'kind': 'cross_entropy'}.")
        for name, said in given.items():
            place = f"loss[{name!r}]"
            own, factor = said if isinstance(said, tuple) and len(said) == 2 else (said, 1.0)
            if not (is_number(factor) and factor >= 0):
                faults.append(expected(f"The factor of {place}", "a finite number of at least 0", factor))
                factor = 1.0
            try:
                one = loss(own)  # type: ignore[arg-type]
            except ChainruleError as fault:
                faults.append(f"{place}: {fault}")
                continue
            if isinstance(one, Loss):
                parts.append((name, one, float(factor)))
            else:
                faults.append(expected(place, "a loss of each sample (a name or a Loss), or (loss, factor)", own))
        if faults:
            raise SpecError(faults)
        object.__setattr__(self, "parts", tuple(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the outputs."""
        return tuple(name for name, _, _ in self.parts)

    @property
    def name(self) -> str:
        """Shown in the summary."""
        return ", ".join(f"{one.name} of {name}" for name, one, _ in self.parts)

    def __str__(self) -> str:
        return self.name


def target_of(kind: Kinds, outputs: int, output: str = "") -> Symbol:
    """y (m,) for labels, else Y (m, n); of several outputs, with the output's name."""
    if kind == "labels":
        return Symbol("y", (BATCH,), "target", integers=True, mark=output)
    return Symbol("Y", (BATCH, outputs), "target", mark=output)


def losses_of(given: Loss | Cost | Losses) -> tuple[tuple[str, Loss | Cost, float], ...]:
    """The name of each output, its loss and the loss's factor; of the only output ("", loss, 1)."""
    return given.parts if isinstance(given, Losses) else (("", given, 1.0),)


def usual_targets(given: Loss | Cost | Losses) -> Targets:
    """What targets are given as where a loss takes classes: labels."""
    kinds: list[Kinds] = ["labels" if one.classes else "values" for _, one, _ in losses_of(given)]
    return tuple(kinds) if isinstance(given, Losses) else kinds[0]


@says_arguments
def huber(delta: float = 1.0) -> Loss:
    """e²/2 for |e| ≤ δ, else δ (|e| - δ/2), with e = ŷ - y.  Source: Huber 1964."""
    if not (is_number(delta) and delta > 0):
        raise SpecError(expected("The delta of huber", "a finite number above 0", delta))
    text = f"where(abs(yhat - y) <= {delta}, 0.5 * (yhat - y) ** 2, {delta} * (abs(yhat - y) - {delta / 2}))"
    return Loss(text, name="huber" if delta == 1 else f"huber({delta})", kind="values")


@says_arguments
def quantile(level: float = 0.5) -> Loss:
    """max(q e, (q - 1) e), with e = y - ŷ: least where a share q of the samples lies below ŷ.  Source: Koenker 1978."""
    if not (is_number(level) and 0 < level < 1):
        raise SpecError(expected("The quantile's level", "between 0 and 1", level))
    text = f"max({level} * (y - yhat), ({level} - 1) * (y - yhat))"
    return Loss(text, name="quantile" if level == 0.5 else f"quantile({level})", kind="values")


@says_arguments
def cross_entropy(label_smoothing: float | Schedule = 0.0) -> Loss:
    """-Σ_j y_j log ŷ_j over classes; y a label or a row of probabilities; labels smoothed by ε (or its schedule)."""
    if isinstance(label_smoothing, Schedule):
        name = f"cross_entropy({type(label_smoothing).__name__})"
        return replace_loss(LOSSES["cross_entropy"], smoothing=label_smoothing, name=name)
    if not (is_number(label_smoothing) and 0 <= label_smoothing < 1):
        raise SpecError(expected("label_smoothing", "at least 0 and less than 1", label_smoothing))
    usual = LOSSES["cross_entropy"]
    if label_smoothing == 0:
        return usual
    return replace_loss(usual, smoothing=label_smoothing, name=f"cross_entropy({label_smoothing})")


def replace_loss(loss: Loss, **changes: object) -> Loss:
    """The loss with some fields changed."""
    changed = object.__new__(Loss)
    for item in fields(Loss):
        object.__setattr__(changed, item.name, changes.get(item.name, getattr(loss, item.name)))
    return changed


_PROBABILITIES = frozenset({"softmax", "log_softmax"})
_ALL = (
    Loss("(yhat - y) ** 2", name="squared_error", kind="values", proper=True),
    Loss("abs(yhat - y)", name="absolute_error", kind="values"),
    huber(),
    Loss(
        f"-(y * log(max(yhat, {TINY})) + (1 - y) * log(max(1 - yhat, {TINY})))",
        name="binary_cross_entropy",
        kind="yes/no",
        proper=True,
        fits=frozenset({"sigmoid", "hard_sigmoid"}),
        between=(0.0, 1.0),
    ),
    Loss(
        f"-(y * log(max(yhat, {TINY})))",
        name="cross_entropy",
        kind="classes",
        proper=True,
        fits=_PROBABILITIES,
        between=(0.0, 1.0),
    ),
    Loss(
        f"yhat - y * log(max(yhat, {TINY}))",
        name="poisson",
        kind="counts",
        proper=True,
        natural="softplus",
        fits=frozenset({"softplus", "sigmoid", "softmax"}),
        between=(0.0, float("inf")),
    ),
    Loss("max(1 - y * yhat, 0)", name="hinge", kind="signs", between=(-1.0, 1.0)),
    quantile(),
)
LOSSES: Mapping[str, Loss] = {loss.name: loss for loss in _ALL}
"""By name."""
LossName = Literal[
    "squared_error", "absolute_error", "huber", "binary_cross_entropy", "cross_entropy", "poisson", "hinge", "quantile"
]
"""The same names, for editors and type checkers."""


def loss_for(activation: str) -> Loss:
    """The loss that goes with a last activation: one that it is natural for, else one that it fits."""
    meant = [k for k in LOSSES.values() if k.natural == activation] + [
        k for k in LOSSES.values() if k.fits is not None and activation in k.fits
    ]
    return next(iter(meant), LOSSES["squared_error"])


def loss_of(kind: TargetKind) -> Loss:
    """The first loss of that kind of target."""
    return next(usual for usual in LOSSES.values() if usual.kind == kind)


def loss(given: str | Loss | Cost | Callable[..., object]) -> Loss | Cost:
    """The loss of that name, from a callable of (yhat, y), or as it is.  Raises SpecError with the nearest name."""
    if isinstance(given, Loss | Cost):
        return given
    if callable(given):
        return Loss(given)
    if not isinstance(given, str):
        raise SpecError(expected("The loss", "a name, a Loss, a Cost or a callable of (yhat, y)", given))
    if given not in LOSSES:
        raise SpecError(unknown_name("loss", given, LOSSES) + ' Your own: Loss("...") or Cost("...").')
    return LOSSES[given]
