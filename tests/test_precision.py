"""Products in bfloat16 parts: what they mean, what says so, and that both engines agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.engines.base import Epoch
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan import Recipe, plan
from chainrule.engines.compiled.plan.recipe import batches
from chainrule.engines.llvm import target, tiles
from chainrule.engines.reference import bf16, split
from chainrule.program.op import GroupedMatMul, MatMul
from chainrule.program.precision import PRECISIONS, pairs
from problems import PROBLEMS, Problem

WORDS = ("highest", "high", "medium")
LARGEST = np.uint32(0x7F7F7FFF).view(np.float32)
"""The largest float32 number that is rounded to a bfloat16 number, and not to infinity."""
ERRORS = {"high": 2.0**-15, "medium": 2.0**-7}
"""Of a sum of products, relative to the sum of their absolute values: each factor is off by 2⁻¹⁶ or 2⁻⁸ at most."""


def made(precision: str = "highest", engine: str = "reference", **options: Any) -> cr.Network:
    return cr.Network(
        20, [cr.Dense(40, "tanh"), cr.Dense(3, "softmax")], "cross_entropy", precision=precision, engine=engine,
        **options,
    )  # fmt: skip


def data(m: int = 70) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((m, 20)).astype("f"), rng.integers(0, 3, m)


# --- what a part is -------------------------------------------------------------------------------------------------


def test_bfloat16_is_the_upper_half_rounded_to_the_nearest_and_halves_to_even() -> None:
    given = np.array([1.0, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -1 - 2**-9, 0.0, 3.0e38], "f")
    wanted = [1.0, 1.0, 1 + 2**-6, 1 + 2**-7, -1.0, 0.0]
    assert bf16(given)[:-1].tolist() == wanted
    rng = np.random.default_rng(0)
    some = (rng.standard_normal(10_000) * 10.0 ** rng.integers(-30, 30, 10_000)).astype("f")
    assert (bf16(some).view(np.uint32) & 0xFFFF == 0).all()
    assert (abs(bf16(some) - some) <= 2.0**-8 * abs(some)).all()
    assert bf16(-some).tobytes() == (-bf16(some)).tobytes()


def test_what_is_not_finite_has_one_part() -> None:
    most, largest = LARGEST, np.finfo(np.float32).max
    assert np.isfinite(bf16(np.array([most, -most], "f"))).all() and np.isinf(bf16(np.array([largest], "f"))).all()
    for parts in (1, 2, 3):
        found = split(np.array([most, np.inf, -np.inf, np.nan, 1e-38, largest], "f"), parts)
        total = sum(x.astype(float) for x in found)
        assert np.isfinite(total[0]) and abs(total[0] / most - 1) <= 2.0 ** -(8 * parts - 1)
        assert total[1] == total[5] == np.inf and total[2] == -np.inf and np.isnan(total[3])


def test_two_parts_hold_16_digits_and_three_all_of_them() -> None:
    x = np.random.default_rng(2).standard_normal(10_000).astype("f")
    for parts, least in ((1, 2.0**-8), (2, 2.0**-16), (3, 0.0)):
        error = abs(sum(p.astype(float) for p in split(x, parts)) - x)
        assert (error <= least * abs(x)).all()
        assert error.max() > 0 or not least
    assert [pairs(n) for n in range(4)] == [
        (),
        ((0, 0),),
        ((1, 0), (0, 1), (0, 0)),
        ((2, 0), (1, 1), (0, 2), (1, 0), (0, 1), (0, 0)),
    ]


# --- what says so ---------------------------------------------------------------------------------------------------


def test_who_says_nothing_gets_the_program_that_there_was() -> None:
    said, unsaid = made("highest"), cr.Network(20, made().spec.layers, "cross_entropy")
    assert said.spec == unsaid.spec and said.program.digest == unsaid.program.digest
    assert "precision" not in unsaid.spec.to_dict() and '"parts"' not in unsaid.program.to_json()
    assert unsaid.program.parts == 0


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_a_program_says_how_its_products_are_done(precision: str) -> None:
    program = made(precision).derive(optimizer=cr.Adam(), targets="labels")
    parts = PRECISIONS[precision]
    products = [e for e in program.equations if isinstance(e.op, MatMul | GroupedMatMul)]
    assert len(products) == 6 and all(e.op.parts == parts for e in products)  # type: ignore[union-attr]
    again = cr.Program.from_json(program.to_json())
    assert again == program and again.digest != program.of_parts(0).digest
    assert program.of_parts(0) == made().derive(optimizer=cr.Adam(), targets="labels")
    assert "L₁ = bf16(L)" in str(program) and "L₁ = bf16(L)" in program.show("column")
    assert ("L₂R₁ + L₁R₂ + L₁R₁" in str(program)) == (precision == "high")
    assert made(precision).summary().endswith(f"float32, precision {precision}")
    assert "products of numbers as they are" in program.show("numpy")


def test_products_without_samples_are_as_they_were() -> None:
    net = cr.Network(6, [cr.Dense(5, "relu"), cr.Dense(1)], "squared_error", precision="medium", engine="reference")
    program = net.derive(optimizer=cr.Muon())
    plain = [e for e in program.update if isinstance(e.op, MatMul)]
    assert plain and all(e.op.parts == 0 for e in plain)  # type: ignore[union-attr]


def test_other_words_are_refused() -> None:
    with pytest.raises(cr.SpecError, match=r"Did you mean 'high'.*highest, medium"):
        made("hihg")
    for word, told in (("bf16", "Write 'medium': one"), ("float32", "Write 'highest'"), ("float16", "no float16")):
        with pytest.raises(cr.SpecError, match=told):
            made(word)
    with pytest.raises(cr.SpecError, match="precision"):
        made(2)  # type: ignore[arg-type]
    with pytest.raises(cr.SpecError, match="Leave precision out"):
        made("high", dtype="float64")
    text = made("high").program.to_json()
    for wrong in ('"parts": 4', '"parts": -1', '"parts": true', '"parts": 0.5'):
        with pytest.raises(cr.DataError, match="parts"):
            cr.Program.from_json(text.replace('"parts": 2', wrong))


def test_files_keep_it(tmp_path: Path) -> None:
    net = made("medium")
    net.save(tmp_path / "net.safetensors")
    again = cr.Network.load(tmp_path / "net.safetensors")
    assert again.spec == net.spec and again.spec.precision == "medium"
    said = net.spec.to_dict()
    assert said["precision"] == "medium" and cr.NetworkSpec.from_dict(json.loads(json.dumps(said))) == net.spec
    with pytest.raises(cr.SpecError, match="precision"):
        cr.NetworkSpec.from_dict({**said, "precision": "low"})


def test_estimators_take_it() -> None:
    X, y = data()
    model = cr.MLPClassifier((5,), precision="medium", max_iter=2, early_stopping=True, engine="reference")
    with pytest.warns(UserWarning, match="Maximum iterations"):
        net = model.fit(X.astype(float), y).network_
    assert net.spec.precision == "medium" and net.dtype == np.float32
    assert cr.MLPClassifier.from_network(net).precision == "medium"
    for wrong, told in (
        ({"solver": "lbfgs"}, "'highest' with solver='lbfgs'"),
        ({"dtype": "float64"}, "'highest' with dtype='float64'"),
        ({"precision": "low"}, "a str among"),
    ):
        with pytest.raises(ValueError, match=told):
            cr.MLPRegressor(**{"precision": "high", **wrong}).fit(X, y)


def test_the_command_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("t.npz", X=data()[0], y=data()[1])
    words = ["train", "t.npz", "-e", "1", "-H", "4", "--engine", "reference", "-q", "--precision"]
    assert main([*words, "medium"]) == 0
    run = cr.load_run("runs/t")
    assert run.network.spec.precision == "medium" and run.options["precision"] == "medium"
    capsys.readouterr()
    for wrong, told in (("hi", "Did you mean 'high'"), ("high --dtype float64", "--precision must be highest")):
        assert main([*words, *wrong.split()]) != 0
        assert told in capsys.readouterr().err
    assert main(["derive", "--precision", "high"]) == 0
    assert "L₂R₁ + L₁R₂ + L₁R₁" in capsys.readouterr().out


# --- what comes out -------------------------------------------------------------------------------------------------


def test_gradients_are_right_and_the_check_says_what_it_compares(engine: str) -> None:
    X, y = data()
    report = made("medium", engine).check(X, y)
    assert report and "float64" in str(report) and "parts" in str(report)
    assert "parts" not in str(made("highest", engine).check(X, y))


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_a_product_is_off_by_no_more_than_its_parts(engine: str, precision: str) -> None:
    net = cr.Network(300, [cr.Dense(9)], "squared_error", precision=precision, engine=engine)
    rng = np.random.default_rng(3)
    X = (rng.standard_normal((50, 300)) * 10.0 ** rng.integers(-8, 8, (50, 300))).astype("f")
    W = net.parameters["W1"]
    found, exact = net.predict(X).astype(float), X.astype(float) @ W.astype(float)
    error = abs(found - exact) / (abs(X.astype(float)) @ abs(W.astype(float)))
    assert 0 < error.max() < ERRORS[precision]
    plain = cr.Network(300, [cr.Dense(9)], "squared_error", engine=engine).predict(X)
    assert (abs(plain - exact) / (abs(X.astype(float)) @ abs(W.astype(float)))).max() < error.max() / 2


def near(found: np.ndarray, meant: np.ndarray, plain: np.ndarray) -> bool:
    """Whether engines agree: a number that stands between two parts may be rounded to either, after that they differ
    by as much as the parts do from the numbers."""
    scale = max(float(abs(meant).max(initial=0)), 1e-3)
    return bool(abs(found - meant).max(initial=0) <= 5e-6 * scale + 2 * abs(plain - meant).max(initial=0))


def agree(problem: Problem, precision: str) -> None:
    X, y, w = problem.data(samples=67)
    nets = [
        replace(problem, options={**problem.options, "precision": word}).network(engine, "float32")
        for word, engine in ((precision, "compiled"), (precision, "reference"), ("highest", "reference"))
    ]
    found = [{"Ŷ": net.predict(X), **net.gradients(X, y, sample_weight=w)} for net in nets]
    for name, value in found[0].items():
        values = [value, found[1][name], found[2][name]]
        each = values if not isinstance(value, dict) else [list(v.values()) for v in values]
        for a, b, c in [each] if not isinstance(value, dict) else zip(*each, strict=True):
            assert near(a, b, c), (problem.name, name)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_engines_agree(precision: str) -> None:
    agree(PROBLEMS[0], precision)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_engines_agree_on_every_problem(problem: Problem, precision: str) -> None:
    agree(problem, precision)


def test_what_pads_a_weight_is_no_factor() -> None:
    """An update may leave anything beside the columns of a weight, 0 / 0 here."""
    layers = [cr.Dense(80, "tanh"), cr.GroupedDense(1, "tanh", groups=5), cr.Dense(1)]
    X, y = data(17)
    for precision in ("high", "highest"):
        net = cr.Network(20, layers, "squared_error", precision=precision, engine="compiled")
        net.fit(X, y[:, None].astype("f"), optimizer=cr.Adafactor(0.003), epochs=3, batch_size=9, verbose=False)
        assert all(np.isfinite(a).all() for a in net.parameters.values())


@pytest.mark.parametrize("precision", ["high", pytest.param("medium", marks=pytest.mark.long)])
def test_any_number_of_threads_trains_to_the_same_bits(precision: str, many_processors: None) -> None:
    X, y = data(150)
    for batch_size in (32, 700):
        found = []
        for threads in (1, 2, 3):
            net = made(precision, "compiled")
            net.fit(X, y, epochs=2, batch_size=batch_size, threads=threads, verbose=False)
            found.append(b"".join(a.tobytes() for a in net.parameters.values()))
        assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_numbers_at_the_edge(engine: str, precision: str) -> None:
    """What is not finite is not finite in the result, what is finite and small stays so."""
    net = cr.Network(3, [cr.Dense(2, bias=False)], "squared_error", precision=precision, engine=engine)
    net.parameters["W1"][...] = [[0.5, 0.25], [0.125, 1], [1, 1]]
    largest = LARGEST
    X = np.array([[np.inf, 1, 1], [1, np.nan, 1], [1, -np.inf, 0], [largest, 0, 0], [2e-38, 2e-38, 0], [0, 0, 0]], "f")
    with np.errstate(all="ignore"):
        found = net._run(net.program, {"X": X, "Y": np.zeros((6, 2), "f")}, ("Z1",))["Z1"]
    assert not np.isfinite(found[:3]).any()
    assert np.isfinite(found[3:]).all()
    np.testing.assert_allclose(found[3], [largest * 0.5, largest * 0.25], rtol=2.0**-7)
    np.testing.assert_allclose(found[4], [1.25e-38, 2.5e-38], atol=1.3e-38)
    assert (found[5] == 0).all()
    net.parameters["W1"][0] = [1.001, -1.001]  # two parts of one sign
    for infinite in (np.inf, np.finfo(np.float32).max):  # the largest number is rounded to infinity
        with np.errstate(all="ignore"):
            found = net._run(net.program, {"X": np.array([[infinite, 0, 0]], "f"), "Y": np.zeros((1, 2), "f")}, ("Z1",))
        assert found["Z1"].tolist() == [[np.inf, -np.inf]]


def test_one_row_is_as_in_the_whole() -> None:
    X, _ = data()
    net = made("medium", "compiled")
    whole = net.predict(X)
    np.testing.assert_allclose(net.predict(X[:1]), whole[:1], rtol=1e-6)


def test_a_plan_says_how_factors_are_packed() -> None:
    program = made("high").training_program(cr.SGD(), targets="labels")
    text = str(plan(program, Recipe(training=True), PanelLayout(target.host(), "float32")))
    assert "packed before the first batch, then by their updates: W1 in rows, 2 parts, W2 in rows" in text
    for said in ("X in lines", "X in lanes", "A1 in lines", "A1 in lanes", "dZ2 in lines", "W2 in lanes", "of 2 parts"):
        assert said in text
    assert " Pack " not in text  # all of it by whoever makes them
    odd = cr.Network(21, [cr.Dense(3)], "squared_error", precision="high").training_program(cr.SGD(), targets="values")
    layout = PanelLayout(target.host(), "float32")
    stages = [line.split()[1:5] for line in str(plan(odd, Recipe(training=True), layout)).splitlines()]
    assert [line for line in stages if line[:1] == ["Pack"]] == [["Pack", "X", "in", "lines,"]]
    large = str(plan(program, Recipe(training=True, large=True), layout))
    assert "W1 in rows, 2 parts" in large and "before the first batch" not in large


def test_what_products_of_parts_take_counts_when_threads_are_chosen() -> None:
    engine = CompiledEngine(np.dtype(np.float32))
    units = [
        engine.unit(made(word).training_program(cr.SGD(), targets="labels"), Recipe(training=True)) for word in WORDS
    ]
    plain, high, medium = (unit.operations(64) for unit in units)
    by_dots = "by dots" in str(units[2].plan)
    assert medium < high and (medium < plain) == by_dots
    assert all(0 < unit.barriers < len(unit.plan.stages) for unit in units)


# --- by matrix tiles --------------------------------------------------------------------------------------------------


def tiled() -> CompiledEngine:
    """The engine for a machine with matrix tiles, vector code in the place of their instructions."""
    host = target.host()
    if host.vector_bytes != 64:
        pytest.skip("tiles stand beside vectors of 64 bytes")
    return CompiledEngine(np.dtype(np.float32), replace(host, tiles="emulated"))


def by(way: str) -> CompiledEngine:
    """The engine that takes this way; what the host has, or a lesser machine's."""
    if way == "tiles":
        return tiled()
    machine = target.host()
    if way == "vectors" and machine.architecture == "x86_64":
        machine = target.named("x86-64-v3") if machine.vector_bytes >= 32 else target.named("x86-64-v2")
    return CompiledEngine(np.dtype(np.float32), machine)


