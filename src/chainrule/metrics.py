"""How good predictions are, beside what they would be without a network, and how sure the number is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.display import Displayed

Array = NDArray[Any]


@dataclass(frozen=True, repr=False)
class Evaluation(Displayed):
    """Metrics of predictions on m samples, each beside the same of a prediction that looks at no feature.

        print(evaluation)                accuracy 0.9789 ± 0.0076 on 359 samples, ...
        evaluation.metrics["accuracy"]

    Classes: accuracy, balanced accuracy (the mean of each class's), and where there are probabilities log-loss and AUC
    (of several classes the mean of each against the others); beside them, always the most frequent class.
    Numbers: RMSE and MAE in the target's own unit and R²; beside them, always the mean.  Of several targets, which have
    units of their own, `each` has them one by one, and the others are means over all.
    """

    samples: int
    """m, those with a target."""
    metrics: Mapping[str, float]
    """By name."""
    baseline: Mapping[str, float]
    """The same of always the most frequent class, or always the mean, where they mean something there."""
    deviation: float
    """Of the first metric, by how its parts scatter over the samples; nan for a single sample."""
    what: str
    """What the baseline always says: "the most frequent class '3'" or "the mean 22.5"."""
    each: Mapping[str, Evaluation] = field(default_factory=dict)
    """Of several targets, by name."""

    @property
    def main(self) -> str:
        """The name of the metric that counts first."""
        return next(iter(self.metrics))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data; what is no finite number is None."""
        return {
            "samples": self.samples,
            "metrics": _finite(self.metrics),
            "deviation": _finite({self.main: self.deviation}),
            "baseline": {"what": self.what, **_finite(self.baseline)},
            **({"targets": {name: of.to_dict() for name, of in self.each.items()}} if self.each else {}),
        }

    def is_better(self, *, balanced: bool = False) -> bool:
        """Whether the predictions say more than the baseline: by the log-loss or the quantile loss where there is one,
        else by the first.

        balanced: of classes that were learned with balanced weights, by the balanced accuracy.
        """
        name = next((name for name in ("log-loss", "quantile loss") if name in self.metrics), self.main)
        name = "balanced accuracy" if balanced else name
        gain = self.metrics[name] - self.baseline[name]
        return gain > 0 if name in ("accuracy", "balanced accuracy") else gain < 0

    def short(self) -> str:
        """The metrics on one line, of several targets a line for each."""
        if self.each:
            return "\n".join(f"{name}: {of.short()}" for name, of in self.each.items())
        return str(self).partition("\n")[0]

    def __repr__(self) -> str:
        return f"Evaluation({self.short()})"

    def __str__(self) -> str:
        if self.each:
            return "\n".join(f"{name}: {of}" for name, of in self.each.items())
        name, *others = self.metrics
        sure = "" if math.isnan(self.deviation) else f" ± {shown(self.deviation, beside=self.metrics[name])}"
        many = f"{self.samples:,} sample{'' if self.samples == 1 else 's'}"
        rest = "".join(f", {other} {shown(self.metrics[other])}" for other in others)
        without = ", ".join(f"{key} {shown(value)}" for key, value in self.baseline.items())
        return f"{name} {shown(self.metrics[name])}{sure} on {many}{rest}\nalways {self.what}: {without}"


def of_classes(predicted: Array, probabilities: Array | None, truth: Array, names: tuple[str, ...]) -> Evaluation:
    """Of predicted class numbers (m,), the probabilities (m, K) if there are any, and the true class numbers (m,)."""
    m, right = len(truth), predicted == truth
    counts = np.bincount(truth, minlength=len(names))
    there = np.flatnonzero(counts)
    accuracy, usual = float(right.mean()), int(counts.argmax())
    metrics = {"accuracy": accuracy}
    metrics["balanced accuracy"] = float(np.mean([right[truth == k].mean() for k in there]))
    baseline = {"accuracy": float(counts[usual] / m), "balanced accuracy": 1 / len(there)}
    if probabilities is not None:
        chosen = probabilities[np.arange(m), truth].astype(np.float64)
        metrics["log-loss"] = float(-np.log(np.maximum(chosen, np.finfo(np.float32).tiny)).mean())
        parts = counts[there] / m
        baseline["log-loss"] = float(-(parts * np.log(parts)).sum())
        if len(there) > 1:
            ones = there if len(names) > 2 else there[1:]
            metrics["AUC"] = float(np.mean([area(probabilities[:, k], truth == k) for k in ones]))
            baseline["AUC"] = 0.5
    # Of the part of all samples that would be right, after so many of m were (Laplace): not 0 where all of a few were.
    correct = int(right.sum())
    deviation = math.sqrt((correct + 1) * (m - correct + 1) / (m + 3)) / (m + 2) if m > 1 else math.nan
    return _evaluation(m, metrics, baseline, deviation, f"the most frequent class {names[usual]!r}")


def of_numbers(predicted: Array, truth: Array) -> Evaluation:
    """Of predicted numbers and the true ones, (m, outputs), in the target's unit; several outputs count as one."""
    m = len(truth)
    y = truth.reshape(m, -1).astype(np.float64)
    mean = y.mean(axis=0)
    differences = y - predicted.reshape(y.shape)
    errors, spread = np.square(differences), np.square(y - mean).mean(axis=0)
    rmse = math.sqrt(float(errors.mean()))
    metrics, baseline = {"RMSE": rmse}, {"RMSE": math.sqrt(float(spread.mean()))}
    metrics["MAE"] = float(np.abs(differences).mean())
    baseline["MAE"] = float(np.abs(y - mean).mean())
    if (spread > 0).all():
        metrics["R²"] = float(np.mean(1 - errors.mean(axis=0) / spread))
        baseline["R²"] = 0.0
    # That of the mean square, carried through the root: dRMSE = dMSE / (2 RMSE).
    scatter = float(errors.mean(axis=1).std(ddof=1)) / math.sqrt(m) if m > 1 else math.nan
    deviation = scatter / (2 * rmse) if rmse > 0 else math.nan
    what = f"the mean {shown(float(mean[0]))}" if len(mean) == 1 else "the means"
    return _evaluation(m, metrics, baseline, deviation, what)


def of_targets(predicted: Array, truth: Array, names: Sequence[str]) -> Evaluation:
    """Of numbers (m, targets) with these names: each target by itself too, where there are several."""
    whole = of_numbers(predicted, truth)
    if len(names) < 2:
        return whole
    columns = [slice(k, k + 1) for k in range(len(names))]
    apart = {name: of_numbers(predicted[:, k], truth[:, k]) for name, k in zip(names, columns, strict=True)}
    return replace(whole, each=MappingProxyType(apart))


def of_quantiles(predicted: Array, truth: Array, levels: Sequence[float]) -> Evaluation:
    """Of predicted levels (m, levels) and the true numbers (m, 1): those of the level next to the middle, the loss of
    all of them, mean max(q e, (q - 1) e) of e = y - ŷ, beside that of always the same quantiles, and the share of
    samples between the lowest and the highest.
    """
    q = np.asarray(levels, np.float64)
    middle = int(np.abs(q - 0.5).argmin())
    whole = of_numbers(predicted[:, middle : middle + 1], truth)

    def loss(said: Array) -> float:
        e = truth.reshape(-1, 1).astype(np.float64) - said
        return float(np.maximum(q * e, (q - 1) * e).mean())

    metrics, baseline = dict(whole.metrics), dict(whole.baseline)
    metrics["quantile loss"], baseline["quantile loss"] = loss(predicted), loss(np.quantile(truth, q))
    if len(q) > 1:
        y = truth.ravel()
        name = f"share within {q[0]:g} to {q[-1]:g}"
        metrics[name] = float(((predicted[:, 0] <= y) & (y <= predicted[:, -1])).mean())
    return replace(whole, metrics=MappingProxyType(metrics), baseline=MappingProxyType(baseline))


def over_folds(each: Sequence[Evaluation]) -> str:
    """The mean of each metric over folds and its deviation between them; below, the means of the baselines."""
    names = [name for name in each[0].metrics if all(name in e.metrics for e in each)]
    values = {name: np.array([e.metrics[name] for e in each]) for name in names}
    said = ", ".join(
        f"{name} {shown(float(v.mean()))} ± {shown(float(v.std(ddof=1)), beside=float(v.mean()))}"
        for name, v in values.items()
    )
    without = ", ".join(
        f"{name} {shown(float(np.mean([e.baseline[name] for e in each])))}"
        for name in names
        if all(name in e.baseline for e in each)
    )
    what = (
        each[0].what if len({e.what for e in each}) == 1 else each[0].what.partition(" '")[0].rstrip("0123456789.,- ")
    )
    return f"{said}\nalways {what}: {without}"


def _finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def area(scores: Array, positive: Array) -> float:
    """The area under the ROC curve: how often a positive sample has the higher score of two, ties counted half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    ones = int(positive.sum())
    above = float(ranks[positive].sum()) - ones * (ones + 1) / 2
    return above / (ones * (len(positive) - ones))


def shown(value: float, *, beside: float | None = None) -> str:
    """Four digits after the point, or four in all where that shows more or less than there is.

    beside: the number that it stands beside, whose digits it has.
    """
    size = abs(value if beside is None else beside)
    plain = size == 0 or 1e-3 <= size < 1e4
    return f"{value:.4f}" if plain else f"{value:,.0f}" if 1e4 <= size < 1e15 else f"{value:.4g}"


def _evaluation(
    m: int, metrics: dict[str, float], baseline: dict[str, float], deviation: float, what: str
) -> Evaluation:
    return Evaluation(m, MappingProxyType(metrics), MappingProxyType(baseline), deviation, what)
