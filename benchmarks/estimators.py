"""chainrule's estimators beside scikit-learn's: ratios of median times, measured turn by turn.

    python benchmarks/estimators.py [--folder ../shared/data/mnist] [--repeats 5] [--threads 1,2] [--clock wall]
                                    [--only digits,mnist] [--samples 60000] [--json FILE]

For each number of threads a process of its own is started, so that NumPy's threads and ours are as many.  In it both
libraries do the same work in turn, after one turn that is not counted (ours compiles then, theirs warms up).
--clock processor counts the time that the process really ran, for a machine with other work; it says nothing for more
than one thread.  Without MNIST's files in the folder, random data of the same shape are used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

WORK = {
    "digits": "digits, default MLPClassifier().fit",
    "mnist": "MNIST, (256,), adam, batch 200, 5 epochs, float32",
    "wide": "45,000 × 108, default MLPClassifier(max_iter=10).fit",
    "row": "predict_proba, one row",
    "rows": "predict_proba, all rows of MNIST",
    "lbfgs": "digits, solver='lbfgs'",
    "cross": "digits, cross_val_score, n_jobs=2",
}
GOALS = {"digits": 5.0, "mnist": 4.0, "row": 3.0, "rows": 2.0, "lbfgs": 2.0, "cross": 1.0}
"""The ratios that were promised."""
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
Pair = tuple[Callable[[], object], Callable[[], object]]


@dataclass(frozen=True)
class Row:
    """Median seconds of both."""

    work: str
    threads: int
    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


def mnist(folder: Path, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """X (m, 784) float32 in 0..1 and y (m,)."""
    if any(folder.glob("train-images*")):
        from chainrule.data.idx import load_mnist

        loaded = load_mnist(folder)
        return np.ascontiguousarray(loaded.X[:samples], np.float32), np.asarray(loaded.y[:samples])
    rng = np.random.default_rng(0)
    return rng.random((samples, 784), np.float32), rng.integers(0, 10, samples)


def encoded_table() -> tuple[np.ndarray, np.ndarray]:
    """X (45000, 108) and y (45000,) of two classes: six numbers and eight categories, a column for each value."""
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((45_000, 6))
    values = [rng.integers(0, n, 45_000) for n in (9, 16, 7, 15, 6, 5, 2, 42)]
    X = np.hstack([numbers, *(np.eye(int(v.max()) + 1)[v] for v in values)])
    scores = X @ rng.standard_normal(X.shape[1]) + rng.standard_normal(len(X))
    return X, (scores > np.median(scores)).astype(int)


def pairs(names: list[str], folder: Path, samples: int) -> dict[str, tuple[Pair, int]]:
    """What each library does, and how often it does it in one turn."""
    from sklearn import neural_network as theirs
    from sklearn.datasets import load_digits
    from sklearn.model_selection import cross_val_score

    import chainrule as ours

    digits, labels = load_digits(return_X_y=True)
    both = (theirs, ours)
    made: dict[str, tuple[Pair, int]] = {}

    def pair(of: Callable[[Any], Callable[[], object]], times: int = 1) -> tuple[Pair, int]:
        first, second = (of(module) for module in both)
        return (first, second), times

    def fit(module: Any, X: np.ndarray, y: np.ndarray, **settings: Any) -> Callable[[], object]:
        return lambda: module.MLPClassifier(random_state=0, **settings).fit(X, y)

    def predict(module: Any, X: np.ndarray, rows: np.ndarray, y: np.ndarray) -> Callable[[], object]:
        model = module.MLPClassifier((256,) if X.shape[1] > 64 else (100,), max_iter=2, random_state=0).fit(X, y)
        return lambda: model.predict_proba(rows)

    if "digits" in names:
        made["digits"] = pair(lambda module: fit(module, digits, labels))
    if "wide" in names:
        X, y = encoded_table()
        made["wide"] = pair(lambda module: fit(module, X, y, max_iter=10))
    if "lbfgs" in names:
        made["lbfgs"] = pair(lambda module: fit(module, digits, labels, solver="lbfgs"))
    if "row" in names:
        made["row"] = pair(lambda module: predict(module, digits, digits[:1].copy(), labels), times=2000)
    if {"mnist", "rows"} & set(names):
        X, y = mnist(folder, samples)
        options: dict[str, Any] = {"hidden_layer_sizes": (256,), "batch_size": 200, "max_iter": 5}
        if "mnist" in names:
            made["mnist"] = pair(lambda module: fit(module, X, y, **options))
        if "rows" in names:
            made["rows"] = pair(lambda module: predict(module, X, X, y))
    if "cross" in names:

        def cross(module: Any) -> object:
            model = module.MLPClassifier(random_state=0, max_iter=50)
            with unlimited():
                return cross_val_score(model, digits, labels, cv=4, n_jobs=2)

        made["cross"] = pair(lambda module: lambda: cross(module))
    return {name: made[name] for name in WORK if name in made}


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """Without limits in the environment, as a user calls it: how many threads a worker has is for joblib to say."""
    kept = {name: os.environ.pop(name) for name in LIMITS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def measure(names: list[str], threads: int, folder: Path, samples: int, repeats: int, clock: str) -> list[Row]:
    """Medians in this process; both libraries take turns."""
    now = CLOCKS[clock]
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (both, times) in pairs(names, folder, samples).items():
            taken: tuple[list[float], list[float]] = ([], [])
            for turn in range(repeats + 1):
                for work, found in zip(both, taken, strict=True):
                    start = now()
                    for _ in range(times):
                        work()
                    if turn:
                        found.append((now() - start) / times)
            rows.append(Row(name, threads, *(statistics.median(t) for t in taken)))
    return rows


def in_a_process(args: argparse.Namespace, threads: int) -> list[Row]:
    """The measurements with so many threads."""
    limits = dict.fromkeys(LIMITS, str(threads))
    words = ["--worker", str(threads), "--only", args.only, "--folder", str(args.folder)]
    words += ["--samples", str(args.samples), "--repeats", str(args.repeats), "--clock", args.clock]
    done = subprocess.run(
        [sys.executable, __file__, *words], env={**os.environ, **limits}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [Row(**row) for row in json.loads(done.stdout)]


def shown(seconds: float) -> str:
    """12.3 us, 4.56 ms or 7.89 s."""
    unit, scale = next(((u, s) for u, s in (("s", 1.0), ("ms", 1e3)) if seconds * s >= 1), ("us", 1e6))
    return f"{seconds * scale:.3g} {unit}"


def table(rows: list[Row]) -> str:
    """A line for each measurement."""
    heads = ("", "threads", "scikit-learn", "chainrule", "ratio", "goal")
    cells = [
        (
            WORK[r.work],
            str(r.threads),
            shown(r.theirs),
            shown(r.ours),
            f"{r.ratio:.2f}",
            f"{GOALS[r.work]:g}" if r.work in GOALS else "-",
        )
        for r in rows
    ]
    widths = [max(len(line[k]) for line in (heads, *cells)) for k in range(len(heads))]
    return "\n".join(
        "  ".join(c.ljust(w) if k == 0 else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in (heads, *cells)
    )


def main(argv: list[str] | None = None) -> list[Row]:
    """The table on standard output."""
    parser = argparse.ArgumentParser(description="chainrule's estimators beside scikit-learn's.")
    default = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    parser.add_argument("--folder", type=Path, default=default, help="where MNIST's files are")
    parser.add_argument("--repeats", type=int, default=5, help="counted turns of each")
    parser.add_argument("--threads", default="1,2", help="thread counts, each in a process of its own")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--only", default=",".join(WORK), help=", ".join(WORK))
    parser.add_argument("--samples", type=int, default=60000, help="of MNIST")
    parser.add_argument("--json", type=Path, help="all medians as JSON")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    names = args.only.split(",")
    if unknown := set(names) - set(WORK):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(WORK)}")
    if args.worker is not None:
        found = measure(names, args.worker, args.folder, args.samples, args.repeats, args.clock)
        print(json.dumps([asdict(row) for row in found]))
        return found
    rows = [row for threads in args.threads.split(",") for row in in_a_process(args, int(threads))]
    rows.sort(key=lambda row: list(WORK).index(row.work))
    print(table(rows))
    if args.json is not None:
        args.json.write_text(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=1) + "\n")
    return rows


if __name__ == "__main__":
    main()
