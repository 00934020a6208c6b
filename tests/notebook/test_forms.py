"""What a notebook shows of each thing: well-formed, escaped, short where it is plain."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import MissingDependencyError
from chainrule.metrics import of_targets
from chainrule.notation import notation_names

HOSTILE = "<b>&'\"$x$</b>"


@pytest.fixture(scope="module")
def things() -> dict[str, Any]:
    """One of each, of a small network that was trained by the reference engine."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.arange(40) % 3
    net = cr.Network(4, [cr.Dense(5, "relu"), cr.Dense(3, "softmax")], "cross_entropy", engine="reference")
    net.fit(X, y, epochs=3, validation_data=(X, y), verbose=False)
    estimator = cr.MLPClassifier((5,), engine="reference", n_iter_no_change=1, tol=10.0).fit(X, y)
    return {
        "program": net.program, "network": net, "history": net.history, "trace": net.trace(X, y),
        "steps": net.program.steps("dW1", "column"), "exercise": net.program.exercise("dW1"),
        "check": net.check(X[:5], y[:5]), "spec": net.spec, "layer": cr.Dense(3, "relu"), "estimator": estimator,
    }  # fmt: skip


def form(thing: Any) -> str:
    html = thing._repr_html_()
    assert html is not None
    return str(html)


@pytest.mark.parametrize("name", ["program", "network", "history", "trace", "check", "steps", "exercise"])
def test_a_form_is_well_formed_and_has_no_script(things: dict[str, Any], name: str) -> None:
    html = form(things[name])
    assert ("<script" not in html and "http://www.w3.org" in html.replace("https", "http")) or name != "program"
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.S).replace(" checked>", ">")
    ElementTree.fromstring(re.sub(r"(<input [^>]*)>", r"\1/>", body))


def test_plain_forms_are_short(things: dict[str, Any]) -> None:
    for name, thing in things.items():
        assert len(repr(thing)) < 200 and repr(thing).count("\n") < 2, name
    assert repr(cr.Dense(3)) == "Dense(3)" and repr(cr.Dense(3, "relu", bias=False)) == "Dense(3, 'relu', bias=False)"
    assert repr(things["spec"]) == "NetworkSpec(4-5-3, loss='cross_entropy')"
    assert str(things["program"]).count("\n") > 10


def test_a_program_has_every_notation(things: dict[str, Any]) -> None:
    html = form(things["program"])
    assert all(f'value="{name}"' in html and f'class="panel of-{name}"' in html for name in notation_names())
    assert html.count("<math") > 50


def test_names_from_outside_are_text() -> None:
    net = cr.Network(2, [cr.Keep("a"), cr.Dense(1, cr.Activation("z * 2", name=HOSTILE))], "squared_error")
    assert HOSTILE not in form(net) and "&lt;b&gt;" in form(net)


def test_steps_and_exercises_are_typeset_without_a_script(things: dict[str, Any]) -> None:
    steps, exercise = form(things["steps"]), form(things["exercise"])
    assert steps.count("<math") == len(things["steps"].views) and "what was found, put in" in steps
    hidden = len(things["exercise"].hidden)
    assert exercise.count("<mtext>?</mtext>") == hidden and f"{hidden} right sides to be found" in exercise


def test_a_fitted_estimator_is_shown_below_scikit_learns_form(things: dict[str, Any]) -> None:
    html = things["estimator"]._repr_mimebundle_()["text/html"]
    assert "sk-estimator" in html and "MLPClassifier has fitted Network(4-5-3" in html
    assert "chainrule tex2jax_ignore" not in cr.MLPClassifier()._repr_mimebundle_()["text/html"]


def test_a_model_of_a_table_says_what_it_predicts_and_from_what() -> None:
    table = {"n": np.arange(60) / 7, "c": ["<b>", "v", "w"] * 20, "same": [1] * 60}
    y = np.arange(60) % 2 == 0
    options: dict[str, Any] = {"preset": "fast", "ensemble": 1, "random_state": 0, "engine": "reference"}
    model = cr.TabularClassifier(**options).fit(table, y)
    html = model._repr_mimebundle_()["text/html"]
    for words in ("1 number: n", "1 category: c (3)", "False, True", "log-loss 0.", "<details>", "same in all rows"):
        assert words in html, words
    added = model.contributions(table)
    html = form(added)
    assert "What each column adds to &#x27;True&#x27;" in html and "&lt;b&gt;" in html and "55 more rows" in html
    assert repr(added) == "Contributions(of 3 columns to False, True, 60 rows)" and "a row" in repr(added[0])
    assert html.count("<th ") == 6 and form(added[0]).count("<th ") == 2
    numbers = cr.TabularRegressor(**options).fit(table, np.stack([table["n"], -table["n"]], axis=1))
    assert "What each column adds" in form(numbers.contributions(table))
    assert "1 network" in numbers._repr_mimebundle_()["text/html"]


def test_an_evaluation_is_a_table_beside_the_baseline() -> None:
    y = np.arange(40.0)[:, None]
    one, two = of_targets(y + 1, y, ("size",)), of_targets(np.hstack([y, -y]), np.hstack([y, y]), ("a", "b"))
    assert re.search(r"40 samples.*always the mean 19\.5.*RMSE.*>1\.0000 ± .*R²", form(one), re.S)
    assert repr(one).startswith("Evaluation(RMSE 1.0000 ± 0.0000 on 40 samples") and "\n" not in repr(one)
    assert form(two).count("always the mean") == 2 and str(two).splitlines()[2].startswith("b: RMSE 45.")
    assert set(two.to_dict()["targets"]) == {"a", "b"} and "targets" not in one.to_dict()


def test_a_wrong_gradient_is_shown_as_wrong(things: dict[str, Any]) -> None:
    from chainrule.glass.check import CheckReport, GradientCheck

    html = form(CheckReport((GradientCheck("dW1", "W1", (2, 2), "full", 0.5, False),), (), (), 1.0))
    assert "1 of 1 gradients are wrong" in html and ">wrong<" in html


def test_a_figure_shows_itself(things: dict[str, Any]) -> None:
    try:
        figure = cr.plot.learning_curves(things["history"])
    except MissingDependencyError:
        pytest.skip("no matplotlib")
    assert figure._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]


def test_a_report_is_shown_inline(things: dict[str, Any]) -> None:
    pytest.importorskip("jinja2")
    X = np.random.default_rng(0).normal(size=(8, 4))
    html = form(things["network"].report(X=X, y=np.arange(8) % 3))
    assert html.startswith('<iframe srcdoc="&lt;!doctype html') and "<script" not in html
    with pytest.raises(cr.DataError, match=r"net\.report\(X=X, y=y\)"):
        things["network"].report()


WITHOUT = """
import sys
for package in ("llvmlite", "sklearn", "scipy"):
    sys.modules[package] = None
import numpy as np, chainrule as cr
X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3
net = cr.Network(4, [cr.Dense(5, "gelu"), cr.Dense(3, "softmax")], "cross_entropy")
net.fit(X, y, epochs=2, verbose=False)
assert net.check(X, y) and net.show("column") and str(net.program) and net.trace(X, y)
compiled = cr.Network(4, [cr.Dense(1)], "squared_error", engine="compiled")
for work in (lambda: cr.MLPClassifier, lambda: compiled.predict(X)):
    try:
        work()
    except cr.MissingDependencyError as error:
        print(error)
assert [name for name in dir(cr) if name not in cr.__all__ and not name.startswith("__")] == []
"""


def test_without_llvmlite_and_scikit_learn_the_reference_engine_trains() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "pip install" in first and "pip install llvmlite" in second
