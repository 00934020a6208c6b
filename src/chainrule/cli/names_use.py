"""`chainrule names sample`, `score` and `plot`: what a trained character model is for."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np

from chainrule.errors import DataError, unknown_name
from chainrule.language import CharacterModel, load_names, split_names
from chainrule.runs.folder import HISTORY, find_model
from chainrule.train.history import History

PARTS = ("all", "train", "dev", "test")
EXTREMES = 5
"""How many of the most and the least expected names are shown."""


def sample(
    model: Path,
    number: int,
    prefix: str,
    temperature: float,
    top_k: int | None,
    longest: int | None,
    seed: int | None,
    unknown: str | None,
) -> None:
    """Invent names and print them.  Raises DataError."""
    character_model = _load(model)
    invented = character_model.sample(
        number,
        temperature=temperature,
        top_k=top_k,
        prefix=prefix,
        seed=seed,
        longest=longest,
        unknown=unknown,
    )
    print("\n".join(invented))


def score(model: Path, file: Path | None, part: str, each: bool, unknown: str | None) -> None:
    """Print what the names cost.  Raises DataError."""
    if part not in PARTS:
        raise DataError(unknown_name("part", part, PARTS))
    character_model = _load(model)
    names = load_names(file)
    if part != "all":
        names = tuple(split_names(names)[PARTS.index(part) - 1])
    score = character_model.score(names, unknown=unknown)
    per_character = score.per_name / score.lengths
    if each:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["name", "nats", "nats per character"])
        rows = zip(names, score.per_name, per_character, strict=True)
        writer.writerows([name, f"{nats:.4f}", f"{share:.4f}"] for name, nats, share in rows)
        sys.stdout.write(text.getvalue())
    print(f"{len(names):,} names, {score.lengths.sum():,} characters with the ends of names")
    if len(names) >= 4 * EXTREMES:
        order = np.argsort(per_character, kind="stable")
        for what, some in (("most", order[:EXTREMES]), ("least", order[: -EXTREMES - 1 : -1])):
            print(f"{what} expected: {', '.join(f'{names[k]} {per_character[k]:.2f}' for k in some)}")
    print(f"cost {score.per_character:.4f} nats per character")


def plot(model: Path, prefixes: tuple[str, ...], out: Path | None) -> None:
    """Draw all pictures.  Raises DataError, and MissingDependencyError without matplotlib."""
    from chainrule.language.plots import plot_embedding, plot_learning_curve, plot_next

    path, _ = find_model(model)
    character_model = CharacterModel.load(path)
    folder = path.parent if out is None else out
    drawn = [plot_embedding(character_model, folder / "embedding.png")]
    log = path.parent / HISTORY
    history = History.load_json(log) if log.is_file() else History()
    if history:  # a run that was interrupted in its first epoch has none
        drawn.append(plot_learning_curve(history, folder / "learning-curve.png"))
    drawn.append(plot_next(character_model, folder / "next-character.png", prefixes or None))
    for picture in drawn:
        print(f"drawn: {picture}")


def _load(model: Path) -> CharacterModel:
    return CharacterModel.load(find_model(model)[0])
