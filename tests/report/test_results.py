"""The first lines and charts of a report: their numbers are right, and what is no image is not drawn as one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_report import Page, told
from written import Written

import chainrule as cr
from chainrule.metrics import of_classes, of_numbers
from chainrule.notation import derivation
from chainrule.report import pictures
from chainrule.report.class_charts import calibration, class_table, confusion, curves
from chainrule.report.folding import folds
from chainrule.report.judged import Outcome, headline, surest_mistakes, wilson
from chainrule.report.plot import noise, smoothed
from chainrule.report.results import mistakes
from chainrule.report.scales import Scale, scale_of, short
from chainrule.report.scales import written as one_form
from chainrule.report.words import prose

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


def test_the_first_lines_say_the_outcome_beside_the_baseline(written: Written) -> None:
    p = written.net.predict(written.X)
    m, names = len(written.y), tuple(map(str, range(10)))
    judged = of_classes(p.argmax(axis=1), p, written.y, names)
    right, half = judged.metrics["accuracy"], 1.96 * judged.deviation
    head = written.text.split("</header>")[0]
    assert f"{100 * right:.1f} % ± {100 * half:.1f}</strong> accuracy on {m} test samples" in head
    counts = np.bincount(written.y)
    usual = f"{100 * counts.max() / m:.1f} % by always saying the most frequent class &#39;{counts.argmax()}&#39;"
    assert usual in head and "± is the 95 % interval" in head and f"chainrule {cr.__version__}" in head
    assert written.text.index('id="result"') < written.text.index('id="derivation"')


def test_few_mistakes_have_an_interval_too() -> None:
    truth = np.arange(40) % 2
    names = ("no", "yes")
    outcome = Outcome(of_classes(truth, None, truth, names), truth, truth, names)
    low, high = wilson(1.0, 40)
    assert headline(outcome).value == f"100.0 % ({100 * low:.1f} to 100.0)" and 0.9 < low < 0.92 and high == 1
    y = np.array([[1.0], [2.0], [3.0], [5.0]])
    numbers = Outcome(of_numbers(y + np.array([[0.1], [-0.2], [0.1], [-0.2]]), y), y, y + 0.1, target="price")
    said = headline(numbers, "test")
    numbers = replace(numbers, predicted=y + np.array([[0.1], [-0.2], [0.3], [0.1]]))
    assert ">3</td>" in str(mistakes(numbers)).split("</tr>")[1] and "counted from 1" in str(mistakes(numbers))
    called = str(mistakes(replace(numbers, called=lambda k: f"line {k}")))
    assert ">line 2</td>" in called.split("</tr>")[1] and "counted from 1" not in called
    assert said.value == "0.158 ± 0.054" and said.what == "RMSE of price on 4 test samples" and "mean" in said.beside


def test_nine_columns_are_no_image_unless_somebody_says_so(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_png", lambda figure: "")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 9)), rng.integers(0, 2, 40)
    net = cr.Network(9, [cr.Dense(2, "softmax")], "cross_entropy", engine="reference")
    net.report(tmp_path / "r.html", X, y, columns=["city", "city", *map(str, range(7))], date="")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert Page(text).open == []
    assert "as images" not in text and ">What the predictions rest on<" in text
    assert "as images" in written.text and ">What the predictions rest on<" not in written.text
    axes = told(text)["axes"]
    assert (
        (axes["X"], axes["W1"], axes["dW1"]) == (1, 0, 0) and "Z1" not in axes and told(text)["features"][0] == "city"
    )
    assert cr.data.load("digits").image == (8, 8)
    with pytest.raises(cr.SpecError, match="columns must be a name for each of 9 inputs"):
        net.report(tmp_path / "r.html", X, y, columns=["one"])


def test_charts_hold_what_they_say() -> None:
    names = ("a", "b")
    truth = np.array([0, 0, 0, 1, 1, 1])
    sure = np.array([0.1, 0.2, 0.8, 0.3, 0.7, 0.9])
    guess = (sure > 0.5).astype(np.int64)
    outcome = Outcome(of_classes(guess, np.stack([1 - sure, sure], 1), truth, names), truth, guess, names,
                      np.stack([1 - sure, sure], 1))  # fmt: skip
    table = re.findall(r"<td[^>]*>(\d*)</td>", str(confusion(outcome)))
    assert table == ["2", "1", "1", "2"]
    assert re.findall(r">(\d+\.\d)<", str(class_table(outcome))) == ["66.7"] * 6
    roc, precision, _ = curves(outcome)
    assert "b: area 0.778" in roc  # 7 of 9 pairs are in order
    assert "b: mean precision 0.806" in precision  # (1 + 2/3 + 3/4) / 3
    assert "36.7 points off" in calibration(outcome)  # (0.1 + 0.2 + 0.8 + 0.7 + 0.3 + 0.1) / 6
    mistakes = surest_mistakes(outcome)
    assert mistakes == [(2, "a", "b", "80%"), (3, "b", "a", "70%")]


def test_the_numbers_of_an_axis_have_one_form() -> None:
    assert one_form(Scale(0, 1).ticks()) == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert one_form(Scale(0, 4e-4).ticks()) == ["0", "10⁻⁴", "2 · 10⁻⁴", "3 · 10⁻⁴", "4 · 10⁻⁴"]
    wide = scale_of([1e-6, 1.0])
    assert wide.logarithmic and all(label.startswith("10") for label in one_form(wide.ticks()))
    assert not scale_of([1.0, 2.0]).logarithmic and scale_of([5.0, 5.0]).part(5.0) == pytest.approx(0.5, abs=0.5)
    assert scale_of([0.0, 0.0]).ticks() and scale_of([]).ticks()
    assert [short(v) for v in (0.98612, 123456.7, 3e-5, 0, -2)] == ["0.9861", "123,457", "3 · 10⁻⁵", "0", "−2"]
    zigzag = [float(k % 2) for k in range(40)]
    assert noise(zigzag) == 39 and noise([3.0, 2.0, None, 1.0]) == 1
    assert smoothed([1.0, 2.0, 6.0], 3) == [1.0, 3.0, 6.0]


def test_what_repeats_is_folded_and_nothing_else() -> None:
    net = cr.Network(3, [*(cr.Dense(4, "tanh") for _ in range(3)), cr.Dense(2, "softmax")], "cross_entropy")
    program = net.derive(optimizer=cr.Adam())
    for name in ("index", "numpy"):
        arranged = derivation(program, name)
        found = [(arranged.views[f.lines[0]].section, [str(s.root) for s in f.of]) for f in folds(
            arranged.views, arranged.program)]  # fmt: skip
        assert found[-1] == ("update", ["b1", "W2", "b2", "W3", "b3", "W4", "b4"])
        assert [section for section, _ in found] == ["backward", "update"]
    # Where a parameter has a rate of its own, its lines are others.
    other = derivation(net.derive(optimizer=cr.SGD(0.1, rates={"W2": 0.5})))
    (fold,) = (f for f in folds(other.views, other.program) if other.views[f.lines[0]].section == "update")
    assert "W2" not in [str(s.root) for s in fold.of]


def test_reasons_and_notations_have_no_carets(written: Written) -> None:
    for notation in told(written.text)["notations"]:
        assert "^" not in notation["says"]
        if not notation["code"]:
            assert all("^" not in re.sub(r"<annotation.*?</annotation>", "", x["reason"]) for x in notation["lines"])
    assert prose("Z^[l] = W^[l] A^[l-1]; ∇_A J < 0") == (
        "Z<sup>[l]</sup> = W<sup>[l]</sup> A<sup>[l-1]</sup>; ∇<sub>A</sub> J &lt; 0"
    )


def test_a_card_to_share(written: Written, tmp_path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = cr.plot.card(written.net, written.X, written.y, part="test", title="Digits", theme="dark")
    said = [text.get_text() for text in figure.texts]
    assert said[0] == "Digits" and "% ±" in said[1] and said[2] == f"accuracy on {len(written.y)} test samples"
    lines = [text.get_text() for text in figure.axes[0].texts]
    assert lines[0] == r"$Z^{(1)} = A^{(0)} \, W^{(1)} + b^{(1)}$" and len(lines) == 6
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["", "", "Cost"]
    assert figure.get_size_inches().tolist() == [12.0, 6.3]
    few = cr.plot.card(
        written.net, written.X[:2], written.y[:2], title="A title that is longer than its half of a card"
    )
    renderer = FigureCanvasAgg(few).get_renderer()
    assert "(" in few.texts[1].get_text()  # an interval that is not even
    assert all(t.get_window_extent(renderer).x1 < 0.54 * few.bbox.width for t in few.texts[:4])
    figure.savefig(tmp_path / "card.svg")
    assert (tmp_path / "card.svg").read_text(encoding="utf-8").startswith("<?xml")
    with pytest.raises(cr.SpecError, match="Unknown notation"):
        cr.plot.card(written.net, written.X, written.y, notation="rows")
