"""Estimators that several workers fit together end with the bits that one ends with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import chainrule as cr

sys.path.append(str(Path(__file__).parent))
from group_threads import together

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SAMPLES, FEATURES = 330, 5
RNG = np.random.default_rng(3)
X = RNG.normal(size=(SAMPLES, FEATURES))
CLASSES = np.array(["ape", "bee", "cat"], object)[np.digitize(X[:, 0] + X[:, 1] ** 2, [0.2, 1.5])]
NUMBERS = X @ [1.0, 2.0, 0.5, -1.0, 3.0] + RNG.normal(size=SAMPLES)
LABELS = (np.stack([X[:, 0], X[:, 1], X[:, 2]], 1) > 0.3).astype(int)
OUTPUTS = np.stack([np.digitize(X[:, 0], [-0.5, 0.5]), np.digitize(X[:, 1], [0.2])], 1)
WEIGHTS = RNG.random(SAMPLES)
SETTINGS: dict[str, Any] = {
    "hidden_layer_sizes": (8,), "max_iter": 4, "batch_size": 128, "random_state": 0, "engine": "reference",
}  # fmt: skip
CUTS = ([0, 0.5, 1], [0, 0.1, 1], [0, 0.3, 0.9, 1])
"""Where the rows of two or three workers begin."""


def digested(model: Any) -> dict[str, Any]:
    """What must be the same, as bytes and texts."""
    kept = [model.loss_curve_, model.validation_loss_curve_, model.validation_scores_, model.n_iter_, model.stopped_]
    classes = [np.asarray(c).tolist() for c in getattr(model, "classes_", ())]
    arrays = {**model.network_.parameters, **model.network_.state}
    return {name: array.tobytes() for name, array in arrays.items()} | {"kept": repr(kept), "classes": repr(classes)}


def fitted(group: Any, kind: Any, y: Any, own: slice | None = None, **options: Any) -> Any:
    """An estimator fitted by one of the workers; own: its rows, where it has not all."""
    weights = options.pop("sample_weight", None)
    more = {name: options.pop(name) for name in ("validation_data", "checkpoint", "resume") if name in options}
    model = kind(**{**SETTINGS, **options})
    rows = slice(None) if own is None else own
    given = None if weights is None else weights[rows]
    shared = None if group is None else cr.as_group(group, own_rows=own is not None)
    return model.fit(options.get("X", X)[rows], y[rows], given, group=shared, **more)


def parted(group: Any, cuts: list[float], kind: Any, y: Any, **options: Any) -> dict[str, Any]:
    """Of a worker who has the rows between two cuts alone."""
    a, b = (int(cut * SAMPLES) for cut in cuts[group.rank : group.rank + 2])
    return digested(fitted(group, kind, y, slice(a, b), **options))


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "classes": (cr.MLPClassifier, CLASSES, {"class_weight": "balanced", "early_stopping": True}),
    "weighted": (cr.MLPClassifier, CLASSES, {"sample_weight": WEIGHTS, "early_stopping": True, "scoring": "loss"}),
    "two classes": (cr.MLPClassifier, CLASSES == "ape", {"early_stopping": True, "scoring": "roc_auc"}),
    "labels": (cr.MLPClassifier, LABELS, {"dropout": 0.2}),
    "sparse labels": (cr.MLPClassifier, sparse.csr_array(LABELS), {"early_stopping": True}),
    "outputs": (cr.MLPClassifier, OUTPUTS, {"class_weight": "balanced"}),
    "numbers": (cr.MLPRegressor, NUMBERS, {"early_stopping": True, "sample_weight": WEIGHTS, "engine": "compiled"}),
    "normalised": (cr.MLPRegressor, NUMBERS, {"normalisation": "batch", "solver": "sgd", "learning_rate": "adaptive"}),
}


@pytest.mark.parametrize("case", CASES)
def test_any_number_of_workers_gives_the_same_bits(case: str) -> None:
    """Those who have all rows, and those who have rows of their own, whoever has which."""
    kind, y, options = CASES[case]
    y = y if not sparse.issparse(y) else sparse.csr_array(y)
    ends = [
        end
        for workers in (1, 2, 3)
        for end in together(workers, lambda group: digested(fitted(group, kind, y, **options)))
    ]
    assert all(end == ends[0] for end in ends)
    (expected,) = together(1, lambda group: parted(group, [0, 1], kind, y, **options))
    for cuts in CUTS:
        ends = together(len(cuts) - 1, lambda group, cuts=cuts: parted(group, cuts, kind, y, **options))
        assert ends == [expected] * len(ends)


def test_it_is_the_fit_without_a_group_but_for_rounding() -> None:
    alone = fitted(None, cr.MLPClassifier, CLASSES, early_stopping=True)
    shared, _ = together(2, lambda group: fitted(group, cr.MLPClassifier, CLASSES, early_stopping=True))
    assert alone.validation_scores_ == shared.validation_scores_
    for one, other in zip(alone.coefs_, shared.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert shared.score(X, CLASSES) == alone.score(X, CLASSES)


def test_classes_are_those_of_all_rows() -> None:
    """Sorted by class, so that each worker has others."""
    order = np.argsort(CLASSES, kind="stable")
    names, rows = CLASSES[order], X[order]

    def fit(group: Any) -> Any:
        own = slice(0, 60) if group.rank == 0 else slice(60, None)
        model = cr.MLPClassifier(**SETTINGS)
        return model.fit(rows[own], names[own], group=cr.as_group(group, own_rows=True))

    assert len(np.unique(names[:60])) < 3
    assert [model.classes_.tolist() for model in together(2, fit)] == [["ape", "bee", "cat"]] * 2


def test_random_numbers_are_worker_0s() -> None:
    def fit(group: Any) -> dict[str, Any]:
        return digested(fitted(group, cr.MLPClassifier, CLASSES, random_state=np.random.RandomState(group.rank)))

    one, other = together(2, fit)
    assert one == other


def test_data_larger_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))

    def fit(group: Any) -> dict[str, Any]:
        model = cr.MLPClassifier(**SETTINGS, early_stopping=True)
        model.fit(cr.Blocks(X, CLASSES, WEIGHTS, memory=1 << 12), group=group)
        return digested(model)

    ends = [end for workers in (1, 2) for end in together(workers, fit)]
    assert ends == [ends[0]] * 3


def test_checkpoints_are_gone_on_from_by_another_number_of_workers(tmp_path: Path) -> None:
    class Ends(cr.Callback):
        looks = writes = False
        once = True

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            if record.epoch == 2 and self.once:
                raise KeyboardInterrupt

    def begun(group: Any) -> Any:
        try:
            return parted(group, [0, 0.3, 1], cr.MLPClassifier, CLASSES, early_stopping=True, callbacks=[Ends()],
                          checkpoint=tmp_path)  # fmt: skip
        except KeyboardInterrupt:
            return "interrupted"

    assert together(2, begun) == ["interrupted"] * 2
    options: dict[str, Any] = {"early_stopping": True, "checkpoint": tmp_path, "resume": True, "callbacks": [Ends()]}
    Ends.once = False
    ends = together(3, lambda group: parted(group, [0, 0.2, 0.9, 1], cr.MLPClassifier, CLASSES, **options))
    (expected,) = together(1, lambda g: parted(g, [0, 1], cr.MLPClassifier, CLASSES, early_stopping=True))
    assert ends == [expected] * 3


def test_lines_are_worker_0s(capsys: pytest.CaptureFixture[str]) -> None:
    together(2, lambda group: fitted(group, cr.MLPRegressor, NUMBERS, verbose=True, max_iter=1))
    assert capsys.readouterr().out.count("Iteration 1, loss") == 1


# --- bad input -------------------------------------------------------------------------------------------------------


def told(workers: int, own_rows: bool = False, **options: Any) -> list[Any]:
    """What each worker raises; an option that is a list has a value for each."""

    def work(group: Any) -> Any:
        own = {name: value[group.rank] if isinstance(value, list) else value for name, value in options.items()}
        given = {"X": X, "y": CLASSES} | {name: own.pop(name) for name in ("X", "y", "sample_weight") if name in own}
        model = cr.MLPClassifier(**{**SETTINGS, **own})
        model.fit(**given, group=cr.as_group(group, own_rows=own_rows))

    return together(workers, work)


def test_workers_that_differ() -> None:
    cases: dict[str, dict[str, Any]] = {
        "the data": {"X": [X, X + 1]},
        "the settings": {"tol": [1e-4, 1e-3]},
        "the program": {"alpha": [0.1, 0.2]},
        "the columns of X: 5 of float64 at worker 0, 4 of float64": {"X": [X, X[:, :4]], "own_rows": True},
        "the targets: texts × () at worker 0, numbers": {"y": [CLASSES, NUMBERS > 0], "own_rows": True},
        "the weights of the samples": {"sample_weight": [None, WEIGHTS], "own_rows": True},
    }
    for what, options in cases.items():
        ends = told(2, **options)
        assert [type(end) for end in ends] == [cr.GroupError] * 2, ends
        assert len({str(end) for end in ends}) == 1
        assert f"The 2 workers do not train the same. They differ in {what}" in str(ends[0])


def test_a_fault_of_one_is_told_to_all() -> None:
    wrong = X.copy()
    wrong[3, 1] = np.nan
    for own_rows in (False, True):
        one, other = told(2, own_rows, X=[X, wrong])
        assert isinstance(other, cr.DataError) and "Input X contains NaN" in str(other)
        assert isinstance(one, cr.GroupError) and str(one).startswith("Worker 1 of 2 cannot take part: Input X")
    one, other = told(2, True, X=[X, X[:0]], y=[CLASSES, CLASSES[:0]])
    assert "Found array with 0 sample(s)" in str(other) and "Worker 1 of 2 cannot take part" in str(one)


def test_what_a_group_cannot_do() -> None:
    assert "solver='lbfgs' has none" in str(told(2, solver="lbfgs")[1])
    assert "and there are 2 workers: some would have nothing to do" in str(told(2, batch_size=32)[1])
    few = {"X": [X[:9], X[9:20]], "y": [CLASSES[:9], CLASSES[9:20]], "batch_size": "auto"}
    assert "A batch of 20 samples has 1 shard of 32" in str(told(2, True, **few)[0])
    options: dict[str, Any] = {"early_stopping": True, "scoring": lambda model, X, y: 0.0}
    assert "scoring must be None or a name" in str(told(2, True, **options)[0])
    frame = pytest.importorskip("pandas").DataFrame(X).assign(word="a")
    assert "would be learned from these rows alone" in str(told(2, True, X=frame)[0])
    zeros = np.zeros(SAMPLES)
    assert "at least one non-zero number" in str(told(2, True, sample_weight=zeros)[1])
    assert told(2, True, sample_weight=[zeros, WEIGHTS]) == [None, None]
