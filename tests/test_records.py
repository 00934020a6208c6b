"""Records say what their fields are: a docstring under each."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import chainrule

ROOT = Path(chainrule.__file__).parent


def records(tree: ast.Module) -> list[ast.ClassDef]:
    """The public dataclasses of a file."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and not node.name.startswith("_")
        and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]


def undocumented(record: ast.ClassDef) -> list[str]:
    """The public fields with nothing under them."""
    names = []
    for statement, after in zip(record.body, [*record.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or "ClassVar" in ast.unparse(statement.annotation):
            continue
        name = ast.unparse(statement.target)
        says = (
            isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
        )
        if not says and not name.startswith("_"):
            names.append(f"{record.name}.{name}")
    return names


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_field_of_a_record_is_documented(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [name for record in records(tree) for name in undocumented(record)]


def test_what_is_missing_is_seen() -> None:
    source = '''
@dataclass(frozen=True)
class Sample:
    """A sample."""

    kinds: ClassVar[int] = 3
    x: float
    """What goes in."""
    y: float
    weight: float = 1.0
    _seen: bool = False
'''
    (record,) = records(ast.parse(source))
    assert undocumented(record) == ["Sample.y", "Sample.weight"]
    assert records(ast.parse("@dataclasses.dataclass\nclass A:\n    x: int\nclass B:\n    y: int"))[0].name == "A"
