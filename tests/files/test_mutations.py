"""Damaged and forged files: whatever they say, a load or an error of chainrule, in few words; nothing else.

Model files, character models, histories, run folders, checkpoints and programs are cut, flipped, and given hostile
values wherever a value stands.  Each part of the run has its own seed, so that what it finds can be found again.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import Adam, ChainruleError, Dense, Dropout, Network, Program
from chainrule.cli.predict import Where
from chainrule.cli.predict import run as predict
from chainrule.language import CharacterModel
from chainrule.train.history import History

KEPT = Path(__file__).parent / "format1"
EACH = 42
"""Mutations of a part."""

RAW = {"@deep": "[" * 5000 + "]" * 5000, "@objects": '{"a":' * 5000 + "1" + "}" * 5000, "@digits": "9" * 100_000}
RAW |= {"@fraction": "0." + "3" * 5000, "@exponent": "1e999", "@tiny": "1e-999"}
NUMBERS: list[Any] = [
    -1, 0, 1, 2, 3, 7, 2**31, 2**63, 10**400, -(10**20), 0.5, -0.5, 1.0, 1e308, -1e308, 5e-324, 1e-30, float("nan"),
    float("inf"),
]  # fmt: skip
TEXTS = [
    "", "x", "nan", "inf", "1", "\ud800", "a\0b", "é" * 300, "9" * 6000, "relu", "softmax", "identity", "squared_error",
    "cross_entropy", "poisson", "hinge", "Dense", "Embedding", "Cost", "float16", "float64", "F16", "F64", "I64",
    "BOOL", "network 2", "network 1",
]  # fmt: skip
FORMULAS = [
    "z * z", "exp(exp(z))", "z ** z", "z / 0", "0 ** -1 * z", "log(-1) * z", "sum(z)", "max(z, 0)", "(" * 300, "yhat",
    "-" * 9000 + "z", "+".join("z" * 3000), "y - 1", "sum(yhat - y)", "__import__('os')", "1e308 * 1e308 * z",
    "where(z > 0, z)", "1e400 * z", "9" * 5000 + "*z", "stop(z)",
]  # fmt: skip
CONTAINERS: list[Any] = [
    [], {}, [[]], [None], [1], [1, 2], ["a"], [{}], {"a": 1}, [0] * 3000, ["a", "a"], list(range(50)),
    {"type": "Dense"}, {"type": ["Dense"]}, {"formula": "z * sigmoid(z)", "name": "own", "slope": None},
    {"formula": "z", "name": 3, "slope": "a"},
    {"type": "Loss", "formula": "yhat", "name": "l", "classes": 1, "fits": 3, "smoothing": "", "between": [1]},
]  # fmt: skip
HOSTILE = [None, True, False, *NUMBERS, *TEXTS, *FORMULAS, *CONTAINERS, *RAW]
Document = dict[str, Any] | list[Any]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a document."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        for key, member in list(part.items() if isinstance(part, dict) else enumerate(part)):
            yield part, key
            if isinstance(member, dict | list):
                waiting.append(member)


def mutated(document: Document, rng: random.Random) -> str:
    """The document as JSON, with one to three faults."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        there = list(places(document))
        if not there:
            break
        container, key = rng.choice(there)
        how = rng.choice(("value", "value", "value", "value", "remove", "rename", "move", "more", "number"))
        if how == "value":
            container[key] = copy.deepcopy(rng.choice(HOSTILE))
        elif how == "remove":
            del container[key]
        elif how == "rename" and isinstance(container, dict):
            container[str(key) + rng.choice(("", "x", "\ud801", "@twice"))] = container.pop(key)
        elif how == "move":
            other, place = rng.choice(there)
            container[key] = copy.deepcopy(other.get(place)) if isinstance(other, dict) else None
        elif how == "more" and isinstance(container, list):
            container += [copy.deepcopy(container[key])] * rng.choice((1, 2, 300))
        elif how == "number" and isinstance(container[key], int | float):
            container[key] = container[key] * rng.choice((2, -1, 1000, 10**9, 0, 0.5))
    text = json.dumps(document)
    for name, raw in RAW.items():
        text = text.replace(json.dumps(name), raw)
    return text.replace('@twice": ', '": 1, "a": 2, "a": ')


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut out, doubled, or put in."""
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, some = rng.randrange(len(content) + 1), rng.choice((1, 3, 20, 200))
        how = rng.randrange(5)
        if how == 0 and at < len(content):
            content = content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
        elif how == 1:
            content = content[:at] + content[at + some :]
        elif how == 2:
            content = content[:at] + content[at : at + some] * 2 + content[at + some :]
        elif how == 3:
            content = content[:at]
        else:
            content = content[:at] + rng.randbytes(some) + content[at:]
    return content


def forged(content: bytes, rng: random.Random) -> bytes:
    """A model file whose header, description, length or arrays say something else."""
    length = struct.unpack("<Q", content[:8])[0]
    header, arrays = json.loads(content[8 : 8 + length]), content[8 + length :]
    about = json.loads(header["__metadata__"]["chainrule"])
    if rng.random() < 0.8:
        about.pop("digest", None)  # so that what is said is looked at, not only that it is another
    how = rng.randrange(6)
    text = mutated(about, rng) if how < 3 else json.dumps(about)
    header["__metadata__"]["chainrule"] = text
    raw = json.dumps(header)
    if how == 3:
        raw = mutated(header, rng)
    elif how == 4:
        name = rng.choice([n for n in header if n != "__metadata__"])
        tensor = header[name]
        size = tensor["data_offsets"][1] - tensor["data_offsets"][0]
        tensor["shape"] = rng.choice(([size // 4], [1] * 80, [-1], [2**62, 4], [0], [], [size // 4, 1, 1, 1]))
        if rng.random() < 0.5:
            tensor["data_offsets"] = rng.choice(([0, size], [size, 0], [0, 2**60], [-size, 0], [1, size + 1]))
        raw = json.dumps(header)
    encoded = raw.encode("utf-8", "surrogatepass")
    said = len(encoded)
    if how == 5:
        said = rng.choice((0, 1, said - 1, said + 1, 2**63, 2**64 - 1, 2**31, len(content), said + len(arrays)))
    return struct.pack("<Q", said) + encoded + arrays


def attempt(action: Callable[[], object], what: str) -> bool:
    """Whether it went well; an error of chainrule is as well, anything else a failure of the test."""
    told: str | None = None
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            action()
    except ChainruleError as fault:
        told = str(fault)
    except Exception as fault:
        pytest.fail(f"{what}: {type(fault).__name__}: {str(fault)[:300]}")
    assert len(told or "") <= 500, f"{what}: {told}"
    return told is None


def model_file(path: Path, rng: random.Random) -> Callable[[], object]:
    source = rng.choice(sorted(KEPT.glob("*.safetensors")) + sorted(KEPT.glob("*/*.safetensors")))
    content = source.read_bytes()
    if rng.random() < 0.5:  # as this version saves it
        Network.load(source, engine="reference").save(path)
        content = path.read_bytes()
    path.write_bytes(damaged(content, rng) if rng.random() < 0.25 else forged(content, rng))

    def use() -> None:
        net = Network.load(path, engine="reference")
        repr(net), net.summary()
        net.predict(np.zeros((2, net.spec.inputs), dtype=np.int64 if net.spec.tokens else np.float64))
        net.save(path)
        assert Network.load(path, engine="reference").spec == net.spec

    return use


def character_model(path: Path, rng: random.Random) -> Callable[[], object]:
    source = rng.choice((KEPT / "names.safetensors", KEPT / "names run" / "model.safetensors"))
    content = source.read_bytes()
    path.write_bytes(damaged(content, rng) if rng.random() < 0.25 else forged(content, rng))

    def use() -> None:
        model = CharacterModel.load(path, engine="reference")
        repr(model)
        model.sample(2, seed=0, longest=5)

    return use


def history(path: Path, rng: random.Random) -> Callable[[], object]:
    source = rng.choice(sorted(KEPT.glob("*/history.json")))
    if rng.random() < 0.25:
        path.write_bytes(damaged(source.read_bytes(), rng))
    else:
        path.write_text(mutated(json.loads(source.read_text()), rng), encoding="utf-8", errors="surrogatepass")

    def use() -> None:
        found = History.load_json(path)
        repr(found), found.column("cost"), found.to_dicts()
        found.save_json(path)
        assert History.load_json(path) == found
        found.save_csv(path)

    return use


def run_folder(path: Path, rng: random.Random) -> Callable[[], object]:
    name = rng.choice(("classes", "numbers"))
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(KEPT / f"{name} run", path)
    victim = path / rng.choice(("settings.json",) * 6 + ("model.safetensors", "history.json"))
    how, content = rng.randrange(10), victim.read_bytes()
    if how == 0:
        victim.unlink()
    elif how == 1:
        victim.unlink()
        victim.mkdir()
    elif how == 2:
        victim.write_bytes(b"")
    elif how == 3:
        other = rng.choice(("classes run", "numbers run", "names run"))
        shutil.copy(KEPT / other / rng.choice(("settings.json", "model.safetensors", "history.json")), victim)
    elif how == 4:
        victim.write_bytes(damaged(content, rng))
    elif victim.suffix == ".json":
        said = mutated(json.loads(content), rng)
        victim.write_text(said, encoding="utf-8", errors="surrogatepass")
    else:
        victim.write_bytes(forged(content, rng))

    return lambda: predict(path, str(KEPT / f"{name}.csv"), probabilities=True, engine="reference", where=Where())


X, Y = np.sin(np.arange(40.0).reshape(20, 2)), np.arange(20) % 2


def trained(folder: Path, *, resume: bool) -> History:
    layers = [Dense(3, "tanh"), Dropout(0.2), Dense(2, "softmax")]
    net = Network(2, layers, "cross_entropy", engine="reference")
    return net.fit(X, Y, epochs=3, batch_size=8, checkpoint=folder, resume=resume, verbose=False)


def checkpoints(path: Path, rng: random.Random) -> Callable[[], object]:
    shutil.rmtree(path, ignore_errors=True)
    trained(path, resume=False)
    newest, *others = sorted(path.glob("checkpoint*"), reverse=True)
    for victim in (newest, *(others if rng.random() < 0.7 else ())):
        content = victim.read_bytes()
        victim.write_bytes(damaged(content, rng) if rng.random() < 0.25 else forged(content, rng))

    def use() -> None:
        assert len(trained(path, resume=True)) == 3

    return use


def program(path: Path, rng: random.Random) -> Callable[[], object]:
    net = Network.load(rng.choice(sorted(KEPT.glob("*.safetensors"))), engine="reference")
    text = net.derive(optimizer=rng.choice((None, Adam()))).to_json()
    if rng.random() < 0.25:
        path.write_bytes(damaged(text.encode(), rng))
    else:
        path.write_text(mutated(json.loads(text), rng), encoding="utf-8", errors="surrogatepass")

    def use() -> None:
        read = Program.from_json(path.read_bytes())
        str(read), read.digest
        assert Program.from_json(read.to_json()) == read

    return use


KINDS = {
    "checkpoint": checkpoints,
    "model": model_file,
    "characters": character_model,
    "history": history,
    "run": run_folder,
    "program": program,
}
PARTS_OF = {"model": 9, "characters": 4, "history": 3, "run": 3, "checkpoint": 1, "program": 4}
PARTS = [(kind, seed) for kind, parts in PARTS_OF.items() for seed in range(parts)]


def check(kind: str, seed: int, count: int, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    went = 0
    for k in range(count):
        rng = random.Random(f"{kind} {seed} {k}")
        use = KINDS[kind](place / "f", rng)
        went += attempt(use, f"{kind}, part {seed}, mutation {k}")
        assert len(capsys.readouterr().err) < 500
    # Not everything is refused, and not everything let through.
    assert 0 < went < count


@pytest.mark.parametrize(("kind", "seed"), PARTS)
def test_a_thousand_mutations(kind: str, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(kind, seed, EACH, tmp_path, capsys)


@pytest.mark.long
@pytest.mark.parametrize(("kind", "seed"), [(kind, 100 + seed) for kind, seed in PARTS])
def test_ten_thousand_mutations(kind: str, seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(kind, seed, 10 * EACH, tmp_path, capsys)


def test_a_planted_fault_is_seen(tmp_path: Path) -> None:
    """What the attempts are worth: each kind of raw error fails them, and so does a long message."""
    raws = (RecursionError(), OverflowError(), ValueError("digits"), AttributeError(), TypeError(), MemoryError())
    for fault in (*raws, ChainruleError("x" * 501)):

        def action(fault: Exception = fault) -> None:
            raise fault

        with pytest.raises((pytest.fail.Exception, AssertionError)):
            attempt(action, "planted")