@pytest.mark.parametrize("way", ["tiles", "vectors", pytest.param("host", marks=pytest.mark.long)])
@pytest.mark.parametrize("precision", ["high", pytest.param("medium", marks=pytest.mark.long)])
def test_every_way_trains_as_the_meaning_says(precision: str, way: str, many_processors: None) -> None:
    """Several steps, so that weights are packed again after each; groups, and odd numbers of features, on the way."""
    layers = [
        cr.Dense(70, "relu"), cr.GroupedDense(9, "tanh", groups=2), cr.Members(3),
        cr.SharedDense(11, "relu", members=3), cr.MeanOfMembers(3), cr.Dense(1),
    ]  # fmt: skip
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((90, 23)).astype("f"), rng.standard_normal((90, 1)).astype("f")
    found: list[dict[str, np.ndarray]] = []
    for batch_size in (40, 90):
        for engine, threads in ((by(way), 1), (by(way), 3), (None, 1), (None, 1)):
            word = precision if len(found) % 4 < 3 else "highest"
            net = cr.Network(23, layers, "squared_error", precision=word, engine="reference")
            program = net.training_program(cr.SGD(0.05))
            session = (engine or net.engines.named("reference")).open(program, net.parameters)
            order = np.arange(90)
            session.epoch(
                Epoch({"X": X, "Y": y}, order, batch_size, np.full(-(-90 // batch_size), 0.05), 1, 0, threads)
            )
            found.append(session.read())
        one, three, meant, plain = found[-4:]
        for name, value in one.items():
            assert value.tobytes() == three[name].tobytes()
            assert near(value, meant[name], plain[name]), name


def test_tiles_take_a_call_in_chunks() -> None:
    X, _ = data(90)
    layers = [cr.Dense(33, "relu"), cr.Dense(70), cr.Dense(4)]
    net = cr.Network(20, layers, "squared_error", precision="high", engine="reference")
    given = {**net.parameters, "X": X, "Y": np.zeros((90, 4), "f"), "m": np.float32(90)}
    found = tiled().run(net.program, given, ("Z3",))["Z3"]
    np.testing.assert_allclose(found, net.predict(X), atol=2e-5)


def test_a_plan_says_which_way_a_product_takes() -> None:
    program = made("medium").training_program(cr.SGD(), targets="labels")
    machines = {"tiles": target.named("amx"), "vectors": target.named("x86-64-v3")}
    for way, machine in machines.items():
        text = str(plan(program, Recipe(training=True), PanelLayout(machine, "float32")))
        assert f"Product forward of 1 parts by {way}" in text
    with_tiles = str(plan(program, Recipe(training=True), PanelLayout(machines["tiles"], "float32")))
    assert "by dots" in with_tiles or "by vectors" in with_tiles  # the three outputs are too few


def test_tiles_that_are_refused_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "permitted", lambda: False)
    asked = CompiledEngine(np.dtype(np.float32), replace(target.host(), tiles="instructions"))
    net, (X, y) = made("medium"), data()
    value = asked.run(net.program, {**net.parameters, "X": X, "Y": np.eye(3, dtype="f")[y], "m": 70}, ("A2",))["A2"]
    assert asked.layout.target.tiles == ""
    np.testing.assert_allclose(value, made("medium", "compiled").predict(X), rtol=1e-6)


# --- numbers as they are, by matrix tiles -----------------------------------------------------------------------------


def wide(layers: list[cr.Dense] | None = None, **options: Any) -> cr.Network:
    """A network whose products tiles take in batches of 300: as they are, so without being asked."""
    return cr.Network(400, layers or [cr.Dense(420, bias=False)], "squared_error", engine="reference", **options)


def product_of(engine: CompiledEngine, net: cr.Network, X: np.ndarray) -> np.ndarray:
    given = {**net.parameters, "X": X, "Y": np.zeros((len(X), 420), "f"), "m": np.float32(len(X))}
    found: np.ndarray = engine.run(net.program, given, ("Z1",))["Z1"]
    return found


def test_whole_tiles_are_as_near_as_multiply_adds_in_all_of_float32s_range() -> None:
    net, rng, plain = wide(), np.random.default_rng(8), CompiledEngine(np.dtype(np.float32))
    X = rng.standard_normal((300, 400)).astype("f")
    W = net.parameters["W1"].astype(float)
    for given in (X, abs(X), X * np.float32(1e-32), X * np.float32(1e36)):
        exact = given.astype(float) @ W
        scale = np.linalg.norm(given.astype(float), axis=1)[:, None] * np.linalg.norm(W, axis=0)
        errors = [abs(product_of(engine, net, given) - exact) / scale for engine in (tiled(), plain)]
        for of in (np.mean, np.max):
            assert 0 < of(errors[0] ** 2) < of(errors[1] ** 2) / 2


def test_whole_tiles_leave_what_is_not_finite_as_float32_has_it() -> None:
    """Infinite numbers have no parts, nor have those that are rounded to infinity: rows with them are taken as ever."""
    net, plain = wide(), CompiledEngine(np.dtype(np.float32))
    W = net.parameters["W1"]
    W[:, 0], W[:, 1], W[:, 2], W[:, 3] = 1, np.where(np.arange(400) % 2, 1, -1), 0, 1e30
    W[0, 2] = 0.5
    X = np.random.default_rng(9).standard_normal((300, 400)).astype("f")
    X[3, 7], X[5, 2], X[9], X[40] = np.inf, np.nan, 3.395e38, 3e38
    X[41], X[42, 1:], X[42, 0] = 0, 0, np.finfo(np.float32).max
    with np.errstate(all="ignore"):
        found, meant = (product_of(engine, net, X) for engine in (tiled(), plain))
    assert not np.isfinite(meant).all() and found[42, 2] == meant[42, 2] == np.finfo(np.float32).max / 2
    assert np.array_equal(np.isnan(found), np.isnan(meant)) and np.array_equal(np.isposinf(found), np.isposinf(meant))
    finite = np.isfinite(meant)
    np.testing.assert_allclose(found[finite], meant[finite], rtol=1e-3, atol=1e-4)
    # The same of a product over the samples: one of them is infinite.
    program = net.program.pruned([gradient for _, gradient in net.program.gradients])
    given = {**net.parameters, "X": X, "Y": np.zeros((300, 420), "f"), "m": np.float32(300)}
    with np.errstate(all="ignore"):
        found, meant = (engine.run(program, given, ("dW1",))["dW1"] for engine in (tiled(), plain))
    assert np.array_equal(np.isnan(found), np.isnan(meant)) and np.array_equal(np.isinf(found), np.isinf(meant))


def test_whole_tiles_are_for_large_products_of_large_batches() -> None:
    layers = [cr.Dense(420, "relu"), cr.Dense(400, "tanh"), cr.Dense(3)]
    program = wide(layers).training_program(cr.SGD(0.01))
    with_tiles = PanelLayout(target.named("amx"), "float32")
    taken = {}
    for samples, nonzero in ((300, False), (300, True), (32, False)):
        recipe = Recipe(training=True, tiles=batches(samples, with_tiles), nonzero=nonzero)
        taken[samples, nonzero] = str(plan(program, recipe, with_tiles)).count("by whole tiles")
    assert taken == {(300, False): 5, (300, True): 3, (32, False): 0}  # data of zeros may pass over them
    without = PanelLayout(target.named("x86-64-v4"), "float32")
    assert batches(300, without) == 0
    assert "tiles" not in str(plan(program, Recipe(training=True, tiles=256), without))


@pytest.mark.long
@pytest.mark.parametrize("batch_size", [300, 600])
def test_whole_tiles_train_as_float32_does(batch_size: int, many_processors: None) -> None:
    net = wide([cr.Dense(420, "relu"), cr.Dense(400, "tanh"), cr.Dense(3)])
    program, rng = net.training_program(cr.SGD(0.01)), np.random.default_rng(5)
    samples = 2 * batch_size
    X, Y = rng.standard_normal((samples, 400)).astype("f"), rng.standard_normal((samples, 3)).astype("f")
    found = []
    for engine, threads in ((tiled(), 1), (tiled(), 3), (net.engines.named("reference"), 1)):
        session = engine.open(program, net.parameters)
        rates = np.full(2, 0.01)
        session.epoch(Epoch({"X": X, "Y": Y}, np.arange(samples), batch_size, rates, 1, 0, threads))
        found.append(session.read())
    for name, value in found[0].items():
        assert value.tobytes() == found[1][name].tobytes()
        np.testing.assert_allclose(value, found[2][name], atol=1e-7)


def test_tiles_are_not_asked_for_where_no_product_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> bool:
        raise AssertionError("asked")

    monkeypatch.setattr(tiles, "permitted", asked)
    engine = CompiledEngine(np.dtype(np.float32), replace(target.host(), tiles="instructions"))
    net, (X, y) = made(), data()
    engine.run(net.program, {**net.parameters, "X": X, "Y": np.eye(3, dtype="f")[y], "m": 70}, ("A2",))
    with pytest.raises(AssertionError, match="asked"):
        product_of(engine, wide(), np.zeros((300, 400), "f"))
