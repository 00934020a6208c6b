"""Imports run one way, nothing goes in circles, and importing chainrule is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import chainrule

ROOT = Path(chainrule.__file__).parent

LAYERS = [
    {"calls", "errors", "words", "display", "files", "frames", "group", "metrics", "starting", "version"},
    {"program"},
    {"describe", "spec"},
    {"rules"},
    {"engines", "notation"},
    {"checks", "initialise", "model_file", "storage"},
    {"blocks", "data", "train", "glass"},
    {"evaluating", "fitting"},
    {"network"},
    {"estimators", "language", "report", "bench"},
    {"runs"},
    {"tabular"},
    {"dask"},
    {"notebook"},
    {"readers"},
    {"chainrule"},
    {"cli"},
]
"""A module may import from its own layer and from those above it in this list."""

LIGHT = {
    "engines": {"program", "errors", "files", "version"},
    "notation": {"display", "program", "errors", "describe", "rules"},
    "program": {"display", "errors", "files"},
    "describe": {"program", "calls", "errors", "files"},
    "rules": {"program", "errors", "describe"},
    "blocks": {"calls", "errors", "files", "frames"},
    "group": {"errors"},
    "data": {"display", "errors", "files", "frames"},
    "train": {
        "display",
        "calls",
        "errors",
        "files",
        "engines",
        "group",
        "program",
        "describe",
        "rules",
        "model_file",
        "version",
    },
}
"""All that these packages may import beside themselves."""


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["chainrule", *path.relative_to(ROOT).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def imported(path: Path, *, everywhere: bool = True) -> frozenset[str]:
    """The chainrule modules that a file imports; with everywhere=False only while it is imported itself.

    A module's name in a string is an import as well.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if for_types or (not everywhere and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            skipped |= {child for part in node.body for child in ast.walk(part)}  # type: ignore[attr-defined]
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == "chainrule"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            if node.module and node.module.split(".")[0] == "chainrule":
                names = {f"{node.module}.{a.name}" for a in node.names}
                found |= {n if n in MODULES else node.module for n in names}
        elif isinstance(node, ast.Constant) and node.value in MODULES and node.value != "chainrule":
            found.add(node.value)  # import_module("chainrule.x"), or a table of such names
    return frozenset(found)


def test_a_module_named_in_a_string_is_seen(tmp_path: Path) -> None:
    late = tmp_path / "late.py"
    late.write_text('from importlib import import_module\ndef f():\n    import_module("chainrule.notation.views")\n')
    assert imported(late) == {"chainrule.notation.views"}
    assert imported(late, everywhere=False) == set()


def part(module: str) -> str:
    """The first name below chainrule: the layer's member."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "chainrule"


def test_every_part_has_its_layer() -> None:
    known = set().union(*LAYERS)
    assert {part(m) for m in MODULES} <= known | {"__main__"}, "a new part: say where it belongs"


def test_imports_run_one_way() -> None:
    level = {name: k for k, names in enumerate(LAYERS) for name in names} | {"__main__": len(LAYERS)}
    wrong = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imported(path)
        if level[part(other)] > level[part(module)]
    ]
    assert not wrong, "\n".join(wrong)


WINGS = ["engines.llvm", "engines.compiled.kernels", "engines.compiled.plan", "engines.compiled.lower"]
"""The wings of the compiled engine: each may import from those before it; what stands above them from all."""


def wing(module: str) -> int:
    """The place of a module of the compiled engine in this list; past its end for what stands above."""
    inside = [k for k, name in enumerate(WINGS) if f"{module}.".startswith(f"chainrule.{name}.")]
    return inside[0] if inside else len(WINGS)


def test_the_wings_of_the_compiled_engine_import_downwards() -> None:
    """And LLVM's wing knows nothing of engines: other back ends will stand on it."""
    wrong = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        for other in imported(path)
        if part(module) == part(other) == "engines"
        and wing(module) < len(WINGS)
        and (wing(other) > wing(module) and other != "chainrule.engines.base")
    ]
    assert not wrong, "\n".join(wrong)
    assert {wing(module) for module in MODULES if part(module) == "engines"} == set(range(len(WINGS) + 1))


def test_engines_notations_and_the_language_know_nothing_above() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, path in MODULES.items()
        if part(module) in LIGHT
        for other in imported(path)
        if part(other) not in LIGHT[part(module)] | {part(module)}
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circles() -> None:
    """Not among modules while they are imported."""
    edges = {m: imported(p, everywhere=False) - {m} for m, p in MODULES.items()}
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert state.get(module) != 1, " -> ".join((*trail, module))
        if module not in state:
            state[module] = 1
            for other in sorted(edges.get(module, ())):
                visit(other, (*trail, module))
            state[module] = 2

    for module in MODULES:
        visit(module, ())


def test_importing_chainrule_is_light() -> None:
    heavy = ("sklearn", "scipy", "rich", "typer", "llvmlite", "torch", "pandas", "matplotlib", "safetensors")
    heavy += ("pathlib", "hashlib", "json", "csv", "decimal", "signal", "secrets", "random", "logging", "urllib")
    parts = ("data", "notation", "glass.trace", "train.monitor", "report", "model_file", "files.fields", "fitting")
    parts += ("train.loop", "train.checkpoint", "engines.reference", "program.to_json")
    later = tuple(f"chainrule.{part}" for part in parts)
    code = f"""
import sys, numpy
before = set(sys.modules)
import chainrule
print(*[m for m in {heavy + later!r} if m in sys.modules and m not in before])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_a_fit_by_the_compiled_engine_loads_no_more_than_it_needs() -> None:
    code = """
import sys, numpy
before = set(sys.modules)
import chainrule
X = numpy.zeros((4, 2))
net = chainrule.Network(2, [chainrule.Dense(1)], "squared_error", engine="compiled")
net.fit(X, X[:, :1], epochs=1, verbose=False)
slow = ("numpy.ma", "importlib.metadata", "multiprocessing", "rich", "chainrule.data", "chainrule.notation")
slow += ("json", "chainrule.files.fields")
print(*[m for m in slow if m in sys.modules and m not in before])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_every_public_name_is_there() -> None:
    for name in chainrule.__all__:
        assert hasattr(chainrule, name), name
    assert len(set(chainrule.__all__)) == len(chainrule.__all__)
    assert set(chainrule.__all__) <= set(dir(chainrule))
