"""derive: from a description to a program.

forward     layer by layer, Z_l = A_{l-1} W_l + b_l, A_l = g_l(Z_l)
cost        L_i of each sample, J = (1/m) Σ L_i + λ/(2m) Σ ‖W_l‖²: the one place where 1/m enters
backward    dA_L, then for l = L … 1: dZ_l, dW_l, db_l, dA_{l-1}, down to dX
update      the optimizer's formulas for every parameter, and the running statistics
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.canonical import OF_LOG_PROBABILITIES, canonical_pairs
from chainrule.describe.graph import every
from chainrule.describe.losses import (
    LOSSES,
    Cost,
    Kinds,
    Loss,
    Targets,
    losses_of,
    target_of,
)
from chainrule.describe.network import SMOOTHING, NetworkSpec
from chainrule.describe.optimizers import Optimizer
from chainrule.describe.schedules import Schedule
from chainrule.errors import FormulaError, SpecError, expected, unknown_name
from chainrule.program.builder import SIZE, Builder
from chainrule.program.equation import Equation, Program, shape_of
from chainrule.program.op import OneHot, Reduce, Repeat
from chainrule.program.scalar import ONE, ZERO, Apply, Constant, Expression, Reduction, Variable, apply
from chainrule.program.symbol import BATCH, How, Label, Symbol, shape_text
from chainrule.program.verify import verify
from chainrule.program.walk import sum_of
from chainrule.rules.chain import backward
from chainrule.rules.forward import End, Forward, forward
from chainrule.rules.update import write_average, write_update

Mode = Literal["training", "inference"]
_HERE = __name__.partition(".")[0] + "."
DERIVED = 64
"""Derivations that are kept: those asked for last."""


def derive(
    spec: NetworkSpec,
    *,
    optimizer: Optimizer | None = None,
    mode: Mode = "training",
    targets: Targets = "values",
    weighted: bool = False,
    canonical: bool = True,
    input_gradient: bool = True,
) -> Program:
    """The program of the network: forward, cost, backward, and with an optimizer the update.

    mode: "inference" leaves out dropout and uses the running means of batch normalisation; its gradients are those of
    that cost.  targets: "labels" where y holds integers.  weighted: with sample weights w (m, 1).  canonical: whether
    the named pairs replace the long form.  input_gradient: whether dX is derived as well (never for tokens).
    Raises SpecError: weights with a Cost, labels for a loss that has none, or an argument that is nothing of the above.
    """
    _check(spec, optimizer, mode, targets)
    if weighted and isinstance(spec.loss, Cost):
        raise SpecError("Sample weights do not go with a Cost: f(Ŷ, Y) itself says how samples count. Use a Loss.")
    kinds = _kinds(targets, len(_each_loss(spec)))
    for one, kind in zip(_each_loss(spec), kinds, strict=True):
        if kind == "labels" and not (isinstance(one, Loss) and one.classes):
            raise SpecError(f"The loss {one.name} takes values, not labels.")
    derived = _derived if _is_kept(spec, optimizer) else _derived.__wrapped__
    return derived(spec, optimizer, mode, targets, weighted, canonical, input_gradient)


def derive_step(
    spec: NetworkSpec, optimizer: Optimizer, *, targets: Targets = "values", weighted: bool = False
) -> Program:
    """One step of training: the cost and the update, without what neither of them needs.  Raises as `derive`."""
    _check(spec, optimizer, "training", targets)
    step = _step if _is_kept(spec, optimizer) else _step.__wrapped__
    return step(spec, optimizer, targets, weighted)


@lru_cache(DERIVED)
def _step(spec: NetworkSpec, optimizer: Optimizer, targets: Targets, weighted: bool) -> Program:
    program = derive(spec, optimizer=optimizer, targets=targets, weighted=weighted)
    return program.pruned([program.objective] if program.objective else [])


def _is_kept(spec: NetworkSpec, optimizer: Optimizer | None) -> bool:
    """Whether the description is made of chainrule's own layers and optimizer, which never change.

    One of the user's own may have a set in it, or another number by the time of the next network.
    """
    parts = (*every(spec.layers), *(() if optimizer is None else (optimizer,)))
    return all(type(part).__module__.startswith(_HERE) for part in parts)


def forward_of(spec: NetworkSpec) -> Forward:
    """The forward equations alone, and what the layers declare with them."""
    if not _is_kept(spec, None):
        return forward(spec)
    # Activations that differ in nothing but how weights begin are equal.
    fields = (value for layer in every(spec.layers) for value in vars(layer).values())
    return _forward(spec, tuple(g.initialiser for g in fields if isinstance(g, Activation)))


@lru_cache(DERIVED)
def _forward(spec: NetworkSpec, initialisers: tuple[str, ...]) -> Forward:
    return forward(spec)


@lru_cache(DERIVED)
def _derived(
    spec: NetworkSpec,
    optimizer: Optimizer | None,
    mode: Mode,
    targets: Targets,
    weighted: bool,
    canonical: bool,
    input_gradient: bool,
) -> Program:
    """The derivation itself: a program never changes, so that networks of one description share it."""
    builder = Builder()
    output = forward(spec, builder, training=mode == "training", keep_identity=not canonical)
    forward_end = len(builder.equations)
    objective, divisor = _cost(builder, spec, output, targets, weighted=weighted, canonical=canonical)
    cost_end = len(builder.equations)
    wanted = [s for s in builder.given if s.role == "parameter"]
    numbers = [s for s in output.inputs if not s.integers]
    gradients = backward(builder, objective, wanted + (numbers if input_gradient else []))
    backward_end = len(builder.equations)
    places: dict[str, int | None] = {
        s.name: position for position, symbols in enumerate(output.declared) for s in symbols
    }
    places |= {s.name: None for s in output.of_losses}
    if optimizer is not None:
        pairs = [(s, g) for s, g in gradients if s.role == "parameter"]
        write_update(builder, optimizer, pairs, places, output.prediction, spec.constrained)
    if mode == "training" and optimizer is not None:
        for statistic, value in builder.statistics:
            builder.layer = places[statistic.name]
            builder.overwrite(statistic, value, rule="running statistics")
            write_average(builder, optimizer, statistic)
    equations = builder.equations
    return verify(
        Program(
            given=tuple(builder.given),
            forward=tuple(equations[:forward_end]),
            prediction=output.prediction,
            cost=tuple(equations[forward_end:cost_end]),
            backward=_as_declared(equations[cost_end:backward_end], (*output.declared, output.of_losses)),
            update=tuple(equations[backward_end:]),
            objective=objective,
            gradients=tuple(gradients),
            outputs=output.outputs,
            activations=tuple((a, z) for a, z in builder.activations if a != z),
            divisor=divisor,
        )
    )


def derive_along(spec: NetworkSpec, output: str = "") -> Program:
    """S = Σ_i Σ_j y_ij ŷ_ij of one output, and its gradient by each input of numbers: of each sample y_iᵀ J_i.

    With row i of Y the unit vector of output j it is row j of the Jacobian of sample i.  In inference: samples do not
    mix.  output: its name, where there are several.
    """
    builder = Builder()
    written = forward(spec, builder, training=False)
    forward_end = len(builder.equations)
    end = next(end for end in written.ends if end.name == output)
    y = builder.give(target_of("values", end.width))
    each = Variable(y.name) * Variable(end.value.name)
    objective = builder.reduce(Symbol("S", (), "cost"), Reduce("sum", "all", each), rule="outputs along Y")
    cost_end = len(builder.equations)
    gradients = backward(builder, objective, [s for s in written.inputs if not s.integers])
    equations = builder.equations
    program = Program(
        given=tuple(builder.given),
        forward=tuple(equations[:forward_end]),
        prediction=end.value,
        cost=tuple(equations[forward_end:cost_end]),
        backward=tuple(equations[cost_end:]),
        objective=objective,
        gradients=tuple(gradients),
    )
    return verify(program).pruned([objective, *(g for _, g in gradients)], update=False)


def derive_penalty(spec: NetworkSpec) -> Program:
    """J = λ₁ Σ|W| + λ₂/2 Σ W² alone, and its gradient by each W: the penalties of the cost, as one sample's would be.

    Whoever adds up the costs of parts of a batch has the penalties once for each part, and takes off what is too much.
    """
    builder = Builder()
    output = forward(spec, builder)
    cost_begin = len(builder.equations)
    objective = builder.write(Symbol("J", (), "cost"), _penalties(builder, spec, ONE), rule="cost", shape=())
    cost_end = len(builder.equations)
    penalised = {s.name for e in builder.equations[cost_begin:] for s in e.operands if s.role == "parameter"}
    gradients = backward(builder, objective, [s for s in builder.given if s.name in penalised])
    equations = builder.equations
    program = Program(
        given=tuple(builder.given),
        forward=tuple(equations[:cost_begin]),
        prediction=output.prediction,
        cost=tuple(equations[cost_begin:cost_end]),
        backward=tuple(equations[cost_end:]),
        objective=objective,
        gradients=tuple(gradients),
    )
    return verify(program).pruned([objective, *(g for _, g in gradients)], update=False)


def derive_constraints(spec: NetworkSpec) -> Program:
    """W := what its constraints bring it back to, of each parameter that has some: the first weights go through it."""
    builder = Builder()
    output = forward(spec, builder, training=False)
    forward_end = len(builder.equations)
    for parameter in [s for s in builder.given if s.name in spec.constrained]:
        value: Expression = Variable(parameter.name)
        for constraint in spec.constrained[parameter.name]:
            value = constraint.equations(builder, parameter, value)
        builder.overwrite(parameter, value, rule="constraint")
    equations = builder.equations
    program = Program(
        given=tuple(builder.given),
        forward=tuple(equations[:forward_end]),
        prediction=output.prediction,
        update=tuple(equations[forward_end:]),
    )
    return verify(program).pruned()


def _each_loss(spec: NetworkSpec) -> tuple[Loss | Cost, ...]:
    return tuple(one for _, one, _ in losses_of(spec.loss))


def _kinds(targets: Targets, outputs: int) -> tuple[Kinds, ...]:
    """What the targets of each output are; one word is said of all."""
    return (targets,) * outputs if isinstance(targets, str) else targets


def _check(spec: object, optimizer: object, mode: str, targets: Targets) -> None:
    faults = []
    if not isinstance(spec, NetworkSpec):
        faults.append(expected("spec", "a NetworkSpec", spec))
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        faults.append(expected("optimizer", "None or an Optimizer such as cr.Adam(1e-3)", optimizer))
    kinds = _kinds(targets, 1)
    of_targets = [("kind of targets", kind, get_args(Kinds)) for kind in kinds]
    for what, given, known in (("mode", mode, get_args(Mode)), *of_targets):
        if given not in known:
            faults.append(unknown_name(what, given, known))
    if isinstance(spec, NetworkSpec) and not isinstance(targets, str) and len(kinds) != len(_each_loss(spec)):
        faults.append(expected("targets", f"of {len(_each_loss(spec))} outputs, a kind for each", targets))
    if faults:
        raise SpecError(faults)


def _targets(builder: Builder, one: Loss | Cost, width: int, kind: Kinds, output: str) -> Symbol:
    """Y (m, n): given, or the one-hot rows of the labels y; smoothed if the loss says so."""
    y = builder.give(target_of(kind, width, output))
    if kind == "labels":
        y = builder.apply(Symbol("Y", (), "inner", mark=output), OneHot(width), (y,), rule="one-hot")
    smoothing = one.smoothing if isinstance(one, Loss) else 0.0
    if smoothing:
        scheduled = Symbol(SMOOTHING.letter, (), "rate", mark=output)
        share = Variable(builder.give(scheduled).name) if isinstance(smoothing, Schedule) else smoothing
        even = Variable(y.name) * (1 - share) + share / width
        y = builder.write(y.said("smoothed"), even, rule="label smoothing")
    return y


def _cost(
    builder: Builder, spec: NetworkSpec, output: Forward, targets: Targets, *, weighted: bool, canonical: bool
) -> tuple[Symbol, Expression | None]:
    """L of each sample and J of the batch; J, and what the sum of the losses is divided by in it."""
    kinds = _kinds(targets, len(output.ends))
    ys = [
        _targets(builder, one, end.width, kind, end.name)
        for one, end, kind in zip(_each_loss(spec), output.ends, kinds, strict=True)
    ]
    m = Variable(builder.give(SIZE).name)
    count: Expression = m
    divisor: Expression | None = None
    if isinstance(spec.loss, Cost):
        bind = {"yhat": output.prediction, "y": ys[0], "m": builder.scope[BATCH]}
        total = builder.lower(spec.loss.expression, bind, Symbol("f", mark="f"), rule=spec.loss.name)
        if (shape := shape_of(total, builder.scope)) != ():
            raise FormulaError(
                f"A Cost must be one number for the whole batch. Got {shape_text(shape)} from {spec.loss.name}; "
                f"reduce it with sum(...) or mean(...), or use Loss(...) for a loss of each sample."
            )
    else:
        weight = Symbol("w", (BATCH, 1), "weight")
        sums: list[Expression] = []
        for one, end, y in zip(_each_loss(spec), output.ends, ys, strict=True):
            assert isinstance(one, Loss)
            losses = _losses(builder, one, end, y, canonical=canonical)
            each: Expression = Variable(losses.name)
            if weighted:
                each = Variable(builder.give(weight).name) * each
            summed = Symbol("S", (), "loss", mark=end.name)
            whole = builder.reduce(summed, Reduce("sum", "all", each), rule="sum of the losses")
            sums.append(end.factor * Variable(whole.name))
        total = sum_of(sums)
        if weighted and spec.reduction == "mean":
            draft = Symbol("sum", (), "inner", mark="w")
            op = Reduce("sum", "all", Variable(weight.name))
            weights = Variable(builder.reduce(draft, op, rule="sum of weights").name)
            # A batch may hold samples of weight 0 alone; its losses cost nothing then, and the penalties stay.
            some = apply("where", apply("gt", weights, ZERO), weights, m)
            count = Variable(builder.write(weight.said("count"), some, rule="sum of weights").name)
        if spec.reduction == "mean":
            divisor = count
            total = total / divisor
    penalty = _penalties(builder, spec, count if spec.penalty_per == "weight" else m)
    return builder.write(Symbol("J", (), "cost"), total + penalty, rule="cost", shape=()), divisor


def _losses(builder: Builder, loss: Loss, end: End, y: Symbol, *, canonical: bool) -> Symbol:
    """L (m, 1); a canonical pair says it, and its gradient, in terms of Z_L.  Of members, the mean of their losses."""
    prediction, members = end.judged, end.members
    if members > 1:
        y = builder.apply(Symbol("Y", (), "inner", mark="k"), Repeat(members), (y,), rule="members")
    # By formula, not by name: an own formula may bear any name.
    names = next((n for n, known in LOSSES.items() if known.expression == loss.expression), ""), end.activation.name
    last_is_known = canonical and end.activation == ACTIVATIONS.get(names[1])
    pair = canonical_pairs().get((names[1], names[0])) if last_is_known else None
    expression = loss.expression
    if names == ("cross_entropy", "log_softmax") and end.activation == ACTIVATIONS["log_softmax"]:
        expression = OF_LOG_PROBABILITIES
    beside = dict(end.beside)
    for name in end.shared:
        draft = Symbol(name, (), "inner", mark="k")
        beside[name] = builder.apply(draft, Repeat(members), (beside[name],), rule="members")
    bind = {"yhat": prediction, "y": y, **beside}
    if pair is not None and pair.value is not None:
        expression = pair.value if loss.cap is None else apply("minimum", pair.value, Constant(loss.cap))
        bind = {"z": end.z, "a": prediction, "y": y}
    inner = Symbol("L", layer=None if end.z.layer is None else Label(end.z.layer.number))
    rule = pair.name if pair else loss.name
    if members > 1:
        rule = f"{rule}, mean of the members"
    rest = builder.lower(expression, bind, inner, rule=rule, over_columns_only=True, groups=members)
    share = members
    if members > 1 and _reduces_itself(expression):  # what a member's loss is stands in each of its columns
        share = int(prediction.shape[1])
    if members > 1:
        rest = rest / share
    wide = shape_of(rest, builder.scope)[-1:] not in ((), (1,))
    draft = Symbol("L", (), "loss", mark=end.name)
    if wide:
        result = builder.reduce(draft, Reduce("sum", "columns", rest), rule=rule)
    else:
        result = builder.write(draft, rest, rule=rule, shape=(BATCH, 1))
    if pair is not None:
        bind = {"z": end.z, "a": prediction, "y": y}
        slope = builder.lower(pair.slope, bind, inner, rule=rule, over_columns_only=True, groups=members)
        slope = slope / members if members > 1 else slope
        builder.partials[result.name] = ((end.z, slope),)
    return result


def _reduces_itself(e: Expression) -> bool:
    """Whether a loss is one number a sample, and not one for each output to be added up."""
    if isinstance(e, Reduction):
        return True
    if isinstance(e, Apply):
        return all(_reduces_itself(a) for a in e.arguments)
    return isinstance(e, Constant)


def _penalties(builder: Builder, spec: NetworkSpec, m: Expression) -> Expression:
    """λ₁/m Σ_l Σ|W_l| + λ₂/(2m) Σ_l Σ W_l²"""
    penalties: Expression = ZERO
    weights = [(s, spec.penalised.get(s.name, float(s.penalised))) for s in builder.given if s.role == "parameter"]
    kinds: tuple[tuple[float, How, str], ...] = ((spec.l1 * 2, "norm1", "abs"), (spec.l2, "norm2", "square"))
    for strength, norm, term in kinds:
        if strength == 0:
            continue
        norms: list[Expression] = []
        for weight, factor in weights:
            if factor == 0:
                continue
            w = Variable(weight.name)
            each = apply("abs", w) if term == "abs" else w**2
            reduced = builder.reduce(weight.said(norm), Reduce("sum", "all", each), rule="penalty")
            norms.append(Constant(factor) * Variable(reduced.name))
        if norms:
            penalties = penalties + Constant(strength / 2) * sum_of(norms) / m
    return penalties


def _as_declared(equations: list[Equation], declared: tuple[tuple[Symbol, ...], ...]) -> tuple[Equation, ...]:
    """A layer's gradients in the order of its parameters, dW before db, as every text has it.

    Nothing in the backward section uses the gradient of a parameter.
    """
    result: list[Equation] = []
    trained = [[s.name for s in symbols if s.role == "parameter"] for symbols in declared]
    before = {name: names[:k] for names in trained for k, name in enumerate(names)}
    waiting: dict[str, Equation] = {}
    there: set[str] = set()

    def settle() -> None:
        while ready := [name for name in waiting if there.issuperset(before[name])]:
            result.append(waiting.pop(ready[0]))
            there.add(ready[0])

    for equation in equations:
        target = equation.target
        if target.role == "gradient" and target.how == "gradient" and target.of[0].role == "parameter":
            waiting[target.of[0].name] = equation
            settle()
        else:
            result.append(equation)
    return (*result, *waiting.values())
