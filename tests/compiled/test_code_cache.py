"""The cache of machine code: another process finds it; whatever means something is in its key."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_networks import make

import chainrule as cr
from chainrule.engines.compiled.lower import one_sample
from chainrule.engines.compiled.plan.recipe import Recipe
from chainrule.engines.llvm import jit
from chainrule.program.equation import Program


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("CHAINRULE_CACHE", "1")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path / "code"))
    return tmp_path / "code"


def use(**options: Any) -> tuple[bytes, ...]:
    """Fits and calls a small network; its numbers."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(700, 6)), rng.integers(0, 3, 700)
    optimizer, batch_size = options.pop("optimizer", cr.Adam()), options.pop("batch_size", 32)
    layers = options.pop("layers", [cr.Dense(9, "tanh"), cr.Dropout(0.1), cr.Dense(3, "softmax")])
    net = cr.Network(6, layers, "cross_entropy", engine="compiled", **options)
    net.fit(X, y, epochs=1, batch_size=batch_size, optimizer=optimizer, verbose=False)
    found = net.predict(X), net.predict(X[:1]), net.parameters["W1"], np.array(net.cost(X, y))
    return tuple(array.tobytes() for array in found)


PROCESS = """
    import hashlib, sys, time
    from chainrule.engines.llvm import jit

    compiled = []
    emit = jit.object_code
    jit.object_code = lambda module: compiled.append(1) or emit(module)
    sys.path.insert(0, sys.argv[1])
    from test_code_cache import use

    start = time.perf_counter()
    print(hashlib.sha256(b"".join(use())).hexdigest(), len(compiled), time.perf_counter() - start)
"""


