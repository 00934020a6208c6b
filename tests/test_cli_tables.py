"""The command with tables: by the recipe, unless options choose a network; what it finds, tests, keeps and predicts."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.train.callbacks import EarlyStopping


class Command:
    """Runs the command in an empty folder; what it printed, and what it said on standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: object, code: int = 0) -> tuple[str, str]:
        self.capsys.readouterr()
        got = main([str(word) for word in words])
        out, err = self.capsys.readouterr()
        assert got == code, err
        return out, err

    def refuses(self, *words: object) -> str:
        out, err = self(*words, code=2)
        assert out == "" and len(err.splitlines()) == 1 and not Path("runs").exists()
        return err


@pytest.fixture
def chainrule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(capsys)


QUICK = ("--preset", "fast", "--engine", "reference", "--time-limit", 0.2)


def people(rows: int = 120, name: str = "people.csv", seed: int = 0) -> None:
    """Rich are those over 40, and some others; the pay rises with age."""
    rng = np.random.default_rng(seed)
    lines = ["id,ward,day,age,job,pay,tax,rich"]
    for k in range(rows):
        age, job = rng.integers(20, 80), ["cook", "smith", "clerk"][rng.integers(3)]
        pay = 10 * age + rng.integers(100)
        day = f"2024-{1 + k // 28 % 12:02}-{1 + k % 28:02}"
        odd = age > 40 if rng.random() < 0.9 else age % 2 == 0
        lines.append(f"p{k},w{k % 7},{day},{'' if k % 30 == 7 else age},{job},{pay},{pay / 5},{'yes' if odd else 'no'}")
    Path(name).write_text("\n".join(lines) + "\n")


def test_quantiles(chainrule: Command) -> None:
    people()
    out, _ = chainrule("train", "people.csv", "-t", "pay", "--ignore", "id,rich,tax", "--quantiles", "0.1,0.9", *QUICK)
    assert re.search(r"^RMSE .* quantile loss \d.*, share within 0.1 to 0.9 0\.\d{4}$", out, re.MULTILINE)
    lines = chainrule("predict", "runs/people", "people.csv", "-q")[0].splitlines()
    assert lines[0] == "pay 0.1,pay 0.9" and all(float.__le__(*map(float, line.split(","))) for line in lines[1:])


def test_a_table_is_trained_by_the_recipe(chainrule: Command) -> None:
    people()
    out, err = chainrule("train", "people.csv", "--ignore", "pay,tax", "--id", "id", *QUICK)
    assert out.startswith("people.csv: 4 columns, 2 classes (rich); 96 rows to train, 24 to test\n")
    assert "\nby the recipe for tables, preset fast (--hidden, --epochs and such train a network of your" in out
    for line in ("1 number: age", "2 categories: ward (7), job (3)", "1 date or time: day", r"gaps: age \(\d.\d %\)"):
        assert re.search(f"^  {line if '%' in line else re.escape(line)}$", out, re.MULTILINE), line
    *_, metrics, beside, last = out.splitlines()
    assert "always the most frequent class 'yes'" in beside
    assert all("the time limit ended the training early" in line for line in err.splitlines())
    assert re.match(r"accuracy 0\.\d{4} ± 0\.\d{4} on 24 samples, balanced accuracy .* AUC", metrics)
    assert last == f"test {metrics.partition(' ±')[0]}"

    model: Any = cr.load_run("runs/people")
    assert (model.id_, model.targets_, model.preset) == ("id", ("rich",), "fast")
    people(30, "new.csv", seed=4)
    text = Path("new.csv").read_text().replace("cook", "baker", 1)
    Path("new.csv").write_text(text)
    out, err = chainrule("predict", "runs/people", "new.csv")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["id", "rich", "no", "yes"] and [row[0] for row in rows[1:]] == [f"p{k}" for k in range(30)]
    assert [row[1] for row in rows[1:]] == list(model.predict("new.csv"))
    assert "'job': 1 row of unseen categories" in err and "accuracy" in err.splitlines()[1]
    assert len(err.splitlines()) == 3 and err.splitlines()[2].startswith("30 samples, accuracy ")
    Path("new.csv").write_text("\n".join(line.rsplit(",", 1)[0] + "," for line in text.splitlines()[1:3]))
    Path("new.csv").write_text(text.splitlines()[0] + "\n" + Path("new.csv").read_text().replace("smith", "") + "\n")
    assert "without a value of 'rich'" in chainrule("predict", "runs/people", "new.csv")[1]

    out, _ = chainrule("info", "runs/people")
    for words in (
        "predicts: rich",
        "id: id",
        "options: data people.csv",
        "test: accuracy 0.",
        "training 96, test 24",
        "columns: 1 number: age",
    ):
        assert words in out
    facts = json.loads(chainrule("info", "runs/people", "--json")[0])
    assert facts["result"]["rich"][0]["samples"] == 24 and facts["versions"]["chainrule"]
    assert "accuracy" in chainrule("evaluate", "runs/people", "people.csv")[0]
    said = json.loads(Path("runs/people/table.json").read_text())
    for name in ("targets", "id", "beside", "header", "record"):  # as the first ones were written
        del said[name]
    Path("runs/people/table.json").write_text(json.dumps({**said, "target": "rich"}))
    old: Any = cr.load_run("runs/people")
    assert (old.targets_, old.target_, old.id_) == (("rich",), "rich", None)
    assert list(old.predict("people.csv")) == list(model.predict("people.csv"))
    model.save("runs/people")
    Path("new.csv").write_text("ward,day,age,job\nw1,2024-01-01,3,cook\n")
    assert "Unknown column 'id'" in chainrule("predict", "runs/people", "new.csv", code=2)[1]


