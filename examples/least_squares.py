"""Least squares: no biases, the output is z_n itself, and the error is a plain sum over the samples.

    python examples/least_squares.py

    z_{i+1} = W_i a_i,   a_i = σ(z_i),   E = Σ (y - z_n)²
    W ← W - η Σ ∂E/∂W          one step with the gradients of all t samples added up

The data: 442 people with diabetes, ten measurements of each, and how far the disease had gone a year later (Efron,
Hastie, Johnstone, Tibshirani 2004).
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes

import chainrule as cr


def main(steps: int = 1500) -> None:
    """Add up single gradients, then descend, and print the error on people not seen before."""
    table: Any = load_diabetes()
    X, X_test, y, y_test = cr.data.split(table.data, table.target, test=0.25, seed=0)
    scale, unit = cr.data.Standardizer.fit(X), cr.data.Standardizer.fit(y[:, None])
    X, X_test = scale.transform(X), scale.transform(X_test)
    y, y_test = unit.transform(y[:, None]), unit.transform(y_test[:, None])

    net = cr.Network(
        inputs=10,
        layers=[cr.Dense(8, "sigmoid", bias=False), cr.Dense(1, bias=False)],
        loss="squared_error",
        reduction="sum",
        dtype="float64",
    )
    print(net.derive(optimizer=cr.SGD(1e-4)))

    t = len(X)
    whole = net.gradients(X, y)
    singles = [net.gradients(X[i : i + 1], y[i : i + 1]) for i in range(t)]
    for name in net.parameters:
        added = sum(single[name] for single in singles)
        apart = np.abs(added - whole[name]).max() / np.abs(whole[name]).max()
        print(f"{name}: {t} single gradients added up, beside the batch's: relative difference {apart:.1e}")

    print(f"E before: {net.cost(X, y):.1f} over {t} people, {net.cost(X, y) / t:.4f} each")
    net.fit(X, y, epochs=steps, batch_size=t, shuffle=False, optimizer=cr.SGD(1e-4))
    print(f"E after {steps} steps: {net.cost(X, y):.1f}, {net.cost(X, y) / t:.4f} each")
    mean_alone = float(np.square(y_test).mean())
    print(f"test error {net.cost(X_test, y_test) / len(X_test):.4f} each (the mean alone: {mean_alone:.4f})")


if __name__ == "__main__":
    main()
