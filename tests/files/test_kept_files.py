"""Files of earlier versions are read to the same numbers, by every later one."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from chainrule import Network
from chainrule.cli import main
from chainrule.language import CharacterModel
from chainrule.train.history import History

FORMAT1 = Path(__file__).parent / "format1"


def _writer() -> object:
    found = importlib.util.spec_from_file_location("format1_write", FORMAT1 / "write.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


WRITER = _writer()
NETWORKS = WRITER.networks()  # type: ignore[attr-defined]
PREDICTIONS = json.loads((FORMAT1 / "predictions.json").read_text())
NAMES = (FORMAT1 / "word list.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str, engine: str) -> None:
    net = Network.load(FORMAT1 / f"{name}.safetensors", engine=engine)  # type: ignore[arg-type]
    made = NETWORKS[name]
    assert net.spec == made.spec and net.dtype == made.dtype and net.seed == made.seed
    tolerance = 1e-12 if net.dtype == np.float64 else 2e-6
    found = net.predict(WRITER.rows(net))  # type: ignore[attr-defined]
    np.testing.assert_allclose(found, PREDICTIONS[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_saved_again_is_read_again(name: str, tmp_path: Path) -> None:
    net = Network.load(FORMAT1 / f"{name}.safetensors")
    net.save(tmp_path / "again")
    again = Network.load(tmp_path / "again")
    assert again.spec == net.spec and again.seed == net.seed
    for key, array in (net.parameters | net.state).items():
        np.testing.assert_array_equal((again.parameters | again.state)[key], array)


@pytest.mark.parametrize("place", ["names.safetensors", "names run/model.safetensors"])
def test_character_models(place: str) -> None:
    model = CharacterModel.load(FORMAT1 / place)
    key = place.split("/")[0].removesuffix(".safetensors")
    np.testing.assert_allclose(model.score(NAMES).per_name, PREDICTIONS[key], rtol=1e-5)
    assert "".join(model.vocabulary.characters) == "abdhinozé" and model.sample(2, seed=0)


@pytest.mark.parametrize("run", ["classes", "numbers"])
def test_runs(run: str, tmp_path: Path) -> None:
    shutil.copytree(FORMAT1 / f"{run} run", tmp_path / "run")
    out = tmp_path / "found.csv"
    assert main(["predict", str(tmp_path / "run"), str(FORMAT1 / f"{run}.csv"), "--out", str(out)]) == 0
    found, kept = (list(csv.reader(p.read_text().splitlines())) for p in (out, FORMAT1 / f"{run} run.csv"))
    assert found[0] == kept[0] and len(found) == len(kept)
    for row, then in zip(found[1:], kept[1:], strict=True):
        for cell, old in zip(row, then, strict=True):
            assert cell == old or float(cell) == pytest.approx(float(old), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("run", ["classes run", "numbers run", "names run"])
def test_histories(run: str, tmp_path: Path) -> None:
    history = History.load_json(FORMAT1 / run / "history.json")
    assert (
        [r.epoch for r in history] == [1, 2] and history.stopped is None and np.isfinite(history.column("cost")).all()
    )
    history.save_json(tmp_path / "again.json")
    assert History.load_json(tmp_path / "again.json") == history
