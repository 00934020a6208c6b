"""Meaning is structure: nothing in the package takes a symbol's name apart or puts one together."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import chainrule

ROOT = Path(chainrule.__file__).parent
COMPOSES = "program/symbol.py"
"""The one file that puts names together."""
APART = frozenset(
    {
        "startswith", "endswith", "removeprefix", "removesuffix", "split", "rsplit", "partition", "rpartition",
        "replace", "find", "index", "strip", "lstrip", "rstrip", "isdigit", "isupper",
    }
)  # fmt: skip
"""Methods of a text that look inside it."""
NAMES = frozenset({"name", "letter"})
"""What a symbol is called."""
ROOMS = frozenset({"program", "rules", "describe", "engines", "notation", "glass", "report", "train", "estimators"})
"""Where `.name` may be a symbol's; elsewhere it is a file's, a column's, an option's."""
OTHERS = {
    ("notation/names.py", "symbol.letter.replace('_', ' ')"): "a word of two, as people write it",
    ("notation/tree.py", "m.letter.split(',')"): "the indices of a sum, j and k, which are no symbol's",
}
"""What looks inside a text and learns nothing from it: why."""


def is_name(node: ast.AST) -> bool:
    """Whether an expression is what a symbol is called: `s.name`, `symbol.letter`, or a plain `name`."""
    return (isinstance(node, ast.Attribute) and node.attr in NAMES) or (isinstance(node, ast.Name) and node.id in NAMES)


def takes_apart(node: ast.AST) -> bool:
    """`name[0]`, `name[1:]`, `name.startswith("d")`, `re.match("W", name)`, `"Z" in name`."""
    if isinstance(node, ast.Subscript):
        return is_name(node.value)
    if isinstance(node, ast.Compare):
        inside = isinstance(node.ops[0], ast.In | ast.NotIn)
        return inside and isinstance(node.left, ast.Constant) and is_name(node.comparators[0])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr in APART and is_name(node.func.value):
        return True
    patterns = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
    return patterns and any(is_name(a) for a in node.args)


def puts_together(node: ast.AST) -> bool:
    """`f"d{name}"`, `f"t_{s.name}"`, `f"{name}2"`, `f"W{k}"`, `"d" + name`: a letter or a number joined to a name."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = (node.left, node.right)
        return any(is_name(s) for s in sides) and any(_word(s) for s in sides)
    if not isinstance(node, ast.JoinedStr):
        return False
    for before, after in zip(node.values, node.values[1:], strict=False):
        texts = [v.value for v in (before, after) if isinstance(v, ast.Constant)]
        parts = [v.value for v in (before, after) if isinstance(v, ast.FormattedValue)]
        if len(parts) == 2 and any(is_name(p) for p in parts):
            return True
        if len(parts) == 1 and len(texts) == 1:
            touches = texts[0][-1:] if isinstance(after, ast.FormattedValue) else texts[0][:1]
            joined = touches.isalnum() or touches == "_"
            whole = len(node.values) == 2 and texts[0] in _LETTERS
            if (joined and is_name(parts[0])) or whole:
                return True
    return False


_LETTERS = frozenset({"W", "b", "Z", "A", "d", "t_", "M_", "V_", "E", "dW", "dZ", "D", "R", "N", "H", "gamma", "beta"})


def _word(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.replace("_", "").isalnum()


def faults(source: str) -> list[str]:
    """Every place in a source that takes a name apart or puts one together."""
    tree = ast.parse(source)
    return [ast.unparse(n) for n in ast.walk(tree) if takes_apart(n) or puts_together(n)]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_file_reads_or_composes_names(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    if place == COMPOSES or (place.split("/")[0] not in ROOMS and "/" in place) or place.startswith("engines/llvm/"):
        return  # what knows LLVM knows no symbol: its names are those of functions and files
    wrong = [text for text in faults(path.read_text(encoding="utf-8")) if (place, text) not in OTHERS]
    assert not wrong, f"{place}: {wrong}"


@pytest.mark.parametrize(
    "source",
    [
        "x = symbol.name[0]",
        "x = s.name[1:]",
        "if name.startswith('W'): pass",
        "if p.name.startswith(('W', 'E')): pass",
        "a = name.removeprefix('d')",
        "re.match('[A-Z]', s.name)",
        "x = 'Z' in symbol.name",
        "x = f'd{s.name}'",
        "x = f't_{name}'",
        "x = f'{letter}{number}'",
        "x = f'W{k + 1}'",
        "x = 'd' + s.name",
        "x = f'{s.name}_2'",
    ],
)
def test_what_must_not_be_is_seen(source: str) -> None:
    assert faults(source)


@pytest.mark.parametrize(
    "source",
    ["x = f'{s.name} = {shape}'", "x = symbol.gradient.name", "x = f'{name}.norm'", "x = f'no {name} here'"],
)
def test_what_may_be_is_let_be(source: str) -> None:
    assert not faults(source)
