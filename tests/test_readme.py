"""What README and the docs show is true: their Python runs, their sessions print what is printed there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine

from chainrule.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "api")
"""All but the reference, which is made of docstrings."""
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES]
NAMES = ["emma", "olivia", "ava", "isabella", "sophia", "charlotte", "mia", "amelia", "harper", "evelyn", "joseph"] * 4
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")


def each(*, in_time: bool = False) -> pytest.MarkDecorator:
    """Every document by its path; in_time: the report's in the long mode."""
    late = [pytest.mark.long] if in_time else []
    return pytest.mark.parametrize(
        "document",
        [
            pytest.param(path, marks=late if path.name == "report.md" else [], id=path.relative_to(ROOT).as_posix())
            for path in DOCUMENTS
        ],
    )


by_document = each()
by_document_in_time = each(in_time=True)
"""The report's sessions make reports, as those of README do."""


@dataclass(frozen=True)
class Block:
    """A fenced block: ``` and its language, the line it begins in, its text."""

    language: str
    line: int
    text: str


def blocks(document: Path) -> Iterator[Block]:
    """The document's fenced blocks, in order."""
    text = document.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], text.count("\n", 0, found.start()) + 2, found[2])


EXACT = os.environ.get("CHAINRULE_DOCUMENTS") == "exact"
"""Whether numbers must be those that are printed here.  Elsewhere they may differ a little: other processors add up in
another order.  Documents are written so that they pass with it."""


def agrees(shown: str, printed: str, exact: bool = EXACT) -> bool:
    """Whether both say the same, with as many digits; a line of ... stands for any lines.

    exact: the very digits; else numbers may differ a little.
    """
    rest = printed.rstrip()
    parts = [part.strip("\n") for part in re.split(r"^\.\.\.$", shown.rstrip(), flags=re.MULTILINE)]
    for k, part in enumerate(parts):
        pattern = NUMBER.sub("\0", part)
        pattern = re.escape(pattern).replace("\0", rf"({NUMBER.pattern})")
        found = (re.match if k == 0 else re.search)(pattern, rest)
        if found is None:
            return False
        ours, theirs = list(found.groups()), NUMBER.findall(part)
        if exact and ours != theirs:
            return False
        if [len(x.partition(".")[2]) for x in ours] != [len(x.partition(".")[2]) for x in theirs]:
            return False
        if not np.allclose([float(x) for x in ours], [float(x) for x in theirs], rtol=0.02, atol=0.02):
            return False
        rest = rest[found.end() :]
    return not rest.strip() or parts[-1] == ""


def check(block: Block, document: Path, printed: str) -> None:
    assert agrees(block.text, printed), (
        f"{document.name}:{block.line} shows\n{block.text}\nbut this is printed:\n{printed}"
    )


@by_document
def test_python(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block of Python, one after the other; a block of text after one is what it prints.

    The folder that they run in holds a file that documents may speak of: names.txt.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    names: dict[str, Any] = {}
    printed = ""
    for block in blocks(document):
        if block.language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile("\n" * (block.line - 1) + block.text, str(document), "exec"), names)
            printed = out.getvalue()
        elif block.language == "text":
            assert printed, f"{document.name}:{block.line}: a block of text follows Python that prints it"
            check(block, document, printed)
            printed = ""


@by_document_in_time
def test_sessions(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every `$ chainrule ...`, and what it printed, errors included; the folder holds scikit-learn's wine.csv."""
    monkeypatch.chdir(tmp_path)
    load_wine(as_frame=True).frame.to_csv("wine.csv", index=False)
    for block in blocks(document):
        if block.language != "console":
            continue
        for call in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, shown = call.partition("\n")
            program, *words = shlex.split(command)
            assert program == "chainrule", command
            main(words)
            printed = capsys.readouterr()
            check(Block("console", block.line, shown), document, printed.out + printed.err)


@by_document
def test_links(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    paths = re.findall(r"`((?:tests|examples|benchmarks|docs|src)/[\w/.]+)`", text)
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [path for path in paths if not (ROOT / path).exists()]
    assert not missing


def test_the_comparison_can_fail() -> None:
    assert agrees("cost 0.50\n...\nend\n", "cost 0.51\na\nb\nend\n", exact=False)
    assert not agrees("cost 0.50\n", "cost 0.60\n")
    assert not agrees("cost 0.50\n", "cost 0.51\n", exact=True) and agrees("cost 0.50\n", "cost 0.50\n", exact=True)
    assert not agrees("cost 0.50\n", "cost 0.5012\n")
    assert not agrees("cost 0.50\n", "cost 0.50\nmore\n")
    assert not agrees("a\n...\nend\n", "a\n")
    assert not agrees("m = 3\n", "m = 4\n")


def test_the_figures_of_readme_are_those_that_were_measured() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    claims = re.findall(r"^- ((?:(?!^- ).)*?)\(\[measured\]\((docs/[\w-]+\.md)\)\)", text, re.MULTILINE | re.DOTALL)
    assert len(claims) == 2
    for claim, page in claims:
        measured = (ROOT / page).read_text(encoding="utf-8")
        numbers = re.findall(r"\d+\.\d+", claim)
        assert numbers and all(re.search(rf"(?<![\d.]){re.escape(n)}(?!\d)", measured) for n in numbers), claim
