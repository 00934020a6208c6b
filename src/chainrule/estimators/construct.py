"""From an estimator's parameters to its network, with scikit-learn's initial weights; and back from a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.activations import ACTIVATIONS, Activation, activation
from chainrule.describe.layers import BatchNorm, Dense, Dropout, GivenActivation, Layer, LayerNorm
from chainrule.describe.losses import Loss, replace_loss
from chainrule.describe.network import NetworkSpec
from chainrule.estimators.heads import Head, named
from chainrule.estimators.parameters import hidden_sizes, per_layer
from chainrule.network import Network

Array = NDArray[Any]


def spec(owner: Any, inputs: int, head: Head, dtype: np.dtype[Any]) -> NetworkSpec:
    """The network that the parameters describe.

    Probabilities are clipped at the dtype's ε in the value of a log loss (not in its gradient), as scikit-learn does.

    A hidden layer is Dense, its normalisation (the activation after it), its dropout.
    """
    sizes = hidden_sizes(owner)
    layers: list[Layer] = []
    norms = {"batch": BatchNorm, "layer": LayerNorm}
    for units, g, rate in zip(
        sizes, per_layer(owner, "activation", len(sizes)), per_layer(owner, "dropout", len(sizes)), strict=True
    ):
        if owner.normalisation is None:
            layers.append(Dense(units, g))
        else:
            layers += [Dense(units), norms[owner.normalisation](g)]
        if rate:
            layers.append(Dropout(rate))
    layers.append(Dense(head.outputs, head.activation))
    loss = head.loss
    if head.clipped and isinstance(loss, Loss):
        loss = replace_loss(loss, cap=-math.log(np.finfo(dtype).eps))
    return NetworkSpec(
        inputs,
        layers,
        loss,
        l1=float(owner.l1),
        l2=float(owner.alpha),
        penalty_per="weight",
        precision=owner.precision,
    )


def network(owner: Any, described: NetworkSpec, dtype: np.dtype[Any]) -> Network:
    """A network of that description; its weights are whatever comes first."""
    return Network.from_spec(described, dtype=dtype.name, engine=owner.engine)


def carried(old: Network, new: Network) -> Network:
    """The new network with the old one's parameters, where both have them."""
    carry(old, {**new.parameters, **new.state})
    return new


def carry(old: Network, arrays: Mapping[str, Array]) -> None:
    """Overwrites those of the arrays that the old network has, in this shape."""
    before = {**old.parameters, **old.state}
    for name, array in arrays.items():
        if name in before and before[name].shape == array.shape:
            array[...] = before[name]


def hidden_symbol(net: Network, position: int) -> str:
    """The name of a hidden layer's value: after its normalisation and activation, before its dropout."""
    following = [k for k, layer in enumerate(net.spec.layers) if isinstance(layer, Dense)][position + 1]
    return net.derive(mode="inference").outputs[following - 1].name


def weight_names(net: Network) -> tuple[list[str], list[str]]:
    """W1, W2, ... and b1, b2, ...; an estimator's dense layers have a b each, which they declare after W."""
    pairs = [(w, b) for w, b in pairwise(net.derive(mode="inference").parameters) if w.penalised]
    return [w.name for w, _ in pairs], [b.name for _, b in pairs]


def weights(net: Network) -> tuple[list[Array], list[Array]]:
    """The views W1, W2, ... and b1, b2, ..."""
    parameters, (coefs, intercepts) = net.parameters, weight_names(net)
    return [parameters[name] for name in coefs], [parameters[name] for name in intercepts]


def draw_weights(owner: Any, net: Network, random: np.random.RandomState) -> None:
    """Glorot's uniform weights and biases, drawn in scikit-learn's order: W1, b1, W2, b2, ...

    The bound is √(6 / (in + out)), and √(2 / (in + out)) for "logistic".  The output layer goes by the last hidden one.
    """
    coefs, intercepts = weights(net)
    named = per_layer(owner, "activation", len(coefs) - 1) or [owner.activation]
    for k, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        g = named[min(k, len(named) - 1)]
        factor = 2.0 if _is_sigmoid(g) else 6.0
        bound = math.sqrt(factor / (W.shape[0] + W.shape[1]))
        W[...] = random.uniform(-bound, bound, W.shape)
        b[...] = random.uniform(-bound, bound, b.shape)


