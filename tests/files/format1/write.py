"""Writes the files of this folder with the chainrule that is installed; those here were written by version 0.1.0.

    cd tests/files/format1 && python write.py

They are never written anew: every later version must read them to the same numbers (test_kept_files.py).  A format that
changes gets a folder of its own.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.cli import main
from chainrule.language import CharacterModel

ROWS = 5


def networks() -> dict[str, cr.Network]:
    """Every kind of layer, activation and loss that a file may say."""
    own = cr.Activation("z * sigmoid(z)", name="mine", slope=None)
    return {
        "classes": cr.Network(
            3,
            [cr.Dense(4, "relu"), cr.Dropout(0.25), cr.Dense(3, "softmax")],
            cr.cross_entropy(0.1),
            l2=0.5,
            dtype="float64",
            seed=3,
        ),
        "normalised": cr.Network(
            4,
            [
                cr.Dense(5, bias=False, weights="orthogonal"),
                cr.BatchNorm("tanh", momentum=0.2),
                cr.Dense(3, weights=0.3),
                cr.LayerNorm(cr.Activation("max(z, 0) + 0.1 * min(z, 0)")),
                cr.Dense(1, "sigmoid"),
            ],
            "binary_cross_entropy",
            l1=0.01,
            reduction="sum",
            penalty_per="weight",
        ),
        "tokens": cr.Network(2, [cr.Embedding(6, 3), cr.Dense(4, own), cr.Dense(6, "log_softmax")], "cross_entropy"),
        "own loss": cr.Network(2, [cr.Dense(3, "elu"), cr.Dense(2)], cr.Loss("abs(yhat - y) ** 1.5", name="mine")),
        "own cost": cr.Network(2, [cr.Dense(2)], cr.Cost("sum((yhat - y) ** 2) / m")),
        "robust": cr.Network(2, [cr.Dense(2, "selu"), cr.Dense(1)], cr.huber(0.7)),
    }


def rows(net: cr.Network) -> np.ndarray:
    """Inputs that suit it, always the same."""
    shape = (ROWS, net.spec.inputs)
    if net.spec.tokens:
        return (np.arange(shape[0] * shape[1]).reshape(shape) * 5) % 6
    return np.sin(np.arange(shape[0] * shape[1], dtype=float).reshape(shape) * 1.7)


def shaken(net: cr.Network) -> cr.Network:
    """Every array moved a little, so that none is as a new network has it."""
    rng = np.random.default_rng(5)
    for array in (net.parameters | net.state).values():
        array += 0.1 * rng.random(array.shape)
    return net


def write() -> None:
    """All files, and beside them what they predict."""
    predictions = {}
    for name, made in networks().items():
        net = shaken(made)
        net.save(f"{name}.safetensors")
        predictions[name] = net.predict(rows(net)).tolist()
    names = ["anna", "hanna", "bo", "bob", "ada", "adana", "hana", "nan", "obi", "zoé"]
    model = CharacterModel(2, 3, (5,), normalisation="batch", dropout=0.1)
    model.fit(names, epochs=3, verbose=False)
    model.save("names.safetensors")
    predictions["names"] = model.score(names).per_name.tolist()
    lines = [f"{i % 7 if i % 10 else ''},{'red' if i % 3 else 'blue'},{(i * 3) % 11}" for i in range(60)]
    classes = [f"{line},{'yes' if i % 7 > 3 else 'no'}" for i, line in enumerate(lines)]
    numbers = [f"{line},{i * 0.25}" for i, line in enumerate(lines)]
    for run, target in (("classes", classes), ("numbers", numbers)):
        Path(f"{run}.csv").write_text("\n".join(["a,colour,b,y", *target]) + "\n")
        words = (
            "train",
            f"{run}.csv",
            "--hidden",
            "3",
            "--epochs",
            "2",
            "--out",
            f"{run} run",
            "--engine",
            "reference",
        )
        assert main(words) == 0
        assert main(("predict", f"{run} run", f"{run}.csv", "--out", f"{run} run.csv", "--probabilities")) == 0
    Path("word list.txt").write_text("\n".join(names) + "\n")
    words = ("names", "train", "word list.txt", "--hidden", "4", "--epochs", "2", "--out", "names run")
    assert main((*words, "--context", "2", "--embedding", "2")) == 0
    predictions["names run"] = CharacterModel.load("names run/model.safetensors").score(names).per_name.tolist()
    Path("predictions.json").write_text(json.dumps(predictions, indent=1) + "\n")


if __name__ == "__main__":
    write()
    shutil.rmtree("__pycache__", ignore_errors=True)
