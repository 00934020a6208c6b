"""What watching costs: fits of MNIST 784-256-10, batch 32, with and without a Monitor(every=100), in turn.

python benchmarks/monitor.py FOLDER_OF_MNIST [rounds]
"""

from __future__ import annotations

import sys
import time

import numpy as np

import chainrule as cr


def main(folder: str, rounds: int) -> None:
    """Prints, for each optimizer, the median over the pairs of watched / unwatched seconds."""
    data = cr.data.load(folder)
    X, y = data.X, data.y
    for optimizer in (cr.SGD(0.1), cr.Adam()):
        net = cr.Network(784, [cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")], "cross_entropy", engine="compiled")
        net.fit(X[:6400], y[:6400], epochs=1, optimizer=optimizer, callbacks=[cr.Monitor()], verbose=False)
        plain, watched = [], []
        for turn in range(rounds):
            for which in (plain, watched) if turn % 2 else (watched, plain):
                callbacks = [cr.Monitor(every=100)] if which is watched else []
                start = time.perf_counter()
                net.fit(X, y, epochs=2, optimizer=optimizer, callbacks=callbacks, verbose=False)
                which.append(time.perf_counter() - start)
        ratio = np.median(np.array(watched) / np.array(plain)) - 1
        print(
            f"{type(optimizer).__name__:<5} two epochs {np.median(plain):.3f} s, watched {np.median(watched):.3f} s: "
            f"{100 * ratio:+.1f} % (median of {rounds} pairs), "
            f"{100 * (min(watched) / min(plain) - 1):+.1f} % (fastest of each)"
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9)