def test_a_network_of_the_run_is_derived_and_checked(chainrule: Command) -> None:
    """With the rows of a file as that network takes them."""
    people(40)
    lines = Path("people.csv").read_text().splitlines()
    Path("few.csv").write_text("\n".join(line.split(",", 3)[3] for line in lines))
    chainrule("train", "few.csv", "--ignore", "pay,tax", *QUICK)
    assert chainrule("derive", "runs/few", "--optimizer", "none")[0].startswith("forward\n")
    assert "gathered over the samples" in chainrule("derive", "runs/few", "--steps", "dW1")[0]
    assert chainrule("derive", "runs/few", "--with-numbers", "few.csv", "--samples", 5)[0].startswith("m = 5\n")
    assert chainrule("check", "runs/few", "few.csv", "--samples", 3)[0].startswith("every gradient agrees")


def test_options_that_choose_the_network(chainrule: Command) -> None:
    people()
    out, _ = chainrule(
        "train", "people.csv", "--ignore", "id,day", "--hidden", 4, "--engine", "reference", "--epochs", 2
    )
    assert out.splitlines()[1] == "a network by --epochs, --hidden (without such options: by the recipe for tables)"
    assert out.splitlines()[-1].startswith("test accuracy ")
    np.savez("a.npz", X=np.arange(40.0)[:, None], y=np.arange(40) % 2)
    out, _ = chainrule("train", "a.npz", "--epochs", 1, "--hidden", 2)
    assert "recipe" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("people.csv", "--preset", "fast", "--hidden", "9", "--epochs", "3"), ("--preset", "--epochs, --hidden")),
        (("people.csv", "--cv", "3", "--l2", "1"), ("--cv: for the recipe for tables", "--l2")),
        (("digits", "--preset", "fast"), ("--preset: for tables by the recipe; digits is none",)),
        (("people.parquet", "--hidden", "3"), (".csv, .tsv", "Save it so")),
        (("people.csv", "--preset", "quick"), ("Unknown preset 'quick'",)),
        (("people.csv", "--cv", "1", "--test", "2"), ("--cv", "--test")),
        (("people.csv", "--group", "ward", "--time", "day"), ("--group and --time",)),
        (("people.csv", "--ignore", "jobs,pays", "--id", "x", "--group", "g"), ("'jobs'", "'pays'", "'x'", "'g'")),
        (("people.csv", "--target", "pay", "--target", "rich"), ("'rich' is classes", "Predict one")),
        (("people.csv", "--target", "pay,job,rich"), ("'job', 'rich' are classes",)),
        (("people.csv", "--target", "pay", "--id", "pay"), ("cannot both be the target and the id",)),
        (("people.csv", "--target", "pay", "--class-weight", "balanced"), ("--class-weight is for classes",)),
        (("people.csv", "--quantiles", "0.9,0.1"), ("--quantiles must be levels that rise", "0.9,0.1")),
        (("people.csv", "--quantiles", "0.1,half"), ("--quantiles must be levels that rise",)),
        (("people.csv", "--quantiles", "0.1,0.9"), ("--quantiles is for one number", "classes")),
        (("people.csv", "--target", "pay,tax", "--quantiles", "0.5"), ("--quantiles is for one number", "several")),
        (("people.csv", "--quantiles", "0.1", "--hidden", "3"), ("--quantiles: for the recipe for tables",)),
        (("people.csv", "--class-weight", "none"), ("--class-weight must be balanced",)),
        (("people.csv", "--time", "job"), ("'job' holds texts", "2024-01-31")),
        (("people.csv", "--group", "ward", "--cv", "9"), ("7 groups are too few for 9 folds",)),
        (("one.csv",), ("'u' in all rows", "nothing to learn")),
    ],
)
def test_what_is_refused(chainrule: Command, words: tuple[str, ...], said: tuple[str, ...]) -> None:
    people()
    Path("one.csv").write_text("a,y\n" + "".join(f"{k % 7},u\n" for k in range(30)))
    err = chainrule.refuses("train", *words)
    assert all(word in err for word in said), err


