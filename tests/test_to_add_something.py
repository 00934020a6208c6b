"""What docs/ARCHITECTURE.md says is to be touched to add something is all: each is added here, from outside.

A toy of every kind goes the whole way: summary, derivation in every notation, numbers, checks, report, engines, files.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.layers import Layer, Place
from chainrule.describe.optimizers import UpdateRule, update_rule
from chainrule.engines.reference import ReferenceEngine
from chainrule.engines.table import ENGINES
from chainrule.notation import FORMATS, MATHEMATICAL, Notation, notation_names
from chainrule.program.builder import Builder
from chainrule.program.op import Mask
from chainrule.program.scalar import Reduction, Variable
from chainrule.program.symbol import Symbol

ROOT = Path(cr.__file__).parent
DOCS = Path(__file__).parent.parent / "docs" / "ARCHITECTURE.md"

# --- the toys --------------------------------------------------------------------------------------------------------

ISRU = cr.Activation("z / sqrt(1 + z ** 2)", name="isru", slope="(1 - a ** 2) ** 1.5", initialiser="lecun_normal")
CAUCHY = cr.Loss("log(1 + (yhat - y) ** 2)", name="cauchy")
MARGIN = cr.Loss("softplus(-(y * yhat))", name="margin", kind="signs", between=(-1.0, 1.0))


@dataclass(frozen=True)
class Gate(Layer):
    """G = (p ∘ A + q mean_j A) ∘ R / (1 - rate): two parameters, a mean over the row, a random mask."""

    random = True
    passes = True

    rate: float = 0.25

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        width, label, a = below.shape[1], place.label, Variable(below.name)
        assert isinstance(width, int)
        p = write.parameter(Symbol("p", layer=label), (width,), "ones")
        q = write.parameter(Symbol("q", layer=label), (width,))
        mean = write.lower(Reduction("mean", "columns", a), {}, Symbol("sum", layer=label, mark="g"), rule="gate")
        value = Variable(p.name) * a + Variable(q.name) * mean
        if place.training and self.rate:
            seed, step = write.give(Symbol("seed", (), "counter")), write.give(Symbol("t", (), "counter"))
            draft = Symbol("R", (), "mask", layer=label, mark="g")
            mask = write.apply(draft, Mask(self.rate, place.stream, width), (seed, step), rule="gate")
            value = value * Variable(mask.name) / (1 - self.rate)
        return write.write(Symbol("G", layer=label), value, rule="gate")

    @property
    def words(self) -> str:
        return f"gate {self.rate:g}"


@dataclass(frozen=True, kw_only=True)
class Tiger(cr.Optimizer):
    """w ← w - lr sign(β m + (1 - β) g), m ← β m + (1 - β) g."""

    beta: float = 0.75

    def rule(self) -> UpdateRule:
        mean = f"{self.beta} * M + {1 - self.beta} * g"
        return update_rule([], [("w", f"w - lr * sign({mean})"), ("M", mean)])


@dataclass(frozen=True)
class Halving(cr.Schedule):
    """lr / 2^step"""

    rate: float

    def _conditions(self) -> list[tuple[str, str, bool]]:
        return [("rate", "above 0", self.rate > 0)]

    def _formula(self, step: Any, steps_per_epoch: int, total_steps: int) -> Any:
        return self.rate * 0.5**step


class Mine(ReferenceEngine):
    """An engine of one's own: the reference's, under another name."""

    name = "mine"


TABLE = Notation(
    "house",
    "Of the house",
    "Rows; a cap is an activation.",
    letters={"A": "Ω"},
    gradients=("named", "nabla", "jacobian"),
)


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line in each open table, for a test."""
    monkeypatch.setitem(ENGINES, "mine", Mine)
    monkeypatch.setitem(MATHEMATICAL, "house", TABLE)


def network(engine: str = "auto", loss: Any = CAUCHY, **options: Any) -> cr.Network:
    """Every toy that a network is made of."""
    layers = [cr.Dense(6, ISRU), Gate(), cr.Dense(2)]
    net = cr.Network(4, layers, loss, engine=engine, **{"dtype": "float64", "seed": 3, "l2": 0.1, **options})
    rng = np.random.default_rng(1)
    for array in net.parameters.values():
        array += 0.3 * rng.normal(size=array.shape)
    return net