def in_a_process(hashing: str) -> tuple[str, int, float]:
    """(numbers, modules compiled, seconds) of `use` in a process of its own, with this seed of Python's hashes."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROCESS), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONHASHSEED": hashing},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    numbers, compiled, seconds = done.stdout.split()
    return numbers, int(compiled), float(seconds)


def test_another_process_compiles_nothing(place: Path) -> None:
    first = in_a_process("1")
    entries = sorted(place.iterdir())
    assert first[1] == len(entries) > 2
    second = in_a_process("2")
    assert (second[0], second[1]) == (first[0], 0)
    assert sorted(place.iterdir()) == entries
    print(f"{first[2]:.2f} s compiled, {second[2]:.2f} s from the cache")


def test_damaged_entries_are_made_anew(place: Path, forgetting: Callable[[], None]) -> None:
    truth = use()
    forgetting()
    for number, entry in enumerate(sorted(place.iterdir())):
        content = bytearray(entry.read_bytes())
        match number % 4:
            case 0:
                content[len(content) // 2] ^= 1
            case 1:
                del content[-7:]
            case 2:
                content.clear()
            case 3:
                content[0] ^= 255
        entry.write_bytes(bytes(content))
    damaged = {entry: entry.read_bytes() for entry in place.iterdir()}
    assert use() == truth
    assert all(entry.read_bytes() != content for entry, content in damaged.items())


@pytest.mark.long
def test_each_way_of_running_has_an_entry_of_its_own(place: Path) -> None:
    def made(**options: Any) -> int:
        before = set(place.iterdir()) if place.exists() else set()
        use(**options)
        return len(set(place.iterdir()) - before)

    assert made() >= 4
    assert made() == 0
    assert made(seed=7) == 0
    assert made(optimizer=cr.Adam(0.5)) == 0  # a rate is data
    assert made(optimizer=cr.Adam(beta1=0.8)) == 1
    assert made(optimizer=cr.Adam(clip_norm=1.0)) == 1
    assert made(optimizer=cr.SGD()) == 1
    assert made(batch_size=33) == 0
    assert made(batch_size=600) == 1
    assert made(dtype="float64") >= 4
    assert made(l2=0.1) >= 1
    assert made(layers=[cr.Dense(9, "tanh"), cr.Dropout(0.2), cr.Dense(3, "softmax")]) == 1  # masks are of training
    assert made(layers=[cr.Dense(10, "tanh"), cr.Dropout(0.1), cr.Dense(3, "softmax")]) >= 4


def test_batch_norm_in_batches_of_both_kinds_with_one_cache(place: Path) -> None:
    layers = [cr.Dense(9), cr.BatchNorm("tanh"), cr.Dense(3, "softmax")]
    runs = [use(layers=layers, batch_size=size) for size in (600, 32, 600, 32)]
    assert runs[:2] == runs[2:]


# --- the key -----------------------------------------------------------------------------------------------------


def variations() -> Iterator[Program]:
    """Programs that differ in one thing from another of them."""
    layers: list[Callable[[], list[Any]]] = [
        lambda: [cr.Dense(3, "tanh"), cr.Dense(2)],
        lambda: [cr.Dense(3, "sigmoid"), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh", bias=False), cr.Dense(2)],
        lambda: [cr.Dense(4, "tanh"), cr.Dense(2)],
        lambda: [cr.Dense(3, cr.leaky_relu(0.1)), cr.Dense(2)],
        lambda: [cr.Dense(3, cr.leaky_relu(0.1 + 1e-16)), cr.Dense(2)],
        lambda: [cr.Dense(3, cr.leaky_relu(0.10000000000000002)), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.Dropout(0.5), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.Dropout(0.25), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.Dropout(0.5), cr.Dropout(0.5), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.LayerNorm(), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.LayerNorm(epsilon=1e-4), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.BatchNorm(), cr.Dense(2)],
        lambda: [cr.Dense(3, "tanh"), cr.BatchNorm(momentum=0.2), cr.Dense(2)],
        lambda: [cr.Dense(3, cr.Activation("max(z)")), cr.Dense(2)],
        lambda: [cr.Dense(3, cr.Activation("sum(z)")), cr.Dense(2)],
        lambda: [cr.Dense(3, cr.Activation("min(z)")), cr.Dense(2)],
    ]
    losses = ["squared_error", "absolute_error", cr.huber(0.5), cr.huber(0.25), cr.Loss("(yhat - y) ** 4")]
    optimizers = [None, cr.SGD(), cr.SGD(momentum=0.9), cr.SGD(momentum=0.9, nesterov=True), cr.Adam(epsilon=1e-7)]
    options: list[dict[str, Any]] = [{}, {"l1": 0.1}, {"l2": 0.1}, {"reduction": "sum"}]
    for make_layers, loss in itertools.product(layers, losses):
        yield cr.derive(cr.NetworkSpec(4, make_layers(), loss))
    for optimizer, option in itertools.product(optimizers, options):
        for weighted, mode in itertools.product((False, True), ("training", "inference")):
            spec = cr.NetworkSpec(4, layers[7](), "squared_error", **option)
            yield cr.derive(spec, optimizer=optimizer, weighted=weighted, mode=mode)  # type: ignore[arg-type]


def test_programs_that_differ_are_written_differently() -> None:
    programs = [*variations(), *(make(seed).program(make(seed).network()) for seed in range(40))]
    written: dict[str, Program] = {}
    meant: dict[Program, str] = {}
    for program in programs:
        assert written.setdefault(program.digest, program) == program
        meant.setdefault(program, program.digest)
    assert len(meant) > 100
    assert len(set(meant.values())) == len(meant)


def test_a_program_is_written_alike_in_every_process() -> None:
    program = """
        import hashlib, sys
        sys.path.insert(0, sys.argv[1])
        from test_code_cache import variations
        from random_networks import make

        every = [*variations(), *(make(seed).training_program(make(seed).network()) for seed in range(20))]
        print(hashlib.sha256("".join(p.digest for p in every).encode()).hexdigest())
    """
    said = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hashing in ("0", "77")
    }
    assert len(said) == 1


def test_equal_programs_make_equal_code() -> None:
    program = """
        import hashlib, sys
        sys.path.insert(0, sys.argv[1])
        from random_networks import make
        from chainrule.engines.llvm import target
        from chainrule.engines.compiled.lower.program import lower
        from chainrule.engines.compiled.kernels.panels import PanelLayout
        from chainrule.engines.compiled.plan import Recipe, plan

        said = hashlib.sha256()
        for seed in range(12):
            case = make(seed)
            program = case.training_program(case.network())
            steps = plan(program, Recipe(training=True), PanelLayout(target.host(), case.dtype))
            said.update(lower(steps).text().encode())
        print(said.hexdigest())
    """
    said = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hashing in ("0", "5")
    }
    assert len(said) == 1


def test_whatever_a_recipe_says_is_part_of_the_key() -> None:
    program = cr.Network(3, [cr.Dense(2)], "squared_error").program
    plain = Recipe()
    others = {
        "wanted": ("Z1",),
        "training": True,
        "large": True,
        "nonzero": True,
        "chunk": 128,
        "in_fours": True,
        "tiles": 256,
    }
    assert set(others) == {field.name for field in dataclasses.fields(Recipe)}, "a new field: change it here too"
    keys = {dataclasses.replace(plain, **{name: value}).key(program) for name, value in others.items()}
    assert len(keys | {plain.key(program)}) == len(others) + 1


def test_what_is_compiled_can_be_read(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan, the IR and the assembly of each module, also of those that the cache has."""
    plain = use()
    for folder in (tmp_path / "first", tmp_path / "second" / "inner"):
        monkeypatch.setenv("CHAINRULE_DUMP", str(folder))
        assert use() == plain
        names = sorted(path.name for path in folder.iterdir())
        assert {name.split(".", 1)[1] for name in names} == {"plan.txt", "ll", "s"}
        assert {name.split("-")[0] for name in names} == {"train", "call", "row"} and len(names) % 3 == 0
        for path in folder.iterdir():
            text = path.read_text(encoding="utf-8")
            inside = {".txt": "Product forward", ".ll": "define void @chainrule_r", ".s": "chainrule_r"}[path.suffix]
            assert inside in text or (path.suffix == ".ll" and "define i64 @chainrule_row" in text), path


def test_a_dump_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHAINRULE_DUMP", str(tmp_path / "file" / "folder"))
    with pytest.raises(cr.SpecError, match="CHAINRULE_DUMP must be a folder that can be written to"):
        use()


def test_code_in_parts_is_the_same(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is compiled part by part, so that signals are heard; compiled, and from the cache."""
    layers = [cr.Dense(9, "tanh"), cr.LayerNorm(), cr.Dense(7, "softmax"), cr.BatchNorm(), cr.Dense(3, "softmax")]
    plain = use(layers=layers)
    whole = len(list(place.iterdir()))
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(place.parent / "in parts"))
    monkeypatch.setattr(jit, "PART", 40)
    monkeypatch.setattr(one_sample, "LAYERS", 1)
    assert use(layers=layers) == plain
    entries = list((place.parent / "in parts").iterdir())
    assert len(entries) == whole and all(jit._SEVERAL in entry.read_bytes() for entry in entries)
    monkeypatch.setattr(jit, "object_code", None)
    assert use(layers=layers) == plain
