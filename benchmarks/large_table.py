"""A large table by default: time, processor time and memory of a fit, and the time of predictions.

    python benchmarks/large_table.py [--rows 327000] [--preset default] [--threads 2]

The table is made here: 12 numbers of many scales (a tenth of every third is missing), 7 columns of 2 to 5,000 levels
(a twentieth of every second is missing), a date and a truth value; the classes follow from some of them, with noise.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np
import pandas as pd

import chainrule as cr

LEVELS = (2, 5, 12, 40, 150, 800, 5000)


def table(m: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """(columns, classes)"""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for j in range(12):
        columns[f"number {j}"] = rng.normal(size=m) * 10.0 ** rng.integers(-2, 4)
        if j % 3 == 0:
            columns[f"number {j}"][rng.random(m) < 0.1] = np.nan
    for j, levels in enumerate(LEVELS):
        words = np.array([f"level {k}" for k in range(levels)], dtype=object)
        columns[f"words {j}"] = words[np.minimum((rng.random(m) ** 2 * levels).astype(int), levels - 1)]
        if j % 2:
            columns[f"words {j}"][rng.random(m) < 0.05] = None
    columns["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 1500, m), unit="D")
    columns["flag"] = rng.random(m) < 0.3
    frame = pd.DataFrame(columns)
    first, second = (frame[name] / frame[name].std() for name in ("number 1", "number 2"))
    z = first + np.sin(2 * second) + (frame["words 1"] == "level 1") + 0.7 * frame["flag"] + rng.normal(0, 0.7, m)
    return frame, np.where(z > np.quantile(z, 0.7), "yes", "no")


def peak() -> float:
    """GB that the process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=327_000)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--threads", type=int, default=2)
    said = parser.parse_args()
    frame, y = table(said.rows)
    learned = np.arange(said.rows) < said.rows * 9 // 10
    print(f"{said.rows:,} rows, {frame.shape[1]} columns; {peak():.2f} GB")
    began, processor = time.perf_counter(), time.process_time()
    model = cr.TabularClassifier(said.preset, n_jobs=said.threads, random_state=0).fit(frame[learned], y[learned])
    print(f"fit: {time.perf_counter() - began:.0f} s, {time.process_time() - processor:.0f} s of processor time")
    began = time.perf_counter()
    accuracy = model.score(frame[~learned], y[~learned])
    print(f"accuracy {accuracy:.4f} of {np.sum(~learned):,} rows, in {time.perf_counter() - began:.2f} s")
    print(f"at most {peak():.2f} GB")


if __name__ == "__main__":
    main()