def data(samples: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 4)), rng.normal(size=(samples, 2))


# --- the whole way ---------------------------------------------------------------------------------------------------


def test_summary_and_names() -> None:
    net = network()
    assert list(net.parameters) == ["W1", "b1", "p1", "q1", "W2", "b2"]
    lines = net.summary().splitlines()
    assert lines[1:4] == [
        "dense isru       (m, 6)   30",
        "gate 0.25        (m, 6)   12",
        "dense identity   (m, 2)   14",
    ]
    assert lines[4] == "loss cauchy; 56 parameters, float64"
    assert repr(net) == "Network(4-6-2, loss='cauchy', dtype='float64')"
    assert [s.name for s in net.derive(mode="inference").outputs] == ["A1", "G1", "Z2"]


def test_first_weights_go_by_the_activation() -> None:
    """LeCun's: variance 1 / inputs."""
    wide = cr.Network(400, [cr.Dense(300, ISRU), Gate(), cr.Dense(1)], CAUCHY)
    assert abs(wide.parameters["W1"].std() - 400**-0.5) < 0.01 * 400**-0.5
    assert (wide.parameters["p1"] == 1).all() and not wide.parameters["q1"].any()


@pytest.mark.parametrize("form", FORMATS)
def test_every_notation_writes_it(form: str) -> None:
    net = network()
    for notation in notation_names():
        text = net.show(notation, form, optimizer=Tiger(0.01), why=True)
        assert text
        if form == "unicode" and notation != "numpy":
            assert {"activation: isru", "layer: gate", "loss: cauchy", "update rule: Tiger"} <= {
                line.strip().split("; through")[0] for line in text.splitlines()
            }, (notation, text)
    assert "Ω" in net.show("house", form)


