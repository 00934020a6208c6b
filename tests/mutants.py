"""Mutation testing: every operator and constant of the rules and engines is changed once; do the tests notice?

    python tests/mutants.py                             all of them (some hours of one core)
    python tests/mutants.py --sample 60 --jobs 2        some, drawn by --seed
    python tests/mutants.py --sample 200 --minutes 30   as many of these as there is time for
    python tests/mutants.py --only rules/chain.py

Each mutant is the package with one place changed, in a copy; tests run on it until one fails, those first that tell the
most in the least time.  They ask the reference engine: the compiled one is held to it by tests of its own.  Mutants
that no test fails on are printed with their line: either a test is missing, or the change makes no difference that
matters.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "chainrule"
_GOLDENS = ("tests/glass/test_notations.py::test_golden", "tests/test_formulas.py")
_SLOPES = (
    "tests/test_gradients.py::test_gradients_are_slopes_of_the_cost",
    "tests/test_gradients.py::test_the_long_way_round_gives_the_same_numbers",
)
_SCALARS = ("tests/test_differentiate.py", "tests/test_digits_kept.py", "tests/test_extremes.py")
_BEYOND = ("tests/glass/test_beyond.py",)
_TRAINING = ("tests/test_torch.py", "tests/test_batches.py")
_PROGRAMS = ("tests/test_random_programs.py", "tests/test_program.py")
_LAYERS = ("tests/test_first_weights.py::test_deep_networks_pass_their_inputs_on", "tests/test_network.py")
_ENGINES = (
    "tests/test_subnormal.py", "tests/test_philox.py", "tests/test_long_sums.py", "tests/test_memory.py",
    "tests/test_engines.py",
)  # fmt: skip
TESTS: dict[str, tuple[str, ...]] = {
    "rules/chain.py": (*_GOLDENS, *_SLOPES, *_TRAINING, *_PROGRAMS, *_BEYOND),
    "rules/derive.py": (*_GOLDENS, *_TRAINING, *_SLOPES, *_PROGRAMS, *_BEYOND),
    "rules/forward.py": (*_GOLDENS, *_SLOPES, *_TRAINING, *_PROGRAMS),
    "rules/tangent.py": (*_BEYOND, *_PROGRAMS, *_GOLDENS),
    "rules/per_sample.py": (*_BEYOND, *_PROGRAMS, *_GOLDENS),
    "program/builder.py": (*_GOLDENS, *_SLOPES, *_PROGRAMS, *_TRAINING, *_SCALARS),
    "program/scalar.py": (*_GOLDENS, *_SCALARS, *_SLOPES, *_PROGRAMS, *_TRAINING),
    "describe/activations.py": (*_GOLDENS, *_SLOPES, *_TRAINING, *_SCALARS, *_LAYERS),
    "describe/layers.py": (*_GOLDENS, *_SLOPES, *_TRAINING, *_LAYERS, *_PROGRAMS),
    "describe/losses.py": (*_GOLDENS, *_SLOPES, *_TRAINING, *_SCALARS, *_PROGRAMS),
    "describe/optimizers.py": (*_GOLDENS, *_TRAINING, *_PROGRAMS),
    "describe/formula.py": ("tests/graphs/test_formula.py", *_SLOPES, *_GOLDENS, "tests/graphs/test_random_graphs.py"),
    "describe/combine.py": (*_SLOPES, *_GOLDENS, "tests/graphs/test_random_graphs.py"),
    "describe/graph.py": (*_SLOPES, *_GOLDENS, "tests/graphs/test_random_graphs.py", "tests/glass/test_outputs.py"),
    "rules/update.py": (*_TRAINING, "tests/test_steps.py", *_GOLDENS),
    "engines/reference.py": (*_ENGINES, *_GOLDENS, *_SLOPES, *_SCALARS, *_PROGRAMS),
    "engines/scalars.py": (*_SCALARS, *_ENGINES, *_GOLDENS, *_SLOPES),
}
"""The tests of each file that is mutated, in this order."""
MUTATED = tuple(TESTS)
PLUGIN = """
from hypothesis import Phase, settings

