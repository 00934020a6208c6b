"""`chainrule evaluate` and `chainrule info`: a finished run."""

from __future__ import annotations

import json
import textwrap
import warnings
from pathlib import Path
from typing import Any

from chainrule.cli.names_report import info as names_info
from chainrule.cli.names_report import is_of_names
from chainrule.cli.scores import tell, waiting
from chainrule.errors import DataError, DataWarning
from chainrule.metrics import shown
from chainrule.runs import Run
from chainrule.runs.listing import record_of
from chainrule.tabular.doors import load_run
from chainrule.tabular.frame import read_frame
from chainrule.tabular.saved import Fitted
from chainrule.tabular.told import held_out, kinds_alone, size_of
from chainrule.train.history import describe_record

MOST_NAMES = 8
"""Of columns or classes that one line shows."""


def evaluate(folder: Path, data: str, engine: str, as_json: bool, quiet: bool = False) -> None:
    """Prints the metrics, or quietly the one that counts first.

    What differs from the training data is told on standard error.  Raises DataError.
    """
    if is_of_names(folder):
        raise DataError(f"{folder}: is a character model; 'chainrule names score {folder} FILE' says what names cost.")
    run = load_run(folder, engine=engine)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        if isinstance(run, Run):
            with waiting(f"predicting {data}", False if quiet else None):
                evaluation = run.evaluate(data)
        else:
            frame = read_frame(data, header=run.header_)
            evaluation, novelty = run.evaluate(frame), run.novelty(frame)
            tell(frame.source, [str(novelty)] if novelty else [])
    for warning in caught:
        name, _, notes = str(warning.message).partition(": ")
        tell(name, [notes.rstrip(".")])
    if quiet and not as_json:
        print(f"{evaluation.main} {shown(evaluation.metrics[evaluation.main])}")
    else:
        print(json.dumps(evaluation.to_dict(), ensure_ascii=False) if as_json else evaluation)


def info(folder: Path, as_json: bool, quiet: bool = False) -> None:
    """Prints what is known of the run, or quietly the result of its test.  Raises DataError."""
    if quiet and not as_json and (told := record_of(folder)) is not None:
        print(told.test_words)
        return
    if is_of_names(folder):
        names_info(folder, as_json)
        return
    run = load_run(folder)
    if not isinstance(run, Run):
        _table_info(run, as_json)
        return
    if as_json:
        print(json.dumps(_facts(run), ensure_ascii=False, indent=1))
        return
    record = run.record
    data = record.get("data") or {}
    for key, value in (
        ("data", data.get("name", run.options.get("data"))),
        ("predicts", run.target),
        ("classes", _some(run.classes)),
        ("columns", _some(run.feature_names)),
        ("epochs", len(run.history)),
        ("last epoch", ", ".join(describe_record(run.history[-1])) if run.history else None),
        ("ended", run.history.stopped),
        ("result", _pairs(record.get("result"))),
        ("options", _pairs(run.options)),
        ("versions", _pairs(record.get("versions"))),
    ):
        if value not in (None, ""):
            print(f"{key}: {value}")
    print(run.network.summary())


def _table_info(model: Fitted, as_json: bool) -> None:
    """The same of an estimator of tables."""
    trained = model.trained_
    record = dict(model.record_)
    if as_json:
        facts = {
            "estimator": type(model).__name__,
            "predicts": ", ".join(model.targets_) or None,
            "id": model.id_,
            "classes": [str(name) for name in getattr(model, "classes_", ())],
            "columns": [column.name for column in model.preparation_.columns],
            "left out": dict(model.preparation_.left_out),
            "members": len(model.networks_),
            "parameters": sum(array.size for net in model.networks_ for array in net.parameters.values()),
            "error on rows held out": None if trained is None else trained.held_out,
            "best epochs": [] if trained is None else list(trained.epochs),
        }
        print(json.dumps({**facts, **record}, ensure_ascii=False, indent=1))
        return
    told, data = held_out(trained), record.get("data") or {}
    for key, value in (
        ("predicts", ", ".join(model.targets_)),
        ("classes", _some(tuple(str(name) for name in getattr(model, "classes_", ())) or None)),
        ("id", model.id_),
        *(("columns", line) for line in (*kinds_alone(model.preparation_), *model.notes_)),
        ("estimator", repr(model).replace("\n", "").replace("  ", "")),
        ("trained", size_of(model.networks_)),
        ("best epochs", "" if trained is None else ", ".join(map(str, trained.epochs))),
        ("rows held out", "" if told is None else f"{told[0]} {shown(told[1])}"),
        ("command", record.get("command")),
        ("options", _pairs(record.get("options"))),
        ("data", _pairs(data)),
        ("versions", _pairs(record.get("versions"))),
    ):
        if value:
            print(f"{key}: {value}")
    result = record.get("result") or {}
    for name, tests in result.items():
        values = {metric: [t["metrics"].get(metric) for t in tests] for metric in tests[0]["metrics"]}
        means = [f"{metric} {shown(sum(of) / len(of))}" for metric, of in values.items() if None not in of]
        print(f"test{f' of {name}' if len(result) > 1 else ''}: {', '.join(means)}")
    if model.networks_:
        several = f"first of the {len(model.networks_)} networks" if len(model.networks_) > 1 else "network"
        print(f"{several}:\n{textwrap.indent(model.network.summary(), '  ')}")


def _facts(run: Run) -> dict[str, Any]:
    return {
        "predicts": run.target,
        "classes": run.classes,
        "columns": run.feature_names,
        "epochs": len(run.history),
        "parameters": sum(array.size for array in run.network.parameters.values()),
        "widths": run.network.spec.widths,
        **run.record,
    }


def _some(names: tuple[str, ...] | None) -> str | None:
    """ "3: setosa, versicolor, virginica"."""
    if names is None:
        return None
    more = f", ... ({len(names) - MOST_NAMES} more)" if len(names) > MOST_NAMES else ""
    return f"{len(names)}: {', '.join(names[:MOST_NAMES])}{more}"


def _pairs(said: Any) -> str | None:
    """ "epochs 40, batch_size 32"; only what is set."""
    if not isinstance(said, dict):
        return None if said is None else str(said)
    return ", ".join(f"{key} {_plain(value)}" for key, value in said.items() if value not in (None, [], ""))


def _plain(value: Any) -> str:
    """A value as a line says it: a list without its brackets, a number in digits that can be read."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shown(value) if isinstance(value, float) and len(repr(value)) > 8 else str(value)
