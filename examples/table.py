"""Numbers and categories: the columns of a table come in as two inputs, and each category has an embedding.

    python examples/table.py

The data: 442 diabetes patients of scikit-learn, unscaled. Numbers are age, weight for height, blood pressure and six
blood values; categories are sex and the decade of life.
"""

import numpy as np
from sklearn.datasets import load_diabetes

import chainrule as cr


def main(epochs: int = 60) -> None:
    """Describe, train and print the test error beside that of the mean."""
    X, y = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], ((y - y.mean()) / y.std())[order, None]
    train, test = slice(0, 300), slice(300, None)
    sex, decade = X[:, 1].astype(int) - 1, (X[:, 0] // 10).astype(int) - 1
    numbers = np.delete(X, 1, axis=1)
    numbers = (numbers - numbers[train].mean(axis=0)) / numbers[train].std(axis=0)
    table = {"numbers": numbers, "kinds": np.stack([sex, decade], axis=1)}

    net = cr.Network(
        {"numbers": 9, "kinds": [2, int(decade.max()) + 1]},
        [
            cr.Branches([cr.Take("numbers")], [cr.Take("kinds"), cr.Embedding(dimension=3)]),
            cr.Dense(16, "tanh"),
            cr.Dense(1),
        ],
        "squared_error",
        l2=1.0,
    )
    print(net.summary(), *(str(e) for e in net.program.forward[:3]), sep="\n")
    part = {name: {k: v[rows] for k, v in table.items()} for name, rows in (("train", train), ("test", test))}
    net.fit(part["train"], y[train], epochs=epochs, batch_size=32, optimizer=cr.Adam(0.005))
    mean = np.sqrt(np.square(y[test] - y[train].mean()).mean())
    print(f"test error {net.evaluate(part['test'], y[test])[2]:.4f}, that of the mean {mean:.4f}")


if __name__ == "__main__":
    main()
