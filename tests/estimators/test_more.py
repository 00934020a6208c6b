"""What was refused there: every parameter that is new, and the network beneath."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, make_scorer, roc_auc_score
from sklearn.preprocessing import scale

import chainrule as cr

IRIS, KIND = load_iris(return_X_y=True)
IRIS = scale(IRIS)
TWO, YES = make_classification(300, 12, n_informative=6, random_state=1)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ENGINE = pytest.mark.parametrize("engine", ["reference", "compiled"])


def made(name: str = "MLPClassifier", **options: Any) -> Any:
    defaults = {"hidden_layer_sizes": (12,), "max_iter": 30, "random_state": 0, "learning_rate_init": 0.01}
    return getattr(cr, name)(**{**defaults, **options})


# --- the network -----------------------------------------------------------------------------------------------------


@ENGINE
def test_an_activation_for_each_layer(engine: str) -> None:
    own = [cr.Activation("z * sigmoid(z)"), "tanh", lambda z: z / (1 + abs(z))]
    model = made(hidden_layer_sizes=(9, 8, 7), activation=own, engine=engine, max_iter=100).fit(IRIS, KIND)
    names = [layer.activation.name for layer in model.network_.spec.layers]
    assert names[:2] == ["z * sigmoid(z)", "tanh"] and names[3] == "softmax"
    assert model.score(IRIS, KIND) > 0.9
    one = made(activation="gelu").fit(IRIS, KIND)
    np.testing.assert_array_equal(one.coefs_[0], made(activation=["gelu"]).fit(IRIS, KIND).coefs_[0])


@ENGINE
@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_normalisation_and_dropout(kind: str, engine: str) -> None:
    model = made(hidden_layer_sizes=(16, 8), normalisation=kind, dropout=[0.2, 0.0], engine=engine).fit(IRIS, KIND)
    layers = [type(layer).__name__ for layer in model.network_.spec.layers]
    norm = {"batch": "BatchNorm", "layer": "LayerNorm"}[kind]
    assert layers == ["Dense", norm, "Dropout", "Dense", norm, "Dense"]
    assert model.score(IRIS, KIND) > 0.85
    np.testing.assert_array_equal(model.predict_proba(IRIS), model.predict_proba(IRIS))  # no dropout any more
    again = made(hidden_layer_sizes=(16, 8), normalisation=kind, dropout=[0.2, 0.0], engine=engine).fit(IRIS, KIND)
    np.testing.assert_array_equal(again.coefs_[0], model.coefs_[0])


def test_dropout_changes_training_alone() -> None:
    assert made(dropout=0.5).fit(IRIS, KIND).loss_ > made().fit(IRIS, KIND).loss_


@ENGINE
def test_optimizers_with_schedules(engine: str) -> None:
    for optimizer in (cr.AdamW(0.02), cr.RMSProp(0.01), cr.SGD(cr.Cosine(0.5), momentum=0.9), cr.Adagrad(0.1)):
        model = made(optimizer=optimizer, engine=engine, n_iter_no_change=100).fit(IRIS, KIND)
        assert model.score(IRIS, KIND) > 0.9, optimizer
    rates = model.network_.history.column("learning_rate")
    assert (rates == 0.1).all()
    cosine = made(optimizer=cr.SGD(cr.Cosine(0.5)), n_iter_no_change=100).fit(IRIS, KIND)
    rates = cosine.network_.history.column("learning_rate")
    assert len(rates) == 30 and (np.diff(rates) < 0).all()
    assert hasattr(made(solver="lbfgs", optimizer=cr.SGD(0.1)), "partial_fit")


def test_adam_is_its_own_solver() -> None:
    """Where ε does not count, chainrule's Adam takes the same steps as solver="adam"."""
    a = made(epsilon=1e-14).fit(IRIS, KIND)
    b = made(optimizer=cr.Adam(0.01, epsilon=1e-14)).fit(IRIS, KIND)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-6)


