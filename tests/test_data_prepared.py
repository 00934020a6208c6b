"""From tables to arrays that a network takes: encoding, standardising, splitting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import (
    Standardizer,
    TableEncoder,
    TargetEncoder,
    load_features,
    read_csv,
    split,
)
from chainrule.data.dataset import split_rows
from chainrule.errors import DataError, DataWarning
from tables import PEOPLE, refuses, write


class TestEncoder:
    def test_new_data_are_read_as_the_training_data_were(self, tmp_path: Path) -> None:
        data = read_csv(write(tmp_path / "people.csv", PEOPLE))
        assert data.encoder is not None
        encoder = TableEncoder.from_dict(json.loads(json.dumps(data.encoder.to_dict())))
        assert encoder == data.encoder
        new = write(tmp_path / "new.csv", "size,city,extra,age\n?,Paris,1,33\n2,,2,\n")
        with pytest.warns(DataWarning, match=r"1 row without 'age'.*'Paris'.*another order.*not used.*'extra'"):
            X, y = load_features(new, encoder)
        assert y is None
        # An unseen category is 0 everywhere; a missing number becomes the median; `age` never lacked one: no indicator.
        np.testing.assert_array_equal(X, [[33, 0, 0, 0, 1.5, 1], [35, 0, 0, 1, 2, 0]])

    def test_targets_of_new_data(self, tmp_path: Path) -> None:
        data = read_csv(write(tmp_path / "people.csv", PEOPLE))
        target = TargetEncoder.from_dict(json.loads(json.dumps(data.target.to_dict())))
        new = write(tmp_path / "new.csv", "income,size,city,age\nlow,1,Rome,33\n")
        with pytest.warns(DataWarning, match="in another order and are matched by name"):
            X, y = load_features(new, data.encoder, target)
        assert X.shape == (1, 6) and y is not None and y.tolist() == [1]
        assert target.decode(np.array([1, 0])) == ["low", "high"]
        bad = write(tmp_path / "bad.csv", "income,size,city,age\nlow,1,Rome,33\nlaw,1,Rome,33\n")
        with refuses(bad, "line 3", "Unknown class 'law'. Did you mean 'low'"):
            load_features(bad, data.encoder, target)

    def test_missing_columns_and_wrong_cells(self, tmp_path: Path) -> None:
        encoder = read_csv(write(tmp_path / "people.csv", PEOPLE)).encoder
        path = write(tmp_path / "new.csv", "age,town\n1,2\n")
        with refuses(path, "lacks the columns 'city', 'size'", "There are: age, town"):
            load_features(path, encoder)
        path = write(tmp_path / "new.csv", "age,city,size\n1,Rome,2\nold,Rome,2\n")
        with refuses(path, "line 3", "'old'", "'age'", "not a number"):
            load_features(path, encoder)

    def test_split_learns_from_the_training_part_alone(self, tmp_path: Path) -> None:
        rows = "".join(f"{i},{'common' if i else 'rare'},{i % 2}\n" for i in range(40))
        data = read_csv(write(tmp_path / "t.csv", "a,b,y\n" + rows))
        for seed in range(30):
            parts = data.split(0.5, seed)
            assert parts.X_test is not None and parts.encoder is not None
            if 0 in parts.X_test[:, 0]:
                break
        assert parts.feature_names == ("a", "b=common")
        rare = parts.X_test[parts.X_test[:, 0] == 0]
        np.testing.assert_array_equal(rare, [[0, 0]])
        assert sorted(parts.X[:, 0].tolist() + parts.X_test[:, 0].tolist()) == list(range(40))
        np.testing.assert_array_equal(parts.y, parts.X[:, 0] % 2)

    @pytest.mark.parametrize("saved", [{}, {"columns": 3}, {"columns": [{"kind": "date", "name": "a"}]}])
    def test_a_damaged_description_is_refused(self, saved: dict[str, object]) -> None:
        with pytest.raises(DataError, match="not a table encoder"):
            TableEncoder.from_dict(saved)
        with pytest.raises(DataError, match="not a target"):
            TargetEncoder.from_dict(saved)


class TestStandardizer:
    def test_mean_zero_deviation_one_and_back(self) -> None:
        X = np.random.default_rng(0).normal(5, 3, (200, 4))
        standardizer = Standardizer.fit(X)
        Z = standardizer.transform(X)
        np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(Z.std(axis=0), 1)
        np.testing.assert_allclose(standardizer.inverse(Z), X)
        again = Standardizer.from_dict(json.loads(json.dumps(standardizer.to_dict())))
        np.testing.assert_array_equal(again.transform(X), Z)

    def test_constant_columns_are_safe(self) -> None:
        X = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])
        Z = Standardizer.fit(X).transform(X)
        np.testing.assert_allclose(Z[:, 0], 0, atol=1e-12)
        assert np.isfinite(Z).all() and Z[0, 1] < -1

    def test_chosen_columns(self) -> None:
        X = np.array([[1.0, 1.0], [3.0, 0.0]])
        Z = Standardizer.fit(X, [True, False]).transform(X)
        np.testing.assert_array_equal(Z, [[-1, 1], [1, 0]])

    @pytest.mark.parametrize(
        ("X", "message"),
        [
            ([1.0, 2.0], "matrix"),
            ([["a"]], "must be numbers"),
            (np.zeros((0, 2)), "no rows"),
            ([[1.0, np.nan]], r"must be finite. Got nan at \[0, 1\]"),
        ],
    )
    def test_bad_data(self, X: object, message: str) -> None:
        with pytest.raises(DataError, match=message):
            Standardizer.fit(X)  # type: ignore[arg-type]

    def test_bad_use(self) -> None:
        standardizer = Standardizer.fit([[1.0, 2.0], [2.0, 3.0]])
        with pytest.raises(DataError, match=r"2 columns wide. Got 3"):
            standardizer.transform([[1.0, 2.0, 3.0]])
        with pytest.raises(DataError, match="'columns'"):
            Standardizer.fit([[1.0, 2.0]], [True])
        with pytest.raises(DataError, match="Column 1 cannot be standardised: its numbers go up to 2e\\+300"):
            Standardizer.fit([[1.0, 2e300], [2.0, 1.0]])
        for saved in ({"mean": [0.0]}, {"mean": [0.0], "scale": [0.0]}, {"mean": [0.0], "scale": [1.0, 1.0]}):
            with pytest.raises(DataError):
                Standardizer.from_dict(saved)


class TestSplit:
    X, y = np.arange(100)[:, None], np.array([0] * 70 + [1] * 25 + [2] * 5)

    def test_reproducible_and_complete(self) -> None:
        parts = split(self.X, self.y, 0.2, seed=3)
        for first, second in zip(parts, split(self.X, self.y, 0.2, seed=3), strict=True):
            np.testing.assert_array_equal(first, second)
        X_train, X_test, y_train, y_test = parts
        assert len(X_test) == len(y_test) == 20
        assert sorted([*X_train[:, 0], *X_test[:, 0]]) == list(range(100))
        np.testing.assert_array_equal(self.y[X_train[:, 0]], y_train)
        assert not np.array_equal(split(self.X, self.y, 0.2, seed=4)[1], X_test)

    def test_the_same_rows_on_every_machine(self) -> None:
        assert split(np.arange(10), np.zeros(10), 3, seed=0)[1].tolist() == [8, 6, 4]
        assert split_rows(10, 3, 0, draw=1)[1].tolist() == [3, 2, 1]

    def test_classes_keep_their_shares(self) -> None:
        for seed in range(5):
            y_test = split(self.X, self.y, 20, seed)[3]
            assert np.bincount(y_test).tolist() == [14, 5, 1]
        loose = {tuple(np.bincount(split(self.X, self.y, 20, seed, False)[3], minlength=3)) for seed in range(10)}
        assert len(loose) > 1

    def test_single_samples_stay_to_train_with(self) -> None:
        y = np.array([0, 0, 0, 0, 1])
        for seed in range(10):
            assert split(np.arange(5), y, 1, seed)[3].tolist() == [0]
        assert len(split(np.arange(5), np.arange(5), 2)[3]) == 2

    @pytest.mark.parametrize("test", [0, 100, 1.0, 0.0, -0.1, np.nan, True, "0.2"])
    def test_bad_sizes(self, test: object) -> None:
        with pytest.raises(DataError):
            split(self.X, self.y, test)  # type: ignore[arg-type]

    def test_bad_arguments(self) -> None:
        with pytest.raises(DataError, match="as many samples"):
            split(self.X, self.y[:-1])
        with pytest.raises(DataError, match="'stratify'"):
            split(self.X, self.y, stratify=[0, 1])
        with pytest.raises(DataError, match="'seed'"):
            split(self.X, self.y, seed=-1)
        with pytest.raises(DataError, match="both parts"):
            split(self.X[:1], self.y[:1])
