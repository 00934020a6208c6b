"""The model file: what it says, what it refuses and in which words, and how much memory it takes."""

from __future__ import annotations

import json
import os
import re
import struct
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import chainrule as cr
from chainrule import DataError, Network, SpecError
from chainrule.describe.combine import LAYERS
from chainrule.describe.layers import Layer, Place
from chainrule.describe.losses import Loss
from chainrule.files import tensors
from chainrule.language import CharacterModel
from chainrule.program.builder import Builder
from chainrule.program.scalar import Variable
from chainrule.program.symbol import Symbol

DOCUMENT = Path(__file__).parents[2] / "docs" / "MODEL_FORMAT.md"
Edit = Callable[[dict[str, Any], dict[str, Any]], object]


def network(**options: Any) -> Network:
    return Network(3, [cr.Dense(4, "relu"), cr.Dense(2, "softmax")], "cross_entropy", engine="reference", **options)


def parts(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """(header, metadata, the arrays' bytes)."""
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["chainrule"]), content[8 + length :]


def forge(path: Path, edit: Edit, *, digest: bool = False) -> Path:
    """The file with another header and description, and without its digest unless that is wanted."""
    header, about, arrays = parts(path)
    if not digest:
        del about["digest"]
    edit(header, about)
    header["__metadata__"]["chainrule"] = json.dumps(about)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + arrays)
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network().save(tmp_path / "m")
    return tmp_path / "m"


def refused(path: Path, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)) as told:
        Network.load(path, engine="reference")
    assert len(str(told.value)) <= 500 and str(told.value).startswith(str(path))


def test_other_programs_read_it(saved: Path) -> None:
    net = Network.load(saved)
    with safe_open(saved, framework="np") as file:
        assert set(file.keys()) == set(net.parameters)
        for name, array in net.parameters.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)


def test_the_same_network_is_the_same_bytes(saved: Path) -> None:
    before = saved.read_bytes()
    Network.load(saved).save(saved)
    assert saved.read_bytes() == before


def test_the_digest_is_as_documented(saved: Path) -> None:
    import hashlib

    header, about, arrays = parts(saved)
    text = header["__metadata__"]["chainrule"].replace(about["digest"], "0" * 64).encode()
    for name in sorted(n for n in header if n != "__metadata__"):
        begin, end = header[name]["data_offsets"]
        text += f"\n{name} {header[name]['shape']}\n".encode() + arrays[begin:end]
    assert hashlib.sha256(text).hexdigest() == about["digest"]