def test_clip_norm() -> None:
    X, y = make_regression(100, 5, random_state=0)
    wild = {"solver": "sgd", "learning_rate_init": 10.0, "max_iter": 10}
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        made("MLPRegressor", **wild).fit(X, y)
    assert np.isfinite(made("MLPRegressor", clip_norm=1.0, **wild).fit(X, y).loss_)
    given = made("MLPRegressor", optimizer=cr.SGD(10.0), clip_norm=1.0, max_iter=10).fit(X, y)
    clipped = made("MLPRegressor", optimizer=cr.SGD(10.0, clip_norm=1.0), max_iter=10).fit(X, y)
    np.testing.assert_array_equal(given.coefs_[0], clipped.coefs_[0])


def test_l1_makes_weights_small() -> None:
    plain, sparse_ = made(max_iter=200).fit(IRIS, KIND), made(max_iter=200, l1=3.0).fit(IRIS, KIND)
    small = [np.mean(np.abs(m.coefs_[0]) < 0.01) for m in (plain, sparse_)]
    assert small[1] > small[0] + 0.2
    held = made(solver="lbfgs", l1=1.0).fit(IRIS, KIND)
    assert held.network_.spec.l1 == 1.0


# --- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "engine"),
    [
        pytest.param(loss, engine, marks=[pytest.mark.long] if engine == "compiled" and number % 3 else [])
        for number, loss in enumerate(
            ("absolute_error", "huber", "quantile", cr.huber(0.5), cr.Loss("(yhat - y) ** 4"))
        )
        for engine in ("reference", "compiled")
    ],
    ids=str,
)
def test_losses_of_regression(loss: Any, engine: str) -> None:
    X, y = make_regression(200, 5, random_state=0)
    y = y / y.std()
    model = made("MLPRegressor", loss=loss, engine=engine, max_iter=60).fit(X, y)
    assert model.score(X, y) > 0.7
    assert model.loss_ == pytest.approx(model.loss_curve_[-1])


def test_an_own_loss_is_its_formula() -> None:
    X, y = make_regression(80, 5, n_targets=2, random_state=0)
    a = made("MLPRegressor", loss=cr.Loss("0.25 * (yhat - y) ** 2")).fit(X, y)
    b = made("MLPRegressor", loss=lambda yhat, y: (yhat - y) ** 2 / 4).fit(X, y)
    c = made("MLPRegressor").fit(X, y)
    for other in (b, c):
        np.testing.assert_allclose(other.loss_curve_, a.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "last"), [("binary_cross_entropy", "logistic"), ("cross_entropy", "softmax"), ("poisson", "exp")]
)
def test_the_last_activation_follows_the_loss(loss: str, last: str) -> None:
    rng = np.random.default_rng(0)
    Y = rng.dirichlet(np.ones(3), len(IRIS))
    model = made("MLPRegressor", loss=loss).fit(IRIS, Y)
    assert model.out_activation_ == last and model.predict(IRIS).min() > 0


@pytest.mark.parametrize(
    ("loss", "engine"),
    [
        pytest.param(loss, engine, marks=[pytest.mark.long] if engine == "compiled" and number % 3 else [])
        for number, loss in enumerate(
            (
                *("squared_error", "absolute_error", "binary_cross_entropy", "cross_entropy", "huber"),
                *(cr.Loss("(yhat - y) ** 2 * (1 + y)"), cr.Cost("mean((yhat - y) ** 2)")),
            )
        )
        for engine in ("reference", "compiled")
    ],
    ids=str,
)
def test_losses_of_classification(loss: Any, engine: str) -> None:
    for X, y in ((IRIS, np.array(["a", "b", "c"])[KIND]), (TWO, YES == 1)):
        model = made(loss=loss, engine=engine, max_iter=100).fit(X, y)
        assert model.score(X, y) > 0.8, y.dtype
        p = model.predict_proba(X)
        assert p.shape == (len(X), len(model.classes_)) and np.allclose(p.sum(axis=1), 1)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))


