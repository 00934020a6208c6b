"""The optimizers: each says its step as formulas (`rule`), or writes it as equations (`equations`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from chainrule.calls import constructor
from chainrule.describe.schedules import Column
from chainrule.describe.update import (
    Factors,
    Optimizer,
    ScheduleLike,
    Step,
    UpdateRule,
    rate_symbol,
    rule_of,
    update_rule,
)
from chainrule.errors import SpecError, expected, is_number, unknown_name
from chainrule.program.op import GroupedMatMul, MatMul
from chainrule.program.scalar import Constant, Expression, Variable, apply

__all__ = [
    "OPTIMIZERS", "SGD", "Adafactor", "Adagrad", "Adam", "AdamW", "Lion", "Muon", "NAdam", "Optimizer", "OptimizerName",
    "RMSProp", "UpdateRule", "as_optimizer", "rule_of", "update_rule",
]  # fmt: skip

_FRACTION = (0.0, 1.0, "at least 0 and less than 1")
_NOT_NEGATIVE = (0.0, math.inf, "at least 0")
_POSITIVE = (5e-324, math.inf, "above 0")


@constructor
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Gradient descent: w ← w - lr g; with momentum μ: v ← μ v + g, w ← w - lr v; Nesterov: w ← w - lr (g + μ v)."""

    momentum: float | ScheduleLike = 0.0
    """μ, from 0 up to and without 1, or a schedule."""
    nesterov: bool = False
    """Whether the step looks ahead along the velocity."""

    reason = "gradient descent: a step against the gradient"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {"momentum": _FRACTION}
    _scheduled: ClassVar[tuple[str, ...]] = ("momentum",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise SpecError("SGD: nesterov=True needs a momentum above 0, for example momentum=0.9.")

    def rule(self) -> UpdateRule:
        """The formulas."""
        if self.momentum == 0:
            return update_rule([], [("w", "w - lr * g")])
        momentum = self._said("momentum")
        step = f"w - lr * (g + {momentum} * V)" if self.nesterov else "w - lr * V"
        return update_rule([], [("V", f"{momentum} * V + g"), ("w", step)], settings=self._scheduled)


@constructor
@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """s ← s + g², w ← w - lr g / (√s + ε).  Source: Duchi et al. 2011."""

    epsilon: float = 1e-10
    """ε"""

    reason = "Adagrad: steps divided by the root of the summed squares of the gradients"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {"epsilon": _NOT_NEGATIVE}

    def rule(self) -> UpdateRule:
        """The formulas."""
        return update_rule([], [("S", "S + g ** 2"), ("w", f"w - lr * g / (sqrt(S) + {self.epsilon})")])


@constructor
@dataclass(frozen=True, kw_only=True)
class RMSProp(Optimizer):
    """s ← ρ s + (1 - ρ) g², w ← w - lr g / (√s + ε); with momentum on that step.  Source: Tieleman, Hinton 2012."""

    decay: float = 0.99
    """ρ"""
    momentum: float | ScheduleLike = 0.0
    """μ of the step; 0 for none; or a schedule."""
    epsilon: float = 1e-8
    """ε"""

    reason = "RMSProp: steps divided by the root of the running mean of squared gradients"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "decay": _FRACTION,
        "momentum": _FRACTION,
        "epsilon": _NOT_NEGATIVE,
    }
    _scheduled: ClassVar[tuple[str, ...]] = ("momentum",)

    def rule(self) -> UpdateRule:
        """The formulas."""
        mean = ("S", f"{self.decay} * S + {self._rest('decay')} * g ** 2")
        step = f"g / (sqrt(S) + {self.epsilon})"
        if self.momentum == 0:
            return update_rule([], [mean, ("w", f"w - lr * {step}")])
        velocity = ("V", f"{self._said('momentum')} * V + {step}")
        return update_rule([], [mean, velocity, ("w", "w - lr * V")], settings=self._scheduled)


