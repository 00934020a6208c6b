"""A table larger than the memory that may be used: laying it out, training on it, beside the same in memory.

    python benchmarks/scale.py --gb 4 --folder /tmp/scale

Makes a Parquet file of that size, sorted by its label, in the folder (where it stays), and measures, each in a process
of its own: how long pyarrow takes to read it, how long it takes to lay it out, how fast epochs run afterwards and what
memory they take (anonymous and of files apart), how fast epochs of the same network run where all is in memory, and
what both come to.  Linux only, as it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS, GROUP = 32, 1 << 18


def table(path: Path, gb: float, columns: int) -> int:
    """Writes the table, if it is not there; the rows that it has."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = int(gb * 1e9 / (4 * columns)) // GROUP * GROUP or GROUP
    if path.exists() and parquet.ParquetFile(path).metadata.num_rows == rows:
        return rows
    names = [f"x{k}" for k in range(columns)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("y", pa.int64())])
    with parquet.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for label in (0, 1):  # all rows of one label before those of the other
            for group in range(rows // GROUP // 2 + (rows // GROUP % 2) * (1 - label)):
                rng = np.random.default_rng((label, group))
                X = rng.standard_normal((columns, GROUP), dtype=np.float32)
                X[0] += 0.5 * (2 * label - 1)
                X[1] += X[2] * X[3] * (2 * label - 1) * 0.5
                arrays = [pa.array(x) for x in X] + [pa.array(np.full(GROUP, label))]
                writer.write_table(pa.table(arrays, schema=schema))
    return rows


class Watch:
    """The largest anonymous and file-backed memory of this process, looked at every 20 ms."""

    def __init__(self) -> None:
        self.most: dict[str, float] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.over.wait(0.02):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in ("VmRSS", "RssAnon", "RssFile"):
                    self.most[name] = max(self.most.get(name, 0.0), int(rest.split()[0]) / 1e6)

    def gigabytes(self) -> dict[str, float]:
        self.over.set()
        self.thread.join()
        return {name: round(value, 3) for name, value in self.most.items()}


def network(columns: int, hidden: int) -> Any:
    import chainrule as cr

    layers = [cr.Dense(hidden, "relu"), cr.Dense(hidden, "relu"), cr.Dense(2, "softmax")]
    return cr.Network(columns, layers, "cross_entropy", seed=1)


def held_out(columns: int) -> tuple[Any, Any]:
    """Rows that are in no table."""
    rng = np.random.default_rng(99)
    y = rng.integers(0, 2, 20_000)
    X = rng.standard_normal((len(y), columns), dtype=np.float32)
    X[:, 0] += 0.5 * (2 * y - 1)
    X[:, 1] += X[:, 2] * X[:, 3] * (2 * y - 1) * 0.5
    return X, y


class Clock:
    """Seconds, and those of the processor, since it was made."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return round(time.perf_counter() - self.began[0], 3), round(time.process_time() - self.began[1], 3)


class Epochs:
    """When epochs begin and end: what is read between two of them counts, too."""

    looks = writes = False

    def __init__(self) -> None:
        self.clock = Clock()
        self.at: list[tuple[float, float]] = []

    def callback(self) -> Any:
        import chainrule as cr

        note = self

        class Noting(cr.Callback):
            looks = writes = False

            def on_fit_begin(self, fit: Any) -> None:
                note.at.append(note.clock.read())

            def on_epoch_end(self, fit: Any, record: Any) -> None:
                note.at.append(note.clock.read())

        return Noting()

    def rates(self, rows: int) -> tuple[float, float]:
        """Rows a second, and a second of the processor: medians of the epochs."""
        steps = np.diff(np.array(self.at), axis=0)
        return tuple(float(np.round(rows / np.median(steps[:, k]))) for k in (0, 1))


def forget(path: Path, cold: bool) -> None:
    """The system is to read the file from the disk, or has it."""
    with open(path, "rb") as file:
        if cold:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        else:
            while file.read(1 << 24):
                pass


def read(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """pyarrow's time: the whole table, and batch after batch."""
    from pyarrow import parquet

    forget(path, options.cold)
    clock = Clock()
    parquet.read_table(path)
    whole = clock.read()
    forget(path, options.cold)
    clock = Clock()
    for _ in parquet.ParquetFile(path).iter_batches():
        pass
    return {"read_table": whole, "iter_batches": clock.read()}


def blocks(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Laying out, then epochs."""
    import chainrule as cr

    watch = Watch()
    place = path.parent / "laid"
    shutil.rmtree(place, ignore_errors=True)
    data = cr.Blocks(path, "y", memory=options.memory << 20, cache=place if options.kept else None)
    net = network(options.columns, options.hidden)

    forget(path, options.cold)
    epochs = Epochs()
    net.fit(data, epochs=options.epochs, batch_size=options.batch, callbacks=[epochs.callback()], verbose=False)
    rows = data.supply.rows
    result: dict[str, Any] = {"laid out": epochs.at[0], "rate": epochs.rates(rows), "memory": watch.gigabytes()}
    result["held out"] = net.evaluate(*held_out(options.columns))
    data.close()
    shutil.rmtree(place, ignore_errors=True)
    return result


def arrays(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All in memory, as float32."""
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    X = np.empty((file.metadata.num_rows, options.columns), np.float32)
    y = np.empty(len(X), np.int64)
    at = 0
    for batch in file.iter_batches():
        n = batch.num_rows
        for k in range(options.columns):
            X[at : at + n, k] = batch.column(k)
        y[at : at + n] = batch.column(options.columns)
        at += n
    watch = Watch()
    net = network(options.columns, options.hidden)
    epochs = Epochs()
    net.fit(X, y, epochs=options.epochs, batch_size=options.batch, callbacks=[epochs.callback()], verbose=False)
    return {
        "rate": epochs.rates(len(X)),
        "memory": watch.gigabytes(),
        "held out": net.evaluate(*held_out(options.columns)),
    }


def tabular(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """TabularClassifier, for a minute of training."""
    import chainrule as cr

    forget(path, options.cold)
    watch, clock = Watch(), Clock()
    data = cr.Blocks(path, "y", memory=options.memory << 20)
    model = cr.TabularClassifier("fast", time_limit=60, random_state=0).fit(data)
    X, y = held_out(options.columns)
    import polars

    frame = polars.DataFrame({f"x{k}": X[:, k] for k in range(options.columns)})
    result = {"seconds": clock.read(), "memory": watch.gigabytes(), "accuracy": model.score(frame, y)}
    data.close()
    return result


PARTS = {"read": read, "blocks": blocks, "arrays": arrays, "tabular": tabular}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1.0, help="size of the table in float32")
    parser.add_argument("--columns", type=int, default=COLUMNS)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--memory", type=int, default=256, help="MiB of data at a time")
    parser.add_argument("--cold", action="store_true", help="the Parquet file is not in the system's memory")
    parser.add_argument("--kept", action="store_true", help="lay the data out in a folder that is kept")
    parser.add_argument("--times", type=int, default=1, help="how often each is measured, in turn")
    parser.add_argument("--folder", type=Path, default=Path("scale"))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=["read", "blocks", "arrays"])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / f"table-{options.gb:g}-{options.columns}.parquet"
    if options.part:
        print(json.dumps(PARTS[options.part](path, options)))
        return
    rows = table(path, options.gb, options.columns)
    print(
        f"{rows:,} rows of {options.columns} numbers, {path.stat().st_size / 1e9:.2f} GB of Parquet; "
        f"{os.cpu_count()} cores"
    )
    found: dict[str, list[Any]] = {name: [] for name in options.only}
    for _ in range(options.times):
        for name in options.only:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--part", name], check=True, capture_output=True, text=True
            )
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, done.stdout.splitlines()[-1], flush=True)

    def beside(a: tuple[str, str], b: tuple[str, str]) -> str:
        """Medians of the ratios, by the clock and by the processor's time."""
        pairs = list(zip(found[a[0]], found[b[0]], strict=True))
        by = [statistics.median(x[a[1]][k] / y[b[1]][k] for x, y in pairs) for k in (0, 1)]
        return f"{by[0]:.2f} by the clock, {by[1]:.2f} by the processor's time"

    if {"read", "blocks"} <= found.keys():
        for how in ("read_table", "iter_batches"):
            print(f"laying out / {how}: {beside(('blocks', 'laid out'), ('read', how))}")
    if {"arrays", "blocks"} <= found.keys():
        print(f"rate on blocks / in memory: {beside(('blocks', 'rate'), ('arrays', 'rate'))}")


if __name__ == "__main__":
    main()
