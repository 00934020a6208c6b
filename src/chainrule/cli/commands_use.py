"""The commands for runs that are there: predict, evaluate, info; what they do is in the module of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.options import AsJson, EngineName, RunOf

PREDICTING = """
chainrule predict runs/iris new.csv
chainrule predict runs/iris new.csv -o predicted.csv
"""
EVALUATING = """
chainrule evaluate runs/iris test.csv
chainrule evaluate runs/iris test.csv --json
"""
TELLING = """
chainrule info runs/iris
"""


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder of a run, or its model.safetensors.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data of the same kind as the model was trained on.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the predictions to this .csv file.")] = None,
    probabilities: Annotated[bool, typer.Option(help="With a column for each class.")] = True,
    engine: EngineName = "auto",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the file of --out.")] = False,
) -> None:
    """Predict with a trained network: a line of CSV for each sample, in UTF-8, numbers with all their digits.

    Where the data hold the targets too, the accuracy or the error is told on standard error, and so is what differs
    from the training data: categories that were not there, missing values, other columns.
    """
    from chainrule.cli.predict import run

    run(model, data, out=out, probabilities=probabilities, engine=engine, force=force)


def evaluate(
    run: RunOf,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data with the targets, as in training.")],
    engine: EngineName = "auto",
    json: AsJson = False,
) -> None:
    """Say how good a trained network is on data with targets, beside a prediction that looks at nothing.

    Classes: accuracy, balanced accuracy, log-loss and AUC, beside always the most frequent class. Numbers: RMSE, MAE
    and R², beside always the mean. ± is the deviation of the first by chance, of as many samples.
    """
    from chainrule.cli.use import evaluate

    evaluate(run, data, engine, json)


def info(run: RunOf, json: AsJson = False) -> None:
    """Say what a run is: data, columns, network, epochs, result, and the versions that made it."""
    from chainrule.cli.use import info

    info(run, json)