def test_every_line_of_every_notation_is_true() -> None:
    """Their arranged programs compute the gradients that the derived one does."""
    net, (X, y) = network(), data()
    plain = net.trace(X, y, training=True, optimizer=Tiger(0.01))
    for notation in notation_names():
        seen = net.trace(X, y, training=True, optimizer=Tiger(0.01), notation=notation)
        for name in ("dW1", "db1", "dp1", "dq1", "dW2", "db2"):
            np.testing.assert_allclose(seen[name], plain[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("loss", [CAUCHY, MARGIN], ids=str)
def test_gradients_agree_with_finite_differences(loss: Any, engine: str) -> None:
    X, y = data()
    report = network(engine, loss).check(X, np.sign(y))
    assert report, str(report)
    assert {g.of for g in report.inner} >= {"A1", "G1", "Z1"}


@pytest.mark.parametrize("name", ["compiled", "mine"])
def test_every_engine_trains_it_alike(name: str) -> None:
    X, y = data()
    nets = [network(kind) for kind in ("reference", name)]
    for net in nets:
        net.fit(X, y, epochs=3, batch_size=7, optimizer=Tiger(Halving(0.01)), verbose=False)
    for key, expected in nets[0].parameters.items():
        np.testing.assert_allclose(nets[1].parameters[key], expected, rtol=1e-9, atol=1e-12, err_msg=key)
    np.testing.assert_allclose(nets[1].predict(X), nets[0].predict(X), rtol=1e-9)
    assert nets[1].engines.name == name


def test_what_a_loss_says_of_its_targets_is_used() -> None:
    net, (X, y) = network(loss=MARGIN), data()
    signs = np.sign(y)
    with pytest.raises(cr.DataError, match="y must be -1 or 1 for margin"):
        net.fit(X, y, epochs=1, verbose=False)
    _, metric, value = net.evaluate(X, signs)
    assert (metric, value) == ("accuracy", ((net.predict(X) > 0) == (signs > 0)).mean())
    assert network().evaluate(X, y)[1] == "error"
    with pytest.raises(cr.SpecError, match=r"Unknown kind of target 'sign'\. Did you mean 'signs'"):
        cr.Loss("yhat - y", kind="sign")  # type: ignore[arg-type]


def test_it_is_watched_and_reported(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    net, (X, y) = network(), data()
    monitor = cr.Monitor(every=1)
    net.fit(X, y, epochs=2, optimizer=Tiger(0.01), callbacks=[monitor], verbose=False)
    assert monitor.layers == ("A1", "G1", "Z2") and monitor.matrices == ("W1", "W2")
    assert {"A1.saturated", "G1.mean", "p1.gradient"} <= set(monitor.names)
    path = net.report(tmp_path / "report.html", X, y, monitor=monitor, optimizer=Tiger(0.01))
    text = path.read_text(encoding="utf-8")
    assert "Of the house" in text and "gate 0.25" in text and "update rule: Tiger" in text


def test_saved_and_loaded(tmp_path: Path) -> None:
    net, (X, _) = network(), data()
    net.save(tmp_path / "toy.safetensors")
    again = cr.Network.load(tmp_path / "toy.safetensors", own_layers=[Gate])
    assert again.spec == net.spec and again.spec.layers[0].activates.initialiser == "lecun_normal"  # type: ignore[union-attr]
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    with pytest.raises(cr.ChainruleError, match="Gate"):
        cr.Network.load(tmp_path / "toy.safetensors")
    signs = network(loss=MARGIN)
    signs.save(tmp_path / "signs.safetensors")
    assert cr.Network.load(tmp_path / "signs.safetensors", own_layers=[Gate]).spec.loss.kind == "signs"


def test_what_is_not_there_any_more_is_refused() -> None:
    with pytest.raises(cr.SpecError, match="engine"):
        network("theirs")
    with pytest.raises(cr.SpecError, match="house"):
        network().show("hous")


# --- the table of the documentation ----------------------------------------------------------------------------------

WITNESSES: dict[str, tuple[str, set[str]]] = {
    "an activation": ("softsign", set()),
    "a loss": ("absolute_error", set()),
    "a layer": ("LayerNorm", {"cli/choices.py", "estimators/construct.py", "language/model.py"}),
    "an optimizer": ("RMSProp", set()),
    "a schedule": ("InverseScaling", set()),
    "a scalar function": ("log1p", set()),
    "an operation": ("ScatterAdd", {"glass/beyond.py", "tabular/contributions.py"}),
    "a notation": ("LAYER", set()),
    "an engine": (
        "reference",
        {
            "engines/reference.py",
            "engines/choose.py",
            "cli/network_options.py",
            "train/callbacks.py",
            "evaluating.py",
            "network.py",
        },
    ),
    "a kind of data": ("read_idx", set()),
}
"""Of each row, one that is there already: nothing else in the package names it but those that chose to use it."""


OLD_PLACES = {
    "spec.py", "rules/activations.py", "rules/losses.py", "rules/optimizers.py", "train/schedules.py",
    "describe/first_version.py",
}  # fmt: skip
"""Where version 0.1.0 had these, and what it had: what was there is still found there, and nothing new is."""


def rows() -> dict[str, str]:
    """What to add -> what to touch."""
    section = DOCS.read_text(encoding="utf-8").split("## To add something", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"^\| (an? [^|]+?) \| (.+) \|$", section, flags=re.M))


def files(row: str) -> set[str]:
    """The files and folders that a row names."""
    return set(re.findall(r"`([\w/]+(?:\.py|/))`", row))


@cache
def standing() -> dict[str, set[str]]:
    """The package's files -> all names and texts in their code (not in their prose)."""
    found: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        names = found.setdefault(path.relative_to(ROOT).as_posix(), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = [getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None)]
            said += [node.value] if isinstance(node, ast.Constant) else []
            names.update(name for name in said if isinstance(name, str))
    return found


def naming(witness: str) -> set[str]:
    """The package's files in whose code (not in whose prose) the name stands."""
    return {file for file, names in standing().items() if witness in names}


def test_every_row_has_its_witness() -> None:
    assert rows().keys() == WITNESSES.keys()


@pytest.mark.parametrize("what", WITNESSES)
def test_the_table_names_all_that_is_touched(what: str) -> None:
    named = files(rows()[what])
    tests = {name for name in named if name.startswith("tests/")}
    for name in named:
        place = DOCS.parent.parent / name if name in tests else ROOT / name
        assert place.exists(), f"{what}: {name} is not there"
    witness, users = WITNESSES[what]
    folders = tuple(name for name in named if name.endswith("/"))
    more = {f for f in naming(witness) - named - users - OLD_PLACES if not (folders and f.startswith(folders))}
    assert naming(witness) & named, f"{what}: {witness} is in none of {sorted(named)}"
    assert not more, f"{what}: {witness} is named in {sorted(more)} too"