def _is_sigmoid(g: GivenActivation) -> bool:
    return isinstance(g, str | Activation) and activation(g) == ACTIVATIONS["sigmoid"]


# --- the other way -----------------------------------------------------------------------------------------------

_OF_NETWORK = ("hidden_layer_sizes", "activation", "normalisation", "dtype", "precision")
"""Parameters that say what the network is."""


def given_with(net: Network, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that describe a network, and others.  Raises ValueError where those change its layers."""
    if not isinstance(net, Network):
        raise ValueError(f"net must be a chainrule.Network. Got {net!r} instead.")
    if own := [name for name in _OF_NETWORK if name in parameters]:
        raise ValueError(f"{', '.join(own)} cannot be given: the network itself says what it is.")
    return {**described(net), "loss": net.spec.loss, **parameters}


def described(net: Network) -> dict[str, Any]:
    """The parameters that describe a network.  Raises ValueError where an estimator has no word for it."""
    blocks = _blocks(net.spec.layers)
    *hidden, last = blocks
    if len(last) != 1:
        raise _cannot("something after the last Dense layer")
    kinds = {type(layer) for block in hidden for layer in block if isinstance(layer, BatchNorm | LayerNorm)}
    normalised = [any(isinstance(x, BatchNorm | LayerNorm) for x in block) for block in hidden]
    if len(kinds) > 1 or (kinds and not all(normalised)):
        raise _cannot("hidden layers that are normalised in different ways")
    parameters: dict[str, Any] = {
        "hidden_layer_sizes": tuple(block[0].units for block in hidden if isinstance(block[0], Dense)),
        "normalisation": {BatchNorm: "batch", LayerNorm: "layer"}[kinds.pop()] if kinds else None,
        "alpha": net.spec.l2,
        "l1": net.spec.l1,
        "dtype": net.dtype.name,
        "engine": net.engines.name,
        "precision": net.spec.precision,
    }
    activations = [_activation(block) for block in hidden]
    if activations:
        same = all(a == activations[0] for a in activations)
        parameters["activation"] = activations[0] if same else activations
    rates = [next((x.rate for x in block if isinstance(x, Dropout)), 0.0) for block in hidden]
    parameters["dropout"] = rates[0] if rates and len(set(rates)) == 1 else rates or 0.0
    return parameters


def _cannot(what: str) -> ValueError:
    return ValueError(f"An estimator has no parameter for {what}. Use the network itself, its fit and predict.")


def _blocks(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Each Dense layer with what follows it."""
    blocks: list[list[Layer]] = []
    for layer in layers:
        if isinstance(layer, Dense):
            if not layer.bias:
                raise _cannot("a Dense layer without bias")
            blocks.append([layer])
        elif not blocks:
            raise _cannot(f"{type(layer).__name__} before the first Dense layer")
        else:
            blocks[-1].append(layer)
    for block in blocks:
        order = [type(x) for x in block[1:]]
        plain = [x for x in order if x is not Dropout]
        if len(plain) > 1 or order.count(Dropout) > 1 or (plain and order[0] is Dropout):
            raise _cannot(f"the layers {', '.join(x.__name__ for x in order)} after a Dense layer")
    return blocks


def _activation(block: list[Layer]) -> str | Activation:
    norm = next((x for x in block if isinstance(x, BatchNorm | LayerNorm)), None)
    assert isinstance(block[0], Dense)
    if norm is not None and not block[0].activation.identity:
        raise _cannot("an activation before a normalisation")
    g = block[0].activation if norm is None else norm.activation
    return named(g) if g == ACTIVATIONS.get(g.name) else g
