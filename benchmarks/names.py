"""The figures of the character models: training, sampling and windows, beside PyTorch where it is installed.

    python benchmarks/names.py [FILE] [--only windows,classic,peer,best] [--epochs 35] [--threads 2]

windows: how long they take.  classic: its training on one core, its dev cost, 10,000 samples.  peer: a step beside
PyTorch's.  best: its training on two cores, its costs, 10,000 samples.

FILE has a name per line (by default ../shared/data/names.txt, or else the list that comes with chainrule).  Both
libraries are timed in turns, on one core, and by the processor's time: what else the machine does then shows little.
The clock on the wall is printed beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.language import CharacterModel, Vocabulary, load_names, preset, split_names
from chainrule.train.history import EpochRecord
from chainrule.train.state import FitState

SHARED = Path("../shared/data/names.txt")
BATCH, CONTEXT, EMBEDDING, HIDDEN = 32, 3, 10, 200
TURNS, TURN = 5, 2_000
"""How often the libraries take turns, and how many steps PyTorch makes in one."""
SAMPLES = 10_000
PARTS = ("windows", "classic", "peer", "best")


class Seconds(cr.Callback):
    """The time of the training itself, without validation: by the wall's clock and by the processor's."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def on_epoch_begin(self, fit: FitState) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        self.wall += record.seconds
        self.processor += time.process_time() - self._begun[1]


def torch_steps(X: np.ndarray, y: np.ndarray, tokens: int) -> Callable[[int], float] | None:
    """Makes so many steps of the classic network in eager mode; the processor's seconds.  None without PyTorch."""
    try:
        import torch
        from torch.nn import functional
    except ImportError:
        return None
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)

    def weights(*shape: int, scale: float = 1.0) -> Any:
        return (torch.randn(*shape, generator=generator) * scale).requires_grad_()

    E, W1 = weights(tokens, EMBEDDING), weights(CONTEXT * EMBEDDING, HIDDEN, scale=(CONTEXT * EMBEDDING) ** -0.5)
    b1, W2, b2 = weights(HIDDEN, scale=0), weights(HIDDEN, tokens, scale=0.01), weights(tokens, scale=0)
    parameters = [E, W1, b1, W2, b2]
    Xt, yt = torch.from_numpy(X), torch.from_numpy(y)

    def run(steps: int) -> float:
        order = torch.randint(0, len(yt), (steps, BATCH), generator=generator)
        start = time.process_time()
        for row in order:
            hidden = torch.tanh(E[Xt[row]].view(BATCH, -1) @ W1 + b1)
            loss = functional.cross_entropy(hidden @ W2 + b2, yt[row])
            for p in parameters:
                p.grad = None
            loss.backward()
            for p in parameters:
                p.data.add_(p.grad, alpha=-0.1)
        return time.process_time() - start

    return run


def windows(names: list[str], vocabulary: Vocabulary) -> None:
    """How long it takes to make all windows."""
    model = CharacterModel(CONTEXT, vocabulary=vocabulary)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        X, _ = model.windows(names)
        seconds.append(time.perf_counter() - start)
    print(f"windows: {len(X):,} of context {CONTEXT} in {statistics.median(seconds):.3f} s (target: well under 0.2)")


def classic(train: list[str], dev: list[str], vocabulary: Vocabulary, epochs: int) -> None:
    """The classic network: its run on one core, and its dev cost."""
    chosen = dataclasses.replace(preset("classic"), epochs=epochs)
    clock = Seconds()
    model = chosen.model(vocabulary=vocabulary)
    chosen.fit(model, train, callbacks=[clock], verbose=False, threads=1)
    steps = epochs * -(-len(model.windows(train)[1]) // BATCH)
    print(
        f"classic: {steps:,} steps of {BATCH} in {clock.wall:.2f} s ({clock.processor:.2f} s of one core, "
        f"{steps * BATCH / clock.processor:,.0f} samples/s); target 5 s"
    )
    print(f"classic: dev cost {model.score(dev).per_character:.4f} nats per character (target 2.12)")
    sampling(model, "classic")


def peer(train: list[str], vocabulary: Vocabulary) -> None:
    """Steps of the classic network, in turns with PyTorch's."""
    ours = preset("classic").model(vocabulary=vocabulary, engine="compiled")
    X, y = ours.windows(train)
    other = torch_steps(X, y, len(vocabulary))
    if other is None:
        print("PyTorch is not installed: no ratio (pip install 'chainrule[peers]')")
        return
    turns = []
    other(200)
    ours.network.fit(X, y, epochs=1, batch_size=BATCH, optimizer=cr.SGD(0.1), verbose=False, threads=1)
    for _ in range(TURNS):
        clock = Seconds()
        ours.network.fit(
            X, y, epochs=1, batch_size=BATCH, optimizer=cr.SGD(0.1), verbose=False, threads=1, callbacks=[clock]
        )
        turns.append((clock.processor / -(-len(y) // BATCH), other(TURN) / TURN))
    mine, theirs = (statistics.median(turn[k] for turn in turns) for k in (0, 1))
    ratio = statistics.median(b / a for a, b in turns)
    print(
        f"a step of {BATCH}: {mine * 1e6:.1f} µs, PyTorch eager {theirs * 1e6:.1f} µs: {ratio:.1f} times as fast "
        f"(median of {TURNS} turns; target 8)"
    )


def sampling(model: CharacterModel, what: str) -> None:
    """How long 10,000 invented names take, the first time and later."""
    seconds, processor = [], []
    for turn in range(5):
        start, busy = time.perf_counter(), time.process_time()
        model.sample(SAMPLES, seed=turn)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    print(
        f"{what}: {SAMPLES:,} samples in {statistics.median(seconds):.3f} s ({statistics.median(processor):.3f} s of "
        f"processor time), the first time {seconds[0]:.3f} s (target 0.5)"
    )


def best(train: list[str], dev: list[str], test: list[str], vocabulary: Vocabulary, threads: int) -> None:
    """The best preset: its run and its costs."""
    chosen = preset("best")
    clock = Seconds()
    model = chosen.model(vocabulary=vocabulary)
    start = time.perf_counter()
    chosen.fit(model, train, callbacks=[clock], verbose=False, threads=threads)
    print(
        f"best: {chosen.epochs} epochs in {time.perf_counter() - start:.0f} s on {threads} threads "
        f"({clock.processor:.0f} s of processor time, all threads together; target 120 s on two cores)"
    )
    print(f"best: dev cost {model.score(dev).per_character:.4f} nats per character (target 1.99, better 1.95)")
    print(f"best: test cost {model.score(test).per_character:.4f} nats per character")
    sampling(model, "best")


def main() -> None:
    """The parts that are asked for, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a name per line")
    parser.add_argument("--epochs", type=int, default=35, help="of the classic run")
    parser.add_argument("--threads", type=int, default=2, help="of the best preset")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them (all)")
    given = parser.parse_args()
    parts = given.only.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    file = given.file or (SHARED if SHARED.is_file() else None)
    names = load_names(file)
    if file is None:
        print(f"{SHARED} is not here: the figures are for the list that comes with chainrule, the targets are not.")
    vocabulary = Vocabulary.from_names(names)
    train, dev, test = split_names(names)
    if "windows" in parts:
        windows(list(names), vocabulary)
    if "classic" in parts:
        classic(train, dev, vocabulary, given.epochs)
    if "peer" in parts:
        peer(train, vocabulary)
    if "best" in parts:
        best(train, dev, test, vocabulary, given.threads)


if __name__ == "__main__":
    main()
