"""What came out: each output's predictions beside the truth, and the words that say how good they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import metrics, storage
from chainrule.data import Standardizer
from chainrule.describe.losses import Loss
from chainrule.describe.network import NetworkSpec
from chainrule.metrics import Evaluation
from chainrule.report.outputs import Names, Output, outputs_of
from chainrule.report.scales import short

Array = NDArray[Any]
SURE = 1.96
"""Deviations that 95 % of a normal distribution lie within."""
_SHARES = ("accuracy", "balanced accuracy")


@dataclass(frozen=True)
class Outcome:
    """The predictions of one output, beside what was right."""

    evaluation: Evaluation
    """How good they are."""
    truth: Array
    """(m,) class numbers; (m, columns) numbers, in the target's own unit where it is known."""
    predicted: Array
    """The same, predicted."""
    names: tuple[str, ...] | None = None
    """Of the classes; None for numbers."""
    probabilities: Array | None = None
    """(m, classes), where there are any."""
    name: str = ""
    """Of the output; "" of the only one."""
    target: str = ""
    """What is predicted, the column's name say."""
    columns: tuple[str, ...] = field(default=())
    """Names of the columns of several numbers."""
    called: Callable[[int], str] | None = None
    """What a sample is called, by its place; None where they are counted."""

    def said(self, what: str) -> str:
        """What is said of it, with the output's name where it has one."""
        if not self.name:
            return what
        return f"{self.name}: {what if what[:2].isupper() else what[0].lower() + what[1:]}"


@dataclass(frozen=True)
class Headline:
    """The result in the words of the first lines."""

    value: str
    """"98.6 % ± 1.2"."""
    what: str
    """"accuracy on 359 test samples"."""
    beside: str
    """"10.3 % by always saying the most frequent class '3'"; "" where there is no baseline."""
    interval: str
    """What ± means; "" where there is none."""
    more: tuple[tuple[str, str, str], ...]
    """(metric, value, the baseline's) of the others."""


def outcomes(
    spec: NetworkSpec,
    predicted: Any,
    truth: Any,
    names: Names | None,
    scale: Standardizer | None = None,
    target: str = "",
) -> list[Outcome]:
    """Of every output: predictions as the network makes them, targets as they are checked.

    scale: of a target that the network predicts standardised.
    """
    return [_outcome(one, one.part(predicted), one.part(truth), names, scale, target) for one in outputs_of(spec)]


def _outcome(
    one: Output, predicted: Array, truth: Array, names: Names | None, scale: Standardizer | None, target: str
) -> Outcome:
    if one.classifies:
        known, classes = tuple(one.names(names)), one.truth(truth)
        guess, _ = one.decide(predicted)
        shares = one.probabilities(predicted)
        judged = metrics.of_classes(guess, shares, classes, known)
        return Outcome(judged, classes, guess, known, shares, one.name, target)
    decides = isinstance(one.loss, Loss) and one.loss.decides
    if truth.shape == predicted.shape and not decides:
        if scale is not None:
            truth, predicted = scale.inverse(truth), scale.inverse(predicted)
        return Outcome(metrics.of_numbers(predicted, truth), truth, predicted, name=one.name, target=target)
    what, value = storage.metric(one.loss, predicted, truth, None)
    baseline: dict[str, float] = {}
    if decides:
        yes = (truth > one.middle).mean(axis=0)
        baseline[what] = float(np.maximum(yes, 1 - yes).mean())
    judged = Evaluation(len(truth), MappingProxyType({what: value}), baseline, math.nan, "what is more frequent")
    return Outcome(judged, truth, predicted, name=one.name, target=target)


