"""`chainrule report` and `chainrule info` of a character model's run."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chainrule.errors import DataError
from chainrule.language import CharacterModel, load_names, split_names
from chainrule.report.about import day
from chainrule.runs.folder import HISTORY, MODEL, SETTINGS, find_model
from chainrule.train.history import History, describe_record

_END = "end"
"""What follows the last character of a name."""


def is_of_names(folder: Path) -> bool:
    """Whether the folder holds the run of a character model, which has no target.  Raises DataError."""
    if not ((folder / SETTINGS).is_file() and (folder / MODEL).is_file()):
        return False
    settings = find_model(folder)[1]
    return settings is not None and settings.target is None


def report(folder: Path, file: str | None, place: Path, notation: str) -> None:
    """The page on the names of a file, by default on those that the run has left for a test.

    Raises DataError where they are not where they were, and MissingDependencyError.
    """
    from chainrule.report import html  # loaded when it is asked for

    model, record = _opened(folder)
    about: dict[str, Any] = {}
    names: Sequence[str]
    if file is None:
        data = record.get("data") or {}
        source = data.get("source")
        try:
            _, _, names = split_names(load_names(source))
        except DataError as fault:
            raise DataError(f"{folder}: its names cannot be read again; give a file of them. {fault}") from None
        if len(names) != data.get("test"):
            raise DataError(f"{folder}: {source} is not what it was trained on any more; give a file of names.")
        about["part"] = "test"
    else:
        names = load_names(file)
    X, y = model.windows(names)
    trained = datetime.datetime.fromtimestamp(find_model(folder)[0].stat().st_mtime)
    html.report(
        model.network, place, X, y, history=_history(folder), title=folder.resolve().name, notation=notation,
        names=[_END, *model.vocabulary.symbols[1:]], target="the next character", date=day(trained),
        settings={"names": f"{len(names):,}", "context": model.context}, **about,
    )  # fmt: skip


def info(folder: Path, as_json: bool) -> None:
    """What is known of the run.  Raises DataError."""
    model, record = _opened(folder)
    data, result, history = record.get("data") or {}, record.get("result") or {}, _history(folder)
    facts: dict[str, Any] = {
        "data": data.get("name"),
        "predicts": "the next character",
        "characters": "".join(model.vocabulary.symbols),
        "context": model.context,
        "epochs": len(history),
        "result": result,
        "options": {k: v for k, v in (record.get("options") or {}).items() if v is not None},
        "versions": record.get("versions") or {},
    }
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=1))
        return
    if history:
        facts["last epoch"] = ", ".join(describe_record(history[-1]))
    for key, value in facts.items():
        said = ", ".join(f"{k} {v}" for k, v in value.items() if v is not None) if isinstance(value, dict) else value
        if said not in (None, ""):
            print(f"{key}: {said}")
    print(model.network.summary())


def _opened(folder: Path) -> tuple[CharacterModel, dict[str, Any]]:
    path, settings = find_model(folder)
    return CharacterModel.load(path), {} if settings is None else settings.record


def _history(folder: Path) -> History:
    log = folder / HISTORY
    return History.load_json(log) if log.is_file() else History()
