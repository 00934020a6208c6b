"""The presets for tables beside boosted trees and RealMLP: errors, log-loss, processor time, and their means.

    python benchmarks/tables.py --data FOLDER [--tables concrete,churn] [--preset fast,default,best]
                                [--folds 1] [--threads 1] [--json FILE]

FOLDER holds NAME.csv.gz (a header, the target last), index.json (target and task of each) and baselines.json (what
others reach); adult.csv and housing.csv lie there or one folder up; wine, breast_cancer, digits and diabetes are
scikit-learn's own.  Splits: StratifiedKFold for classes, else KFold, of 5 parts in the order that random_state 0 draws;
the first 3 folds up to 3,000 rows, 2 up to 12,000, else 1.  The error is the share of wrong classes, or the root mean
squared error over the deviation of the target; means are geometric, of ratios.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.tabular.frame import read_frame
from chainrule.tabular.members import train
from chainrule.tabular.preparation import learn
from chainrule.tabular.recipe import Aim, recipe_for

BUNDLED = ("wine", "breast_cancer", "digits", "diabetes")
"""Those of scikit-learn."""
BESIDE = {"adult": ("income", "cls"), "housing": ("median_house_value", "reg")}
"""Tables that the index does not name: target and task."""
OTHERS = ("LightGBM", "RealMLP-TD")


@dataclass(frozen=True)
class Table:
    """A table as it comes."""

    name: str
    columns: Any
    """A data frame."""
    target: np.ndarray
    """(m,) classes from 0, or numbers."""
    classes: int
    """0 for numbers."""


@dataclass(frozen=True)
class Result:
    """The means over a table's folds."""

    table: str
    preset: str
    folds: int
    error: float
    log_loss: float
    """NaN of numbers."""
    seconds: float
    """Processor time of a fit, preparation included."""
    epochs: tuple[int, ...]
    """Best ones of the members of the last fold."""


def read(folder: Path, name: str) -> Table:
    """The table of that name."""
    import pandas

    if name in BUNDLED:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        columns = pandas.DataFrame(bunch.data, columns=[str(f) for f in bunch.feature_names])
        return _table(name, columns, np.asarray(bunch.target), "reg" if name == "diabetes" else "cls")
    if name in BESIDE:
        target, task = BESIDE[name]
        path = next((p for p in (folder / f"{name}.csv", folder.parent / f"{name}.csv") if p.exists()), None)
        if path is None:
            raise SystemExit(f"{folder} has no {name}.csv")
        frame = pandas.read_csv(path, skipinitialspace=True, na_values=["?"])
    else:
        said = json.loads((folder / "index.json").read_text())[name]
        target, task = said["target"], said["task"]
        with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8") as stream:
            frame = pandas.read_csv(stream)
    return _table(name, frame.drop(columns=[target]), frame[target].to_numpy(), task)


def _table(name: str, columns: Any, target: np.ndarray, task: str) -> Table:
    if task == "reg":
        return Table(name, columns, target.astype(np.float64), 0)
    labels, numbers = np.unique(target, return_inverse=True)
    return Table(name, columns, numbers, len(labels))


