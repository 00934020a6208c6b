"""The report's content: the numbers are the trace's, the file stands alone, the same input makes the same bytes."""

from __future__ import annotations

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written import Written

import chainrule as cr
from chainrule.errors import DataError, MissingDependencyError, SpecError
from chainrule.notation import notation_names, views
from chainrule.report import contents, html, playing


def told(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


class Page(HTMLParser):
    """Tags are closed in order, ids are there once, and what refers to them finds them."""

    EMPTY = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"


def test_every_line_in_every_notation(written: Written) -> None:
    data = told(written.text)
    assert [n["name"] for n in data["notations"]] == list(notation_names())
    program = written.net.derive(optimizer=written.optimizer, targets="labels")
    for notation in data["notations"]:
        expected = [(v.section, v.unicode, v.latex, v.why) for v in views(program, notation["name"])]
        assert [(x["section"], x["text"], x["latex"], x["why"]) for x in notation["lines"]] == expected


def pictured(node: Any) -> list[dict[str, Any]]:
    """The arrays of a picture, from left to right."""
    if isinstance(node, str):
        return []
    if "of" in node:
        return [node]
    inner = next((node[k] for k in ("row", "in", "over") if k in node), [node.get("root") or node.get("script") or ""])
    return [one for part in inner for one in pictured(part)]


def in_words(node: Any) -> str:
    """A picture as text: names, T after what stands transposed (compared with the program), signs."""
    if isinstance(node, str):
        return node
    if "of" in node:
        return f"{node['of']}{'T' * node.get('flipped', False)}"
    for key, between in (("row", " "), ("in", ""), ("over", " / ")):
        if key in node:
            return between.join(in_words(one) for one in node[key])
    inner = node.get("root") or node.get("script")
    return f"{{{in_words(inner)}}}" if inner is not None else re.sub("<[^>]+>", "", node["math"])


def test_arrays_that_the_page_does_not_compute_are_those_of_the_step(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "LONGEST", 100)
    few = written.X[:32], written.y[:32]
    data = contents.derivations(written.net, *few, "labels", written.optimizer)
    assert data["live"] is None and not data["programs"]
    trace = written.net.trace(
        written.X[:32], written.y[:32], training=True, optimizer=written.optimizer, notation="row"
    )
    row = next(n for n in data["notations"] if n["name"] == "row")
    shown = set()
    for line in row["lines"]:
        for which in (*pictured(line.get("picture", "")), *([line["result"]] if "result" in line else [])):
            after = bool(which.get("after")) or which["of"] in line.get("after", [])
            about = row["symbols"][which["of"]]
            array = np.asarray(trace.updated[which["of"]] if after else trace[which["of"]])
            heat = data["arrays"][about["after" if after else "array"]]
            assert heat["shape"] == list(array.shape)
            assert heat["mean"] == pytest.approx(array.mean(dtype=np.float64), rel=1e-4, abs=1e-12)
            assert heat["zeros"] == pytest.approx((array == 0).mean(), abs=1e-4)
            if array.ndim == 2:
                codes = np.frombuffer(base64.b64decode(heat["data"]), np.uint8).reshape(heat["rows"], heat["columns"])
                values = heat["low"] + codes * (heat["high"] - heat["low"]) / 255
                inside = array[:: heat["every"][0], :: heat["every"][1]].clip(heat["low"], heat["high"])
                assert np.abs(values - inside).max() <= 0.51 * (heat["high"] - heat["low"]) / 255 + 1e-4 * heat["high"]
            shown.add((which["of"], after))
    assert len(shown) > 20 and {("W1", True), ("W1", False)} <= shown


PICTURES = {
    ("row", "Z1"): "X × W1 + b1 = Z1",
    ("column", "Z1"): "W1T × XT + b1T = Z1T",
    ("batch", "Z1"): "X × W1 + b1 = Z1",
    ("numpy", "Z1"): "X × W1 + b1 = Z1",
    ("row", "A2"): "softmax (Z2) = A2",
    ("row", "dW2"): "1 / m · A1T × dZ2 + lambda / m · W2 = dW2",
    ("column", "dW2"): "1 / m · dZ2T × A1 + lambda / m · W2T = dW2T",
    ("layer", "dW2"): "dZ2T × A1 + lambda / m · W2T = dW2T",
    ("column", "dA1"): "W2 × dZ2T = dA1T",
    ("row", "J"): "1 / m · ∑i L + lambda / 2 · m · ({‖W1‖} + {‖W2‖}) = J",
    ("row", "W1"): "W1 − lr · dW1 = W1",
}
"""Program names; T where an array stands transposed, compared with the program: batch's own W is already, so that its
(W)ᵀ is the program's."""


def test_the_operands_of_an_opened_equation_stand_as_in_the_line(written: Written) -> None:
    notations = {n["name"]: n for n in told(written.text)["notations"]}
    for (notation, target), expected in PICTURES.items():
        line = next(x for x in notations[notation]["lines"] if (x.get("targets") or [""])[-1] == target)
        said = f"{in_words(line['picture'])} = {in_words(line['result'])}"
        assert said == expected, notation
    for arranged in notations.values():  # nothing is drawn that the line does not read
        for line in arranged["lines"]:
            drawn = {one["of"] for one in pictured(line.get("picture", ""))}
            assert drawn <= set(line.get("reads", [])) or arranged["code"]


def test_a_symbol_read_after_its_update_is_the_updated_one() -> None:
    rng = np.random.default_rng(0)
    net = cr.Network(3, [cr.Dense(2, "tanh")], "squared_error", engine="reference")
    data = contents.derivations(net, rng.normal(size=(4, 3)), rng.normal(size=(4, 2)), "values", cr.Adam())
    row = data["notations"][0]
    after = {x["targets"][-1]: x.get("after") for x in row["lines"] if x["section"] == "update"}
    assert after["W1"] == ["M_W1", "V_W1"] and after["M_W1"] is None


def test_the_file_stands_alone(written: Written) -> None:
    page = Page(written.text)
    assert written.path.stat().st_size < 1_500_000
    assert page.open == []
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value!r}>"
    style = re.findall(r"url\(|@import|@font-face", written.text)
    script = re.findall(r"\bfetch\(|XMLHttpRequest|WebSocket|importScripts|\bimport\(", written.text)
    assert style == [] and script == []


