"""`chainrule report`: the page on a finished run, of its test part or of other data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.report import pictures

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


def table(path: Path, rows: int = 60) -> Path:
    rng = np.random.default_rng(0)
    age, city = rng.integers(18, 80, rows), rng.choice(["Bern", "Zug"], rows)
    price = 10 * age + 300 * (city == "Zug") + rng.normal(size=rows)
    lines = ["age,city,price", *(f"{a},{c},{p:.2f}" for a, c, p in zip(age, city, price, strict=True))]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def headline(path: Path) -> str:
    found = re.search(r'<p class="result">(.*?)</p>', path.read_text(encoding="utf-8"))
    assert found is not None
    return re.sub(r"<[^>]*>", "", found.group(1)).strip()


def test_a_run_of_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "_png", lambda figure: "")
    monkeypatch.chdir(tmp_path)
    data = table(tmp_path / "houses.csv")
    words = ["train", "houses.csv", "--hidden", "3", "--epochs", "4", "--engine", "reference", "-o", "run"]
    assert main(words) == 0
    error = float(capsys.readouterr().out.split()[-1])
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    assert main(["report", "run", "--open"]) == 0
    page = tmp_path / "run" / "report.html"
    assert opened == [page.as_uri()] and capsys.readouterr().out == f"report in {Path('run') / 'report.html'}\n"
    text = page.read_text(encoding="utf-8")
    value, what = headline(page).split(" RMSE ")
    assert float(value.split()[0]) == pytest.approx(error, rel=0.06) and what == "of price on 12 test samples"
    assert "chainrule train houses.csv --hidden 3 --epochs 4 --engine reference" in text
    assert "kept: epoch" in text and "in deviations of the target" in text
    bars = text.split(">What the predictions rest on<")[1].split("</figure>")[0]
    assert ">age<" in bars and ">city<" in bars and "city=" not in bars
    assert main(["report", "run", "-o", "houses.csv"]) == 2
    assert "is there already" in capsys.readouterr().err
    data.write_text(data.read_text(encoding="utf-8").rsplit("\n", 9)[0], encoding="utf-8")
    assert main(["report", "run"]) == 2
    assert "is not what it was trained on any more; give the data" in capsys.readouterr().err


def test_the_page_of_the_training_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its curves cannot be made again; what is made anew has the update and trains, as that has."""
    monkeypatch.setattr(pictures, "_png", lambda figure: "")
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "houses.csv")
    words = ["train", "houses.csv", "--hidden", "3", "--epochs", "4", "--engine", "reference", "-O", "sgd", "-o", "run"]
    assert main([*words, "--momentum", "0.5", "--schedule", "cosine", "--report"]) == 0
    page = tmp_path / "run" / "report.html"
    first = page.read_bytes()
    assert main(["report", "run"]) == 0 and page.read_bytes() == first
    for more in (["houses.csv"], ["--notation", "column"]):
        assert main(["report", "run", *more]) == 2 and page.read_bytes() == first
        assert "holds the curves of the training, which cannot be made again" in capsys.readouterr().err
    assert main(["report", "run", "--force"]) == 0
    second = page.read_text(encoding="utf-8")
    assert "data-watched" not in second and "or go on from there" in second
    update = re.compile(r"SGD: learning_rate Cosine \(rate [^<]*momentum 0.5")
    assert update.search(second) and update.search(first.decode()) and "4 epochs, " in second
    assert main(["report", "run"]) == 0 and page.read_text(encoding="utf-8") == second


@pytest.mark.long
def test_a_run_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(pictures, "_png", lambda figure: "")
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "houses.csv", 200)
    assert main(["train", "houses.csv", "--preset", "fast", "--report", "-o", "run"]) == 0
    page = tmp_path / "run" / "report.html"
    first = headline(page)
    assert first.endswith("RMSE of price on 40 test samples")
    assert ">Members<" in page.read_text(encoding="utf-8")
    shutil.copy(page, tmp_path / "first.html")
    assert main(["report", "run"]) == 0 and headline(page) == first
    text = page.read_text(encoding="utf-8")
    assert "chainrule train houses.csv --report --preset fast" in text and ">age<" in text and 'id="derivation"' in text
    assert main(["report", "run", "houses.csv", "-o", "all.html"]) == 0
    assert headline(tmp_path / "all.html").endswith("on 200 samples")
    places = [int(line) for line in re.findall(r">line (\d+)</td>", text)]
    assert len(places) == 8 and min(places) > 1 and max(places) > 41  # of the file, not of the test part
    model = cr.load_run(tmp_path / "run")
    shown = model.report(str(tmp_path / "houses.csv"))
    assert "iframe" in shown._repr_html_() and "&gt;price&lt;/h1&gt;" in shown._repr_html_()
    (tmp_path / "new.csv").write_text("age,city\n30,Zug\n", encoding="utf-8")
    with pytest.raises(cr.DataError, match="there is no target 'price'"):
        model.report(str(tmp_path / "new.csv"))


@pytest.mark.long
def test_quantiles_have_the_charts_of_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pictures, "_png", lambda figure: "")
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "houses.csv", 100)
    words = ["train", "houses.csv", "--preset", "fast", "--quantiles", "0.1,0.5,0.9", "--report", "-o", "run"]
    assert main(words) == 0
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Predicted over true" in text and "The largest errors" in text and "share within 0.1 to 0.9" in text
