"""Activations: g and its slope, side by side.

An activation is a formula in z; reductions in it run over one sample's features, so softmax is one like any other.
It may have parameters, which are trained.  The slope g' is derived; where it is stated here as well, in terms of the
value a = g(z), it says the same with what is at hand (a test holds the two together), and Z need not be kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chainrule.calls import constructor, says_arguments
from chainrule.describe import initialisers
from chainrule.describe.parameters import Named, Parameter, declared, formula_over
from chainrule.describe.settings import LONGEST, keep
from chainrule.errors import FormulaError, SpecError, expected, is_number, shorten, unknown_name
from chainrule.program.derivative import differentiate
from chainrule.program.parse import Functions, formula, source
from chainrule.program.scalar import Expression, Operand, Reduction, Variable, as_expression
from chainrule.program.walk import replace, walk

_Z = Variable("z")


@constructor
@dataclass(frozen=True, init=False)
class Activation:
    """a = g(z), from text or a callable over expressions; element-wise, or of a whole row with sum, mean, max.

        Activation("z * sigmoid(z)")
        Activation(lambda z: z / (1 + abs(z)))
        Activation("exp(z - max(z)) / sum(exp(z - max(z)))")
        Activation("max(z, 0) + a * min(z, 0)", a=Parameter("n", value=0.25))

    A parameter is a number, or one of each unit ("n"); each layer has its own.  Raises FormulaError; SpecError with
    all faults of the parameters.
    """

    expression: Expression
    """g, a formula in z."""
    name: str
    """Shown in the summary."""
    slope: Expression | None
    """g' as a formula in a and z, only to spare work; the derivative is derived without it."""
    initialiser: str = field(default="glorot_uniform", compare=False)
    """Of the weights before it, where they do not name one."""
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """What others call it."""
    logarithms: bool = field(default=False, compare=False)
    """Whether its values are logarithms of probabilities."""
    entries: tuple[str, tuple[tuple[str, str], ...]] | None = field(default=None, compare=False)
    """∂a_p/∂z_j of one over a whole row as texts write it, in a: (an element's own part, products (at p, at j))."""
    parameters: Named = ()
    """By name, in their order."""

    def __init__(
        self,
        given: str | Expression | Callable[..., object],
        parameters: Mapping[str, Parameter] | None = None,
        *,
        name: str | None = None,
        slope: str | Expression | None = None,
        initialiser: str = "glorot_uniform",
        **named: Parameter,
    ) -> None:
        faults: list[str] = []
        several = declared(parameters, named, ("z",), faults, sizes=("n",))
        if several and slope is not None:
            faults.append("slope goes with an activation without parameters. Leave it out: it is derived.")
        if faults:
            raise SpecError([f"Activation: {fault}" for fault in faults])
        expression = formula_over(given, ("z", *several), several)
        keep(self, parameters=tuple(several.items()))
        if not any(True for e in walk(expression)):  # pragma: no cover - an expression always has a node
            raise FormulaError("An activation needs a formula in z.")
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "name", name or (given if isinstance(given, str) else source(expression)))
        object.__setattr__(self, "slope", None if slope is None else formula(slope, ("a", "z")))
        initialisers.check(initialiser, faults)
        if faults:
            raise SpecError(faults)
        object.__setattr__(self, "initialiser", initialiser)
        if not self.vector_valued:
            differentiate(expression, "z")
        elif slope is not None:
            raise FormulaError("A slope goes with an element-wise activation; this one reduces over the row.")

    def __setstate__(self, state: Mapping[str, object]) -> None:
        """Of a pickle, also of version 0.1.0, which had no more than formula, name and slope."""
        usual = ACTIVATIONS.get(str(state["name"]))
        if usual is not None and (usual.expression, usual.slope) == (state["expression"], state["slope"]):
            self.__dict__.update(vars(usual))
        self.__dict__.update(state)

    @property
    def vector_valued(self) -> bool:
        """Whether a feature's value depends on the sample's other features."""
        return any(isinstance(e, Reduction) for e in walk(self.expression))

    @property
    def identity(self) -> bool:
        """Whether a = z."""
        return self.expression == _Z

    def __repr__(self) -> str:
        return f"Activation({shorten(self.name, LONGEST)!r})"

    def __str__(self) -> str:
        return self.name


_RECTIFIED = "rectified"
"""The initialiser of the relu family."""
_LIFTED = "he_normal"
"""The initialiser of sigmoids and softplus, whose values are above 0 at 0 and whose slope there is 1/2 at most."""
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@says_arguments
def leaky_relu(slope: float = 0.01) -> Activation:
    """z for z > 0, else slope · z.  Source: Maas et al. 2013."""
    if not is_number(slope):
        raise SpecError(expected("The slope of leaky_relu", "a finite number", slope))
    name = "leaky_relu" if slope == 0.01 else f"leaky_relu({slope})"
    value_slope = f"where(a > 0, 1, {slope})" if slope > 0 else None
    return Activation(f"where(z > 0, z, {slope} * z)", name=name, slope=value_slope, initialiser=_RECTIFIED)