@constructor
@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← w - lr m̂ / (√v̂ + ε), m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ).

    Source: Kingma, Ba 2015.
    """

    learning_rate: float | ScheduleLike = field(default=0.001, kw_only=False)
    """A positive number or a schedule."""
    beta1: float | ScheduleLike = 0.9
    """β₁, or a schedule (β₁ᵗ is then of the rate of the step)."""
    beta2: float = 0.999
    """β₂"""
    epsilon: float = 1e-8
    """ε"""
    amsgrad: bool = False
    """Whether the largest v̂ so far takes its place (Reddi et al. 2018)."""

    reason = "Adam: running means of the gradient and of its square, both corrected for their start at 0"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "beta1": _FRACTION,
        "beta2": _FRACTION,
        "epsilon": _NOT_NEGATIVE,
    }
    _scheduled: ClassVar[tuple[str, ...]] = ("beta1",)

    def _decayed(self) -> str:
        return "w"

    def rule(self) -> UpdateRule:
        """The formulas; what depends on t alone is computed once a step."""
        beta1 = self._said("beta1")
        shared = [("step_size", f"lr / (1 - {beta1} ** t)"), ("root", f"1 / sqrt(1 - {self.beta2} ** t)")]
        largest = [("H", "maximum(H, V)")] if self.amsgrad else []
        return update_rule(
            shared,
            [
                ("M", f"{beta1} * M + {self._rest('beta1')} * g"),
                ("V", f"{self.beta2} * V + {self._rest('beta2')} * g ** 2"),
                *largest,
                ("w", f"{self._decayed()} - step_size * M / (sqrt({'H' if largest else 'V'}) * root + {self.epsilon})"),
            ],
            settings=self._scheduled,
        )


@constructor
@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam with decoupled decay: w ← (1 - lr λ) w - lr m̂ / (√v̂ + ε).  Source: Loshchilov, Hutter 2019."""

    weight_decay: float | ScheduleLike = 0.01
    """λ, or a schedule."""
    decays: Factors = ()
    """Factors of λ: {"b": 0} spares the biases; by the name of a parameter or the letter of several."""

    reason = "AdamW: Adam, with the weights themselves shrunk a little"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {**Adam._ranges, "weight_decay": _NOT_NEGATIVE}
    _scheduled: ClassVar[tuple[str, ...]] = ("beta1", "weight_decay")

    def _decayed(self) -> str:
        return "(w - lr * weight_decay * w)"


@constructor
@dataclass(frozen=True, kw_only=True)
class NAdam(Optimizer):
    """Adam with Nesterov's look ahead, and a momentum that grows: μ_t = β₁ (1 - 0.96^(t ψ) / 2), P = μ₁ μ₂ … μ_t.

    w ← w - lr (1 - μ_t) / (1 - P) g / (√v̂ + ε) - lr μ_{t+1} / (1 - P μ_{t+1}) m / (√v̂ + ε).  What is kept is Q = 1 - P.
    Source: Dozat 2016.
    """

    learning_rate: float | ScheduleLike = field(default=0.002, kw_only=False)
    """A positive number or a schedule."""
    beta1: float = 0.9
    """β₁"""
    beta2: float = 0.999
    """β₂"""
    epsilon: float = 1e-8
    """ε"""
    momentum_decay: float = 0.004
    """ψ"""

    reason = "NAdam: Adam with Nesterov's look ahead along the running mean of the gradient"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {**Adam._ranges, "momentum_decay": _NOT_NEGATIVE}

    def rule(self) -> UpdateRule:
        """The formulas; Q is kept, and what follows from it is computed once a step."""
        mu = f"{self.beta1} * (1 - 0.5 * 0.96 ** (%s * {self.momentum_decay}))"
        shared = [
            ("mu", mu % "t"),
            ("next_mu", mu % "(t + 1)"),
            ("root", f"1 / sqrt(1 - {self.beta2} ** t)"),
            ("Q", "1 - (1 - Q) * mu"),
            ("of_g", "lr * (1 - mu) / Q"),
            ("of_M", "lr * next_mu / (1 - (1 - Q) * next_mu)"),
        ]
        return update_rule(
            shared,
            [
                ("M", f"{self.beta1} * M + {self._rest('beta1')} * g"),
                ("V", f"{self.beta2} * V + {self._rest('beta2')} * g ** 2"),
                ("w", f"w - (of_g * g + of_M * M) / (sqrt(V) * root + {self.epsilon})"),
            ],
            kept=["Q"],
        )


