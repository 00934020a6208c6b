"""General: an activation may depend on its whole vector, and the cost may be any function of all predictions at once.

    python examples/general.py

    a_i = g(z_i)             the Jacobian J_g is full: every a depends on every z of its sample
    dz_i = J_g(z_i)ᵀ da_i
    J = f(Ŷ, Y)              no sum over samples to speak of; its seed is ∂f/∂Ŷ

Here g brings each sample's vector to the root mean square 1, and f is 1 minus the Dice overlap, a quotient of sums over
the batch: neither is written in chainrule anywhere.

The data: 178 Italian wines, 13 measurements of each, from three growers (Forina 1988).
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_wine

import chainrule as cr

UNIT = cr.Activation("z / sqrt(0.01 + mean(z ** 2))", name="unit")
DICE = cr.Cost("1 - 2 * sum(yhat * y) / (sum(yhat ** 2) + sum(y ** 2))", name="dice")


def unit(z: np.ndarray) -> np.ndarray:
    """g, in NumPy."""
    return np.asarray(z / np.sqrt(0.01 + np.square(z).mean()))


def jacobian(z: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """∂g_p/∂z_j at [p, j], by central differences."""
    return np.stack([(unit(z + h * e) - unit(z - h * e)) / (2 * h) for e in np.eye(len(z))], axis=1)


def main(epochs: int = 150) -> None:
    """Check the Jacobians of the hidden layer, then train and print the test accuracy."""
    wines: Any = load_wine()
    X, X_test, y, y_test = cr.data.split(wines.data, wines.target, test=0.3, seed=0)
    scale = cr.data.Standardizer.fit(X)
    X, X_test, Y, Y_test = scale.transform(X), scale.transform(X_test), np.eye(3)[y], np.eye(3)[y_test]

    net = cr.Network(13, [cr.Dense(8, UNIT), cr.Dense(3, "softmax")], DICE, dtype="float64")
    print(net.program)

    # db1 is the sum of dz_i: so is what the Jacobians make of da_i, which comes from the layer above alone.
    W1, b1, W2 = (net.parameters[name] for name in ("W1", "b1", "W2"))
    above = cr.Network(8, [cr.Dense(3, "softmax")], DICE, dtype="float64")
    above.parameters["W1"][...] = W2
    Z = X @ W1 + b1
    dA = above.gradients(np.stack([unit(z) for z in Z]), Y)["X"]
    by_jacobians = sum(jacobian(z).T @ da for z, da in zip(Z, dA, strict=True))
    apart = np.abs(by_jacobians - net.gradients(X, Y)["b1"]).max()
    print(f"the sum of J_g(z)ᵀ da over {len(X)} samples, beside db1: {apart:.1e} apart")

    before = net.cost(X_test, Y_test)
    net.fit(X, Y, epochs=epochs, batch_size=len(X), optimizer=cr.Adam(0.02))
    accuracy = (net.predict(X_test).argmax(axis=1) == y_test).mean()
    print(f"test cost {before:.4f} before, {net.cost(X_test, Y_test):.4f} after; test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
