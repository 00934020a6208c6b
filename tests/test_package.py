"""The package from the outside: `python -m chainrule`, and files that are the same bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.describe.activations import ACTIVATIONS
from chainrule.describe.losses import LOSSES


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "chainrule", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"chainrule {cr.__version__}\n", "")
    wrong = subprocess.run([sys.executable, "-m", "chainrule", "train", "nothing.csv"], capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.startswith("chainrule: nothing.csv: ")


def network() -> cr.Network:
    """A network with every kind of thing that a file holds."""
    layers = [cr.Embedding(7, 2), cr.Dense(5, cr.Activation("z * sigmoid(2 * z)")), cr.BatchNorm("relu"), cr.Dense(1)]
    return cr.Network(3, layers, cr.Loss("(yhat - y) ** 4"), l2=0.5, seed=8)


def test_the_same_network_is_the_same_bytes(tmp_path: Path) -> None:
    contents = set()
    for k in range(8):
        network().save(tmp_path / f"{k}.safetensors")
        contents.add((tmp_path / f"{k}.safetensors").read_bytes())
    assert len(contents) == 1
    other = network()
    other.parameters["W1"][0, 0] += 1
    other.save(tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() not in contents


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"chainrule": "{"},
        {"chainrule": "[]"},
        {"chainrule": "{}"},
        {"chainrule": '{"format": 1}'},
    ],
)
def test_what_is_no_network_is_refused(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"W1": np.zeros((2, 2), np.float32)}, tmp_path / "other.safetensors", metadata)
    with pytest.raises(cr.DataError, match="is not a network saved by chainrule"):
        cr.Network.load(tmp_path / "other.safetensors")


def test_what_version_0_1_0_had_elsewhere_is_still_found_there() -> None:
    """Its pickles name these modules."""
    from chainrule.rules import activations, losses, optimizers
    from chainrule.spec import Dense, NetworkSpec

    assert (Dense, NetworkSpec) == (cr.Dense, cr.NetworkSpec)
    assert (activations.Activation, losses.Loss, optimizers.Adam) == (cr.Activation, cr.Loss, cr.Adam)


def test_what_version_0_1_0_pickled_is_understood() -> None:
    """Its losses had `classes` and no kind, its activations neither initialiser nor Jacobian."""

    def as_before(current: object, names: tuple[str, ...], **more: object) -> object:
        old = object.__new__(type(current))
        old.__setstate__({name: vars(current)[name] for name in names} | more)  # type: ignore[attr-defined]
        return old

    fields = ("expression", "name", "fits", "smoothing", "between", "cap")
    own = cr.Loss("(yhat - y) ** 4", name="hinge")
    for loss in (*LOSSES.values(), cr.cross_entropy(0.1), own, cr.Loss("-(y * yhat)", classes=True)):
        old = as_before(loss, fields, classes=loss.classes)
        assert isinstance(old, cr.Loss) and vars(old) == vars(loss), loss
    for activation in (*ACTIVATIONS.values(), cr.Activation("z + 1", name="relu")):
        old = as_before(activation, ("expression", "name", "slope"))
        assert isinstance(old, cr.Activation)
        same = ("expression", "slope", "initialiser", "logarithms", "entries")
        assert [getattr(old, name) for name in same] == [getattr(activation, name) for name in same], activation