def test_hinge_decides() -> None:
    for X, y in ((IRIS, KIND), (TWO, YES)):
        model = made(loss="hinge", max_iter=100).fit(X, y)
        assert model.score(X, y) > 0.9
        assert not hasattr(model, "predict_proba") and not hasattr(model, "predict_log_proba")
        found = model.decision_function(X)
        chosen = found.argmax(axis=1) if found.ndim == 2 else (found > 0).astype(int)
        np.testing.assert_array_equal(chosen, model.predict(X))
    assert not hasattr(made(), "decision_function")


@ENGINE
def test_label_smoothing(engine: str) -> None:
    for X, y in ((IRIS, KIND), (TWO, YES)):
        p = [made(label_smoothing=s, max_iter=200, engine=engine).fit(X, y).predict_proba(X) for s in (0, 0.2)]
        sure = [q.max(axis=1).mean() for q in p]
        assert sure[0] - 0.05 > sure[1] > 0.6
    X, Y = make_multilabel_classification(100, 8, n_classes=3, random_state=0)
    assert made(label_smoothing=0.3).fit(X, Y).predict_proba(X).max() < made().fit(X, Y).predict_proba(X).max()


@pytest.mark.parametrize("task", ["several classes", "two classes", "labels"])
def test_smoothed_labels_are_spread_evenly(task: str) -> None:
    """The loss of the first weights is that of targets (1 - s) y + s / K, K = 2 for yes and no."""
    X, y = {"several classes": (IRIS, KIND), "two classes": (TWO, YES)}.get(
        task, make_multilabel_classification(100, 8, n_classes=3, random_state=0)
    )
    one = made(label_smoothing=0.3, max_iter=1, batch_size=len(X), alpha=0.0, learning_rate_init=1e-12).fit(X, y)
    p = one.predict_proba(X)
    sure = y if task == "labels" else (y[:, None] == one.classes_)
    t = 0.7 * sure + 0.3 / (3 if task == "several classes" else 2)
    losses = -t * np.log(p) - ((1 - t) * np.log(1 - p) if task == "labels" else 0)
    assert one.loss_ == pytest.approx(losses.sum(axis=1).mean(), rel=1e-9)


# --- weights of classes ----------------------------------------------------------------------------------------------


def test_class_weight() -> None:
    rare = np.r_[np.flatnonzero(YES == 0), np.flatnonzero(YES == 1)[:20]]
    X, y = TWO[rare], YES[rare]
    plain, balanced = made(max_iter=10).fit(X, y), made(max_iter=10, class_weight="balanced").fit(X, y)
    assert balanced.predict(X).mean() > plain.predict(X).mean()
    by_hand = made(max_iter=10).fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    by_class = made(max_iter=10, class_weight={0: 1.0, 1: 3.0}).fit(X, y)
    np.testing.assert_array_equal(by_hand.coefs_[0], by_class.coefs_[0])
    both = made(max_iter=10, class_weight={0: 1.0, 1: 3.0}).fit(X, y, sample_weight=np.full(len(y), 2.0))
    product = made(max_iter=10).fit(X, y, sample_weight=np.where(y == 1, 6.0, 2.0))
    np.testing.assert_array_equal(both.coefs_[0], product.coefs_[0])
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        balanced.partial_fit(X, y)


# --- early stopping --------------------------------------------------------------------------------------------------


def test_validation_data_instead_of_a_split() -> None:
    model = made(early_stopping=True, max_iter=200).fit(TWO[:200], YES[:200], validation_data=(TWO[200:], YES[200:]))
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == model.n_iter_ < 200
    assert model.score(TWO[200:], YES[200:]) == max(model.validation_scores_) == model.best_validation_score_
    assert model.t_ == 200 * model.n_iter_ and "did not improve" in model.stopped_
    best = int(np.argmax(model.validation_scores_))
    p = model.predict_proba(TWO[200:])
    penalty = model.alpha / 2 * sum((W**2).sum() for W in model.coefs_) / 100
    assert model.validation_loss_curve_[best] == pytest.approx(log_loss(YES[200:], p) + penalty)


