"""Tables that several workers learn, each other networks: the estimator is that of one who trains all of them."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import chainrule as cr
from chainrule.tabular.frame import read_frame
from chainrule.tabular.members import train
from chainrule.tabular.preparation import learn
from chainrule.tabular.recipe import Aim, recipe_for

sys.path.append(str(Path(__file__).parent))
from group_threads import together

pd = pytest.importorskip("pandas")

ROWS = 90
RNG = np.random.default_rng(3)
TABLE = pd.DataFrame(
    {"a": RNG.normal(size=ROWS), "b": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS)),
     "word": RNG.choice(["x", "y", "z"], ROWS)}
)  # fmt: skip
CLASSES = np.where(TABLE["a"] > 0, "up", "down")
NUMBERS = TABLE["a"].to_numpy() * 3 + RNG.normal(size=ROWS)
WEIGHTS = RNG.random(ROWS)
ENGINE = "reference"


def digested(model: Any) -> Any:
    """What must be the same, as bytes and texts."""
    trained = model.trained_
    arrays = [(name, array.tobytes()) for net in trained.networks for name, array in sorted(net.parameters.items())]
    told = (trained.temperature, trained.held_out, trained.epochs, trained.members)
    return arrays, repr(told)


def classified(group: Any, **options: Any) -> Any:
    model = cr.TabularClassifier("fast", ensemble=4, random_state=0, engine=ENGINE, class_weight="balanced", **options)
    return digested(model.fit(TABLE, CLASSES, WEIGHTS, group=group))


def regressed(group: Any) -> Any:
    model = cr.TabularRegressor("fast", ensemble=3, random_state=0, engine=ENGINE)
    return digested(model.fit(TABLE, NUMBERS, group=group))


@pytest.mark.parametrize("fit", [classified, regressed])
def test_any_number_of_workers_gives_the_bits_of_a_fit_without_a_group(fit: Any) -> None:
    expected = fit(None)
    for workers in (2, 3):  # of three one has nothing to train in the end
        assert together(workers, fit) == [expected] * workers


@pytest.mark.long
def test_random_numbers_are_worker_0s() -> None:
    def fit(group: Any) -> Any:
        return digested(cr.TabularRegressor("fast", ensemble=3, random_state=group.rank, engine=ENGINE).fit(
            TABLE, NUMBERS, group=group))  # fmt: skip

    assert together(2, fit) == [regressed(None)] * 2


def test_the_clock_is_worker_0s() -> None:
    def fit(group: Any) -> tuple[int, int]:
        model = cr.TabularRegressor("best", random_state=0, engine=ENGINE, time_limit=1e-3)
        model.fit(TABLE, NUMBERS, group=group)
        return len(model.networks_), model.trained_.recipe.members

    with pytest.warns(ConvergenceWarning, match="the time limit ended the training early"):
        ends = together(2, fit)
    assert ends[0] == ends[1] and ends[0][0] < ends[0][1]


class Slow(cr.Callback):
    """Takes its time."""

    looks = writes = False

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
        time.sleep(self.seconds)


def members(group: Any, callbacks: Any, timeout: float = 10.0, ended: Any = None) -> Any:
    """What training some members comes to, in the workers' own words."""

    group.timeout = timeout
    frame = read_frame(TABLE)
    preparation = learn(frame)
    inputs, _ = preparation.inputs(frame)
    aim = Aim("values")
    recipe = replace(recipe_for("fast", aim, ROWS, preparation.shape), members=4)
    return train(inputs, NUMBERS, aim=aim, recipe=recipe, shape=preparation.shape, engine=ENGINE, between=group,
                 callbacks=callbacks(group), ended=ended)  # fmt: skip


