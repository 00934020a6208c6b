"""Tables whose rows lie with several workers: what is learned does not depend on who has which."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from group_threads import Threads, together
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.tabular.own_rows import as_float, exact_sum

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

ROWS = 1300  # batches of 64 samples, which are two shards


def table(rows: int = ROWS) -> Any:
    rng = np.random.default_rng(0)
    age = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(40, 10, rows))
    job = rng.choice(["cook", "smith", "clerk"], rows)
    frame = pd.DataFrame({"age": age, "job": job, "id": np.arange(rows), "same": 1.0})
    frame["size"] = pd.Categorical(rng.choice(["s", "m", "l"], rows), categories=["s", "m", "l"], ordered=True)
    frame["late"] = np.where(np.arange(rows) < 700, None, "x")
    frame["count"] = pd.array(np.where(age > 50, None, rng.integers(0, 9, rows)), dtype="Int64")
    frame["since"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, rows), unit="D")
    frame["yes"] = np.where((np.nan_to_num(age, nan=40) > 40) ^ (job == "cook"), "yes", "no")
    frame["pay"] = 1e6 + np.nan_to_num(age) * 10 + 100 * (job == "smith")
    frame["weight"] = rng.random(rows)
    return frame.set_index(rng.permutation(rows))  # which is no column


TABLE = table()
X = ["age", "job", "id", "same", "size", "late", "count", "since"]


def fitted(make: Any, target: str, divided: list[list[int]], weighted: bool = False) -> list[Any]:
    """What each worker has, whose pieces have so many rows; workers follow on each other."""
    own: list[list[Any]] = []
    first = 0
    for sizes in divided:
        own.append([])
        for n in sizes:
            part = TABLE.iloc[first : first + n]
            own[-1].append((part[X], part[target], part["weight"] if weighted else None))
            first += n
    assert first == ROWS

    def work(group: Threads) -> Any:
        group.own_rows = True
        if all(len(each) == 1 for each in own):
            return make().fit(*own[group.rank][0], group=group)
        model = make()
        model._fit_own_rows(own[group.rank], group)
        return model

    ends = together(len(divided), work)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    return ends


def bits(model: Any) -> Any:
    weights = [array.tobytes() for net in model.networks_ for array in net.parameters.values()]
    return weights, model.preparation_, model.trained_.units, model.trained_.temperature, model.trained_.epochs


@pytest.mark.filterwarnings("ignore:X. left out, as they tell every row apart")
@pytest.mark.parametrize(
    ("make", "target", "weighted"),
    [
        (lambda: cr.TabularClassifier("fast", class_weight="balanced", random_state=0), "yes", True),
        pytest.param(lambda: cr.TabularClassifier("fast", random_state=0), "yes", False, marks=pytest.mark.long),
        (lambda: cr.TabularRegressor("fast", ensemble=2, random_state=0), "pay", False),
        pytest.param(
            lambda: cr.TabularRegressor("fast", quantiles=[0.1, 0.5], random_state=0),
            "pay",
            True,
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_same_bits_whoever_has_which_rows(make: Any, target: str, weighted: bool) -> None:
    (alone,) = fitted(make, target, [[ROWS]], weighted)
    for divided in ([[600], [300, 400]], [[5, 1290], [5]])[: 2 if target == "pay" and weighted else 1]:
        for model in fitted(make, target, divided, weighted):
            assert bits(model) == bits(alone)
    local = make().fit(TABLE[X], TABLE[target], TABLE["weight"] if weighted else None)
    assert alone.preparation_ == local.preparation_
    np.testing.assert_allclose(alone.trained_.units.offset, local.trained_.units.offset, rtol=1e-12)
    np.testing.assert_allclose(alone.trained_.units.scale, local.trained_.units.scale, rtol=1e-9)
    assert alone.score(TABLE[X], TABLE[target]) > local.score(TABLE[X], TABLE[target]) - 0.05


def test_what_is_wrong_is_told_to_all() -> None:
    missing = TABLE.assign(yes=TABLE["yes"].mask(TABLE["id"] == 900))

    def work(group: Threads) -> Any:
        part = missing.iloc[:650] if group.rank == 0 else missing.iloc[650:]
        cr.TabularClassifier("fast")._fit_own_rows([(part[X], part["yes"], None)], group)

    own_rows = together(
        2, lambda group: cr.TabularClassifier().fit(TABLE[X], None, group=cr.as_group(group, own_rows=True))
    )
    assert all("requires y to be passed" in str(end) for end in own_rows)
    told, own = together(2, work)
    assert "y has no value in row 250" in str(own) and "In the rows from 650 on" in str(own)
    assert isinstance(told, cr.GroupError) and "Worker 1 of 2 cannot go on: y has no value in row 250" in str(told)

    def other(group: Threads) -> Any:
        part = TABLE[X if group.rank == 0 else X[:-1]]
        cr.TabularClassifier("fast")._fit_own_rows([(part, TABLE["yes"], None)], group)

    assert all("the columns of X" in str(end) for end in together(2, other))

    def doubled(group: Threads) -> Any:
        X = TABLE[["age", "size"]].set_axis(["age", "age"], axis=1)
        cr.TabularClassifier("fast")._fit_own_rows([(X, TABLE["yes"], None)], group)

    assert all("X has 'age' more than once among its columns" in str(end) for end in together(2, doubled))


def test_columns_of_several_types() -> None:
    texts = np.array(["x", "y"])[np.arange(650) % 2]
    within = np.where(np.arange(650) == 600, 1, texts.astype(object))

    def fit(group: Threads, cells: Any) -> None:
        part = TABLE.iloc[650 * group.rank : 650 * (group.rank + 1)]
        X = pd.DataFrame({"age": part["age"].to_numpy(), "mixed": cells if group.rank else np.arange(650)})
        cr.TabularClassifier("fast")._fit_own_rows([(X, part["yes"], None)], group)

    for end in together(2, lambda group: fit(group, texts)):
        assert isinstance(end, cr.DataError) and "another type in some rows than in others" in str(end)
    told, own = together(2, lambda group: fit(group, within))
    assert isinstance(own, cr.DataError) and "The column 'mixed' holds what has no type in common" in str(own)
    assert isinstance(told, cr.GroupError) and "Worker 1 of 2 cannot go on: X: The column 'mixed'" in str(told)


@given(st.lists(st.floats(-1e300, 1e300, allow_subnormal=True), max_size=50))
def test_sums_are_exact(values: list[float]) -> None:
    for k in (0, len(values) // 2):
        parts = exact_sum(np.array(values[:k])) + exact_sum(np.array(values[k:]))
        assert as_float(parts) == math.fsum(values)
