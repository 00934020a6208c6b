"""The page about notations runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "notations.md"


def test_the_pages_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(block, scope)
    out = capsys.readouterr().out
    assert "Δ^[2] = ∇_{A^[2]}J ⊙ g^[2]′(Z^[2])" in out and "every gradient agrees" in out and "R{Z⁽¹⁾}" in out
    assert scope["each"]["W1"].shape == (9, 4, 6)