settings.register_profile("mutated", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("mutated")
"""
"""An example that fails is enough: the smallest one would take minutes to find."""
TIMES = 5
"""A mutant that takes so many times as long as all the tests hangs, and is noticed so."""

_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
_LETTERS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": ">", ">": "<"}
"""In the texts of formulas."""


@dataclass(frozen=True)
class Mutant:
    """A file with one place changed."""

    file: str
    line: int
    change: str
    node: int
    """Which of the tree's nodes is changed, in the order of `ast.walk`."""
    way: int
    """Which of the changes that it allows."""

    @property
    def source(self) -> str:
        """The file's text with the change."""
        tree = _tree(self.file)
        node = list(ast.walk(tree))[self.node]
        change, _ = list(_changes(node, self.file.startswith("describe/")))[self.way]
        change(node)
        return ast.unparse(ast.fix_missing_locations(tree))


def _tree(file: str) -> ast.Module:
    return ast.parse((PACKAGE / file).read_text(encoding="utf-8"))


def mutants(file: str) -> Iterator[Mutant]:
    """Every mutant of a file of the package."""
    tree = _tree(file)
    passed_by, line = _passed_by(tree), 0
    for k, node in enumerate(ast.walk(tree)):
        line = getattr(node, "lineno", line)
        if id(node) not in passed_by:
            for way, (_, said) in enumerate(_changes(node, file.startswith("describe/"))):
                yield Mutant(file, line, said, k, way)


def _passed_by(tree: ast.AST) -> set[int]:
    """Documentation, types, messages and imports: no test should depend on them."""
    found: set[int] = set()

    def drop(node: ast.AST | None) -> None:
        found.update(id(n) for n in ast.walk(node)) if node is not None else None

    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                drop(node)
            case ast.FunctionDef():
                drop(node.returns)
                for argument in [*node.args.args, *node.args.kwonlyargs]:
                    drop(argument.annotation)
                for decorator in node.decorator_list:
                    drop(decorator)
            case ast.AnnAssign():
                drop(node.annotation)
            case ast.Raise() | ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Assert():
                drop(node)
            case ast.Call(func=ast.Name(id="expected" | "unknown_name" | "Symbol")):
                drop(node)
            case ast.ClassDef():
                for decorator in node.decorator_list:
                    drop(decorator)
            case ast.Assign(targets=[ast.Name(id="__all__" | "_ranges")]):
                drop(node)
    return found


def _changes(node: ast.AST, formulas: bool) -> Iterator[tuple[Callable[[ast.AST], None], str]]:
    """(what changes the node in place, how it is said)."""

    def swap(field: str, value: object) -> Callable[[ast.AST], None]:
        return lambda twin: setattr(twin, field, value)

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in _OPERATORS:
            other = _OPERATORS[type(op)]
            yield swap("op", other()), f"{type(op).__name__} -> {other.__name__}"
        case ast.Compare(ops=[op]) if type(op) in _OPERATORS:
            other = _OPERATORS[type(op)]
            yield swap("ops", [other()]), f"{type(op).__name__} -> {other.__name__}"
        case ast.UnaryOp(op=ast.USub()):
            yield swap("op", ast.UAdd()), "-x -> x"
        case ast.UnaryOp(op=ast.Not()):
            yield swap("operand", ast.UnaryOp(op=ast.Not(), operand=node.operand)), "not x -> x"
        case ast.Constant(value=bool(value)):
            yield swap("value", not value), f"{value} -> {not value}"
        case ast.Constant(value=int(number)):
            yield swap("value", number + 1), f"{number} -> {number + 1}"
        case ast.Constant(value=float(number)):
            changed = number * 1.5 if number else 1.0
            yield swap("value", changed), f"{number} -> {changed}"
        case ast.Constant(value=str(text)) if formulas and any(c in text for c in "+-*/<>(") and " " in text:
            for k, letter in enumerate(text):
                around = text[max(0, k - 1) : k + 2]
                if letter in _LETTERS and "**" not in around and not re.fullmatch(r"[a-z]-[a-z]", around):
                    changed_text = text[:k] + _LETTERS[letter] + text[k + 1 :]
                    yield swap("value", changed_text), f"{text!r} -> {changed_text!r}"


def passes(tests: Iterable[str], mutant: Mutant | None = None, limit: float | None = None) -> bool:
    """Whether the tests pass, on a mutant if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "src")
        shutil.copytree(PACKAGE, source / "chainrule", ignore=shutil.ignore_patterns("__pycache__"))
        (source / "mutated.py").write_text(PLUGIN, encoding="utf-8")
        if mutant is not None:
            (source / "chainrule" / mutant.file).write_text(mutant.source, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(source), "CHAINRULE_CACHE_DIR": str(Path(folder, "cache")),
                       "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "mutated", "-n", "0"]
        command += ["-k", "not compiled", *tests]
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="only so many, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--only", choices=MUTATED, help="one file of the package")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--minutes", type=float, default=math.inf, help="no more mutants after so many")
    options = parser.parse_args()
    every = [m for file in ((options.only,) if options.only else MUTATED) for m in mutants(file)]
    chosen = every if options.sample is None else random.Random(options.seed).sample(every, options.sample)
    print(f"{len(chosen)} of {len(every)} mutants", flush=True)
    end = time.monotonic() + 60 * options.minutes
    begun = time.monotonic()
    if not passes(dict.fromkeys(test for mutant in chosen for test in TESTS[mutant.file])):
        sys.exit("The tests fail without any mutant: they would notice nothing.")
    seconds = time.monotonic() - begun
    print(f"The tests of all these files take {seconds:.0f} s.", flush=True)

    def noticed(mutant: Mutant) -> bool | None:
        late = time.monotonic() > end
        return None if late else not passes(TESTS[mutant.file], mutant, TIMES * seconds)

    tried = lived = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutant, seen in zip(chosen, pool.map(noticed, chosen), strict=True):
            tried += seen is not None
            if seen is False:
                lived += 1
                print(f"  not noticed: {mutant.file}:{mutant.line}  {mutant.change}", flush=True)
    print(f"{tried - lived} of {tried} mutants were noticed")


if __name__ == "__main__":
    main()