def test_several_targets(chainrule: Command) -> None:
    people()
    out, _ = chainrule("train", "people.csv", "--target", "pay,tax", "--ignore", "id", *QUICK)
    assert "5 columns, 2 numbers to predict (pay, tax)" in out
    assert re.search(r"^pay: RMSE .*\nalways the mean .*\ntest of pay error \d.*\ntax: RMSE", out, re.MULTILINE)
    model: Any = cr.load_run("runs/people")
    assert "pay" not in model.preparation_.names and "tax" not in model.preparation_.names
    out, err = chainrule("predict", "runs/people", "people.csv")
    assert out.startswith("pay,tax\n") and len(out.splitlines()) == 121 and err.startswith("pay: RMSE")
    assert "test of tax: RMSE" in chainrule("info", "runs/people")[0]
    first, second = chainrule("runs")[0].splitlines()
    assert first.split()[:4] == ["run", "data", "target", "test"] and "epochs" not in first and " pay,tax " in second


def test_folds(chainrule: Command) -> None:
    people()
    out, _ = chainrule("train", "people.csv", "--ignore", "id,pay,tax", "--cv", 2, "--class-weight", "balanced", *QUICK)
    assert "120 rows to train, tested in 2 folds" in out and out.count("\nfold ") == 2
    means = [float(x) for x in re.findall(r"^fold .*?accuracy (0\.\d+)", out, re.MULTILINE)]
    mean, deviation = re.search(r"^2 folds: accuracy (\S+) ± (\S+),", out, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert float(mean) == pytest.approx(np.mean(means), abs=1e-4)
    assert float(deviation) == pytest.approx(np.std(means, ddof=1), abs=1e-4)
    assert cr.load_run("runs/people").class_weight == "balanced"  # type: ignore[union-attr]


def test_without_a_header_from_standard_input(chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    people()
    rows = Path("people.csv").read_bytes().split(b"\n", 1)[1]
    Path("rows.csv").write_bytes(rows)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    out, _ = chainrule("train", "-", "--no-header", "--ignore", "1,6,7", *QUICK)
    assert "standard input: 4 columns, 2 classes (8)" in out and "saved in runs/table" in out
    out, _ = chainrule("predict", "runs/table", "rows.csv")
    model: Any = cr.load_run("runs/table")
    assert out.startswith("8,no,yes\n") and len(model.predict("rows.csv")) == 120 == len(out.splitlines()) - 1


@pytest.mark.parametrize("epoch", [0, 3])
def test_an_interrupt_keeps_what_was_learned(chainrule: Command, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    people()
    usual, epochs = EarlyStopping.on_epoch_end, []

    def interrupted(self: EarlyStopping, *told: Any) -> None:
        if len(epochs) == epoch:
            raise KeyboardInterrupt
        epochs.append(usual(self, *told))

    monkeypatch.setattr(EarlyStopping, "on_epoch_end", interrupted)
    out, err = chainrule("train", "people.csv", "--ignore", "id", "--engine", "reference", code=130)
    if epoch == 0:
        assert err == "chainrule: interrupted\n" and not list(Path("runs").iterdir())
    else:
        assert "interrupted; what was learned until then is in runs/people" in err and "test accuracy" in out
        assert len(cr.load_run("runs/people").networks_) == 1  # type: ignore[union-attr]


def test_a_number_that_counts_rows_is_learned_from(chainrule: Command) -> None:
    """Not one that is called by a name for rows; the errors are in the target's unit, in digits that programs read."""
    rows = (f"{7 * i % 120},{i},{1700000000 + 40 * i}" for i in range(120))
    Path("count.csv").write_text("\n".join(["id,place,when", *rows]))
    out, err = chainrule("train", "count.csv", *QUICK[:4])
    assert "1 number: place" in out and "'id'" in out + err and "'place' counts the rows" in err
    found = [float(re.search(rf"{part} error ([\d.]+)", out)[1]) for part in ("validation", "test")]  # type: ignore[index]
    assert 0.1 < found[0] / found[1] < 10 and found[1] < 700
    _, err = chainrule("predict", "runs/count", "count.csv")
    assert float(err.split()[-1]) < 700


def hostile(rng: np.random.Generator, m: int) -> dict[str, list[str]]:
    """Columns of what files hold, some of them odd, under odd names."""
    words = [f"w{k}" for k in range(int(rng.integers(1, 9)))]
    kinds = [
        lambda: [f"{v:.3f}" for v in rng.normal(size=m)],
        lambda: [str(v) for v in rng.integers(0, int(rng.integers(1, 40)), m)],
        lambda: [f"{v:.2f}".replace(".", ",") for v in rng.normal(size=m)],
        lambda: [f"${v:,}" for v in rng.integers(0, 10**6, m)],
        lambda: list(rng.choice(words, m)),
        lambda: [f"text {v}" for v in rng.permutation(m)],
        lambda: [f"2024-{1 + v % 12:02}-{1 + v % 28:02}" for v in rng.integers(0, 999, m)],
        lambda: [f"{1 + v % 28:02}/{1 + v % 12:02}/2024" for v in rng.integers(0, 999, m)],
        lambda: ["True" if v else "false" for v in rng.integers(0, 2, m)],
        lambda: [f"00{v}" for v in rng.integers(0, 12, m)],
        lambda: ["q"] * m,
        lambda: [""] * m,
        lambda: [str(k) for k in range(m)],
        lambda: [["1e308", "-1e308", "5"][v] for v in rng.integers(0, 3, m)],
        lambda: [["inf", "1", "2.5"][v] for v in rng.integers(0, 3, m)],
        lambda: [f"{v}" if v % 9 else "many" for v in rng.integers(0, 30, m)],
    ]
    names = list(
        rng.permutation(["a", "b c", "Größe", "x,y", 'q"', "NA", "id", "Unnamed: 0", "1", "class", "target", "-"])
    )
    columns = {}
    for name in names[: int(rng.integers(2, 9))]:
        cells = kinds[int(rng.integers(len(kinds)))]()
        if rng.random() < 0.3:
            gap = rng.random(m) < rng.choice([0.02, 0.5])
            cells = [str(rng.choice(["", "NA", "?"])) if g else cell for g, cell in zip(gap, cells, strict=True)]
        columns[str(name)] = cells
    return columns


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200))
def test_hostile_tables_are_learned_or_refused(chainrule: Command, seed: int) -> None:
    """Whatever a file holds: a run that predicts and evaluates, or a line that says why not; never a fault."""
    rng = np.random.default_rng(seed)
    columns = hostile(rng, int(rng.choice([2, 9, 60, 150])))
    with Path("t.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([list(columns), *zip(*columns.values(), strict=True)])
    names, words = list(columns), []
    for option in ("--id", "--group", "--time", "--ignore", "--target"):
        if rng.random() < 0.25:
            words += [option, names[int(rng.integers(len(names)))]]
    words += [["--cv", "2"], ["--class-weight", "balanced"], [], []][int(rng.integers(4))]
    code = main(["train", "t.csv", *words, "--preset", "fast", "--engine", "reference", "--time-limit", "0.05"])
    out, err = chainrule.capsys.readouterr()
    assert code in (0, 2) and "fault of chainrule" not in err, err
    if code == 2:
        assert not out and len(err.splitlines()) == 1 and not list(Path("runs").glob("*"))
        return
    assert out.splitlines()[-1].startswith("test ")
    out, _ = chainrule("predict", "runs/t", "t.csv")
    assert len(list(csv.reader(io.StringIO(out)))) == 1 + len(next(iter(columns.values())))
    assert main(["evaluate", "runs/t", "t.csv"]) == 0 and main(["info", "runs/t", "--json"]) == 0