def test_who_is_through_waits_for_longer_than_the_timeout() -> None:
    def slow(group: Any) -> Any:
        return lambda k: [Slow(0.05)] if group.rank == 0 and k == 0 else []

    ends = together(3, lambda group: members(group, slow, timeout=0.3))
    assert [len(end.networks) for end in ends] == [4, 4, 4], ends


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("no more of this")])
def test_a_fault_of_one_ends_all(fault: BaseException) -> None:
    """At once, though the others are at work."""

    class Fails(cr.Callback):
        looks = writes = False

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            raise fault

    def callbacks(group: Any) -> Any:
        return lambda k: [Fails()] if group.rank == 1 else [Slow(0.2)]

    def fit(group: Any) -> Any:
        try:
            return members(group, callbacks)
        except KeyboardInterrupt:
            return "interrupted"

    began = time.monotonic()
    ends = together(3, fit)
    assert time.monotonic() - began < 6
    words = "it was interrupted." if isinstance(fault, KeyboardInterrupt) else "no more of this"
    assert ends[1] is fault or ends[1] == "interrupted"
    for end in (ends[0], ends[2]):
        assert isinstance(end, cr.GroupError) and str(end) == f"Worker 1 of 3 cannot go on: {words}"


def test_an_interrupt_keeps_what_all_have() -> None:
    """Where the caller asks for that: of each worker what has an epoch behind it."""

    class Ends(cr.Callback):
        looks = writes = False

        def on_epoch_end(self, fit: cr.FitState, record: cr.EpochRecord) -> None:
            if record.epoch == 2:
                raise KeyboardInterrupt

    def fit(group: Any) -> Any:
        ended: list[BaseException] = []
        trained = members(group, lambda g: lambda k: [Ends()] if g.rank == 0 else [Slow(0.1)], ended=ended)
        return len(trained.networks), [type(end) for end in ended]

    assert together(2, fit) == [(2, [KeyboardInterrupt])] * 2


@pytest.mark.long
def test_a_worker_that_is_gone() -> None:
    """Those who are at work learn of it at their next pause."""

    def fit(group: Any) -> Any:
        if group.rank == 1:
            group.exchange = lambda sent, received: time.sleep(2)
        return members(group, lambda g: lambda k: [Slow(0.05)], timeout=1.0)

    began = time.monotonic()
    first, _ = together(2, fit)
    assert isinstance(first, cr.GroupError) and "worker 1 has sent nothing for 1 seconds" in str(first)
    assert time.monotonic() - began < 10


def test_members_that_diverge() -> None:
    """One is left out, and all know it; where all do, all workers say so."""
    loss = cr.Loss("exp(exp(80 * (yhat - y)))")

    def fit(group: Any) -> Any:
        model = cr.TabularRegressor("fast", ensemble=2, random_state=0, engine=ENGINE, loss=loss)
        return model.fit(TABLE, NUMBERS, group=group)

    ends = together(2, fit)
    assert [type(end) for end in ends] == [cr.DivergedError] * 2 and len({str(end) for end in ends}) == 1


# --- bad input -------------------------------------------------------------------------------------------------------


def told(**options: Any) -> list[Any]:
    """What each of two workers raises; an option that is a list has a value for each."""

    def work(group: Any) -> Any:
        own = {name: value[group.rank] if isinstance(value, list) else value for name, value in options.items()}
        X, y, shared = own.pop("X", TABLE), own.pop("y", CLASSES), own.pop("own_rows", False)
        model = cr.TabularClassifier(**{"preset": "fast", "ensemble": 2, "engine": ENGINE, "random_state": 0, **own})
        return model.fit(X, y, group=cr.as_group(group, own_rows=shared))

    return together(2, work)


def test_workers_that_differ() -> None:
    cases: dict[str, dict[str, Any]] = {
        "the columns of the table": {"X": [TABLE, TABLE.rename(columns={"a": "A"})]},
        "the table": {"X": [TABLE, TABLE.assign(a=TABLE["a"] + 1)]},
        "the parameters": {"preset": ["fast", "default"]},
    }
    for what, options in cases.items():
        ends = told(**options)
        assert [type(end) for end in ends] == [cr.GroupError] * 2, ends
        assert f"The 2 workers do not train the same. They differ in {what}" in str(ends[0]) == str(ends[1])


def test_what_is_wrong_is_said_by_all() -> None:
    one, other = told(y=[CLASSES, CLASSES[:9]])
    assert isinstance(other, ValueError) and str(one).startswith("Worker 1 of 2 cannot go on: ")
    assert "The recipe has 1 network, and there are 2 workers" in str(told(ensemble=1)[0])
    stream = told(X=lambda: iter([(TABLE, CLASSES)]), y=None)
    assert "A group fits a table in memory" in str(stream[0])
