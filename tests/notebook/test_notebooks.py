"""The notebooks of examples/, executed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def executed(name: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The outputs of every cell of code, in order."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (pip install -e '.[test]')")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (pip install -e '.[test]')")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (pip install -e '.[test]')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(EXAMPLES.parent / "src"), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def shown(outputs: list[dict[str, Any]]) -> str:
    return "\n".join(output["data"].get("text/html", "") for output in outputs if "data" in output)


@pytest.mark.filterwarnings("ignore")
def test_your_own_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress in place, curves, the derivation, the check."""
    outputs = executed("own_formula.ipynb", monkeypatch)
    html = shown(outputs)
    assert "every gradient agrees" in html and "<math" in html and "<polyline" in html
    (progress,) = [o for o in outputs if "<progress" in o.get("data", {}).get("text/html", "")]
    assert progress["data"]["text/plain"].startswith("epoch 60/60")
    assert not [o for o in outputs if o["output_type"] in ("error", "stream")]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_backpropagation_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    html = shown(executed("backpropagation_by_hand.ipynb", monkeypatch))
    assert "every gradient agrees" in html and "<math" in html


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("names.ipynb", ("<math", "<progress", "embedding")),
        ("table_from_frame_to_deployment.ipynb", ("share", "between")),
    ],
)
def test_tutorials(name: str, shows: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """They run to the end, and show what they speak of."""
    outputs = executed(name, monkeypatch)
    texts = [shown(outputs), *(output.get("text", "") for output in outputs)]
    assert all(any(word in text for text in texts) for word in shows), name
