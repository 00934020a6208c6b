"""Residual: blocks that add to the value what they make of it, so that twelve layers train as easily as two.

    python examples/residual.py

    A ← A + W₂ g(W₁ n(A))        n: layer normalisation

The data: 1,797 handwritten digits of scikit-learn, 8 x 8 pixels.
"""

from typing import Any

from sklearn.datasets import load_digits

import chainrule as cr


def main(epochs: int = 15, blocks: int = 6, width: int = 32) -> None:
    """Train the same layers as a plain chain and as residual blocks; print both test accuracies."""
    digits: Any = load_digits()
    X, X_test, y, y_test = cr.data.split(digits.data / 16, digits.target, test=0.3, seed=0)

    inner = [cr.LayerNorm(), cr.Dense(width, "relu"), cr.Dense(width)]
    chain = [cr.Dense(width), *inner * blocks, cr.Dense(10, "softmax")]
    residual = [cr.Dense(width), *[cr.Residual(*inner)] * blocks, cr.Dense(10, "softmax")]
    net = cr.Network(64, residual[:2] + residual[-1:], "cross_entropy")
    print("one block:", *(str(e) for e in net.program.forward if e.target.name == "U3"))
    for name, layers in (("chain", chain), ("residual", residual)):
        net = cr.Network(64, layers, "cross_entropy", seed=1)
        net.fit(X, y, epochs=epochs, optimizer=cr.Adam(0.001))
        _, metric, value = net.evaluate(X_test, y_test)
        print(f"{name}: {2 * blocks + 2} dense layers, test {metric} {value:.4f}")


if __name__ == "__main__":
    main()
