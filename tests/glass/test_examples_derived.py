"""The networks of the examples on graphs: their derivations print, line by line true, in all notations; checked."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_executed import given, wrong

import chainrule as cr
from chainrule.notation import FORMATS, MATHEMATICAL

FOLDER = Path(__file__).parents[2] / "examples"
EXAMPLES: dict[str, tuple[dict[str, Any], int]] = {
    "residual": ({"blocks": 1, "width": 5}, 1),
    "table": ({}, 0),
    "ensemble": ({"members": 4, "seeds": 1}, 1),
    "two_outputs": ({}, 0),
    "own_layer": ({}, 0),
    "tied_autoencoder": ({}, 0),
    "predicted_variance": ({}, 0),
}
"""By their modules: what main is given, and which of the networks that it fits."""
SAMPLES = 3


def subject(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[cr.Network, Any, Any]:
    """The network that the example is about, in float64, and its first samples; nothing is trained."""
    options, number = EXAMPLES[name]
    fitted = []
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(cr.Network, "fit", lambda net, X, y, **_: fitted.append((net.spec, some(X), some(y))))
    importlib.import_module(name).main(**options)
    spec, X, y = fitted[number]
    return cr.Network.from_spec(spec, dtype="float64", engine="reference", seed=1), X, y


def some(data: Any) -> Any:
    """The first samples of an array, or of each named one."""
    if isinstance(data, dict):
        return {key: some(value) for key, value in data.items()}
    return np.asarray(data)[:SAMPLES]


@pytest.mark.parametrize(
    ("name", "notation"),
    [
        pytest.param(name, notation, marks=[] if turn == number % 5 else [pytest.mark.long])
        for number, name in enumerate(EXAMPLES)
        for turn, notation in enumerate(MATHEMATICAL)
    ],
)
def test_its_derivation(
    name: str, notation: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one notation each; in all of them with `pytest -m long`."""
    net, X, y = subject(name, monkeypatch)
    _, targets = net._data(X, y)
    program = net.derive(optimizer=cr.SGD(0.1), targets=targets)
    assert wrong(program, given(net, program, X, y), notation) == []
    assert all(program.show(notation, form) for form in FORMATS)
    assert program.show("numpy").startswith("import numpy") and net.check(X, y)