@says_arguments
def elu(alpha: float = 1.0) -> Activation:
    """z for z > 0, else α (eᶻ - 1).  Source: Clevert et al. 2015."""
    if not is_number(alpha):
        raise SpecError(expected("The alpha of elu", "a finite number", alpha))
    name = "elu" if alpha == 1 else f"elu({alpha})"
    value_slope = f"where(a > 0, 1, a + {alpha})" if alpha > 0 else None
    return Activation(f"where(z > 0, z, {alpha} * expm1(z))", name=name, slope=value_slope, initialiser=_RECTIFIED)


def _named(
    name: str, text: str, slope: str | None = None, initialiser: str = "glorot_uniform", **more: object
) -> Activation:
    activation = Activation(text, name=name, slope=slope, initialiser=initialiser)
    for key, value in more.items():
        object.__setattr__(activation, key, value)
    return activation


_SHIFTED = "exp(z - stop(max(z)))"
_ALL = (
    _named("identity", "z", aliases=("linear",)),
    _named("sigmoid", "sigmoid(z)", initialiser=_LIFTED, aliases=("logistic",)),
    _named("tanh", "tanh(z)"),
    _named("relu", "max(z, 0)", "where(a > 0, 1, 0)", _RECTIFIED),
    leaky_relu(),
    elu(),
    _named(
        "selu",
        f"where(z > 0, {_SELU_SCALE} * z, {_SELU_SCALE * _SELU_ALPHA} * expm1(z))",
        f"where(a > 0, {_SELU_SCALE}, a + {_SELU_SCALE * _SELU_ALPHA})",
        "lecun_normal",
    ),
    # 1 + erf(z/√2) = erfc(-z/√2) and 1 + tanh(u) = 2 sigmoid(2 u), which keep their digits where they are small
    _named("gelu", "0.5 * z * erfc(-z / 1.4142135623730951)", initialiser=_RECTIFIED),
    _named("gelu_tanh", "z * sigmoid(1.5957691216057308 * (z + 0.044715 * z * z * z))", initialiser=_RECTIFIED),
    _named("silu", "z * sigmoid(z)", initialiser=_RECTIFIED, aliases=("swish",)),
    _named("mish", "z * tanh(softplus(z))", initialiser=_RECTIFIED),
    _named("softplus", "softplus(z)", initialiser=_LIFTED),
    _named("softsign", "z / (1 + abs(z))", "(1 - abs(a)) ** 2"),
    _named("hard_sigmoid", "min(max(z / 6 + 0.5, 0), 1)", "where(a > 0, where(a < 1, 1 / 6, 0), 0)", _LIFTED),
    _named("softmax", f"{_SHIFTED} / sum({_SHIFTED})", entries=("a", (("-a", "a"),))),
    _named(
        "log_softmax",
        f"z - stop(max(z)) - log(sum({_SHIFTED}))",
        logarithms=True,
        entries=("1", (("-1", "exp(a)"),)),
    ),
)
ACTIVATIONS: Mapping[str, Activation] = {a.name: a for a in _ALL}
"""By name."""
ActivationName = Literal[
    "identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish",
    "softplus", "softsign", "hard_sigmoid", "softmax", "log_softmax",
]  # fmt: skip
"""The same names, for editors and type checkers."""
ALIASES: Mapping[str, str] = {alias: a.name for a in _ALL for alias in a.aliases}
"""Other names -> ours."""


def as_functions() -> Functions:
    """Those of each number by itself, as functions that a formula may call: mish(x)."""
    plain = (a for a in ACTIVATIONS.values() if not a.vector_valued)
    return {a.name: functools.partial(_at, a.expression) for a in plain}


def _at(expression: Expression, x: Operand) -> Expression:
    return replace(expression, {_Z: as_expression(x)})


def activation(given: str | Activation | Callable[..., object]) -> Activation:
    """The activation of that name, from a callable, or as it is.  Raises SpecError with the nearest known name."""
    if isinstance(given, Activation):
        return given
    if callable(given):
        return Activation(given)
    if not isinstance(given, str):
        raise SpecError(expected("The activation", "a name, an Activation or a callable", given))
    name = ALIASES.get(given, given)
    if name not in ACTIVATIONS:
        raise SpecError(unknown_name("activation", given, [*ACTIVATIONS, *ALIASES]) + ' Your own: Activation("...").')
    return ACTIVATIONS[name]
