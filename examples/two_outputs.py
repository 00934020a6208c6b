"""Two outputs: one network tells the grower of a wine and its alcohol, each with a loss of its own.

    python examples/two_outputs.py

    J = (Σ L_grower + 0.5 Σ L_alcohol) / m

The data: 178 Italian wines from three growers (Forina 1988); the twelve measurements beside alcohol come in.
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_wine

import chainrule as cr


def main(epochs: int = 100) -> None:
    """Train, check the gradients, and print how well each output does on wines that were held out."""
    wines: Any = load_wine()
    alcohol, rest = wines.data[:, :1], wines.data[:, 1:]
    order = np.random.default_rng(0).permutation(len(rest))
    rest, alcohol = ((a - a.mean(axis=0)) / a.std(axis=0) for a in (rest[order], alcohol[order]))
    y = {"grower": wines.target[order], "alcohol": alcohol}
    train, test = slice(0, 120), slice(120, None)

    layers = [
        cr.Dense(16, "tanh"),
        cr.Keep("shared"),
        *(cr.Dense(3, "softmax"), cr.Keep("grower")),
        *(cr.Take("shared"), cr.Dense(1), cr.Keep("alcohol")),
    ]
    net = cr.Network(12, layers, {"grower": "cross_entropy", "alcohol": ("squared_error", 0.5)}, l2=0.1)
    print(*(str(e) for e in net.program.cost if e.target.name == "J"))
    print(net.check(rest[:20], {name: values[:20] for name, values in y.items()}))

    net.fit(rest[train], {name: v[train] for name, v in y.items()}, epochs=epochs, optimizer=cr.Adam(0.005))
    predicted = net.predict(rest[test])
    accuracy = (predicted["grower"].argmax(axis=1) == y["grower"][test]).mean()
    r2 = 1 - np.square(predicted["alcohol"] - alcohol[test]).mean() / alcohol[test].var()
    print(f"grower: accuracy {accuracy:.4f}; alcohol: R² {r2:.4f}")


if __name__ == "__main__":
    main()
