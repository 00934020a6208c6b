"""derive: from a description to a program.

forward     layer by layer, Z_l = A_{l-1} W_l + b_l, A_l = g_l(Z_l)
cost        L_i of each sample, J = (1/m) Σ L_i + λ/(2m) Σ ‖W_l‖²: the one place where 1/m enters
backward    dA_L, then for l = L … 1: dZ_l, dW_l, db_l, dA_{l-1}, down to dX
update      the optimizer's formulas for every parameter, and the running statistics
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from chainrule.describe.activations import ACTIVATIONS, Activation
from chainrule.describe.losses import CANONICAL, LOSSES, OF_LOG_PROBABILITIES, Cost, Loss, Targets
from chainrule.describe.network import BatchNorm, Dense, Dropout, Embedding, LayerNorm, NetworkSpec
from chainrule.describe.optimizers import Optimizer
from chainrule.errors import FormulaError, SpecError, expected, unknown_name
from chainrule.program.equation import Equation, Program, elementwise, shape_of
from chainrule.program.op import OneHot, Reduce
from chainrule.program.scalar import ZERO, Constant, Expression, Variable, apply, replace, walk
from chainrule.program.symbol import BATCH, Symbol, shape_text
from chainrule.program.verify import verify
from chainrule.rules.builder import Builder
from chainrule.rules.chain import backward
from chainrule.rules.layers import batch_norm, dense, dropout, embedding, layer_norm

Mode = Literal["training", "inference"]


@dataclass(frozen=True)
class _Output:
    """What the cost is made from: Ŷ, and where the last activation may be skipped, its Z and its name."""

    prediction: Symbol
    z: Symbol
    activation: Activation


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
    if targets == "labels" and not (isinstance(spec.loss, Loss) and spec.loss.classes):
        raise SpecError(f"The loss {spec.loss.name} takes values, not labels.")
    builder = Builder()
    inputs = builder.give("X", (BATCH, spec.inputs), "input", integers=spec.tokens)
    output = _forward(builder, spec, inputs, training=mode == "training", canonical=canonical)
    forward_end = len(builder.equations)
    objective = _cost(builder, spec, output, targets, weighted=weighted, canonical=canonical)
    cost_end = len(builder.equations)
    wanted = [s for s in builder.given if s.role == "parameter"]
    gradients = backward(builder, objective, wanted + ([inputs] if input_gradient and not spec.tokens else []))
    backward_end = len(builder.equations)
    if optimizer is not None:
        _update(builder, optimizer, [(s, g) for s, g in gradients if s.role == "parameter"])
    if mode == "training" and optimizer is not None:
        for statistic, value in builder.statistics:
            _overwrite(builder, statistic, value, "running statistics")
    equations = builder.equations
    return verify(
        Program(
            given=tuple(builder.given),
            forward=tuple(equations[:forward_end]),
            prediction=output.prediction,
            cost=tuple(equations[forward_end:cost_end]),
            backward=_weights_first(equations[cost_end:backward_end]),
            update=tuple(equations[backward_end:]),
            objective=objective,
            gradients=tuple(gradients),
        )
    )


def _check(spec: object, optimizer: object, mode: str, targets: str) -> None:
    faults = []
    if not isinstance(spec, NetworkSpec):
        faults.append(expected("spec", "a NetworkSpec", spec))
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        faults.append(expected("optimizer", "None or an Optimizer such as cr.Adam(1e-3)", optimizer))
    for what, given, known in (("mode", mode, get_args(Mode)), ("kind of targets", targets, get_args(Targets))):
        if given not in known:
            faults.append(unknown_name(what, given, known))
    if faults:
        raise SpecError(faults)


def _forward(builder: Builder, spec: NetworkSpec, inputs: Symbol, *, training: bool, canonical: bool) -> _Output:
    """The layers; symbols are numbered by the Dense layer that they belong to, repeats get a letter."""
    value = z = inputs
    number, stream = 0, 0
    activation = ACTIVATIONS["identity"]
    seen: dict[tuple[type, int], int] = {}
    for position, layer in enumerate(spec.layers):
        last = position == len(spec.layers) - 1
        before = len(builder.equations)
        if isinstance(layer, Dense):
            number += 1
        kind = LayerNorm if isinstance(layer, BatchNorm) else type(layer)  # both have a gamma and a beta
        repeat = seen[kind, number] = seen.get((kind, number), 0) + 1
        label = f"{number}" + ("" if repeat == 1 else chr(ord("a") + repeat - 1))
        match layer:
            case Dense():
                value = dense(builder, layer, value, label, keep_identity=last and not canonical)
            case Embedding():
                value = embedding(builder, layer, value)
            case Dropout():
                value = dropout(builder, layer, value, label, training=training, stream=stream)
                stream += 1
            case LayerNorm():
                value = layer_norm(builder, layer, value, label)
            case BatchNorm():
                value = batch_norm(builder, layer, value, label, training=training)
        if isinstance(layer, Dense | LayerNorm | BatchNorm):
            activation = layer.activation
            first = [e.target for e in builder.equations[before:] if e.target.name[0] in "ZH"]
            z = first[-1] if first else value
    return _Output(value, z, activation)


def _targets(builder: Builder, spec: NetworkSpec, targets: Targets) -> Symbol:
    """Y (m, n): given, or the one-hot rows of the labels y; smoothed if the loss says so."""
    if targets == "labels":
        labels = builder.give("y", (BATCH,), "target", integers=True)
        y = builder.apply("Y", OneHot(spec.outputs), (labels,), "inner", rule="one-hot")
    else:
        y = builder.give("Y", (BATCH, spec.outputs), "target")
    smoothing = spec.loss.smoothing if isinstance(spec.loss, Loss) else 0.0
    if smoothing:
        even = Variable(y.name) * (1 - smoothing) + smoothing / spec.outputs
        y = builder.write("Ys", even, "inner", rule="label smoothing")
    return y


def _cost(
    builder: Builder, spec: NetworkSpec, output: _Output, targets: Targets, *, weighted: bool, canonical: bool
) -> Symbol:
    """L of each sample and J of the batch."""
    y = _targets(builder, spec, targets)
    m = Variable(builder.give(BATCH, (), "size").name)
    count: Expression = m
    if isinstance(spec.loss, Cost):
        bind = {"yhat": output.prediction, "y": y, "m": builder.scope[BATCH]}
        total = builder.lower(spec.loss.expression, bind, "_f", rule=spec.loss.name)
        if (shape := shape_of(total, builder.scope)) != ():
            raise FormulaError(
                f"A Cost must be one number for the whole batch. Got {shape_text(shape)} from {spec.loss.name}; "
                f"reduce it with sum(...) or mean(...), or use Loss(...) for a loss of each sample."
            )
    else:
        losses = _losses(builder, spec.loss, output, y, canonical=canonical)
        each = Variable(losses.name)
        if weighted:
            w = Variable(builder.give("w", (BATCH, 1), "weight").name)
            total = Variable(builder.reduce("S", Reduce("sum", "all", w * each), "loss", rule="sum of the losses").name)
            if spec.reduction == "mean":
                weight = Variable(builder.reduce("sum_w", Reduce("sum", "all", w), rule="sum of weights").name)
                # A batch may hold samples of weight 0 alone; its losses cost nothing then, and the penalties stay.
                some = apply("where", apply("gt", weight, ZERO), weight, m)
                count = Variable(builder.write("n_w", some, "inner", rule="sum of weights").name)
                total = total / count
        else:
            total = Variable(builder.reduce("S", Reduce("sum", "all", each), "loss", rule="sum of the losses").name)
            if spec.reduction == "mean":
                total = total / m
    penalty = _penalties(builder, spec, count if spec.penalty_per == "weight" else m)
    return builder.write("J", total + penalty, "cost", rule="cost", shape=())


def _losses(builder: Builder, loss: Loss, output: _Output, y: Symbol, *, canonical: bool) -> Symbol:
    """L (m, 1); a canonical pair says it, and its gradient, in terms of Z_L."""
    prediction = output.prediction
    # By formula, not by name: an own formula may bear any name.
    names = next((n for n, known in LOSSES.items() if known.expression == loss.expression), ""), output.activation.name
    pair = CANONICAL.get((names[1], names[0])) if canonical and output.activation == ACTIVATIONS.get(names[1]) else None
    expression = loss.expression
    if names == ("cross_entropy", "log_softmax") and output.activation == ACTIVATIONS["log_softmax"]:
        expression = OF_LOG_PROBABILITIES
    bind = {"yhat": prediction, "y": y}
    if pair is not None and pair.value is not None:
        expression = pair.value if loss.cap is None else apply("minimum", pair.value, Constant(loss.cap))
        bind = {"z": output.z, "a": prediction, "y": y}
    label = "".join(c for c in output.z.name if c.isalnum() and not c.isalpha())
    rest = builder.lower(expression, bind, label, rule=pair.name if pair else loss.name, over_columns_only=True)
    rule = pair.name if pair else loss.name
    wide = shape_of(rest, builder.scope)[-1:] not in ((), (1,))
    if wide:
        result = builder.reduce("L", Reduce("sum", "columns", rest), "loss", rule=rule)
    else:
        result = builder.write("L", rest, "loss", rule=rule, shape=(BATCH, 1))
    if pair is not None:
        slope = replace(pair.slope, {Variable("a"): Variable(prediction.name), Variable("y"): Variable(y.name)})
        builder.partials[result.name] = ((output.z, slope),)
    return result


def _penalties(builder: Builder, spec: NetworkSpec, m: Expression) -> Expression:
    """λ₁/m Σ_l Σ|W_l| + λ₂/(2m) Σ_l Σ W_l²"""
    total: Expression = ZERO
    weights = [s for s in builder.given if s.role == "parameter" and s.name.startswith("W")]
    for strength, name, term in ((spec.l1 * 2, "norm1", "abs"), (spec.l2, "norm2", "square")):
        if strength == 0:
            continue
        parts: Expression = ZERO
        for weight in weights:
            w = Variable(weight.name)
            each = apply("abs", w) if term == "abs" else w**2
            reduced = builder.reduce(f"{name}_{weight}", Reduce("sum", "all", each), rule="penalty")
            parts = parts + Variable(reduced.name)
        total = total + Constant(strength / 2) * parts / m
    return total


def _weights_first(equations: list[Equation]) -> tuple[Equation, ...]:
    """db_l after dW_l, as every text has it; nothing in the backward section uses either."""
    result: list[Equation] = []
    waiting: dict[str, Equation] = {}
    for equation in equations:
        kind, layer = equation.target.name[:2], equation.target.name[2:]
        if kind == "db" and equation.target.role == "gradient":
            waiting[layer] = equation
            continue
        result.append(equation)
        if kind == "dW" and layer in waiting:
            result.append(waiting.pop(layer))
    return (*result, *waiting.values())


def _overwrite(builder: Builder, stored: Symbol, value: Expression, rule: str) -> None:
    names = [x.name for x in walk(value) if isinstance(x, Variable)]
    assert all(n in builder.scope for n in names)
    builder.equations.append(elementwise(stored, value, builder.scope, rule))


def _update(builder: Builder, optimizer: Optimizer, gradients: list[tuple[Symbol, Symbol]]) -> None:
    """The optimizer's formulas for each parameter; gradients clipped by their common norm first."""
    name = type(optimizer).__name__
    rule = optimizer.rule()
    bind: dict[Expression, Expression] = {}
    for given, role in (("lr", "rate"), ("t", "counter")):
        used = [e for _, e in (*rule.shared, *rule.steps)]
        if any(Variable(given) in walk(e) for e in used):
            bind[Variable(given)] = Variable(builder.give(given, (), role).name)  # type: ignore[arg-type]
    for shared, expression in rule.shared:
        made = builder.write(shared, replace(expression, bind), "inner", rule=name)
        bind[Variable(shared)] = Variable(made.name)
    scale: Expression | None = None
    if optimizer.clip_norm is not None:
        scale = _clip(builder, optimizer.clip_norm, [g for _, g in gradients])
    for parameter, gradient in gradients:
        g: Expression = Variable(gradient.name)
        if scale is not None:
            g = scale * g
        names = {**bind, Variable("w"): Variable(parameter.name), Variable("g"): g}
        for slot in rule.slots:
            names[Variable(slot)] = Variable(builder.give(f"{slot}_{parameter}", parameter.shape, "slot").name)
        for target, expression in rule.steps:
            stored = parameter if target == "w" else builder.scope[f"{target}_{parameter}"]
            _overwrite(builder, stored, replace(expression, names), name)


def _clip(builder: Builder, limit: float, gradients: list[Symbol]) -> Expression:
    """min(1, limit / (‖g‖ + 1e-6)), the norm over all gradients together."""
    total: Expression = ZERO
    for gradient in gradients:
        g = Variable(gradient.name)
        part = builder.reduce(f"norm2_{gradient}", Reduce("sum", "all", g**2), rule="clipping")
        total = total + Variable(part.name)
    factor = apply("minimum", limit / (apply("sqrt", total) + 1e-6), Constant(1.0))
    return Variable(builder.write("clip", factor, "inner", rule="clipping by the global norm").name)
