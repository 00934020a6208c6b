"""The recipe for tables: settings, the network that they describe, members and what they predict."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tabular.description import arrays, describe
from chainrule.tabular.inputs import InputShape, TableInputs
from chainrule.tabular.members import Trained, parts_of, train
from chainrule.tabular.recipe import Aim, Recipe, recipe_for

SHAPE = InputShape(("a", "b"), ((-1.0, 0.0, 1.0), (-2.0, 2.0)), ("f",), ("c",), (4,))
ROWS = 160


def table(seed: int = 0) -> TableInputs:
    rng = np.random.default_rng(seed)
    return TableInputs(
        rng.normal(size=(ROWS, 2)).astype(np.float32),
        rng.choice([-1.0, 1.0], size=(ROWS, 1)).astype(np.float32),
        rng.integers(0, 4, size=(ROWS, 1)).astype(np.int32),
    )


INPUTS = table()
SIGNAL = (INPUTS.numbers[:, 0] + 0.5 * INPUTS.flags[:, 0] + (INPUTS.categories[:, 0] == 2)).astype(float)


def quick(aim: Aim, **changes: Any) -> Recipe:
    small: dict[str, Any] = {
        "members": 2,
        "epochs": 12,
        "hidden": (16,),
        "batch_size": 32,
        "rate": 0.02,
        "patience": 20,
    }
    return replace(recipe_for("fast", aim, ROWS, SHAPE), **(small | changes))


def trained(aim: Aim, y: Any, **options: Any) -> Trained:
    changes = options.pop("changes", {})
    return train(INPUTS, y, aim=aim, recipe=quick(aim, **changes), shape=SHAPE, engine="reference", **options)


@pytest.mark.parametrize("preset", ["fast", "default", "best"])
@pytest.mark.parametrize("aim", [Aim("classes", 3), Aim("values", 2), Aim("counts"), Aim("quantiles", 1, (0.1, 0.9))])
def test_a_recipe_is_json_and_describes_a_network(preset: Any, aim: Aim) -> None:
    recipe = recipe_for(preset, aim, 1000, SHAPE)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    net = describe(SHAPE, aim, recipe)
    assert cr.NetworkSpec.from_dict(json.loads(json.dumps(net.spec.to_dict()))) == net.spec


def test_presets_differ_and_large_tables_are_passed_less_often() -> None:
    aim = Aim("values")
    fast, usual, best = (recipe_for(p, aim, 1000, SHAPE) for p in ("fast", "default", "best"))
    assert fast.members <= usual.members < best.members
    assert recipe_for("default", aim, 300_000, SHAPE).epochs < usual.epochs
    with pytest.raises(cr.SpecError, match="preset"):
        recipe_for("quick", aim, 10, SHAPE)  # type: ignore[arg-type]


def test_members_have_their_settings_in_turn() -> None:
    turns = ((), (("pieces", 0), ("waves", 4), ("activation", "selu")))
    aim = Aim("values")
    result = trained(aim, SIGNAL, changes={"turns": turns, "members": 3, "epochs": 2})
    waves = [[s.shape for s in network.spec.parameters if s.letter == "w"] for network in result.networks]
    assert waves == [[], [(2, 4)], []]
    again = Trained.from_dict(json.loads(json.dumps(result.to_dict())), result.networks[1:])
    assert again.recipe.turns == turns
    moved = replace(again, members=again.members[1:])  # the first one diverged, say
    pair = [result.networks[k].predict(arrays(INPUTS, SHAPE, result.recipe.of(k))) for k in (1, 2)]
    alone = [result.units.back(values, clip=True) for values in pair]
    np.testing.assert_allclose(moved.predict(INPUTS), np.mean(alone, axis=0), rtol=1e-5)
    with pytest.raises(cr.SpecError, match="parts"):
        Recipe.from_dict(result.recipe.to_dict() | {"turns": [{"parts": 3}]})


def test_few_rows_that_are_all_right_leave_the_temperature_moderate() -> None:
    far = TableInputs(np.sign(INPUTS.numbers[:24]) * 3, INPUTS.flags[:24] * 0, INPUTS.categories[:24] * 0)
    y = (far.numbers[:, 0] > 0).astype(int)
    aim = Aim("classes", 2)
    result = train(far, y, aim=aim, recipe=quick(aim, epochs=60), shape=SHAPE, engine="reference")
    assert (result.predict(far).argmax(axis=1) == y).all()
    assert result.temperature > 0.25  # the least that is tried is 0.2


def test_classes_are_probabilities_better_than_their_shares() -> None:
    y = (SIGNAL > 0.3).astype(int) + (SIGNAL > 1.2)
    result = trained(Aim("classes", 3), y)
    p = result.predict(INPUTS)
    shares = np.bincount(y) / ROWS
    assert p.shape == (ROWS, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert (p.argmax(axis=1) == y).mean() > 0.7
    assert result.held_out < -(shares * np.log(shares)).sum()
    assert 0.2 <= result.temperature <= 5
    assert result.spread(INPUTS).max() > 0


def test_what_was_trained_comes_back_from_json_and_its_networks() -> None:
    result = trained(Aim("values"), SIGNAL)
    again = Trained.from_dict(json.loads(json.dumps(result.to_dict())), result.networks)
    np.testing.assert_array_equal(again.predict(INPUTS), result.predict(INPUTS))
    own = trained(Aim("values", loss=cr.Loss("abs(yhat - y) ** 1.5")), SIGNAL, changes={"epochs": 1})
    again = Trained.from_dict(json.loads(json.dumps(own.to_dict())), own.networks)
    assert again.aim == own.aim


def test_values_in_any_unit_stay_within_what_was_seen() -> None:
    y = np.stack([1e9 + 1e6 * SIGNAL, -SIGNAL], axis=1)
    result = trained(Aim("values", 2), y)
    far = TableInputs(INPUTS.numbers * 100, INPUTS.flags, INPUTS.categories)
    assert np.square(result.predict(INPUTS) - y).mean(axis=0)[0] < 0.5 * y[:, 0].var()
    assert (result.predict(far) <= y.max(axis=0)).all()
    assert (result.predict(far) >= y.min(axis=0)).all()


def test_quantiles_do_not_cross_and_counts_are_not_negative() -> None:
    quantiles = trained(Aim("quantiles", 1, (0.1, 0.5, 0.9)), SIGNAL).predict(INPUTS)
    assert quantiles.shape == (ROWS, 3)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, 0] > SIGNAL).mean() < 0.35
    assert (quantiles[:, 2] < SIGNAL).mean() < 0.35
    counts = np.random.default_rng(0).poisson(np.exp(SIGNAL))
    expected = trained(Aim("counts"), counts).predict(INPUTS)
    assert (expected >= 0).all()
    assert np.square(expected[:, 0] - np.exp(SIGNAL)).mean() < np.square(counts.mean() - np.exp(SIGNAL)).mean()


def test_weights_and_class_weights_count() -> None:
    y = np.arange(ROWS) % 4 // 3
    aim = Aim("classes", 2)
    plain = trained(aim, y).predict(INPUTS)[:, 1].mean()
    balanced = trained(aim, y, class_weight="balanced").predict(INPUTS)[:, 1].mean()
    assert plain < 0.35 < balanced
    weighted = trained(aim, y, weights=np.where(y == 1, 3.0, 1.0)).predict(INPUTS)[:, 1].mean()
    np.testing.assert_allclose(weighted, balanced, atol=0.02)


def test_the_same_seed_gives_the_same_and_time_ends_it() -> None:
    aim = Aim("values")
    one, two = (trained(aim, SIGNAL, seed=3, changes={"epochs": 2}) for _ in range(2))
    np.testing.assert_array_equal(one.predict(INPUTS), two.predict(INPUTS))
    short = trained(aim, SIGNAL, time_limit=0.01, changes={"epochs": 10_000, "members": 50, "patience": 10_000})
    assert len(short.networks) < 50
    assert short.short_of_time().startswith(
        f"the time limit ended the training early, with {len(short.networks)} of 50"
    )
    assert one.short_of_time() == ""
    assert np.isfinite(short.predict(INPUTS)).all()


@pytest.mark.parametrize(
    ("aim", "sign"),
    [
        (Aim("values"), -1),
        (Aim("classes", 2), 1),
        (Aim("counts"), -1),
        pytest.param(Aim("values"), 1, marks=pytest.mark.long),
        pytest.param(Aim("classes", 2), -1, marks=pytest.mark.long),
        pytest.param(Aim("counts"), 1, marks=pytest.mark.long),
    ],
)
def test_what_is_to_rise_rises(aim: Aim, sign: int) -> None:
    noisy = np.sin(3 * INPUTS.numbers[:, 0]) + SIGNAL
    y = {"values": noisy, "classes": (noisy > 0.5).astype(int), "counts": np.maximum(noisy, 0)}[aim.kind]
    result = trained(aim, y, rising={"a": sign})
    again = Trained.from_dict(json.loads(json.dumps(result.to_dict())), result.networks)
    way = np.linspace(-3, 3, 101, dtype=np.float32)
    for row in range(5):
        one = INPUTS.of(np.full(101, row))
        one.numbers[:, 0] = way
        predicted = again.predict(one)[:, -1]
        assert (sign * np.diff(predicted) >= 0).all()
    spread = [np.ptp(again.predict(INPUTS.of(np.arange(40)))[:, -1])]
    assert spread[0] > 0


def test_what_cannot_rise_is_said() -> None:
    for aim, rising in ((Aim("classes", 3), {"a": 1}), (Aim("values"), {"c": 1}), (Aim("values"), {"a": 2})):
        with pytest.raises(cr.SpecError):
            describe(SHAPE, aim, quick(aim), rising=rising)
    only = InputShape(("a",), ((-1.0, 0.0, 1.0),), (), (), ())
    assert describe(only, Aim("values"), quick(Aim("values")), rising={"a": 1}).spec.constraints


def test_every_part_has_its_share() -> None:
    y = np.repeat([0, 1, 2], [100, 40, 20])
    part = parts_of(y, 5, 0, Aim("classes", 3))
    assert [np.bincount(part[y == k]).tolist() for k in range(3)] == [[20] * 5, [8] * 5, [4] * 5]
    values = np.arange(100.0)
    means = [values[parts_of(values, 4, 1, Aim("values")) == k].mean() for k in range(4)]
    assert np.ptp(means) < 6
    groups = np.arange(60) // 3
    part = parts_of(np.arange(60.0), 4, 0, Aim("values"), groups)
    assert all(len(set(part[groups == g])) == 1 for g in range(20))


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "classes", "outputs": 1},
        {"kind": "quantiles"},
        {"kind": "quantiles", "levels": (0.9, 0.1)},
        {"kind": "quantiles", "levels": (0.5,), "outputs": 2},
        {"kind": "values", "loss": "squared"},
        {"kind": "counts", "loss": "squared_error"},
    ],
)
def test_what_cannot_be_predicted_is_said(fault: Any) -> None:
    with pytest.raises(cr.SpecError):
        Aim(**fault)


def test_what_is_wrong_is_said() -> None:
    for y in (SIGNAL, np.arange(ROWS), np.zeros(3, int)):
        with pytest.raises(cr.DataError, match="targets"):
            trained(Aim("classes", 2), y)
    with pytest.raises(cr.DataError, match="finite"):
        trained(Aim("values"), np.where(SIGNAL > 0, np.nan, SIGNAL))
    with pytest.raises(cr.DataError, match="weights"):
        trained(Aim("values"), SIGNAL, weights=np.zeros(ROWS))
    with pytest.raises(cr.SpecError, match="no column"):
        describe(InputShape((), (), (), (), ()), Aim("values"), quick(Aim("values")))


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_very_few_rows(rows: int) -> None:
    few = INPUTS.of(np.arange(rows))
    aim = Aim("classes", 2)
    result = train(few, np.arange(rows) % 2, aim=aim, recipe=quick(aim), shape=SHAPE, engine="reference")
    assert np.isfinite(result.predict(INPUTS)).all()
