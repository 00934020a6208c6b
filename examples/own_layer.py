"""A layer of one's own with two parameters: each feature learns how far it is bent, and how steeply.

    python examples/own_layer.py

    F = x + a (tanh(s x) - x)        a = 0: the value itself, a = 1: a tanh of slope s

Nothing in chainrule knows this layer; its gradients by x, a and s are derived like all others, and checked here.
The data: 442 diabetes patients of scikit-learn.
"""

import numpy as np
from sklearn.datasets import load_diabetes

import chainrule as cr

BEND = cr.Formula(
    "x + a * (tanh(s * x) - x)", a=cr.Parameter("n", value=0.5), s=cr.Parameter("n", value=1), name="bend"
)


def main(epochs: int = 60) -> None:
    """Print what is derived for the layer, check it, train, and print the test error."""
    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = (X / X.std(axis=0))[order], ((y - y.mean()) / y.std())[order, None]
    train, test = slice(0, 300), slice(300, None)

    net = cr.Network(10, [cr.Dense(16), BEND, cr.Dense(1)], "squared_error", l2=0.1)
    print(*(str(e) for e in net.program.equations if e.target.name in ("F1", "da1", "ds1", "dZ1")), sep="\n")
    print(net.check(X[:20], y[:20]))
    before = net.evaluate(X[test], y[test])[2]
    net.fit(X[train], y[train], epochs=epochs, batch_size=32, optimizer=cr.Adam(0.005))
    a = net.parameters["a1"]
    after = net.evaluate(X[test], y[test])[2]
    print(f"a from {a.min():.2f} to {a.max():.2f}; test error {before:.4f} before, {after:.4f} after")


if __name__ == "__main__":
    main()