def test_every_field_of_a_file_is_documented(saved: Path) -> None:
    """And every layer with all that it takes."""
    text = DOCUMENT.read_text(encoding="utf-8")
    _, about, _ = parts(saved)
    for name in (*about, *about["spec"], *about["settings"]):
        assert f"`{name}`" in text, name
    for name, kind in LAYERS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` "))
        assert all(f"`{field}`" in row for field in vars(_example(kind))), name


def _example(kind: type[Layer]) -> Layer:
    return kind(**{"Dense": {"units": 1}, "Embedding": {"vocabulary": 2, "dimension": 1}, "Dropout": {"rate": 0.5}}.get(
        kind.__name__, {}
    ))  # fmt: skip


@pytest.mark.parametrize("bit", [0, 7])
def test_one_bit_of_a_weight_is_noticed(saved: Path, bit: int) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1 << bit
    saved.write_bytes(content)
    refused(saved, "is damaged: it does not hold what was saved")


def test_one_word_of_the_description_is_noticed(saved: Path) -> None:
    forge(saved, lambda header, about: about["spec"].update(l2=0.5), digest=True)
    refused(saved, "is damaged")
    forge(saved, lambda header, about: None)
    assert Network.load(saved).spec.l2 == 0.5


def layer(**changes: object) -> Edit:
    return lambda header, about: about["spec"]["layers"][0].update(changes)


FORGED: dict[str, tuple[Edit, str]] = {
    "units a text": (layer(units="7"), "spec.layers[0].units must be a whole number, 1 or more. Got '7' instead."),
    "a billion units": (layer(units=2**31), "does not hold this network's parameters"),
    "an unknown layer": (layer(type="Dens"), "Did you mean 'Dense'?"),
    "an unknown option": (layer(spectral=True), "spec.layers[0]: Unknown field 'spectral'"),
    "a missing option": (lambda h, a: a["spec"].pop("l1"), "spec: lacks 'l1'"),
    "an unknown activation": (layer(activation="rleu"), "Layer 1: Unknown activation 'rleu'"),
    "code for a formula": (
        layer(activation={"formula": "__import__('os').system('x')", "name": "x"}),
        "may hold numbers, z, + - * / ** comparisons and calls",
    ),
    "a formula too long": (
        layer(activation={"formula": "z+" * 60_000 + "z", "name": "x"}),
        "is a text of 120,001 characters; 100,000 are the most",
    ),
    "a formula too deep": (layer(activation={"formula": "(" * 900 + "z" + ")" * 900, "name": "x"}), "does not parse"),
    "300 layers for two": (
        lambda h, a: a["spec"].update(layers=a["spec"]["layers"] * 150),
        "describes 300 layers, but holds 4 arrays for them",
    ),
    "inputs without end": (lambda h, a: a["spec"].update(inputs=10**900), "does not hold this network's parameters"),
    "a cap that is a text": (
        lambda h, a: a["spec"].update(loss={"type": "Loss", "formula": "yhat", "name": "a", "classes": False,
                                            "fits": None, "smoothing": 0, "between": None, "cap": "x"}),
        "spec.loss.cap must be a finite number. Got 'x' instead.",
    ),
    "half precision": (lambda h, a: h["b1"].update(dtype="F16"), "header['b1'].dtype: Unknown dtype 'F16'"),
    "whole numbers": (lambda h, a: h["W1"].update(dtype="I64"), "claims 48 bytes, but int64 [3, 4] has 96"),
    "another float": (lambda h, a: a["settings"].update(dtype="float64"), "'W1' is float32 [3, 4], not float64 [3, 4]"),
    "72 axes": (lambda h, a: h["b1"].update(shape=[1] * 71 + [4]), "shape: holds 72 members; 0 to 4 are allowed"),
    "another shape": (lambda h, a: h["W1"].update(shape=[4, 3]), "'W1' is float32 [4, 3], not float32 [3, 4]"),
    "an array over another": (
        lambda h, a: h["b2"].update(data_offsets=h["W2"]["data_offsets"], shape=h["W2"]["shape"]),
        "begins before the one before it ends",
    ),
    "offsets beyond the file": (
        lambda h, a: h["b2"].update(data_offsets=[2**40, 2**40 + 8]), "leaves bytes before it unused"
    ),
    "another name": (lambda h, a: h.update(b3=h.pop("b2")), "'b2' is nothing, not float32 [2] (1 more arrays differ)"),
    "a seed below 0": (lambda h, a: a["settings"].update(seed=-1), "settings.seed must be a whole number, 0 or more"),
    "a later format": (
        lambda h, a: a.update(format="network 3"),
        "was saved by a newer chainrule (a network of format 3; this one reads up to 2)",
    ),
    "no format": (lambda h, a: a.pop("format"), "is not a network saved by chainrule (its format says None)"),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "words"), FORGED.values(), ids=FORGED)
def test_forged_files_are_refused_at_the_place(saved: Path, edit: Edit, words: str) -> None:
    refused(forge(saved, edit), words)


def test_what_a_later_version_may_add_is_passed_over(saved: Path) -> None:
    forge(saved, lambda h, a: (a.update(maker="x"), a["settings"].update(colour="red")))
    assert Network.load(saved).spec == network().spec


@pytest.mark.parametrize("length", [0, 7, 8, 100])
def test_cut_files(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    refused(saved, "is not a network saved by chainrule")


def test_a_header_that_claims_more_than_is_read(saved: Path) -> None:
    with open(saved, "wb") as file:
        file.write(struct.pack("<Q", 1 << 30))
        file.truncate(2 << 30)  # a hole, which takes no place on the disk
    refused(saved, "its header claims 1,073,741,824 bytes; 16,777,216 are the most")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_does_not_keep_it_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    waiting = threading.Thread(target=lambda: refused(tmp_path / "pipe", "it is no file"), daemon=True)
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    refused(tmp_path, "cannot be read: ")
    refused(tmp_path / "none", "cannot be read: there is no such file")


def test_loading_takes_the_files_size_not_twice_of_it(tmp_path: Path) -> None:
    path = tmp_path / "m"
    Network(1000, [cr.Dense(4000, "relu"), cr.Dense(2)], "squared_error", engine="reference").save(path)
    Network.load(path, engine="reference")  # whatever is loaded once
    tracemalloc.start()
    try:
        net = Network.load(path, engine="reference")
        assert tracemalloc.get_traced_memory()[1] < 1.5 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert net.parameters["W1"].any()


def test_a_claim_takes_no_memory(saved: Path) -> None:
    forge(saved, lambda h, a: a["spec"]["layers"][0].update(units=10**7))
    tracemalloc.start()
    try:
        refused(saved, "does not hold")
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


def test_a_fault_of_the_caller_is_not_the_files(saved: Path) -> None:
    with pytest.raises(SpecError, match="engine must be"):
        Network.load(saved, engine="gpu")


def test_a_seed_of_many_digits_is_kept_and_a_longer_one_refused(tmp_path: Path) -> None:
    seed = 10**999
    network(seed=seed).save(tmp_path / "m")
    assert Network.load(tmp_path / "m").seed == seed
    with pytest.raises(SpecError, match="seed must be"):
        network(seed=10**1000)


def test_an_infinite_bound_of_a_loss(tmp_path: Path) -> None:
    own = Loss("yhat - y", name="own", between=(0.0, float("inf")))
    Network(2, [cr.Dense(1)], own, engine="reference").save(tmp_path / "m")
    assert Network.load(tmp_path / "m").spec.loss == own
    # As version 0.1.0 wrote it.
    forge(tmp_path / "m", lambda h, a: a["spec"]["loss"].update(between=[0.0, float("inf")]))
    assert "Infinity" in (tmp_path / "m").read_bytes()[:2000].decode("latin-1")
    assert Network.load(tmp_path / "m").spec.loss == own


@dataclass(frozen=True)
class Doubled(Layer):
    """A layer of one's own."""

    by: float = 2.0
    note: object = None

    def equations(self, write: Builder, below: Symbol, place: Place) -> Symbol:
        return write.write(Symbol("V", layer=place.label), self.by * Variable(below.name), rule="doubled")


def test_a_layer_of_ones_own_is_named_to_the_reader(tmp_path: Path) -> None:
    net = Network(2, [cr.Dense(3), Doubled(4.0), cr.Dense(1)], "squared_error", engine="reference")
    net.save(tmp_path / "m")
    again = Network.load(tmp_path / "m", own_layers=[Doubled], engine="reference")
    assert again.spec == net.spec
    np.testing.assert_array_equal(again.predict(np.ones((2, 2))), net.predict(np.ones((2, 2))))
    refused(tmp_path / "m", "Unknown layer 'Doubled'")


def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    network().save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    strange = Network(2, [Doubled(note={1}), cr.Dense(1)], "squared_error", engine="reference")
    with pytest.raises(DataError, match="cannot be saved as JSON"):
        strange.save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before


def test_a_vocabulary_is_counted_before_it_is_looked_at(tmp_path: Path) -> None:
    model = CharacterModel(2, 2, (3,), engine="reference").fit(["ab", "ba"], epochs=1, verbose=False)
    model.save(tmp_path / "m")
    forge(tmp_path / "m", lambda h, a: a["settings"]["language"].update(characters="a" * 900_000))
    with pytest.raises(DataError, match="does not hold as many characters"):
        CharacterModel.load(tmp_path / "m")


def test_tensors_alone(tmp_path: Path) -> None:
    """What is written is read into the caller's memory."""
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3, np.float32), "c": np.zeros((0, 2), np.float32)}
    tensors.write(tmp_path / "t", arrays, {"key": "text"})
    with tensors.opened(tmp_path / "t", "a file", key="key") as file:
        assert file.metadata["key"] == "text" and set(file.tensors) == set(arrays)
        for name, array in arrays.items():
            into = np.full_like(array, 7)
            file.read(name, into)
            np.testing.assert_array_equal(into, array)


def _by(*layers: cr.Layer, loss: Any = "squared_error") -> cr.Network:
    return cr.Network(2, [*layers, cr.Dense(3, "softmax" if loss == SMOOTHED else "identity")], loss)


SMOOTHED = cr.cross_entropy(cr.Cosine(0.1))
FIRST = {
    "dense": lambda: _by(cr.Dense(3, "tanh"), cr.BatchNorm("relu"), cr.LayerNorm(), cr.Dropout(0.2)),
    "embedding": lambda: _by(cr.Embedding(4, 2)),
    "own": lambda: _by(cr.Dense(3, cr.Activation("z * 2", name="mine(z)")), loss=cr.quantile(0.9)),
}
LATER = {
    "formula": lambda: _by(cr.Formula("x * s", s=cr.Parameter())),
    "groups": lambda: _by(cr.GroupedDense(3, groups=2)),
    "padding": lambda: _by(cr.Embedding(4, 2, padding=0)),
    "tables": lambda: _by(cr.Embedding([4, 3], 2)),
    "sine": lambda: _by(cr.Dense(3, cr.Activation("sin(z)"))),
    "tied": lambda: _by(cr.Dense(2), cr.Dense(2, weights=cr.Tied("W1"))),
    "dropout by schedule": lambda: _by(cr.Dropout(cr.Cosine(0.2))),
    "smoothing by schedule": lambda: _by(loss=SMOOTHED),
    "outputs": lambda: cr.Network(2, [cr.Dense(2), cr.Keep("h")], {"h": "huber"}),
}


@pytest.mark.parametrize("name", [*FIRST, *LATER])
def test_what_version_0_1_0_reads_is_said_to_be_of_its_format(name: str, tmp_path: Path) -> None:
    """And what it does not know is not, so that it says that a later version wrote it."""
    net = {**FIRST, **LATER}[name]()
    net.save(tmp_path / "net.safetensors")
    text = (tmp_path / "net.safetensors").read_bytes()
    assert (b"network 1" in text, b"network 2" in text) == (name in FIRST, name in LATER)
    assert (b"padding" in text) == (name == "padding")
    assert cr.Network.load(tmp_path / "net.safetensors").spec == net.spec