def test_landmarks_labels_and_titles(written: Written) -> None:
    page = Page(written.text)
    names = [tag for tag, _ in page.tags]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    for landmark in ("header", "nav", "main", "h1", "h2"):
        assert landmark in names
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes.get("alt")
        if tag == "section":
            assert attributes.get("aria-labelledby") in ids
        href = attributes.get("href")
        if tag == "a" and href:
            assert href[1:] in ids
    assert page.tags[1] == ("html", {"lang": "en"}) or ("html", {"lang": "en"}) in page.tags
    assert "&lt;Digits&gt; &amp; more" in written.text and "<Digits>" not in written.text


def test_the_same_input_makes_the_same_bytes(written: Written, tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    said = re.search(r'<p class="about">(.*?) · ', written.text)
    assert said is not None
    date = said.group(1)  # midnight may have passed
    options = {"title": "<Digits> & more", "shape": (8, 8), "part": "test", "date": date}
    written.net.report(again, written.X, written.y, monitor=written.monitor, optimizer=written.optimizer, **options)
    assert again.read_bytes() == written.path.read_bytes()
    assert str(Path.home()) not in written.text and os.getcwd() not in written.text


def test_without_history_labels_or_optimizer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    net = cr.Network(3, [cr.Dense(2, "tanh"), cr.Dropout(0.2), cr.Dense(2)], "squared_error")
    path = tmp_path / "new" / "folder" / "r.html"
    net.report(path, rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), notation="index")
    text = path.read_text(encoding="utf-8")
    assert 'id="training"' not in text and "Update" not in re.findall(r"<h3>(.*?)</h3>", text)
    assert told(text)["curves"] == []


@pytest.mark.long
def test_mnist_sized_networks_stay_small(tmp_path: Path) -> None:
    """784-256-10 with Adam: below 2.5 MB (2.1 when this was written)."""
    rng = np.random.default_rng(0)
    net = cr.Network(784, [cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")], "cross_entropy")
    path = tmp_path / "r.html"
    net.report(path, rng.uniform(size=(300, 784)), rng.integers(0, 10, 300), optimizer=cr.Adam())
    assert path.stat().st_size < 2_500_000


def test_bad_input_is_one_clear_line_before_any_work(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, X, y = written.net, written.X, written.y
    blocked = tmp_path / "file"
    blocked.write_text("here")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("long work before the checks")

    monkeypatch.setattr(html.contents, "derivations", never)
    good = tmp_path / "r.html"
    for kind, message, call in (
        (DataError, "is a folder; give the report a file's name", lambda: net.report(tmp_path, X, y)),
        (DataError, "cannot be written: ", lambda: net.report(blocked / "r.html", X, y)),
        (DataError, "X must have 64 columns", lambda: net.report(good, X[:, :3], y)),
        (DataError, "y must have one entry per sample", lambda: net.report(good, X, y[:3])),
        (
            SpecError,
            "Unknown notation 'colum'. Did you mean 'column'?",
            lambda: net.report(good, X, y, notation="colum"),
        ),
        (SpecError, "names must be the names of 10 classes", lambda: net.report(good, X, y, names=["one"])),
        (SpecError, "shape must be (height, width) of 64 inputs", lambda: net.report(good, X, y, shape=(3, 3))),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not good.exists()


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_what_is_missing_is_named(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    real = html.import_module

    def without(name: str) -> Any:
        if name == missing:
            raise ImportError(name=name)
        return real(name)

    monkeypatch.setattr(html, "import_module", without)
    with pytest.raises(MissingDependencyError) as caught:
        written.net.report(tmp_path / "r.html", written.X, written.y)
    assert str(caught.value) == f"The report needs {missing}: pip install 'chainrule[report]'"


def test_the_command_leaves_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from chainrule.cli import main

    out = tmp_path / "run"
    words = [
        "train",
        "digits",
        "--report",
        "--epochs",
        "2",
        "--hidden",
        "8",
        "--out",
        str(out),
        "--engine",
        "reference",
    ]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"report in {out / 'report.html'}" in lines
    assert re.fullmatch(r"test accuracy 0\.\d{4}", lines[-1])
    accuracy = float(lines[-1].split()[-1])
    assert f"<dd>{accuracy:.2%}"[:7] in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_the_command_reports_a_regression(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from chainrule.cli import main

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    table = "\n".join(["a,b,price", *(f"{a:.4f},{b:.4f},{3 * a - b:.4f}" for a, b in X)])
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    words = [
        "train",
        str(tmp_path / "t.csv"),
        "--report",
        "--epochs",
        "2",
        "--hidden",
        "3",
        "--out",
        str(tmp_path / "r"),
    ]
    assert main(words) == 0
    assert (tmp_path / "r" / "report.html").exists()
