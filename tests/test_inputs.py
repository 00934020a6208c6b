"""What comes in: the same numbers in any form, and bad input, each with one clear line."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DataError, SpecError
from problems import classifier, table

RNG = np.random.default_rng


class Frame:
    """As a data frame hands itself to NumPy."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.array, dtype)


class Refuses:
    """As a tensor that needs its gradient answers NumPy."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("not now.")


def test_the_same_numbers_in_any_clothes(engine: str) -> None:
    X = RNG(0).integers(-3, 4, (12, 4))
    y = RNG(1).integers(0, 3, 12)
    net = classifier(engine)
    J, gradients = net.cost(X, y), net.gradients(X, y)
    wide = np.zeros((24, 9))
    wide[::2, 1::2] = X
    clothes_X = [X.astype(float), X.tolist(), np.asfortranarray(X.astype(float)), wide[::2, 1::2], X.astype(np.int8),
                 X.astype(np.float16), X.astype(">f8"), X.astype(object), Frame(X)]  # fmt: skip
    clothes_y = [y.tolist(), y.astype(np.uint8), y[:, None], np.repeat(y, 2)[::2], np.eye(3)[y],
                 np.eye(3, dtype=int)[y], np.eye(3, dtype=bool)[y], Frame(y)]  # fmt: skip
    for other in clothes_X:
        assert net.cost(other, y) == J
        np.testing.assert_array_equal(net.gradients(other, y)["W1"], gradients["W1"])
    for other in clothes_y:
        assert net.cost(X, other) == pytest.approx(J, rel=1e-12)
    read_only = X.astype(float)
    read_only.flags.writeable = False
    net.fit(read_only, y, epochs=1, verbose=False)


def test_truth_values_are_labels(engine: str) -> None:
    X, _ = table()
    y = X[:, 0] > 0
    two = cr.Network(4, [cr.Dense(2, "softmax")], "cross_entropy", engine=engine)
    assert two.cost(X, y) == two.cost(X, y.astype(int))
    one = cr.Network(4, [cr.Dense(1, "sigmoid")], "binary_cross_entropy", engine=engine)
    assert one.cost(X, y) == one.cost(X, y[:, None].astype(float))


def test_data_is_not_changed(engine: str) -> None:
    X, y = table()
    kept = X.copy(), y.copy()
    net = classifier(engine)
    net.fit(X, y, epochs=2, verbose=False)
    net.gradients(X, y)
    assert np.array_equal(X, kept[0]) and np.array_equal(y, kept[1])


def test_what_is_handed_out_is_the_callers_own(engine: str) -> None:
    X, y = table()
    for activation in ("tanh", cr.Activation("z * 0")):
        net = cr.Network(4, [cr.Dense(3, activation)], "squared_error", engine=engine)
        prediction, gradients = net.predict(X), net.gradients(X, np.eye(3)[y])
        again = net.predict(X).copy()
        prediction += 1
        for gradient in gradients.values():
            gradient += 1
        np.testing.assert_array_equal(net.predict(X), again)


def _bad(X: Any = None, y: Any = None, w: Any = None) -> tuple[Any, Any, Any]:
    good_X, good_y = table(6)
    return (good_X if X is None else X, good_y if y is None else y, w)


def _with(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    array = array.astype(float) if isinstance(value, float) else array.copy()
    array[place] = value
    return array


GOOD_X, GOOD_Y = table(6)

BAD_DATA: dict[str, tuple[tuple[Any, Any, Any], str]] = {
    "NaN in X": (_bad(X=_with(GOOD_X, (2, 3), math.nan)), r"X must be finite. Got nan at \[2, 3\]"),
    "several": (_bad(X=np.full((6, 4), np.inf)), r"Got inf at \[0, 0\] and 23 more"),
    "too large": (_bad(X=_with(GOOD_X, (1, 0), 1e300)), r"X must be finite. Got inf at \[1, 0\]"),
    "NaN in y": (_bad(y=_with(GOOD_Y, 4, math.nan)), r"y must be finite. Got nan at \[4\]"),
    "a vector": (_bad(X=GOOD_X[0]), r"of shape \(m, 4\). Got \(4,\) instead. For one sample write X\[None, :\]"),
    "a number": (_bad(X=3.0), "X"),
    "a cube": (_bad(X=GOOD_X[None]), r"of shape \(m, 4\). Got \(1, 6, 4\)"),
    "wrong width": (_bad(X=GOOD_X[:, :3]), "X must have 4 columns, the network's inputs. Got 3"),
    "no samples": (_bad(X=GOOD_X[:0], y=[]), "X is empty"),
    "an empty list": (_bad(X=[], y=[]), "X is empty"),
    "ragged": (_bad(X=[[1, 2, 3, 4], [1, 2]]), "X cannot be made an array"),
    "words in X": (_bad(X=[["a", "b", "c", "d"]] * 6), "X must hold numbers.*encode text columns first"),
    "None in X": (_bad(X=[[None, 1, 2, 3]] * 6), "X must hold numbers|X must be finite"),
    "dates": (_bad(X=np.full((6, 4), "2020-01-01", "M8[D]")), "X must hold numbers"),
    "masked": (_bad(X=np.ma.masked_less(GOOD_X, 0)), "X must have no masked values"),
    "beyond every float": (_bad(X=[[10**400, 1, 2, 3]] * 6), "X must hold numbers up to 1.8e308"),
    "what refuses to be an array": (_bad(X=Refuses()), "X cannot be made an array: not now"),
    "complex": (_bad(X=GOOD_X + 1j), "real numbers"),
    "too few y": (_bad(y=GOOD_Y[:5]), "one entry per sample. Got 5 for 6 samples"),
    "a scalar y": (_bad(y=1), "one entry per sample. Got none for 6"),
    "label too large": (_bad(y=_with(GOOD_Y, 3, 3)), r"labels from 0 to 2. Got 3 at \[3\]"),
    "label below 0": (_bad(y=_with(GOOD_Y, 3, -1)), r"labels from 0 to 2. Got -1 at \[3\]"),
    "labels with fractions": (_bad(y=GOOD_Y + 0.5), r"whole numbers \(labels 0 to 2\). Got 1.5 in row 0"),
    "words as labels": (_bad(y=["red"] * 6), "y must hold numbers"),
    "rows that are no probabilities": (_bad(y=np.full((6, 3), 0.5)), "Row 0 adds up to 1.5"),
    "wrong number of classes": (_bad(y=np.eye(4)[GOOD_Y]), r"y must be of shape \(6, 3\). Got \(6, 4\)"),
    "negative probabilities": (_bad(y=np.tile([1.5, -0.5, 0], (6, 1))), r"between 0 and 1 for cross_entropy"),
    "a weight too few": (_bad(w=np.ones(5)), r"sample_weight must be of shape \(6,\). Got \(5,\)"),
    "a negative weight": (_bad(w=_with(np.ones(6), 2, -1.0)), "sample_weight must not be negative. Got -1 in row 2"),
    "no weight at all": (_bad(w=np.zeros(6)), "nothing to learn from"),
    "NaN weight": (_bad(w=_with(np.ones(6), 2, math.nan)), "sample_weight must be finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_gets_one_clear_line_and_changes_nothing(name: str, engine: str) -> None:
    (X, y, w), says = BAD_DATA[name]
    net = classifier(engine, dtype="float32")
    before = net.parameters["W1"].copy()
    for call in (
        lambda: net.fit(X, y, epochs=1, sample_weight=w, verbose=False),
        lambda: net.cost(X, y, sample_weight=w),
        lambda: net.gradients(X, y, sample_weight=w),
        lambda: net.evaluate(X, y, sample_weight=w),
        lambda: net.fit(GOOD_X, GOOD_Y, epochs=1, validation_data=(X, y, w), verbose=False),
    ):
        with pytest.raises(DataError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert np.array_equal(net.parameters["W1"], before)


@pytest.mark.parametrize(
    ("loss", "last", "y", "says"),
    [
        ("squared_error", "identity", [[1.0, 2.0]] * 3, r"of shape \(3, 1\) or \(3,\). Got \(3, 2\)"),
        ("binary_cross_entropy", "sigmoid", [0.0, 1.0, 2.0], r"between 0 and 1 .* Got \[2.0\] in row 2"),
        ("poisson", "softplus", [1.0, -1.0, 2.0], "at least 0 for poisson"),
        ("hinge", "identity", [1.0, -1.0, 0.0], r"-1 or 1 for hinge. Got \[0.0\] in row 2"),
    ],
)  # fmt: skip
def test_targets_must_fit_the_loss(loss: str, last: str, y: Any, says: str, engine: str) -> None:
    net = cr.Network(2, [cr.Dense(1, last)], loss, engine=engine)
    with pytest.raises(DataError, match=says):
        net.cost(np.zeros((3, 2)), y)


@pytest.mark.parametrize(
    ("X", "says"),
    [
        ([[0, 5]], "X must hold tokens from 0 to 4 in column 1. Got 5 in row 0"),
        ([[0, -1]], "tokens from 0 to 4 in column 1. Got -1 in row 0"),
        ([[0.0, 1.0]], "whole numbers"),
        ([[0, 1, 2]], r"of shape \(m, 2\), 2 tokens a sample. Got \(1, 3\)"),
        (np.zeros((0, 2), int), "X is empty"),
    ],
)
def test_tokens_must_be_in_the_vocabulary(X: Any, says: str, engine: str) -> None:
    net = cr.Network(2, [cr.Embedding(5, 3), cr.Dense(1)], "squared_error", engine=engine)
    for _ in range(2):  # the second time past the quick way for single samples
        with pytest.raises(DataError, match=says):
            net.predict(X)
        net.predict([[0, 1]])


def test_a_single_sample_of_tokens(engine: str) -> None:
    net = cr.Network(3, [cr.Embedding(50, 7), cr.LayerNorm("tanh"), cr.Dense(4)], "squared_error", engine=engine)
    X = RNG(0).integers(0, 50, (20, 3))
    several = net.predict(X)
    for dtype in (np.int64, np.uint8, np.int32, ">i4", np.uint64):
        for k in range(20):
            np.testing.assert_allclose(net.predict(X[k : k + 1].astype(dtype))[0], several[k], rtol=1e-5, atol=1e-6)
    for wrong in ([[0, 1, 2**64 - 1]], [[0, 1, 50]]):
        with pytest.raises(DataError, match="tokens from 0 to 49"):
            net.predict(np.array(wrong, np.uint64))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "epochs must be a positive whole number. Got 0"),
        ({"epochs": 1.5}, "Got 1.5"),
        ({"batch_size": -1}, "batch_size must be a positive whole number. Got -1"),
        ({"threads": 0}, "threads"),
        ({"optimizer": "adm"}, "Unknown optimizer 'adm'. Did you mean 'adam'"),
        ({"optimizer": 0.1}, r"optimizer must be a name or an Optimizer such as cr.Adam\(1e-3\). Got 0.1"),
        ({"optimizer": cr.Adam}, r"Call it: Adam\(...\)"),
        ({"validation_data": GOOD_X}, "validation_data"),
        ({"validation_data": (GOOD_X,)}, "validation_data"),
        ({"validation_data": (GOOD_X * math.inf, GOOD_Y)}, "validation_data: X must be finite"),
        ({"verbose": "loud"}, "'auto'"),
        ({"callbacks": None}, "Each of the callbacks must be a Callback .* Got None"),
        ({"callbacks": [cr.EarlyStopping]}, r"Call it: EarlyStopping\(...\)"),
        ({"optimizer": cr.SGD(cr.Adam())}, "The learning rate must be .* Got Adam"),
    ],
)
def test_bad_settings_of_a_fit(options: dict[str, Any], says: str, engine: str) -> None:
    net = classifier(engine)
    history = net.fit(GOOD_X, GOOD_Y, epochs=1, verbose=False)
    with pytest.raises((DataError, SpecError), match=says):
        net.fit(GOOD_X, GOOD_Y, **{"epochs": 1, "verbose": False, **options})
    assert net.history is history


def test_what_cannot_be_written_is_not_trained(engine: str) -> None:
    net = classifier(engine)
    net.parameters["W1"].flags.writeable = False
    before = {name: array.copy() for name, array in net.parameters.items()}
    with pytest.raises(SpecError, match="W1 cannot be written"):
        net.fit(GOOD_X, GOOD_Y, epochs=1)
    assert all(np.array_equal(net.parameters[name], before[name]) for name in before)


def test_numbers_that_lie_across_their_places(engine: str) -> None:
    net = classifier(engine, dtype="float32")
    memory = bytearray(GOOD_X.size * 4 + 1)
    across = np.frombuffer(memory, np.float32, offset=1).reshape(GOOD_X.shape)
    across[...] = GOOD_X
    labels = np.frombuffer(bytearray(len(GOOD_Y) * 8 + 1), np.int64, offset=1)
    labels[...] = GOOD_Y
    assert not across.flags.aligned and not labels.flags.aligned
    assert all(array.flags.aligned for array in net._data(across, labels)[0].values())
    assert net.cost(across, labels) == net.cost(GOOD_X, GOOD_Y)


def test_bad_settings_of_a_network_all_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        cr.Network(2, [cr.Dense(1)], "squared_error", dtype="float16", seed=-1, engine="gpu")  # type: ignore[arg-type]
    assert len(caught.value.faults) == 3
    with pytest.raises(SpecError) as caught:
        cr.Network(0, [cr.Dense(1)], "squared_eror", dtype="float16", seed=-1, engine="gpu")  # type: ignore[arg-type]
    assert len(caught.value.faults) == 5
    with pytest.raises(SpecError, match="400,000,000,000,000,000,000 parameters: more than any memory holds"):
        cr.Network(3, [cr.Dense(10**20)], "squared_error")
    with pytest.raises(SpecError, match=r"initial weights W1 of standard deviation 1e\+300 do not fit float32"):
        cr.Network(3, [cr.Dense(2, weights=1e300)], "squared_error")
    for dtype in ("float32", np.float32, np.dtype("float32")):
        assert cr.Network(2, [cr.Dense(1)], "squared_error", dtype=dtype).dtype == np.float32  # type: ignore[arg-type]


def test_a_cost_refuses_sample_weights(engine: str) -> None:
    net = cr.Network(4, [cr.Dense(3)], cr.Cost("mean((yhat - y) ** 2)"), engine=engine)
    with pytest.raises(SpecError, match="do not go with a Cost"):
        net.fit(GOOD_X, np.zeros((6, 3)), epochs=1, sample_weight=np.ones(6), verbose=False)


def test_nothing_warns_in_single_precision_at_the_edge(engine: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = classifier(engine, dtype="float32")
        net.fit(GOOD_X * 1e10, GOOD_Y, epochs=2, verbose=False)


def test_the_summary_names_layers_shapes_and_counts() -> None:
    layers = [cr.Embedding(27, 10), cr.Dense(8, "tanh"), cr.Dropout(0.5), cr.BatchNorm(), cr.Dense(27, "softmax")]
    text = cr.Network(3, layers, "cross_entropy").summary()
    for said in ("embedding 27 x 10", "(m, 30)", "dense tanh", "248", "dropout 0.5", "batch normalisation", "softmax"):
        assert said in text
    assert f"{27 * 10 + 30 * 8 + 8 + 16 + 8 * 27 + 27:,} parameters" in text