def folds(table: Table, most: int | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows."""
    from sklearn.model_selection import KFold, StratifiedKFold

    m = len(table.target)
    many = 3 if m <= 3_000 else 2 if m <= 12_000 else 1
    splitter = (StratifiedKFold if table.classes else KFold)(n_splits=5, shuffle=True, random_state=0)
    parts = splitter.split(np.zeros(m), table.target)
    yield from (part for part, _ in zip(parts, range(min(many, most or many)), strict=False))


def measure(table: Table, preset: Any, most: int | None, threads: int | None) -> Result:
    """All folds."""
    aim = Aim("classes", table.classes) if table.classes else Aim("values")
    errors: list[float] = []
    losses: list[float] = []
    seconds: list[float] = []
    epochs: tuple[int, ...] = ()
    for learned, tested in folds(table, most):
        began = time.process_time()
        frame = read_frame(table.columns.iloc[learned].reset_index(drop=True))
        preparation = learn(frame)
        inputs, _ = preparation.inputs(frame)
        recipe = recipe_for(preset, aim, inputs.rows, preparation.shape)
        options: dict[str, Any] = {"aim": aim, "recipe": recipe, "shape": preparation.shape, "threads": threads}
        trained = train(inputs, table.target[learned], **options)
        seconds.append(time.process_time() - began)
        rows, _ = preparation.inputs(read_frame(table.columns.iloc[tested].reset_index(drop=True)))
        predicted, truth = trained.predict(rows), table.target[tested]
        epochs = trained.epochs
        if table.classes:
            errors.append(float((predicted.argmax(axis=1) != truth).mean()))
            right = predicted[np.arange(len(truth)), truth]
            losses.append(float(-np.log(np.maximum(right, 1e-15)).mean()))
        else:
            errors.append(float(np.sqrt(np.square(predicted[:, 0] - truth).mean()) / truth.std()))
    log_loss = float(np.mean(losses)) if losses else math.nan
    return Result(table.name, preset, len(errors), float(np.mean(errors)), log_loss, float(np.mean(seconds)), epochs)


def line(result: Result, others: dict[str, Any]) -> str:
    """A row of the printed table."""
    told = f"{result.table:14} {result.preset:8} {result.error:7.4f}"
    for other in OTHERS:
        their = _error(others.get(other, {}))
        told += f" {their:9.4f} {result.error / their:6.3f}" if their else f" {'':9} {'':6}"
    light = others.get("LightGBM", {}).get("logloss")
    told += f" {result.log_loss:8.4f} {light:8.4f}" if light else f" {'':8} {'':8}"
    theirs = others.get("RealMLP-TD", {}).get("cpu_s")
    return told + f" {result.seconds:8.2f}" + (f" {theirs:8.2f}" if theirs else "")


def _error(said: dict[str, Any]) -> float:
    return float(said.get("nrmse") or said.get("err") or 0.0)


def means(preset: str, results: list[Result], baselines: dict[str, Any]) -> list[str]:
    """What stands below the table."""
    told = []
    for other in OTHERS:
        ratios = {
            r.table: max(r.error, 1e-4) / _error(baselines[r.table][other])
            for r in results
            if other in baselines.get(r.table, {})
        }
        if not ratios:
            continue
        mean = math.exp(float(np.mean(np.log(list(ratios.values())))))
        worse = [name for name, ratio in ratios.items() if ratio > 1.1]
        told.append(
            f"{preset}: error {mean:.3f} of {other}'s on {len(ratios)} tables; worse by more than 10 % on "
            f"{len(worse)} ({', '.join(worse) or 'none'})"
        )
    ours = [r for r in results if "logloss" in baselines.get(r.table, {}).get("LightGBM", {})]
    if ours:
        own = float(np.mean([r.log_loss for r in ours]))
        theirs = float(np.mean([baselines[r.table]["LightGBM"]["logloss"] for r in ours]))
        told.append(f"{preset}: mean log-loss {own:.4f}, LightGBM's {theirs:.4f}")
    for other in OTHERS:
        timed = [r for r in results if other in baselines.get(r.table, {})]
        if timed:
            own = sum(r.seconds for r in timed)
            theirs = sum(baselines[r.table][other]["cpu_s"] for r in timed)
            told.append(f"{preset}: {own:.0f} s of processor time, {other}'s {theirs:.0f} s ({own / theirs:.2f})")
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of tables")
    parser.add_argument("--tables", help="names, with commas; all that there are by default")
    parser.add_argument("--preset", default="default", help="fast, default, best; several with commas")
    parser.add_argument("--folds", type=int, help="at most so many of each table")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    options = parser.parse_args()
    baselines = json.loads((options.data / "baselines.json").read_text())
    index = json.loads((options.data / "index.json").read_text())
    names = options.tables.split(",") if options.tables else [*index, *BESIDE, *BUNDLED]
    kept: list[Result] = []
    header = f"{'table':14} {'preset':8} {'error':>7} {'LightGBM':>9} {'ratio':>6} {'RealMLP':>9} {'ratio':>6}"
    print(f"{header} {'log-loss':>8} {'LightGBM':>8} {'seconds':>8} {'RealMLP':>8}", flush=True)
    for name in names:
        table = read(options.data, name)
        for preset in options.preset.split(","):
            kept.append(measure(table, preset, options.folds, options.threads))
            print(line(kept[-1], baselines.get(name, {})), flush=True)
    for preset in options.preset.split(","):
        print(*means(preset, [r for r in kept if r.preset == preset], baselines), sep="\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in kept], indent=1))


if __name__ == "__main__":
    main()