@constructor
@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """w ← (1 - lr λ) w - lr sign(β₁ m + (1 - β₁) g), then m ← β₂ m + (1 - β₂) g.  Source: Chen et al. 2023."""

    learning_rate: float | ScheduleLike = field(default=0.0001, kw_only=False)
    """A positive number or a schedule."""
    beta1: float | ScheduleLike = 0.9
    """β₁, or a schedule."""
    beta2: float = 0.99
    """β₂"""
    weight_decay: float | ScheduleLike = 0.0
    """λ, or a schedule."""
    decays: Factors = ()
    """Factors of λ, by the name of a parameter or the letter of several."""

    reason = "Lion: a step of one length in every number, by the sign of a mean of the gradient"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "beta1": _FRACTION,
        "beta2": _FRACTION,
        "weight_decay": _NOT_NEGATIVE,
    }
    _scheduled: ClassVar[tuple[str, ...]] = ("beta1", "weight_decay")

    def rule(self) -> UpdateRule:
        """The formulas."""
        sign = f"sign({self._said('beta1')} * M + {self._rest('beta1')} * g)"
        return update_rule(
            [],
            [
                ("w", f"w - lr * weight_decay * w - lr * {sign}"),
                ("M", f"{self.beta2} * M + {self._rest('beta2')} * g"),
            ],
            settings=self._scheduled,
        )


