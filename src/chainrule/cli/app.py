"""The commands and their options, as the terminal shows them; what they do is in the module of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.bench import bench
from chainrule.cli.checkpoint_options import CheckpointEvery, CheckpointFolder, Resume
from chainrule.cli.commands_look import CHECKING, DERIVING, check, derive
from chainrule.cli.commands_use import (
    EVALUATING,
    LISTING,
    PREDICTING,
    REPORTING,
    TELLING,
    evaluate,
    info,
    predict,
    report,
    runs,
)
from chainrule.cli.help import HelpCommand, HelpGroup
from chainrule.cli.names import names
from chainrule.cli.options import (
    DATA,
    L1,
    L2,
    MACHINE,
    SHORT,
    TRAINING,
    WRITING,
    ActivationName,
    AsJson,
    ClipNorm,
    DropoutRate,
    EngineName,
    Hidden,
    LabelSmoothing,
    LossName,
    Momentum,
    Normalisation,
    OptimizerName,
    OutputActivation,
    PrecisionName,
    Progress,
    Quiet,
    Threads,
    WeightDecay,
    completing,
)
from chainrule.errors import SpecError

EXAMPLES = """
chainrule train digits
chainrule train iris.csv -t species -H 64,64 -e 200
chainrule train digits -a 'z*sigmoid(z)' -O adamw -r 0.002
chainrule train house.csv -L quantile:0.9 --report
"""

app = typer.Typer(
    name="chainrule",
    help="Fully connected neural networks whose forward and backward propagation are derived as a program.",
    cls=HelpGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SHORT,
)

_RECIPE = "Tables by the recipe"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"chainrule {version('chainrule')}")
        raise typer.Exit


def _only(given: list[str] | None) -> str | None:
    """The one target of a network by options.  Raises SpecError where it was given more than once."""
    if given and len(given) > 1:
        several = ", ".join(map(repr, given))
        raise SpecError(
            f"--target was given {len(given)} times ({several}): several are for the recipe for tables, which takes no "
            "options that choose the network. Predict one, and leave out the others with --ignore: they would be "
            "features that give the answer away."
        )
    return given[0] if given else None


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Fully connected neural networks whose forward and backward propagation are derived as a program."""


