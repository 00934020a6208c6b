"""Regularised: any depth, an activation of its own for every layer, and a price on large weights.

    python examples/regularised.py

    J = (1/m) Σ L(ŷ, y) + λ/(2m) Σ_l ‖W_l‖²          biases are not penalised
    dZ_l = dA_l ∘ g_l'(Z_l)
    dW_l = A_{l-1}ᵀ dZ_l + (λ/m) W_l                  1/m has come in with the cost
    db_l = Σ dZ_l        dA_{l-1} = dZ_l W_lᵀ

The data: 569 breast tumours, 30 measurements of each, benign or malignant (Street, Wolberg, Mangasarian 1993).
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer

import chainrule as cr


def network(penalty: float) -> cr.Network:
    """30 - 32 - 16 - 8 - 1 with λ = penalty."""
    return cr.Network(
        inputs=30,
        layers=[cr.Dense(32, "tanh"), cr.Dense(16, "relu"), cr.Dense(8, "softplus"), cr.Dense(1, "sigmoid")],
        loss="binary_cross_entropy",
        l2=penalty,
        seed=1,
    )


def squares(net: cr.Network) -> float:
    """Σ_l ‖W_l‖²"""
    return float(sum(np.square(W).sum() for name, W in net.parameters.items() if name.startswith("W")))


def main(epochs: int = 100) -> None:
    """Train without and with penalties, and print what each costs and finds."""
    tumours: Any = load_breast_cancer()
    X, X_test, y, y_test = cr.data.split(tumours.data, tumours.target, test=0.3, seed=0)
    scale = cr.data.Standardizer.fit(X)
    X, X_test = scale.transform(X), scale.transform(X_test)

    text = str(network(1.0).program)
    print(text[text.index("cost") :])

    print("lambda   training cost   of it the penalty    sum of W²   test cost   test accuracy")
    for penalty in (0.0, 0.1, 1.0):
        net = network(penalty)
        net.fit(X, y, epochs=epochs, batch_size=32, optimizer=cr.Adam(0.002))
        price = penalty / (2 * len(X)) * squares(net)
        loss, _, accuracy = net.evaluate(X_test, y_test)
        loss -= penalty / (2 * len(X_test)) * squares(net)
        print(f"{penalty:6.1f} {net.cost(X, y):15.4f} {price:19.4f} {squares(net):12.2f} {loss:11.4f} {accuracy:15.4f}")


if __name__ == "__main__":
    main()
