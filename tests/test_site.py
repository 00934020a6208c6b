"""The documents as a site: every page and every public name has one place; docstrings become markup; it builds."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import chainrule as cr
from chainrule.cli.app import app

DOCS = Path(__file__).parents[1] / "docs"
API = sorted((DOCS / "api").glob("*.md"))


def listed(page: Path) -> list[Path]:
    """The pages that a page's tables of contents name."""
    trees = re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    return [(page.parent / f"{name}.md").resolve() for name in names]


def test_every_page_is_listed_once() -> None:
    pages = listed(DOCS / "index.md") + listed(DOCS / "api" / "index.md")
    assert sorted(pages) == sorted(page for page in DOCS.rglob("*.md") if page != DOCS / "index.md")


def test_every_public_name_is_in_the_reference_once() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in API)
    names = re.findall(r"auto(?:class|function):: chainrule\.(\w+)$", text, re.MULTILINE)
    assert len(names) == len(set(names))
    errors = re.search(r"automodule:: chainrule\.errors\n   :members: (.*)", text)
    assert errors is not None
    elsewhere = {"data", "plot", "functions"}  # modules with a page, and what formulas may call: the guide
    listed_names = {*names, *errors[1].split(", "), *elsewhere}
    assert listed_names == set(cr.__all__), "name what is public on a page of docs/api"


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_cheat_sheet_is_what_the_package_says() -> None:
    sheet = extension("cheatsheet")
    commands = {c.name or getattr(c.callback, "__name__", None) for c in app.registered_commands}
    commands |= {group.typer_instance.info.name or group.name for group in app.registered_groups}
    assert sheet.PAGE.read_text(encoding="utf-8") == sheet.svg(), "run python docs/_ext/cheatsheet.py"
    for line in sheet.COMMANDS.splitlines():
        program, command, *_ = line.split()
        assert program == "chainrule" and command in commands, line
    for name in re.findall(r"(net|model)\.(\w+)", sheet.NETWORK + sheet.TABLE):
        assert hasattr(cr.Network if name[0] == "net" else cr.TabularRegressor, name[1]), name


def test_docstrings_as_markup() -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed (pip install -e '.[docs]')")
    as_markup = extension("docstrings").as_markup
    before = [
        "Of `Network.fit` and `a + b`: |W|, classes_ and **options.",
        "",
        "    net = cr.Network(*parts)",
        "",
        "So.",
    ]
    text = "\n".join(as_markup(before))
    assert r"`Network.fit` and ``a + b``: \|W\|, classes\_ and \*\*options." in text
    assert "::\n\n    net = cr.Network(*parts)\n\n" in text
    section = ["What.", "", "Parameters", "----------", "X", "    (m, *inputs).", "", "    More."]
    assert as_markup(section) == [*section[:5], r"    (m, \*inputs).", *section[6:]]


@pytest.mark.long
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed (pip install -e '.[docs]')")
    pytest.importorskip("furo", reason="Furo is not installed (pip install -e '.[docs]')")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", tmp_path / "trees"]
    done = subprocess.run([*command, DOCS, tmp_path / "site"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("*.html"))
    assert not re.findall(r'<(?:link|script|img)[^>]+(?:href|src)="(?:https?:)?//[^"]+', pages), "nothing is fetched"
