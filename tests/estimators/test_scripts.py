"""Scripts that were written for scikit-learn: with either import they print the same."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from joblib import parallel_config

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("sklearn_*.py"))
IMPORT = re.compile(r"^from chainrule import (MLP\w+)$", re.MULTILINE)


def printed(text: str, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the script says.  Its jobs are threads here: processes take longer to start than the search takes."""
    space: dict[str, Any] = {"__name__": "script"}
    with warnings.catch_warnings(), parallel_config(backend="threading"):
        warnings.simplefilter("ignore")
        exec(compile(text, str(path), "exec"), space)
        space["main"]()
    return capsys.readouterr().out


def test_there_are_three() -> None:
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.long] if "search" in path.stem else [], id=path.stem) for path in SCRIPTS],
)
def test_only_the_import_has_changed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = path.read_text(encoding="utf-8")
    theirs, count = IMPORT.subn(r"from sklearn.neural_network import \1", text)
    assert count == 1 and f"python examples/{path.name}" in text
    expected = printed(theirs, path, capsys)
    assert printed(text, path, capsys) == expected and len(expected.splitlines()) >= 6
