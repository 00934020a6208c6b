"""Networks described in small files, TOML or JSON: derived and checked by the command; what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.describe.file import describe_as_json, read_description
from chainrule.describe.losses import Losses
from problems import PROBLEMS

TOML = """
loss = {type = "Losses", parts = {size = {loss = "squared_error", factor = 0.5}, kind = {loss = "cross_entropy"}}}
optimizer = {type = "adamw", learning_rate = {kind = "Cosine", rate = 0.01}, decays = {b = 0}}
l2 = 0.1

[inputs]
numbers = 3
kinds = [4, 5]

[[layers]]
type = "Branches"
parts = [[{type = "Take", name = "numbers"}, {type = "LayerNorm"}],
         [{type = "Take", name = "kinds"}, {type = "Embedding", dimension = 2}]]

[[layers]]
type = "Residual"
layers = [{type = "Dense", units = 7, activation = "tanh"},
          {type = "Formula", expression = "s * x", parameters = {s = {shape = ["n"], value = 1}}}]

[[layers]]
type = "Keep"
name = "h"

[[layers]]
type = "Dense"
units = 2
activation = "softmax"

[[layers]]
type = "Keep"
name = "kind"

[[layers]]
type = "Take"
name = "h"

[[layers]]
type = "Dense"
units = 1

[[layers]]
type = "Keep"
name = "size"
"""


def spec() -> cr.NetworkSpec:
    """What TOML says."""
    layers = [
        cr.Branches([cr.Take("numbers"), cr.LayerNorm()], [cr.Take("kinds"), cr.Embedding(dimension=2)]),
        cr.Residual(cr.Dense(7, "tanh"), cr.Formula("s * x", s=cr.Parameter("n", value=1))),
        cr.Keep("h"), cr.Dense(2, "softmax"), cr.Keep("kind"), cr.Take("h"), cr.Dense(1), cr.Keep("size"),
    ]  # fmt: skip
    loss = {"size": ("squared_error", 0.5), "kind": "cross_entropy"}
    return cr.NetworkSpec({"numbers": 3, "kinds": [4, 5]}, layers, loss, l2=0.1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def test_a_loss_in_its_short_forms(tmp_path: Path) -> None:
    """A dict of outputs as `Network` takes it; a formula without what has a default."""
    path, loss = tmp_path / "net.toml", TOML.splitlines()[1]
    short = 'loss = {size = {loss = {formula = "(yhat - y) ** 2"}, factor = 0.5}, kind = "cross_entropy"}'
    path.write_text(TOML.replace(loss, short), encoding="utf-8")
    said = read_description(path).spec.loss
    assert isinstance(said, Losses) and [(name, factor) for name, _, factor in said.parts] == [
        ("size", 0.5),
        ("kind", 1),
    ]
    assert said.parts[0][1] == cr.Loss("(yhat - y) ** 2")
    path.write_text(
        'inputs = 2\nloss = {formula = "abs(yhat - y)"}\nlayers = [{type = "Dense", units = 1}]', encoding="utf-8"
    )
    assert read_description(path).spec.loss == cr.Loss("abs(yhat - y)")


def test_it_is_the_network_that_it_says(file: Path) -> None:
    said = read_description(file)
    assert said.spec == spec()
    assert said.optimizer == cr.AdamW(cr.Cosine(0.01), decays={"b": 0})
    again = file.with_suffix(".json")
    again.write_text(describe_as_json(said.spec), encoding="utf-8")
    assert read_description(again).spec == said.spec and read_description(again).optimizer is None


def test_every_problem_can_be_described(tmp_path: Path) -> None:
    for problem in PROBLEMS:
        net = problem.network("reference")
        (tmp_path / "net.json").write_text(describe_as_json(net.spec), encoding="utf-8")
        assert read_description(tmp_path / "net.json").spec == net.spec, problem.name


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["derive", str(file)]) == 0
    derived = cr.derive(spec(), optimizer=cr.AdamW(cr.Cosine(0.01), decays={"b": 0}), targets=("values", "labels"))
    assert capsys.readouterr().out == f"{derived}\n"
    assert main(["derive", str(file), "--optimizer", "none", "--notation", "layer", "--format", "latex"]) == 0
    assert r"\partial" in capsys.readouterr().out
    assert main(["derive", str(file), "--plan"]) == 0 and "stage" in capsys.readouterr().out.lower()
    assert main(["check", str(file)]) == 0
    assert "every gradient agrees" in capsys.readouterr().out
    assert main(["derive", "--inputs", "3", "--hidden", "4", "--describe"]) == 0
    simple = capsys.readouterr().out
    assert json.loads(simple)["inputs"] == 3 and "l2" not in json.loads(simple)
    file.with_suffix(".json").write_text(simple, encoding="utf-8")
    assert main(["derive", str(file.with_suffix(".json"))]) == 0
    described = capsys.readouterr().out
    assert main(["derive", "--inputs", "3", "--hidden", "4"]) == 0 and capsys.readouterr().out == described


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inputs = 3", "lacks 'layers'"),
        (
            TOML.replace('"LayerNorm"', '"LayerNrm"')
            .replace("l2 = 0.1", "l2 = -1")
            .replace("units = 1\n", "units = 0\n"),
            "(?s)l2.*LayerNorm.*units",
        ),
        (TOML.replace('"tanh"', '"tang"').replace('"softmax"', '"softmx"'), "(?s)'tanh'.*'softmax'"),
        ("inputs = ", "is no TOML"),
        ("day = 2024-01-01", "numbers, texts, lists and tables. Got the date 2024-01-01"),
        ("x = " + "[" * 3000 + "]" * 3000, "nested too deeply|deep"),
        (TOML.replace('"LayerNorm"', '"LayerNrm"'), "LayerNorm"),
        (TOML.replace('"kinds"}', '"kind"}').replace("units = 7", "units = 6"), "net.toml"),
        (TOML.replace('"adamw"', '"adamv"').replace("units = 1\n", "units = -1\n"), "(?s)adamw.*units"),
        (TOML.replace("rate = 0.01", "rate = -1"), "rate"),
        (TOML.replace("decays =", "decay ="), "decays"),
        (TOML.replace('"s * x"', '"s * open(x)"'), "open"),
        ('inputs = 3\nloss = "huber"\nlayers = [{type = "Formula", expression = "x * s"}]', "'s'"),
        ("\ufeff" + TOML.replace("units = 7", "units = 1e400"), "units|Infinity"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(text, encoding="utf-8")
    assert main(["derive", str(file)]) == 2
    said = capsys.readouterr().err
    assert len(said) < 1500
    with pytest.raises((cr.SpecError, cr.DataError), match=words):
        read_description(file)
    assert "net.toml" in said


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "large.toml").write_text("#" * (1 << 20) + "\n" * 9)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, words in (
        ("list.json", "an object"),
        ("large.toml", "larger"),
        ("bytes.toml", "TOML"),
        ("no.toml", "no"),
    ):
        with pytest.raises(cr.DataError, match=words):
            read_description(tmp_path / name)
