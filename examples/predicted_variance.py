"""A Gaussian likelihood: one network predicts the mean of a value and how far off it may be, by one loss formula.

    python examples/predicted_variance.py

    L = Σ (0.5 v + 0.5 (ŷ - y)² exp(-v))        v = log σ², a value that the network keeps beside ŷ

ŷ is what `predict` returns; v is read with `kept`.  The data: a sine whose noise grows from left to right.
"""

import numpy as np

import chainrule as cr

LIKELIHOOD = cr.Loss(
    "0.5 * log_variance + 0.5 * (yhat - y) ** 2 * exp(-log_variance)",
    values=("log_variance",),
    name="gaussian likelihood",
)


def main(epochs: int = 150) -> None:
    """Check the gradients, train, and print the deviation that is predicted beside the one that there is."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1000, 1))
    deviation = 0.05 + 0.2 * (x + 1)
    y = np.sin(3 * x) + deviation * rng.normal(size=x.shape)
    layers = [
        cr.Dense(32, "tanh"),
        cr.Keep("shared"),
        *(cr.Dense(1), cr.Keep("log_variance")),
        *(cr.Take("shared"), cr.Dense(1)),
    ]
    net = cr.Network(1, layers, LIKELIHOOD)
    print(*(str(e) for e in net.program.equations if e.target.name in ("L", "dZ2", "dZ3")), sep="\n")
    print(net.check(x[:20], y[:20]))

    net.fit(x, y, epochs=epochs, batch_size=50, optimizer=cr.Adam(0.01), verbose=False)
    at = np.array([[-0.8], [0.0], [0.8]])
    means, deviations = net.predict(at), np.exp(net.kept(at)["log_variance"] / 2)
    for place, mean, sigma in zip(at[:, 0], means[:, 0], deviations[:, 0], strict=True):
        there = f"({np.sin(3 * place):.3f})", f"({0.25 + place / 5:.3f})"
        print(f"x {place:.1f}: mean {mean:.3f} {there[0]}, deviation {sigma:.3f} {there[1]}")


if __name__ == "__main__":
    main()