@constructor
@dataclass(frozen=True, kw_only=True)
class Adafactor(Optimizer):
    """Adam's second moment in rows and columns: of a matrix (k, n) are kept r (k, 1) and c (n,), of a vector v (n,).

    Of matrices below each other each has its own c, side by side (1, g·n), and its own mean.

    s = t^-decay,  r ← r + s (mean_j g² - r),  c ← c + s (mean_i g² - c),  v = r c / mean(r)
    u = g / √max(v, ε₁²),  ρ = min(lr, 1 / √t)
    w ← (1 - lr λ) w - ρ max(ε₂, rms(w)) u / max(1, rms(u) / d)
    Source: Shazeer, Stern 2018, as in PyTorch.
    """

    decay: float = 0.8
    """Of s: how fast the means come to rest."""
    epsilon1: float = 2.0**-23
    """ε₁, float32's."""
    epsilon2: float = 1e-3
    """ε₂: the least size of a parameter that its step is measured by."""
    threshold: float = 1.0
    """d, which the root of the mean of u² is kept below."""
    weight_decay: float | ScheduleLike = 0.0
    """λ, or a schedule."""
    decays: Factors = ()
    """Factors of λ, by the name of a parameter or the letter of several."""

    reason = "Adafactor: steps divided by the root of the mean squared gradient, which is kept by row and by column"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "decay": _NOT_NEGATIVE,
        "epsilon1": _POSITIVE,
        "epsilon2": _NOT_NEGATIVE,
        "threshold": (1.0, math.inf, "at least 1"),
        "weight_decay": _NOT_NEGATIVE,
    }
    _scheduled: ClassVar[tuple[str, ...]] = ("weight_decay",)

    def begin(self, step: Step) -> None:
        """s and ρ."""
        self._scalars(step)

    def _scalars(self, step: Step) -> tuple[Expression, Expression]:
        share = step.shared("s", apply("pow", step.t, Constant(-self.decay)))
        rho = step.shared("rho", apply("minimum", step.lr, 1 / apply("sqrt", step.t)))
        return share, rho

    def equations(self, step: Step) -> None:
        """The means, u, and the step."""
        (share, rho), g, w = self._scalars(step), step.gradient, step.parameter
        if step.write.groups_of(w) > 1:
            v = self._of_groups(step, share)
        elif len(w.shape) == 2:
            k, n = (int(d) for d in w.shape)
            by_row = step.sum("squares", "columns", g**2) / n
            by_column = step.sum("squares", "rows", g**2) / k
            R, C = step.slot("R", (k, 1)), step.slot("C", (n,))
            r, c = Variable(R.name), Variable(C.name)
            step.overwrite(R, r + share * (by_row - r))
            step.overwrite(C, c + share * (by_column - c))
            mean = apply("maximum", step.sum("size", "all", r) / k, Constant(self.epsilon1))
            v = r * (c / mean)
        else:
            V = step.slot("V")
            v = Variable(V.name)
            step.overwrite(V, v + share * (g**2 - v))
        count = math.prod(int(d) for d in w.shape)
        u = step.inner("step", g / apply("sqrt", apply("maximum", v, Constant(self.epsilon1**2))))
        of_u = apply("sqrt", step.sum("squares", "all", u**2) / count) / self.threshold
        of_w = apply("sqrt", step.sum("squares", "all", step.w**2) / count)
        length = rho * apply("maximum", of_w, Constant(self.epsilon2)) / apply("maximum", of_u, Constant(1.0))
        step.become(step.decayed(self.weight_decay) - step.scalar("length", length) * u)

    def _of_groups(self, step: Step, share: Expression) -> Expression:
        """v of matrices below each other: a row of ones adds up each by itself, and brings what is of each back."""
        g, (k, n), groups = step.gradient, (int(d) for d in step.parameter.shape), step.write.groups_of(step.parameter)
        each, back, ones = GroupedMatMul(groups), GroupedMatMul(groups, transpose_left=True), step.ones()
        by_row = step.sum("squares", "columns", g**2) / n
        by_column = step.product("squares", ones, step.inner("squared", g**2), each) / (k // groups)
        R, C = step.slot("R", (k, 1)), step.slot("C", (1, groups * n))
        r, c = Variable(R.name), Variable(C.name)
        step.overwrite(R, r + share * (by_row - r))
        step.overwrite(C, c + share * (by_column - c))
        total = step.product("size", ones, r, each)
        mean = step.inner("size", apply("maximum", total / (k // groups), Constant(self.epsilon1)))
        return r / step.product("wide", ones, mean, back) * step.product("wide", ones, c, back)


@constructor
@dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
    """Momentum made orthogonal, for the matrices of hidden dense layers; all other parameters go by `others`.

    m ← μ m + (1 - μ) g,  u = (1 - μ) g + μ m (nesterov) or m,  x = u / max(‖u‖, ε);  then `steps` times
    x ← a x + (b G + c G G) x, G = x xᵀ (on the shorter side: xᵀ x and x on the left), which is near to U Vᵀ of u's
    singular value decomposition;  w ← (1 - lr λ) w - lr q x.
    A matrix that members share is one of these; matrices of groups are not.  Source: Jordan et al. 2024, as in PyTorch.
    """

    learning_rate: float | ScheduleLike = field(default=0.02, kw_only=False)
    """Of the matrices: a positive number or a schedule."""
    momentum: float | ScheduleLike = 0.95
    """μ, or a schedule."""
    nesterov: bool = True
    """Whether the step looks ahead along m."""
    steps: int = 5
    """How often the polynomial is applied."""
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315)
    """a, b, c"""
    epsilon: float = 1e-7
    """ε"""
    scale: str = "shape"
    """q: "shape" for √max(1, n / k) of a matrix (k, n), "adam" for √max(k, n) / 5, which goes with AdamW's rates."""
    weight_decay: float | ScheduleLike = 0.0
    """λ of the matrices, or a schedule."""
    decays: Factors = ()
    """Factors of λ, by the name of a parameter or the letter of several."""
    others: Optimizer = field(default_factory=lambda: AdamW(3e-4))
    """Of biases, embeddings, normalisations, and the matrices whose product makes the prediction; with a learning rate
    of its own.  Its clipping and factors are not used: those given here hold for all."""

    reason = "Muon: a step whose directions all have about the same length, as the momentum's singular vectors give it"
    _ranges: ClassVar[Mapping[str, tuple[float, float, str]]] = {
        "momentum": _FRACTION,
        "epsilon": _POSITIVE,
        "weight_decay": _NOT_NEGATIVE,
    }
    _scheduled: ClassVar[tuple[str, ...]] = ("momentum", "weight_decay")

    def __post_init__(self) -> None:
        faults: list[str] = []
        try:
            super().__post_init__()
        except SpecError as fault:
            faults += fault.faults
        own: list[str] = []
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or not 0 <= self.steps <= 20:
            own.append(expected("steps", "a whole number from 0 to 20", self.steps))
        if self.scale not in ("shape", "adam"):
            own.append(unknown_name("scale", str(self.scale), ("shape", "adam")))
        three = self.coefficients
        if not isinstance(three, tuple | list) or len(three) != 3 or not all(is_number(x) for x in three):
            own.append(expected("coefficients", "three numbers", three))
        elif isinstance(three, list):
            object.__setattr__(self, "coefficients", tuple(three))
        if not isinstance(self.others, Optimizer) or isinstance(self.others, Muon):
            own.append(expected("others", "an optimizer such as cr.AdamW(3e-4)", self.others))
        else:
            unused = [
                n for n in ("clip_norm", "clip_value", "rates", "decays", "average") if getattr(self.others, n, None)
            ]
            own += [f"others: {name} is given to Muon itself, and holds for all parameters." for name in unused]
        if faults or own:
            raise SpecError([*faults, *(f"Muon: {fault}" for fault in own)])

    def begin(self, step: Step) -> None:
        """What the others share; the matrices share nothing."""
        if not step.hidden:
            self.others.begin(step.by(self.others, "others"))

    def columns(self, mark: str = "") -> dict[str, Column]:
        """Also the learning rate of the others, and what goes by a schedule there."""
        rate = {rate_symbol("lr", "others").name: Column(self.others.learning_rate)}
        return {**super().columns(mark), **rate, **self.others.columns("others")}

    def equations(self, step: Step) -> None:
        """The momentum, its powers, and the step."""
        if not step.hidden:
            self.others.equations(step.by(self.others, "others"))
            return
        g, w, momentum = step.gradient, step.parameter, step.setting("momentum", self.momentum)
        rest = Constant(float(self._rest("momentum"))) if isinstance(self.momentum, float | int) else 1 - momentum
        M = step.slot("M")
        m = step.overwrite(M, momentum * Variable(M.name) + rest * g)
        u = step.inner("step", rest * g + momentum * m if self.nesterov else m)
        norm = step.scalar("norm", apply("sqrt", step.sum("norm2", "all", u**2)))
        x = step.inner("step", u / apply("maximum", norm, Constant(self.epsilon)))
        k, n = (int(d) for d in w.shape)
        a, b, c = (Constant(float(value)) for value in self.coefficients)
        for _ in range(self.steps):
            gram = step.product("gram", x, x, MatMul(transpose_left=n < k, transpose_right=n >= k))
            square = step.product("gram", gram, gram, MatMul())
            inner = step.inner("gram", b * gram + c * square)
            turned = step.product("step", x, inner, MatMul()) if n < k else step.product("step", inner, x, MatMul())
            x = step.inner("step", a * x + turned)
        q = math.sqrt(max(1.0, n / k)) if self.scale == "shape" else 0.2 * math.sqrt(max(k, n))
        step.become(step.decayed(self.weight_decay) - Constant(q) * step.lr * x)


OPTIMIZERS: Mapping[str, type[Optimizer]] = {
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "lion": Lion,
    "adafactor": Adafactor,
    "muon": Muon,
}
OptimizerName = Literal["sgd", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion", "adafactor", "muon"]
"""The same names, for editors and type checkers."""


def as_optimizer(given: str | Optimizer | None) -> Optimizer:
    """The optimizer as it is; that of the name with its own settings; Adam for None.  Raises SpecError."""
    if given is None:
        return Adam()
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, str):
        if given not in OPTIMIZERS:
            raise SpecError(unknown_name("optimizer", given, OPTIMIZERS))
        return OPTIMIZERS[given]()
    hint = f"Call it: {given.__name__}(...)." if isinstance(given, type) and issubclass(given, Optimizer) else ""
    raise SpecError(expected("optimizer", "a name or an Optimizer such as cr.Adam(1e-3)", given, hint))
