"""Tied autoencoder: digits through eight numbers and back, by the same weights both ways.

    python examples/tied_autoencoder.py

    C = tanh(X W + b)        X̂ = sigmoid(C Wᵀ + d)        dW is the sum of what both uses make of it

The data: 1,797 handwritten digits of scikit-learn, 8 x 8 pixels between 0 and 1.
"""

from typing import Any

from sklearn.datasets import load_digits

import chainrule as cr


def main(epochs: int = 30, code: int = 8) -> None:
    """Print the gradient of the shared weights, train, and compare with twice as many weights of their own."""
    digits: Any = load_digits()
    X, X_test, _, _ = cr.data.split(digits.data / 16, digits.target, test=0.3, seed=0)
    for name, weights in (("tied", cr.Tied("W1", transposed=True)), ("apart", None)):
        layers = [cr.Dense(code, "tanh"), cr.Dense(64, "sigmoid", weights=weights)]
        net = cr.Network(64, layers, "squared_error", seed=1)
        if weights is not None:
            print(*(line.strip() for line in str(net.program).splitlines() if "dW1 =" in line))
        net.fit(X, X, epochs=epochs, optimizer=cr.Adam(0.003))
        count = sum(array.size for array in net.parameters.values())
        print(f"{name}: {count} parameters, test error {net.evaluate(X_test, X_test)[2]:.4f} a pixel")
    print("the first digit's code:", *(f"{c:.2f}" for c in net.value("A1", X_test[:1])[0]))


if __name__ == "__main__":
    main()
