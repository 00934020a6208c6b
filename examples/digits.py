"""Digits: which digit is it, and is it an 8?  Samples are rows; the backward section is four lines of algebra.

python examples/digits.py            the 1,797 digits that come with scikit-learn, 8 × 8 pixels
python examples/digits.py FOLDER     MNIST: a folder with its four files, 28 × 28 pixels

dZ2 = (A2 - Y) / m      softmax with cross entropy, and just so sigmoid with binary cross entropy
dW2 = A1ᵀ dZ2           db2 = Σ dZ2
dZ1 = dZ2 W2ᵀ A1 (1 - A1)
dW1 = Xᵀ dZ1            db1 = Σ dZ1
"""

import sys

import chainrule as cr


def show(net: cr.Network) -> None:
    """The backward propagation of a network, an equation a line."""
    text = str(net.program)
    print(net, text[text.index("backward") :], sep="\n")


def main(folder: str = "digits", epochs: int = 30) -> None:
    """Train the two networks and print their test accuracies."""
    digits = cr.data.load(folder)
    if digits.X_test is None:
        digits = digits.split(test=0.2, seed=0)
    assert digits.X_test is not None and digits.y_test is not None
    print(digits)

    which = cr.Network(
        inputs=digits.X.shape[1],
        layers=[cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")],
        loss="cross_entropy",
    )
    show(which)
    which.fit(digits.X, digits.y, epochs=epochs, batch_size=32, optimizer=cr.SGD(0.5))
    cost, metric, value = which.evaluate(digits.X_test, digits.y_test)
    print(f"which digit: test cost {cost:.4f}, {metric} {value:.4f}")

    eight, eight_test = digits.y == 8, digits.y_test == 8
    is_it = cr.Network(
        inputs=digits.X.shape[1],
        layers=[cr.Dense(256, "sigmoid"), cr.Dense(1, "sigmoid")],
        loss="binary_cross_entropy",
    )
    show(is_it)
    is_it.fit(digits.X, eight, epochs=epochs, batch_size=32, optimizer=cr.SGD(0.5))
    cost, metric, value = is_it.evaluate(digits.X_test, eight_test)
    always_no = 1 - eight_test.mean()
    print(f"is it an 8: test cost {cost:.4f}, {metric} {value:.4f} (always saying no: {always_no:.4f})")


if __name__ == "__main__":
    main(*sys.argv[1:2])