def test_validation_data_is_recorded_without_early_stopping() -> None:
    plain = made().fit(TWO[:200], YES[:200])
    w = np.linspace(0, 1, 100)
    model = made().fit(TWO[:200], YES[:200], validation_data=(TWO[200:], YES[200:], w))
    np.testing.assert_array_equal(plain.coefs_[0], model.coefs_[0])
    assert plain.validation_loss_curve_ is None and len(model.validation_loss_curve_) == model.n_iter_ == 30
    expected = log_loss(YES[200:], model.predict_proba(TWO[200:]), sample_weight=w)
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-3)
    newton = made(solver="lbfgs").fit(TWO[:200], YES[:200], validation_data=(TWO[200:], YES[200:]))
    assert len(newton.validation_loss_curve_) == newton.n_iter_


@pytest.mark.parametrize(
    "scoring", ["loss", "roc_auc", "neg_log_loss", make_scorer(roc_auc_score, response_method="predict_proba")]
)
def test_any_scorer(scoring: Any) -> None:
    pandas = pytest.importorskip("pandas") if scoring == "roc_auc" else None
    X = TWO if pandas is None else pandas.DataFrame(TWO, columns=[f"c{k}" for k in range(12)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # of names, above all
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = made(early_stopping=True, scoring=scoring, max_iter=60)
        model.fit(X[:200], YES[:200], validation_data=(X[200:], YES[200:]))
    best = int(np.argmax(model.validation_scores_))
    p = model.predict_proba(X[200:])[:, 1]
    if scoring == "loss":
        np.testing.assert_array_equal(model.validation_scores_, -np.array(model.validation_loss_curve_))
    elif scoring == "neg_log_loss":
        assert model.validation_scores_[best] == pytest.approx(-log_loss(YES[200:], p))
    else:
        assert model.validation_scores_[best] == pytest.approx(roc_auc_score(YES[200:], p))


def test_the_best_weights_without_a_validation_set() -> None:
    rough = {"solver": "sgd", "learning_rate_init": 0.6, "batch_size": 8, "max_iter": 25, "n_iter_no_change": 30}
    last = made(**rough).fit(TWO, YES)
    best = made(restore_best_weights=True, **rough).fit(TWO, YES)
    np.testing.assert_array_equal(last.loss_curve_, best.loss_curve_)
    position = int(np.argmin(best.loss_curve_))
    assert position < 24
    there = made(**{**rough, "max_iter": position + 1}).fit(TWO, YES)
    np.testing.assert_array_equal(best.coefs_[0], there.coefs_[0])
    kept = made(early_stopping=True, restore_best_weights=False, **rough).fit(TWO, YES)
    assert not np.array_equal(kept.coefs_[0], made(early_stopping=True, **rough).fit(TWO, YES).coefs_[0])


def test_a_warm_start_that_makes_it_worse_changes_nothing() -> None:
    """The best weights come back; theirs has written over them by then."""
    model = made(early_stopping=True, warm_start=True, n_iter_no_change=40).fit(TWO, YES)
    before, best = [W.copy() for W in model.coefs_], model.best_validation_score_
    model.set_params(solver="sgd", learning_rate_init=2.0, max_iter=3).fit(TWO, YES)
    assert max(model.validation_scores_[-3:]) < best == model.best_validation_score_
    for W, kept in zip(model.coefs_, before, strict=True):
        np.testing.assert_array_equal(W, kept)


def test_early_stopping_with_partial_fit() -> None:
    model = made(early_stopping=True, n_iter_no_change=3, learning_rate_init=0.02)
    held = (TWO[200:], YES[200:])
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True without validation_data"):
        model.partial_fit(TWO[:200], YES[:200], classes=[0, 1])
    calls, passed = 0, []
    while model.partial_fit(TWO[:200], YES[:200], validation_data=held if calls == 0 else None).stopped_ is None:
        passed.append(model.coefs_[0].copy())
        calls += 1
        assert calls < 300
    np.testing.assert_array_equal(model.coefs_[0], passed[int(np.argmax(model.validation_scores_))])
    assert len(model.validation_scores_) == calls + 1 and calls > 3
    assert model.score(*held) == model.best_validation_score_
    before = model.coefs_[0].copy()
    with pytest.warns(ConvergenceWarning, match="trains no further"):
        model.partial_fit(TWO[:200], YES[:200])
    np.testing.assert_array_equal(model.coefs_[0], before)
    model.set_params(early_stopping=False).partial_fit(TWO[:200], YES[:200])
    assert not np.array_equal(model.coefs_[0], before)


# --- several outputs with several classes ----------------------------------------------------------------------------


@ENGINE
def test_multiclass_multioutput(engine: str) -> None:
    rng = np.random.default_rng(0)
    colour = np.array(["red", "green", "blue"], object)[KIND]
    size = np.where(IRIS[:, 0] > 0, "large", "small").astype(object)
    y = np.stack([colour, size], axis=1)
    model = made(max_iter=150, engine=engine, learning_rate_init=0.02).fit(IRIS, y)
    assert [list(c) for c in model.classes_] == [["blue", "green", "red"], ["large", "small"]]
    predicted = model.predict(IRIS)
    assert predicted.shape == y.shape and (predicted == y).mean() > 0.93
    assert model.score(IRIS, y) == pytest.approx((predicted == y).all(axis=1).mean())
    p = model.predict_proba(IRIS)
    assert [q.shape for q in p] == [(150, 3), (150, 2)] and np.allclose(p[0].sum(1), 1) and np.allclose(p[1].sum(1), 1)
    assert np.allclose(model.predict_log_proba(IRIS)[1], np.log(p[1]))
    w = rng.uniform(0.5, 2, 150)
    weighted = made(max_iter=20, early_stopping=True, engine=engine).fit(IRIS, y, sample_weight=w)
    assert len(weighted.validation_scores_) == weighted.n_iter_
    expected = sum(log_loss(y[:, k], p[k], labels=list(model.classes_[k])) for k in range(2))
    penalty = model.alpha / 2 * sum((W**2).sum() for W in model.coefs_) / 150
    found = model.network_.cost(IRIS, model._encode(y)[1])
    assert found == pytest.approx(expected + penalty, rel=1e-6)


def test_multiclass_multioutput_in_parts() -> None:
    y = np.stack([KIND, (IRIS[:, 0] > 0) + 5 * (IRIS[:, 1] > 0)], axis=1)
    model = made()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(IRIS, y)
    classes = [np.unique(c) for c in y.T]
    for _ in range(150):
        model.partial_fit(IRIS, y, classes=classes)
    assert model.score(IRIS, y) > 0.85
    with pytest.raises(ValueError, match=r"classes not in `self.classes_\[0\]`"):
        model.partial_fit(IRIS, y + np.array([[7, 0]]))
    again = made(max_iter=3, warm_start=True).fit(IRIS, y).fit(IRIS, y)
    assert again.n_outputs_ == 3 + len(classes[1])
    for refused in ({"loss": "squared_error"}, {"label_smoothing": 0.1}):
        with pytest.raises(ValueError, match=r"[Ss]everal outputs"):
            made(**refused).fit(IRIS, y)


# --- hidden activations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", [None, "layer"])
def test_transform(normalisation: str | None) -> None:
    model = made(hidden_layer_sizes=(7, 5), activation=["relu", "identity"], normalisation=normalisation).fit(
        IRIS, KIND
    )
    first, last = model.transform(IRIS, layer=0), model.transform(IRIS)
    assert first.shape == (150, 7) and last.shape == (150, 5) and first.min() == 0 > last.min()
    if normalisation is None:
        np.testing.assert_allclose(first, np.maximum(IRIS @ model.coefs_[0] + model.intercepts_[0], 0), atol=1e-12)
    np.testing.assert_array_equal(model.transform(IRIS, layer=-2), first)
    z = last @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_array_equal(z.argmax(axis=1), model.predict(IRIS))
    assert list(model.get_feature_names_out())[:2] == ["mlpclassifier0", "mlpclassifier1"]
    assert len(model.get_feature_names_out(layer=0)) == 7
    np.testing.assert_array_equal(made().fit_transform(IRIS, KIND), made().fit(IRIS, KIND).transform(IRIS))
    for wrong in (2, -3, 0.5, True):
        with pytest.raises(ValueError, match="layer must be a whole number from -2 to 1"):
            model.transform(IRIS, layer=wrong)


# --- running ---------------------------------------------------------------------------------------------------------


def test_callbacks(tmp_path: Any) -> None:
    seen: list[tuple[int, float]] = []

    class Watch(cr.Callback):
        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            seen.append((record.epoch, record.cost))
            if record.epoch == 7:
                fit.request_stop("seven is enough")

    log = cr.CSVLog(tmp_path / "log.csv")
    model = made(callbacks=[Watch(), log]).fit(IRIS, KIND)
    assert model.n_iter_ == 7 and model.stopped_ == "seven is enough" == model.network_.history.stopped
    assert [c for _, c in seen] == model.loss_curve_ and len((tmp_path / "log.csv").read_text().splitlines()) == 8
    stopping = cr.EarlyStopping(patience=2, monitor="validation_metric")
    held = made(callbacks=[stopping], max_iter=200).fit(IRIS[::2], KIND[::2], validation_data=(IRIS[1::2], KIND[1::2]))
    assert held.n_iter_ < 200 and stopping.best_value == max(held.validation_scores_)


def test_a_callback_is_called_after_every_so_many_batches() -> None:
    """As in `Network.fit`; and the pauses change nothing in the numbers."""

    class Every(cr.Callback):
        every = 4

        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_batches_end(self, fit: cr.FitState) -> None:
            self.steps.append(fit.step)

    every = Every()
    options: dict[str, Any] = {"batch_size": 32, "max_iter": 5, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watched = cr.MLPClassifier((8,), callbacks=[every], **options).fit(IRIS, KIND)
        alone = cr.MLPClassifier((8,), **options).fit(IRIS, KIND)
    assert every.steps == list(range(4, 5 * -(-len(IRIS) // 32) + 1, 4))
    assert watched.loss_curve_ == alone.loss_curve_
    assert all(a.tobytes() == b.tobytes() for a, b in zip(watched.coefs_, alone.coefs_, strict=True))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_time_limit(solver: str) -> None:
    X = np.random.default_rng(0).normal(size=(2000, 50))
    model = made(
        solver=solver, hidden_layer_sizes=(200,), time_limit=0.2, max_iter=10**6, tol=0, n_iter_no_change=10**6
    )
    start = time.perf_counter()
    model.fit(X, X[:, 0] * X[:, 1] > 0)
    assert time.perf_counter() - start < 10 and "time limit of 0.2 s" in model.stopped_
    assert 0 < model.n_iter_ < 10**6


def test_engines_and_dtype() -> None:
    a, b = made(engine="reference").fit(IRIS, KIND), made(engine="compiled").fit(IRIS, KIND)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-9)
    assert a.network_.engines.name == "reference"
    single = made(dtype="float32").fit(IRIS, KIND)
    assert single.coefs_[0].dtype == np.float32 and made(dtype=np.float64).fit(IRIS, KIND).coefs_[0].dtype == np.float64
    np.testing.assert_allclose(single.loss_curve_, a.loss_curve_, rtol=1e-3)
    double = made(dtype="float64").fit(IRIS.astype(np.float32), KIND)
    assert double.coefs_[0].dtype == np.float64


def test_what_is_set_between_fits_counts() -> None:
    model = made(warm_start=True, max_iter=3).fit(IRIS, KIND)
    W = model.coefs_[0].copy()
    model.set_params(alpha=0.5, dropout=0.1).fit(IRIS, KIND)
    assert model.network_.spec.l2 == 0.5 and not np.array_equal(W, model.coefs_[0])
    assert np.linalg.norm(W - model.coefs_[0]) < np.linalg.norm(W)  # it went on, and did not begin anew


# --- the network beneath ---------------------------------------------------------------------------------------------


def test_network() -> None:
    model = made().fit(IRIS, KIND)
    net = model.network_
    assert "softmax with cross entropy" in str(net.program) or "dZ2" in str(net.program)
    np.testing.assert_array_equal(net.predict(IRIS), model.predict_proba(IRIS))
    assert set(net.gradients(IRIS, KIND)) == {"W1", "b1", "W2", "b2", "X"}
    assert len(net.history) == model.n_iter_ and net.history[-1].cost == model.loss_


def test_from_network() -> None:
    layers = [
        cr.Dense(8),
        cr.BatchNorm("relu"),
        cr.Dropout(0.1),
        cr.Dense(6),
        cr.BatchNorm("tanh"),
        cr.Dense(3, "softmax"),
    ]
    net = cr.Network(4, layers, "cross_entropy", l2=0.1, dtype="float64")
    net.fit(IRIS, KIND, epochs=20, verbose=False)
    model = cr.MLPClassifier.from_network(net, classes=["a", "b", "c"])
    assert model.hidden_layer_sizes == (8, 6) and model.activation == ["relu", "tanh"] and model.dropout == [0.1, 0.0]
    assert (model.normalisation, model.alpha, model.out_activation_, model.n_layers_) == ("batch", 0.1, "softmax", 4)
    np.testing.assert_array_equal(model.predict_proba(IRIS), net.predict(IRIS))
    assert set(model.predict(IRIS)) <= {"a", "b", "c"} and model.network_ is net
    model.partial_fit(IRIS, np.array(["a", "b", "c"])[KIND])
    np.testing.assert_array_equal(model.predict_proba(IRIS), model.network_.predict(IRIS))

    one = cr.Network(12, [cr.Dense(5, "tanh"), cr.Dense(1, "sigmoid")], "binary_cross_entropy", dtype="float64")
    assert cr.MLPClassifier.from_network(one).predict_proba(TWO).shape == (300, 2)
    line = cr.Network(12, [cr.Dense(5, "tanh"), cr.Dense(2)], "squared_error", dtype="float64")
    regressor = cr.MLPRegressor.from_network(line)
    np.testing.assert_array_equal(regressor.predict(TWO), line.predict(TWO))
    assert regressor.fit(TWO, TWO[:, :2]).loss_ > 0


def test_networks_that_no_estimator_describes() -> None:
    token = cr.Network(3, [cr.Embedding(5, 2), cr.Dense(3, "softmax")], "cross_entropy")
    no_bias = cr.Network(3, [cr.Dense(4, bias=False), cr.Dense(2)], "squared_error")
    for net, why in ((token, "Embedding"), (no_bias, "without bias")):
        with pytest.raises(ValueError, match=why):
            (cr.MLPClassifier if net is token else cr.MLPRegressor).from_network(net)
    net = cr.Network(4, [cr.Dense(3, "softmax")], "cross_entropy")
    for classes in ([1, 2], ["b", "a", "c"], [1, 1, 2], "abc"):
        with pytest.raises(ValueError, match="classes must be"):
            cr.MLPClassifier.from_network(net, classes=classes)
    for estimator in (cr.MLPClassifier, cr.MLPRegressor):
        with pytest.raises(ValueError, match=r"net must be a chainrule\.Network"):
            estimator.from_network("digits")
        with pytest.raises(ValueError, match="hidden_layer_sizes, dtype cannot be given"):
            estimator.from_network(net, dtype="float64", hidden_layer_sizes=(3,))
