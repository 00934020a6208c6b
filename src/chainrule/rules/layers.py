"""The forward equations of each layer.  Their backward equations follow by the chain rule (chain.py)."""

from __future__ import annotations

from chainrule.describe.activations import Activation
from chainrule.describe.network import BatchNorm, Dense, Dropout, Embedding, LayerNorm
from chainrule.program.op import Gather, Mask, MatMul
from chainrule.program.scalar import Expression, Over, Reduction, Variable, apply, replace
from chainrule.program.symbol import Symbol
from chainrule.rules.builder import Builder


def embedding(builder: Builder, layer: Embedding, tokens: Symbol) -> Symbol:
    """X0 = rows of E at X, side by side   (m, c·d)"""
    table = builder.give("E", (layer.vocabulary, layer.dimension), "parameter")
    return builder.apply("X0", Gather(), (table, tokens), rule="embedding")


def dense(builder: Builder, layer: Dense, below: Symbol, label: str, *, keep_identity: bool = False) -> Symbol:
    """Z = A_{l-1} W + b   (m, n_l),   A = g(Z)   (m, n_l)

    Without an activation the layer's value is Z itself (keep_identity writes A = Z all the same).
    """
    width = below.shape[1]
    weights = builder.give(f"W{label}", (width, layer.units), "parameter")
    if layer.bias:
        bias = builder.give(f"b{label}", (layer.units,), "parameter")
        product = builder.apply(f"{below}W{label}", MatMul(), (below, weights), "temporary", rule="dense")
        z = builder.write(f"Z{label}", Variable(product.name) + Variable(bias.name), rule="dense")
    else:
        z = builder.apply(f"Z{label}", MatMul(), (below, weights), rule="dense without bias")
    return activate(builder, layer.activation, z, f"A{label}", label, keep_identity=keep_identity)


def activate(
    builder: Builder, g: Activation, z: Symbol, name: str, label: str, *, keep_identity: bool = False
) -> Symbol:
    """A = g(Z); element-wise, or over each row where g reduces."""
    if g.identity and not keep_identity:
        return z
    rest = builder.lower(g.expression, {"z": z}, label, rule=g.name, over_columns_only=True)
    a = builder.write(name, rest, rule=g.name, shape=z.shape)
    if g.slope is not None:
        slope = replace(g.slope, {Variable("a"): Variable(a.name), Variable("z"): Variable(z.name)})
        builder.partials[a.name] = ((z, slope),)
    return a


def dropout(builder: Builder, layer: Dropout, below: Symbol, label: str, *, training: bool, stream: int) -> Symbol:
    """D = A R / (1 - rate), R the mask   (m, n); nothing at all when not training or rate = 0."""
    if not training or layer.rate == 0:
        return below
    seed, step = builder.give("seed", (), "counter"), builder.give("t", (), "counter")
    width = below.shape[1]
    assert isinstance(width, int)
    mask = builder.apply(f"R{label}", Mask(layer.rate, stream, width), (seed, step), "mask", rule="dropout")
    kept = Variable(below.name) * Variable(mask.name) / (1 - layer.rate)
    return builder.write(f"D{label}", kept, rule="inverted dropout")


def layer_norm(builder: Builder, layer: LayerNorm, below: Symbol, label: str) -> Symbol:
    """C = A - mean_j A,  N = C / √(mean_j C² + ε),  H = γ N + β, then the activation   (m, n)"""
    x = Variable(below.name)
    mean = builder.lower(_mean(x, "columns"), {}, f"_mu{label}", rule="layer normalisation")
    centred = builder.write(f"C{label}", x - mean, rule="layer normalisation")
    c = Variable(centred.name)
    variance = builder.lower(_mean(c**2, "columns"), {}, f"_var{label}", rule="layer normalisation")
    return _scaled(builder, layer, c, variance, below, label, "layer normalisation")


def batch_norm(builder: Builder, layer: BatchNorm, below: Symbol, label: str, *, training: bool) -> Symbol:
    """As layer_norm with means over the batch (training) or the running means; the update keeps those running."""
    x, rule = Variable(below.name), "batch normalisation"
    width = below.shape[1:]
    running_mean = builder.give(f"mean{label}", width, "statistic")
    running_var = builder.give(f"var{label}", width, "statistic")
    if not training:
        centred = builder.write(f"C{label}", x - Variable(running_mean.name), rule=rule)
        return _scaled(builder, layer, Variable(centred.name), Variable(running_var.name), below, label, rule)
    mean = builder.lower(_mean(x, "rows"), {}, f"_mu{label}", rule=rule)
    centred = builder.write(f"C{label}", x - mean, rule=rule)
    c = Variable(centred.name)
    variance = builder.lower(_mean(c**2, "rows"), {}, f"_var{label}", rule=rule)
    for running, batch in ((running_mean, mean), (running_var, variance)):
        value = (1 - layer.momentum) * Variable(running.name) + layer.momentum * batch
        builder.statistics.append((running, value))
    return _scaled(builder, layer, c, variance, below, label, rule)


def _mean(x: Expression, over: Over) -> Expression:
    return Reduction("mean", over, x)


def _scaled(
    builder: Builder,
    layer: LayerNorm | BatchNorm,
    c: Expression,
    variance: Expression,
    below: Symbol,
    label: str,
    rule: str,
) -> Symbol:
    """N = C / √(variance + ε),  H = γ N + β, then the activation."""
    deviation = builder.write(f"s{label}", apply("sqrt", variance + layer.epsilon), "inner", rule=rule)
    normal = builder.write(f"N{label}", c / Variable(deviation.name), rule=rule)
    gamma = builder.give(f"gamma{label}", below.shape[1:], "parameter")
    beta = builder.give(f"beta{label}", below.shape[1:], "parameter")
    h = builder.write(f"H{label}", Variable(gamma.name) * Variable(normal.name) + Variable(beta.name), rule=rule)
    return activate(builder, layer.activation, h, f"A_n{label}", f"_n{label}")
