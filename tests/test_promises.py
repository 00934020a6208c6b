"""docs/PROMISES.md names tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "PROMISES.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", TEXT)


def test_every_promise_names_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| promise"))]
    assert len(rows) > 30
    assert all(re.search(r"`[\w/]+\.py", row) for row in rows)


def test_the_tests_are_there() -> None:
    missing = []
    for path, name in NAMED:
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8")) if (TESTS / path).exists() else None
        names = set() if tree is None else {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
        if tree is None or (name and name not in names):
            missing.append(f"{path}::{name}")
    assert not missing
