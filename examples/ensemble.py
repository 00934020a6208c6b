"""BatchEnsemble: one network beside 16 members that share its matrices, on the diabetes data of scikit-learn.

python examples/ensemble.py

Each member has scales, biases and a last layer of its own; the matrices between are shared, so 16 members have but
twice the parameters of one network.  The cost is the mean of the members' losses, the prediction the mean of their
predictions.
"""

import numpy as np
from sklearn.datasets import load_diabetes

import chainrule as cr

HIDDEN = [64, 64]


def main(epochs: int = 60, members: int = 16, seeds: int = 5) -> None:
    """Train both, from several seeds, and print their test errors."""
    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = (X / X.std(axis=0))[order], ((y - y.mean()) / y.std())[order, None]
    train, test = slice(0, 300), slice(300, None)

    one = [*(cr.Dense(units, "relu") for units in HIDDEN), cr.Dense(1)]
    several = cr.batch_ensemble(members, HIDDEN, 1)
    net = cr.Network(X.shape[1], several, "squared_error")
    print(net.summary(), "\n".join(str(net.program).split("\n")[1:9]), sep="\n")

    for name, layers in (("one network", one), (f"{members} members", several)):
        errors = []
        for seed in range(seeds):
            net = cr.Network(X.shape[1], layers, "squared_error", seed=seed)
            net.fit(X[train], y[train], epochs=epochs, batch_size=32, optimizer=cr.Adam(0.002))
            errors.append(net.evaluate(X[test], y[test])[2])
        parameters = sum(array.size for array in net.parameters.values())
        print(f"{name}: {parameters} parameters, test error {np.mean(errors):.4f} ± {np.std(errors):.4f}")


if __name__ == "__main__":
    main()
