"""MLPClassifier and MLPRegressor fitted to data that are read block by block."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.blocks.test_fit import SMALL, N, data, place, stream  # noqa: F401

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def classifier(**options: Any) -> Any:
    return cr.MLPClassifier((8,), **{"max_iter": 4, "random_state": 0, "engine": "reference", **options})


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.coefs_, b.coefs_, strict=True))


def texts() -> tuple[Any, Any]:
    X, y = data()
    return X, np.array(["no", "yes"])[y]


def table(path: Path) -> Path:
    pl = pytest.importorskip("polars")
    X, y = texts()
    pl.DataFrame({**{f"x{k}": X[:, k] for k in range(N)}, "y": y}).write_parquet(path / "t.parquet", row_group_size=700)
    return path / "t.parquet"


def test_data_that_are_small_are_fitted_as_arrays() -> None:
    X, y = texts()
    wanted = classifier(early_stopping=True).fit(X, y)
    fitted = classifier(early_stopping=True).fit(lambda: stream(X, y, 500))
    assert same(wanted, fitted) and fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.validation_scores_ == wanted.validation_scores_


@pytest.mark.parametrize(
    "options",
    [{}, {"early_stopping": True}, {"class_weight": "balanced"}, {"class_weight": {"no": 1, "yes": 5}}, {"alpha": 1.0},
     {"loss": "hinge"}, {"dtype": "float32"}, {"optimizer": cr.SGD(0.1)}],
)  # fmt: skip
def test_larger_ones_are_learned_as_well(options: dict[str, Any]) -> None:
    X, y = texts()
    one = classifier(**options).fit(X, y)
    other = classifier(**options).fit(cr.Blocks(lambda: stream(X, y, 500), memory=SMALL))
    assert other.loss_ == pytest.approx(one.loss_, rel=0.05) and not same(one, other)
    assert other.classes_.tolist() == ["no", "yes"] and other.n_features_in_ == N
    assert (other.predict(X) == one.predict(X)).mean() > 0.9
    if options.get("early_stopping"):
        assert len(other.validation_scores_) == 4 and other._held_ is None


def test_in_the_order_of_the_data_it_is_as_arrays() -> None:
    X, y = texts()
    w = 0.5 + np.arange(len(y)) % 3
    wanted = classifier(shuffle=False, batch_size=50).fit(X, y, w)
    assert same(wanted, classifier(shuffle=False, batch_size=50).fit(cr.Blocks(X, y, w, memory=SMALL)))


def test_a_table_gives_names_and_scores(tmp_path: Path, place: Path) -> None:  # noqa: F811
    _, y = texts()
    path = table(tmp_path)
    for given in ((path, "y"), (cr.Blocks(path, "y", memory=SMALL),)):
        model = classifier().fit(*given)
        assert model.feature_names_in_.tolist() == [f"x{k}" for k in range(N)]
        assert (model.predict(path) == y).mean() == model.score(path, "y")
        assert model.predict_proba(path).shape == (len(y), 2)
    assert not place.exists() or list(place.iterdir()) == []


def test_regression() -> None:
    X, _ = data()
    y = X[:, :2] @ [[2.0, 1.0], [0.0, 1.0]]
    options: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "engine": "reference"}
    for targets in (y, y[:, 0]):
        one = cr.MLPRegressor(**options).fit(X, targets)
        other = cr.MLPRegressor(**options).fit(cr.Blocks(X, targets, memory=SMALL))
        assert other.score(X, targets) == pytest.approx(one.score(X, targets), abs=0.05)
        assert other.score(cr.Blocks(X, targets)) == pytest.approx(other.score(X, targets))


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    X, y = texts()

    class Stop(cr.Callback):
        looks = writes = False
        at = 2

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            if record.epoch == self.at:
                raise KeyboardInterrupt

    options: dict[str, Any] = {"early_stopping": True, "max_iter": 5, "batch_size": 100}
    wanted = classifier(**options).fit(cr.Blocks(X, y, memory=SMALL))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for Stop.at in (2, 99):
            model = classifier(callbacks=[Stop()], **options)
            model.fit(cr.Blocks(X, y, memory=SMALL), checkpoint=tmp_path / "kept", resume=True)
    assert same(wanted, model) and model.validation_scores_ == wanted.validation_scores_


def test_what_cannot_be_is_said() -> None:
    X, y = texts()

    def says(match: str, X: Any = X, y: Any = y, **options: Any) -> None:
        with pytest.raises(ValueError, match=match):
            classifier(**options).fit(cr.Blocks(X, y, memory=SMALL))

    says("these do not fit into memory; take 'adam'", solver="lbfgs")
    says("one column of classes where", y=np.stack([np.arange(len(y)) % 2] * 2, 1))
    bad = X.copy()
    bad[2000, 3] = np.inf
    says(r"Block \d+ of X .*X must be finite. Got inf at \[\d+, 3\]", bad)
    says("must hold numbers", X.astype(str))
    says("Input y contains NaN", y=np.where(np.arange(len(y)) == 7, np.nan, 1.0))
    with pytest.raises(ValueError, match="non-zero number"):
        classifier().fit(cr.Blocks(X, y, np.zeros(len(y)), memory=SMALL))