def headline(outcome: Outcome, part: str = "") -> Headline:
    """The words.  part: of the data, "test" say."""
    evaluation = outcome.evaluation
    main, *others = evaluation.metrics
    value, baseline = evaluation.metrics[main], evaluation.baseline.get(main)
    many = f"{evaluation.samples:,} {part + ' ' if part else ''}sample{'' if evaluation.samples == 1 else 's'}"
    of = f" of {outcome.target}" if outcome.target else ""
    what = outcome.said(f"{main}{of} on {many}")
    beside = "" if baseline is None else f"{_written(main, baseline)} by always saying {evaluation.what}"
    more = tuple(
        (name, _written(name, evaluation.metrics[name]),
         _written(name, evaluation.baseline[name]) if name in evaluation.baseline else "")
        for name in others
    )  # fmt: skip
    shown, interval = _with_interval(main, value, evaluation)
    return Headline(shown, what, beside, interval, more)


def _with_interval(name: str, value: float, evaluation: Evaluation) -> tuple[str, str]:
    """ "98.6 % ± 1.2", and what ± means."""
    says = "± is the 95 % interval"
    half = SURE * evaluation.deviation
    if math.isnan(half):
        return _written(name, value), ""
    if name not in _SHARES:
        if half < 1e-3 * value or half < 1e-3 or value >= 1e7:
            return f"{short(value)} ± {short(half, 2)}", says
        digits = max(0, 1 - math.floor(math.log10(half)))
        return f"{value:,.{digits}f} ± {half:,.{digits}f}", says
    m = evaluation.samples
    if min(value, 1 - value) * m < 5:  # too few mistakes for a normal distribution
        low, high = wilson(value, m)
        return f"{_written(name, value)} ({100 * low:.1f} to {100 * high:.1f})", "in brackets the 95 % interval"
    digits = 1 if half >= 1e-3 else 2
    return f"{100 * value:.{digits}f} % ± {100 * half:.{digits}f}", says


def wilson(share: float, samples: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many samples.  Source: Wilson 1927 (Probable inference)."""
    z2 = SURE**2
    middle = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = SURE / (1 + z2 / samples) * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _written(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name in _SHARES else short(value)


def per_class(outcome: Outcome) -> list[tuple[str, int, float, float, float]]:
    """(class, samples, precision, recall, F1) of each; NaN where none was said or none was there."""
    assert outcome.names is not None
    rows: list[tuple[str, int, float, float, float]] = []
    for k, name in enumerate(outcome.names):
        said, there = outcome.predicted == k, outcome.truth == k
        both = int((said & there).sum())
        precision, recall = _share(both, int(said.sum())), _share(both, int(there.sum()))
        rows.append((name, int(there.sum()), precision, recall, _share(2 * both, int(said.sum() + there.sum()))))
    return rows


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def surest_mistakes(outcome: Outcome, most: int = 8) -> list[tuple[int, str, str, str]]:
    """(sample, what it is, what it was taken for, how sure), the surest first; of numbers the largest errors."""
    if outcome.names is None:
        if outcome.truth.shape != outcome.predicted.shape or outcome.truth.ndim != 2:
            return []
        errors = np.abs(outcome.predicted.astype(np.float64) - outcome.truth).mean(axis=1)
        order: Sequence[int] = np.argsort(-errors, kind="stable")[:most].tolist()
        return [
            (k, _numbers(outcome.truth[k]), _numbers(outcome.predicted[k]),
             _numbers(outcome.predicted[k].astype(np.float64) - outcome.truth[k]))
            for k in order
        ]  # fmt: skip
    wrong = np.flatnonzero(outcome.truth != outcome.predicted)
    sure = np.ones(len(wrong))
    if outcome.probabilities is not None:
        sure = outcome.probabilities[wrong, outcome.predicted[wrong]]
    chosen = wrong[np.argsort(-sure, kind="stable")[:most]].tolist()
    told = np.sort(-sure, kind="stable")[:most]
    return [
        (k, outcome.names[outcome.truth[k]], outcome.names[outcome.predicted[k]],
         "" if outcome.probabilities is None else f"{-s:.0%}")
        for k, s in zip(chosen, told, strict=True)
    ]  # fmt: skip


def _numbers(values: Array) -> str:
    return ", ".join(short(float(v)) for v in values)
