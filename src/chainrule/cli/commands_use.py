"""The commands for runs that are there: predict, evaluate, info, runs; what they do is in the module of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.options import AsJson, EngineName, RunOf, completing, notation_names

PREDICTING = """
chainrule predict runs/iris new.csv
chainrule predict runs/iris new.csv -o predicted.parquet
chainrule predict runs/iris new.csv --json
"""
EVALUATING = """
chainrule evaluate runs/iris test.csv
chainrule evaluate runs/iris test.csv --json
"""
TELLING = """
chainrule info runs/iris
chainrule info runs/iris --json
"""
LISTING = """
chainrule runs
chainrule runs runs/iris runs/iris-2
"""
REPORTING = """
chainrule report runs/iris --open
chainrule report runs/iris new.csv -o new.html
"""


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder of a run, or its model.safetensors.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data of the same kind as the model was trained on.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write them there, in the format that its name says: .csv, .tsv, .jsonl, .parquet or .feather.",
        ),
    ] = None,
    probabilities: Annotated[bool, typer.Option(help="With a column for each class.")] = True,
    engine: EngineName = "auto",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the file of --out.")] = False,
    json: Annotated[bool, typer.Option("--json", "-j", help="A JSON object for each sample, a line each.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing but the predictions.")] = False,
) -> None:
    """Predict with a trained network: a line of CSV for each sample, in UTF-8, numbers with all their digits.

    Where the data hold the targets too, the accuracy or the error is told on standard error, and so is what differs
    from the training data: categories that were not there, missing values, other columns.
    """
    from chainrule.cli.predict import Where, run

    run(model, data, probabilities, engine, Where(out, force, json, quiet))


def evaluate(
    run: RunOf,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data with the targets, as in training.")],
    engine: EngineName = "auto",
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the metric that counts first.")] = False,
) -> None:
    """Say how good a trained network is on data with targets, beside a prediction that looks at nothing.

    Classes: accuracy, balanced accuracy, log-loss and AUC, beside always the most frequent class. Numbers: RMSE, MAE
    and R², beside always the mean. ± is the deviation of the first by chance, of as many samples.
    """
    from chainrule.cli.use import evaluate

    evaluate(run, data, engine, json, quiet)


def info(
    run: RunOf,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the result of its test.")] = False,
) -> None:
    """Say what a run is: data, columns, network, epochs, result, and the versions that made it."""
    from chainrule.cli.use import info

    info(run, json, quiet)


def runs(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER ...", help="Runs, or folders that hold some; by default runs."),
    ] = None,
    json: AsJson = False,
) -> None:
    """List the runs in a folder, or compare some: data, test, epochs, and the options in which they differ.

    The epochs are that of the network that was kept, and how many there were.
    """
    from chainrule.cli.list_runs import run

    run(folders or [Path("runs")], json)


def report(
    run: RunOf,
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Data with the targets; by default what the run was tested on."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the page to this file, not into the run's folder.")
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    notation: Annotated[
        str, typer.Option(metavar="NAME", help="The notation shown first.", autocompletion=completing(notation_names))
    ] = "row",
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite the file of --out, or the page that the training left.")
    ] = False,
) -> None:
    """Write a page on a finished run: how good it is beside a baseline, in charts, and its derivation with numbers.

    It goes into the run's folder, as report.html. One that train --report has left there holds the curves of the
    training, which cannot be made again; it is kept.
    """
    from chainrule.cli.report import run as write

    write(run, data, out=out, show=open, notation=notation, force=force)
