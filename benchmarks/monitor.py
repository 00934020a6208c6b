"""What watching costs: fits of MNIST 784-256-10, batch 32, with and without a Monitor(every=100), in turn.

By the clock, and of the processor: looks run beside the training, so a free core hides most of what they cost.

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
        took: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for turn in range(rounds):
            for watched in (False, True) if turn % 2 else (True, False):
                callbacks = [cr.Monitor(every=100)] if watched else []
                start, worked = time.perf_counter(), time.process_time()
                net.fit(X, y, epochs=3, optimizer=optimizer, callbacks=callbacks, threads=1, verbose=False)
                took[watched].append((time.perf_counter() - start, time.process_time() - worked))
        for k, name in enumerate(("by the clock", "of the processor")):
            plain, watched_ = (np.array(took[w])[:, k] for w in (False, True))
            print(
                f"{type(optimizer).__name__:<5} three epochs {np.median(plain):.2f} s {name}, watched "
                f"{100 * (np.median(watched_ / plain) - 1):+.1f} % (median of {rounds} pairs), "
                f"{100 * (watched_.min() / plain.min() - 1):+.1f} % (least of each)",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9)