@app.command(cls=HelpCommand, epilog=EXAMPLES)
def train(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A table (.csv, .csv.gz, .tsv, .parquet, .feather, .jsonl; '-' for standard input), 'digits', an .npz "
            "file, or a folder with MNIST's files.",
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="COLUMN",
            help="The column to predict, by default the last; several of numbers are learned together.",
            rich_help_panel=DATA,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="classification or regression; by default as the target is.", rich_help_panel=DATA
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore",
            "-i",
            metavar="COLUMNS",
            help="A column to leave out, or several with commas; may be given again.",
            rich_help_panel=DATA,
        ),
    ] = None,
    header: Annotated[
        bool,
        typer.Option(
            help="Whether a table's first line names the columns; else they are 1, 2, 3.", rich_help_panel=DATA
        ),
    ] = True,
    test: Annotated[
        float, typer.Option(help="The part to test on, where the data bring none.", rich_help_panel=DATA)
    ] = 0.2,
    validation: Annotated[
        float,
        typer.Option(help="The part of the rest to validate on after each epoch; 0: none.", rich_help_panel=DATA),
    ] = 0.1,
    standardize: Annotated[
        bool, typer.Option(help="Bring columns of numbers to mean 0 and deviation 1.", rich_help_panel=DATA)
    ] = True,
    hidden: Hidden = "256",
    activation: ActivationName = "relu",
    output_activation: OutputActivation = None,
    normalisation: Normalisation = "none",
    dropout: DropoutRate = 0.0,
    loss: LossName = None,
    label_smoothing: LabelSmoothing = 0.0,
    precision: PrecisionName = "highest",
    l1: L1 = 0.0,
    l2: L2 = 0.0,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds of training at most.", rich_help_panel=TRAINING)
    ] = None,
    class_weight: Annotated[
        str | None,
        typer.Option(metavar="balanced", help="Rare classes count as much as frequent ones.", rich_help_panel=TRAINING),
    ] = None,
    optimizer: OptimizerName = "adam",
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", "-r", help="By default the optimizer's own.", rich_help_panel=TRAINING),
    ] = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    clip_norm: ClipNorm = None,
    schedule: Annotated[
        str,
        typer.Option(
            metavar="KIND", help="Of the learning rate: constant, cosine or one-cycle.", rich_help_panel=TRAINING
        ),
    ] = "constant",
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            "-e",
            help="Times through the training data; by default 40 for small data to 10 for large, and at least 2,000 "
            "steps.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", help="Samples a step.", rich_help_panel=TRAINING)
    ] = 32,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            "--early-stopping",
            "--patience",
            "-p",
            help="Stop after so many epochs without gain; the best epoch is kept in any case.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", "-s", help="The same seed gives the same result.", rich_help_panel=TRAINING)
    ] = 0,
    dtype: Annotated[
        str, typer.Option(metavar="KIND", help="float32 or float64.", rich_help_panel=MACHINE)
    ] = "float32",
    engine: EngineName = "auto",
    threads: Threads = None,
    progress: Progress = None,
    checkpoint: CheckpointFolder = None,
    checkpoint_every: CheckpointEvery = "1",
    resume: Resume = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The folder for the run; by default runs/NAME, numbered.", rich_help_panel=WRITING
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite the run in the folder of --out.", rich_help_panel=WRITING)
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Also write report.html there: derivation, numbers, curves, pictures.",
            rich_help_panel=WRITING,
        ),
    ] = False,
    quiet: Quiet = False,
    json: AsJson = False,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="fast, default or best.",
            rich_help_panel=_RECIPE,
            autocompletion=completing(lambda: ("fast", "default", "best")),
        ),
    ] = "default",
    id: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="What rows are called: kept beside predictions.", rich_help_panel=_RECIPE),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Rows that belong together are never divided by the test.", rich_help_panel=_RECIPE
        ),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The last rows by it are the test.", rich_help_panel=_RECIPE)
    ] = None,
    cv: Annotated[
        int | None,
        typer.Option(metavar="N", help="Test in N folds, then train on all rows.", rich_help_panel=_RECIPE),
    ] = None,
    quantiles: Annotated[
        str | None,
        typer.Option(
            metavar="LEVELS", help="Predict these levels of a number, 0.1,0.5,0.9 say.", rich_help_panel=_RECIPE
        ),
    ] = None,
) -> None:
    """Train networks and test them.

    A table is trained by the recipe for tables, which chooses everything about the networks. It says what it finds in
    the table, and at the end how good its predictions are for rows that it did not learn from, beside always saying the
    most frequent class or the mean.

    An option that chooses the network or its training (--hidden, --epochs, ...) trains that network instead, as do data
    that are no table. The last line is then "test accuracy 0.9789", the part of the test samples that were classified
    correctly; for a regression "test error 0.1234", the root of the mean squared error, in the target's own units.
    Ctrl-C keeps what has been learned so far, beside a run that --force was to replace; with --checkpoint a training
    that was interrupted, or killed, goes on with --resume.

    Processes that mpiexec or torchrun has started (mpiexec -n 2 chainrule train table.csv) train together: the networks
    of the recipe are divided between them, a network by options learns from batches of which each computes a part.

    The run's folder is what predict, evaluate and info take, and cr.load_run in Python.
    """
    from chainrule.cli import ways
    from chainrule.cli.command_line import command_line

    given = {name for name in context.params if _is_given(context, name)}
    if ways.by_recipe(data, given):
        from chainrule.cli.train_table import TableOptions, levels_of
        from chainrule.cli.train_table import run as run_table

        table = TableOptions(
            data=data,
            targets=tuple(target or ()),
            task=task,
            ignore=tuple(ignore or ()),
            header=header,
            id=id,
            group=group,
            time=time,
            class_weight=class_weight,
            cv=cv,
            quantiles=levels_of(quantiles),
            test=test,
            preset=preset,
            time_limit=time_limit,
            seed=seed,
            engine=engine,
            threads=threads,
        )
        from chainrule.cli.train_large import is_large
        from chainrule.cli.train_large import run as run_large

        raise typer.Exit(
            (run_large if is_large(data) else run_table)(
                table,
                out=out,
                force=force,
                progress=progress,
                report=report,
                quiet=quiet,
                as_json=json,
                command=command_line(context),
            )
        )
    from chainrule.cli.choices import asked
    from chainrule.cli.train import run
    from chainrule.cli.train_options import TrainOptions

    options = TrainOptions(
        data=data,
        target=_only(target),
        task=task,
        ignore=tuple(ignore or ()),
        header=header,
        test=test,
        validation=validation,
        standardize=standardize,
        hidden=hidden,
        activation=activation,
        output_activation=output_activation,
        normalisation=normalisation,
        loss=loss,
        label_smoothing=label_smoothing,
        precision=precision,
        class_weight=class_weight,
        l1=l1,
        l2=l2,
        dropout=dropout,
        optimizer=optimizer,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch_size,
        early_stopping=early_stopping,
        time_limit=time_limit,
        seed=seed,
        dtype=dtype,
        engine=engine,
        threads=threads,
        checkpoints=asked(checkpoint, checkpoint_every, resume),
    )
    way = ways.by_options(data, given)
    raise typer.Exit(
        run(
            options,
            out=out,
            force=force,
            progress=progress,
            report=report,
            way=way,
            quiet=quiet,
            as_json=json,
            command=command_line(context),
        )
    )


app.command(cls=HelpCommand, epilog=PREDICTING)(predict)
app.command(cls=HelpCommand, epilog=EVALUATING)(evaluate)
app.command(cls=HelpCommand, epilog=TELLING)(info)
app.command(cls=HelpCommand, epilog=LISTING)(runs)
app.command(cls=HelpCommand, epilog=REPORTING)(report)
app.command(cls=HelpCommand, epilog=DERIVING)(derive)
app.command(cls=HelpCommand, epilog=CHECKING)(check)
app.add_typer(names)
app.command(cls=HelpCommand, epilog="chainrule bench --quick\nchainrule bench --workloads digits --peers numpy")(bench)
