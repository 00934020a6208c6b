"""What editors and type checkers are told agrees with what there is."""

from __future__ import annotations

import inspect
from typing import get_args

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS, ActivationName
from chainrule.describe.losses import LOSSES, LossName
from chainrule.describe.optimizers import OPTIMIZERS, OptimizerName
from chainrule.engines.table import EngineName, engine_names
from chainrule.notation.tables import SCRIPT, NotationName, notation_names
from chainrule.report import html


def test_literals_are_the_tables_names() -> None:
    assert get_args(ActivationName) == tuple(ACTIVATIONS)
    assert get_args(LossName) == tuple(LOSSES)
    assert get_args(OptimizerName) == tuple(OPTIMIZERS)
    assert get_args(EngineName) == engine_names()
    assert get_args(NotationName) == (*notation_names(), SCRIPT)


def test_a_reports_options_are_those_of_its_page() -> None:
    page = inspect.signature(html.page).parameters
    method = inspect.signature(cr.Network.report).parameters
    assert list(page)[3:] == list(method)[4:]
    assert [p.default for p in list(page.values())[3:]] == [p.default for p in list(method.values())[4:]]


def test_docstrings_name_the_parameters_that_there_are() -> None:
    """Where a docstring has sections, every parameter of the signature stands in it, and no other."""
    checked = 0
    for owner in (getattr(cr, name) for name in cr.__all__):
        names = [name for name in dir(owner) if not name.startswith("_")] if inspect.isclass(owner) else []
        members = [owner, *(inspect.getattr_static(owner, name) for name in names)]
        for member in members:
            text = inspect.getdoc(member) or ""
            theirs = not (getattr(member, "__module__", None) or "chainrule").startswith("chainrule")
            if theirs or "Parameters\n----------\n" not in text:
                continue
            section = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
            named = [n for line in section.splitlines() if line[:1].strip() for n in line.split(", ")]
            known = [
                n for n in inspect.signature(getattr(member, "__func__", member)).parameters if n not in ("self", "cls")
            ]
            assert named == [n for n in known if n in named], (member, named)
            assert set(known) - {"options"} <= set(named), (member, named)
            checked += 1
    assert checked >= 8
