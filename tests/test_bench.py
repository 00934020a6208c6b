"""The benchmark: its workloads, its contenders' agreement, its arithmetic, its tables and its command."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chainrule.bench import process, runner, startup, table
from chainrule.bench.contenders import CONTENDERS, Contender, Entry, load
from chainrule.bench.process import WorkerFailedError, WorkerProcess
from chainrule.bench.results import Results, Series, Startup, Trial, speedup
from chainrule.bench.runner import Plan
from chainrule.bench.workloads import WORKLOADS, Array, Problem, exponential, problem
from chainrule.cli import main

SMALL = ["residual", "table", "names", "mnist32", "tiny", "matexp", "dropout"]


class Stub:
    """Does nothing, with another first cost for each class."""

    cost = 0.3

    def __init__(self, problem: Problem, threads: int) -> None:
        self.outputs = problem.workload.sizes[-1]

    def reset(self) -> None: ...

    def train(self, epochs: int) -> float:
        return self.cost

    def predict(self, x: Array) -> Array:
        return np.full((1, self.outputs), self.cost)

    def about(self) -> str:
        print("noise between the answers")
        return "stub 1.0"


class Wrong(Stub):
    cost = 77.0


class Broken(Stub):
    def train(self, epochs: int) -> float:
        raise RuntimeError("cannot do this")


class Gone(Stub):
    def train(self, epochs: int) -> float:
        raise SystemExit(3)


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers can import this module."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def stub(name: str, library: str | None = None) -> Entry:
    return Entry(name.lower(), name, name, f"test_bench:{name}", library)


# --- workloads and contenders ----------------------------------------------------------------------------------------


def test_operations_count_the_products_that_training_needs() -> None:
    assert WORKLOADS["mnist32"].operations() == 2 * 784 * 256 * 2 + 2 * 256 * 10 * 3
    assert WORKLOADS["names"].operations() == 3 * 2 * (30 * 200 + 200 * 27)
    assert WORKLOADS["row"].operations() == 2 * (784 * 256 + 256 * 10)


def test_every_batch_is_full() -> None:
    for workload in WORKLOADS.values():
        for part in (1.0, 0.02):
            short = workload.shortened(part)
            assert short.samples % short.batch_size == 0 and short.samples <= workload.samples
            assert short.shuffled == workload.shuffled


def test_the_matrix_exponential() -> None:
    M = np.random.default_rng(0).standard_normal((20, 2, 2))
    turn = np.array([[0.0, -math.pi], [math.pi, 0.0]])
    np.testing.assert_allclose(exponential(turn), -np.eye(2), atol=1e-12)
    np.testing.assert_allclose(exponential(M) @ exponential(-M), np.broadcast_to(np.eye(2), M.shape), atol=1e-10)
    np.testing.assert_allclose(np.linalg.det(exponential(M)), np.exp(np.trace(M, axis1=1, axis2=2)), rtol=1e-10)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if number % 2 else []) for number, name in enumerate(SMALL)]
)
def test_contenders_compute_the_same(name: str) -> None:
    """The mean cost of the first epoch; batches come in other orders, masks are others."""
    given = problem(WORKLOADS[name].shortened(0.01))
    costs = {}
    for entry in CONTENDERS.values():
        if entry.library in (None, "sklearn") and entry.unable(given.workload) is None:
            contender: Contender = load(entry.place)(given, 1)
            contender.reset()
            costs[entry.name] = contender.train(2)
            contender.reset()
            again = contender.train(1)
            assert again == pytest.approx(costs[entry.name], rel=0.05), "reset() goes back to the first weights"
    assert len(costs) > 1
    for name, cost in costs.items():
        assert cost == pytest.approx(costs["chainrule"], rel=0.05), name


@pytest.mark.parametrize("name", ["row", "rowtiny", "rows"])
def test_contenders_predict_the_same(name: str) -> None:
    given = problem(WORKLOADS[name].shortened(0.0015))
    m = given.workload.batch_size
    assert m == (1500 if name == "rows" else 1)
    x = np.random.default_rng(1).standard_normal((m, given.workload.sizes[0]), np.float32)
    found = [load(CONTENDERS[key].place)(given, 1).predict(x) for key in ("chainrule", "sklearn", "numpy")]
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-4, atol=1e-6)


def test_the_first_epoch_lowers_the_cost() -> None:
    """Or an agreement of costs would say little."""
    for name in ("names", "mnist32", "tiny"):
        given = problem(WORKLOADS[name].shortened(0.1))
        contender = load(CONTENDERS["numpy"].place)(given, 1)
        contender.reset()
        first = contender.train(1)
        assert contender.train(1) < 0.97 * first


# --- arithmetic ------------------------------------------------------------------------------------------------------


def made(*, threads: tuple[int, ...] = (1, 2)) -> Results:
    """tiny in three rounds: the second round was slow for all."""
    trial = Trial(WORKLOADS["tiny"], ceilings=[100.0, 50.0, 100.0])
    trial.series = [
        Series("chainrule", 1, cost=1.0, wall=[0.01, 0.02, 0.01], processor=[0.01, 0.01, 0.01]),
        Series("chainrule", 2, cost=1.0, wall=[0.005, 0.01, 0.005], processor=[0.01, 0.01, 0.01]),
        Series("numpy", 1, cost=1.01, wall=[0.03, 0.06, 0.04], processor=[0.03, 0.03, 0.03]),
        Series("numpy", 2, cost=1.01, wall=[0.04, 0.07, 0.05], processor=[0.03, 0.03, 0.03]),
        Series("jax", 1, cost=1.0, wall=[0.02, 0.04, 0.02], processor=[0.02, 0.02, 0.02]),
    ]
    rows = Trial(WORKLOADS["rows"], ceilings=[100.0] * 3)
    rows.series = [Series("chainrule", 2, wall=[0.5] * 3), Series("numpy", 2, wall=[1.0] * 3)]
    row = Trial(WORKLOADS["row"], ceilings=[100.0] * 3)
    row.series = [
        Series("chainrule", 1, wall=[5e-6] * 3, processor=[5e-6] * 3),
        Series("numpy", 1, wall=[2e-5] * 3, processor=[2e-5] * 3),
    ]
    return Results(
        "a machine",
        "wall",
        threads,
        3,
        [trial, row, rows],
        libraries=["stub 1.0"],
        skipped=["PyTorch: torch is not installed"],
    )


def test_ratios_are_of_the_same_round_and_the_best_thread_settings() -> None:
    trial = made().trials[0]
    mine, peer = trial.best("chainrule", "wall"), trial.fastest_peer("wall")
    assert mine is not None and peer is not None
    assert (mine.threads, peer.contender) == (2, "jax")
    assert speedup(peer, mine, "wall") == pytest.approx(4.0)
    numpy = trial.best("numpy", "wall")
    assert numpy is not None and numpy.threads == 1
    assert speedup(numpy, mine, "wall") == pytest.approx(6.0)  # of 6, 6 and 8


def test_the_share_takes_each_rounds_own_ceiling() -> None:
    trial = made().trials[0]
    work = trial.workload.operations() * trial.workload.samples / 1e9
    single = trial.of("chainrule", 1)
    assert single is not None
    assert trial.share(single, "wall") == pytest.approx(work / 0.01 / 100)
    assert trial.gflops(single, "wall") == pytest.approx(work / 0.01)


def test_time_lost_to_other_work() -> None:
    assert made().busy == pytest.approx(1 - (0.03 + 0.09 + 0.06 + 7.5e-5) / (0.04 + 0.13 + 0.08 + 7.5e-5), rel=1e-3)


def test_other_costs_are_noticed() -> None:
    trial = made().trials[0]
    assert trial.disagreement() is None
    trial.series[2].cost = 1.06
    assert "numpy with 1.06" in str(trial.disagreement())
    trial.series[2].cost = math.nan
    assert "numpy" in str(trial.disagreement())


# --- tables ----------------------------------------------------------------------------------------------------------


def test_tables(capsys: pytest.CaptureFixture[str]) -> None:
    results = made()
    results.startup = Startup(0.1, {"tiny": 0.2}, {"tiny": 0.02}, 0.5, 0.3)
    one, two, ratios, calls, many, starting = table.tables(results)
    assert one.heads == ["", "chainrule", "GFLOP/s", "of ceiling", "JAX steps", "NumPy", "× fastest"]
    assert one.rows[0][1] == "6400" and one.rows[0][-3:] == ["3200", "1600", "2.00"]
    assert two.heads[:4] == ["", "chainrule", "GFLOP/s", "2 over 1"]
    assert two.rows[0][3:] == ["2.00", "-", "1280", "8.00"]
    assert ratios.rows[0][1:] == ["4.00", "6.00", "JAX steps (1)", "4.00"]
    assert calls.rows[0][1:] == ["5.00", "20.0", "4.00"]
    assert many.rows[0][1:] == ["2.00", "1.00", "2.00"] and many.title.endswith("million samples a second")
    assert starting.rows[-1] == ["compile tiny", "0.200", "0.020"]
    text = table.markdown(results)
    assert "| tiny: 8 - 32 - 32 tanh - 1, b 32 | 6400 |" in text and "- Skipped: PyTorch: torch is not" in text
    for one in table.tables(results):
        assert len({len(row) for row in (one.heads, *one.rows)}) == 1
    lines: list[str] = []
    table.show(results, lines.append, terminal=False)
    assert lines[-1] == "chainrule over the fastest peer: tiny 4.00, row 4.00, rows 2.00; load 0.0"
    assert any("busy" in line for line in lines)
    assert "× fastest" in capsys.readouterr().out


def test_precisions_have_a_table_of_their_own() -> None:
    results = made(threads=(1,))
    results.trials[0].series += [
        Series("medium", 1, cost=1.0, wall=[0.005, 0.01, 0.005], processor=[0.005] * 3),
        Series("torch-bfloat16", 1, cost=1.0, wall=[0.001, 0.002, 0.001], processor=[0.001] * 3),
    ]
    results.trials[0].narrow = [200.0] * 3
    one, _, precisions, *_ = table.tables(results)
    assert "PyTorch bfloat16" not in one.heads and one.rows[0][-1] == "2.00"  # of peers in float32
    assert precisions.heads == ["", "highest", "medium", "PyTorch bfloat16", "medium × highest"]
    assert precisions.rows[0][1:] == ["6400", "12800", "64000", "2.00"]
    assert any("bfloat16 products on one core: 200 GFLOP/s" in line for line in table.notes(results))
    assert results.as_json()["bfloat16_ceiling_gflops"] == 200.0


def test_without_peers_there_is_still_a_table() -> None:
    results = made(threads=(1,))
    results.trials = results.trials[:1]
    results.trials[0].series = results.trials[0].series[:1]
    assert [t.rows[0][-1] for t in table.tables(results)] == ["-"]
    assert table.summary(results).startswith("no peer")


# --- processes -------------------------------------------------------------------------------------------------------


def test_the_environment_of_workers() -> None:
    base = {"OPENBLAS_CORETYPE": "Prescott", "XLA_FLAGS": "x", "KEPT": "1", "OMP_NUM_THREADS": "7"}
    one, two = process.environment(1, base), process.environment(2, base)
    assert one["KEPT"] == "1" and "OPENBLAS_CORETYPE" not in one
    assert (one["OMP_NUM_THREADS"], two["OPENBLAS_NUM_THREADS"]) == ("1", "2")
    assert "intra_op_parallelism_threads=1" in one["XLA_FLAGS"] and "XLA_FLAGS" not in two


@pytest.mark.long
def test_who_fails_or_differs_is_said(places: None) -> None:
    plan = Plan(
        (WORKLOADS["tiny"],),
        (CONTENDERS["chainrule"], stub("Wrong"), stub("Broken"), stub("Gone"), stub("Stub", "no_such_library")),
        (1,),
        rounds=2,
        part=0.01,
        least=0.001,
    )
    said: list[str] = []
    results = runner.run(plan, said.append)
    assert "tiny: round 2 of 2" in said
    [trial] = results.trials
    assert [(s.contender, len(s.wall), len(s.processor)) for s in trial.series] == [
        ("chainrule", 2, 2),
        ("wrong", 2, 2),
    ]
    assert len(trial.ceilings) == 2 and results.ceiling is not None and results.ceiling > 0.1
    assert "wrong with 77" in results.warnings[0]
    skipped = "\n".join(results.skipped)
    assert "Stub: no_such_library is not installed" in skipped
    assert "RuntimeError: cannot do this" in skipped and "ended with code 3" in skipped
    assert "stub 1.0" in results.libraries


def test_the_product_may_not_fail(places: None) -> None:
    broken = Entry("chainrule", "chainrule", "chainrule", "test_bench:Broken")
    with pytest.raises(WorkerFailedError, match="cannot do this"):
        runner.run(Plan((WORKLOADS["tiny"],), (broken,), (1,), part=0.01), lambda _: None)


def test_a_worker_answers_what_it_does_not_know(places: None) -> None:
    worker = WorkerProcess("test_bench:Stub", 1)
    try:
        with pytest.raises(WorkerFailedError, match="no such command"):
            worker.ask("dance")
        found = worker.ask("prepare", workload="rowtiny", part=1.0, least=0.0001)
        assert found["cost"] == pytest.approx(0.3) and found["repeats"] >= 1 and found["about"] == "stub 1.0"
        assert set(worker.ask("time")) == {"wall", "processor"}
    finally:
        worker.close()


def test_thread_settings() -> None:
    most = len(process.processors())
    assert runner.settings(["all", "1"]) == tuple(sorted({1, most}))
    for wrong in (["0"], [str(most + 1)], ["many"]):
        with pytest.raises(ValueError):
            runner.settings(wrong)


@pytest.mark.long
def test_starting_is_measured() -> None:
    found = startup.measure([WORKLOADS["tiny"], WORKLOADS["rowtiny"]], 1)
    assert found.load > 0 and found.digits_cold > 0 and found.digits_cached > 0
    assert set(found.compile_cold) == set(found.compile_cached) == {"tiny"}


# --- the command -----------------------------------------------------------------------------------------------------

Refused = Callable[..., None]


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["--workloads", "tinny"], "Did you mean 'tiny'?"),
        (["--peers", "pytorch"], "Did you mean 'torch'?"),
        (["--precisions", "hihg"], "Did you mean 'high'?"),
        (["--threads", "0"], "--threads must be"),
        (["--threads", ""], "--threads must be"),
        (["--clock", "sun"], "--clock must be"),
        (["--repeats", "0"], "--repeats"),
        (["--json", "no/such/folder/x.json"], "no such file or directory"),
    ],
)
def test_bad_options(words: list[str], say: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert say in error and len(error.splitlines()) == 1


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--workloads", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(WORKLOADS)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / name) for name in ("x.json", "x.md")]
    words = ["--quick", "--workloads", "tiny,rowtiny", "--peers", "numpy", "--precisions", "medium", "--no-startup"]
    assert main(["bench", *words, "--json", files[0], "--markdown", files[1]]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].startswith("chainrule over the fastest peer: tiny ")
    assert "by the precision of products" in out
    assert "kernels" in out and "warning: tiny" not in out
    plain = json.loads(Path(files[0]).read_text(encoding="utf-8"))
    assert [t["workload"]["name"] for t in plain["trials"]] == ["tiny", "rowtiny"]
    assert plain["trials"][0]["product_over_fastest_peer"] > 0
    assert "**One core" in Path(files[1]).read_text(encoding="utf-8")
