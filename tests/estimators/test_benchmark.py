"""The benchmark of the estimators measures both, in processes of their own, and prints a table."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "estimators.py"


@pytest.mark.long
def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_of_estimators", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # its dataclass looks there
    spec.loader.exec_module(module)
    words = ["--only", "row,rows", "--samples", "300", "--repeats", "1", "--threads", "1"]
    rows = module.main([*words, "--folder", str(tmp_path), "--json", str(tmp_path / "found.json")])
    assert [row.work for row in rows] == ["row", "rows"] and all(row.ratio > 0 for row in rows)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and "ratio" in lines[0] and "predict_proba, one row" in lines[1]
    assert len(json.loads((tmp_path / "found.json").read_text())) == 2
