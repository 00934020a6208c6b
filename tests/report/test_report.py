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
from chainrule.report import html


def told(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


class Page(HTMLParser):
    """Tags are closed in order, ids are there once, and what refers to them finds them."""

    EMPTY = frozenset({"meta", "link", "img", "input", "br", "circle", "path"})

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


def test_the_arrays_behind_a_line_are_those_of_the_step(written: Written) -> None:
    data = told(written.text)
    trace = written.net.trace(
        written.X[:32], written.y[:32], training=True, optimizer=written.optimizer, notation="row"
    )
    row = next(n for n in data["notations"] if n["name"] == "row")
    shown = 0
    for line in row["lines"]:
        for which in (*line.get("operands", []), *([line["result"]] if "result" in line else [])):
            updated = line["section"] == "update" and which is line.get("result")
            array = np.asarray(trace.updated[which["name"]] if updated else trace[which["name"]])
            heat = data["arrays"][which["array"]]
            assert heat["shape"] == list(array.shape)
            assert heat["mean"] == pytest.approx(array.mean(dtype=np.float64), rel=1e-4, abs=1e-12)
            assert heat["zeros"] == pytest.approx((array == 0).mean(), abs=1e-4)
            if array.ndim == 2:
                codes = np.frombuffer(base64.b64decode(heat["data"]), np.uint8).reshape(heat["rows"], heat["columns"])
                values = heat["low"] + codes * (heat["high"] - heat["low"]) / 255
                inside = array[:: heat["every"][0], :: heat["every"][1]].clip(heat["low"], heat["high"])
                assert np.abs(values - inside).max() <= 0.51 * (heat["high"] - heat["low"]) / 255 + 1e-4 * heat["high"]
            shown += 1
    assert shown > 40


def test_column_notation_stands_transposed(written: Written) -> None:
    column = next(n for n in told(written.text)["notations"] if n["name"] == "column")
    line = next(x for x in column["lines"] if x.get("result", {}).get("name") == "Z1")
    assert line["shape"] == "(16, m)" and line["result"]["flipped"]


def test_the_file_stands_alone(written: Written) -> None:
    page = Page(written.text)
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
    options = {"monitor": written.monitor, "optimizer": written.optimizer, "title": "<Digits> & more"}
    written.net.report(again, written.X, written.y, **options)
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


def test_mnist_sized_networks_stay_small(tmp_path: Path) -> None:
    """784-256-10 with Adam: below 5 MB (1.8 when this was written)."""
    rng = np.random.default_rng(0)
    net = cr.Network(784, [cr.Dense(256, "sigmoid"), cr.Dense(10, "softmax")], "cross_entropy")
    path = tmp_path / "r.html"
    net.report(path, rng.uniform(size=(300, 784)), rng.integers(0, 10, 300), optimizer=cr.Adam())
    assert path.stat().st_size < 5_000_000


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
    assert str(caught.value) == f"The report needs {missing}: pip install chainrule[report]"


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
    assert lines[-2] == f"report in {out / 'report.html'}"
    assert re.fullmatch(r"test accuracy 0\.\d{4}", lines[-1])
    accuracy = float(lines[-1].split()[-1])
    assert f"<dd>{accuracy:.2%}"[:7] in (out / "report.html").read_text(encoding="utf-8")


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
