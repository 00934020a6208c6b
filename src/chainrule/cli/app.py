"""The commands and their options, as the terminal shows them; what they do is in the module of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.bench import bench
from chainrule.cli.checkpoint_options import CheckpointEvery, CheckpointFolder, Resume
from chainrule.cli.names import names
from chainrule.engines.table import listed
from chainrule.errors import SpecError

app = typer.Typer(
    name="chainrule",
    help="Fully connected neural networks whose forward and backward propagation are derived as a program.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

_NETWORK = "Network"
_TRAINING = "Training"
_RECIPE = "Tables by the recipe"
_DATA = "Data"
_WRITING = "Writing"
_MACHINE = "Machine"


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


Hidden = Annotated[
    str,
    typer.Option(help="Units of the hidden layers, 256,128 say; 'none' for none.", rich_help_panel=_NETWORK),
]
ActivationName = Annotated[
    str,
    typer.Option(help="Of the hidden layers: one name, or one for each, relu,tanh say.", rich_help_panel=_NETWORK),
]
LossName = Annotated[
    str | None,
    typer.Option(help="By default cross_entropy for classes and squared_error for numbers.", rich_help_panel=_NETWORK),
]
OptimizerName = Annotated[
    str,
    typer.Option(help="sgd, adam, adamw, nadam, rmsprop, adagrad, adafactor, lion or muon.", rich_help_panel=_TRAINING),
]
L2 = Annotated[
    float, typer.Option("--l2", help="λ of the penalty λ/(2m) Σ W² on the weights.", rich_help_panel=_NETWORK)
]
DropoutRate = Annotated[
    float, typer.Option(help="The part of each hidden layer that is dropped in training.", rich_help_panel=_NETWORK)
]


@app.command()
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
            help="The column to predict, by default the last; several of numbers are learned together.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classification or regression; by default as the target is.", rich_help_panel=_DATA),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="A column to leave out, or several with commas; may be given again.", rich_help_panel=_DATA),
    ] = None,
    header: Annotated[
        bool,
        typer.Option(
            help="Whether a table's first line names the columns; else they are 1, 2, ....", rich_help_panel=_DATA
        ),
    ] = True,
    test: Annotated[
        float, typer.Option(help="The part to test on, where the data bring none.", rich_help_panel=_DATA)
    ] = 0.2,
    validation: Annotated[
        float,
        typer.Option(help="The part of the rest to validate on after each epoch; 0: none.", rich_help_panel=_DATA),
    ] = 0.1,
    standardize: Annotated[
        bool, typer.Option(help="Bring columns of numbers to mean 0 and deviation 1.", rich_help_panel=_DATA)
    ] = True,
    hidden: Hidden = "256",
    activation: ActivationName = "relu",
    loss: LossName = None,
    l2: L2 = 0.0,
    dropout: DropoutRate = 0.0,
    optimizer: OptimizerName = "adam",
    learning_rate: Annotated[
        float | None, typer.Option(help="By default the optimizer's own.", rich_help_panel=_TRAINING)
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="Of the learning rate: constant, cosine or one-cycle.", rich_help_panel=_TRAINING)
    ] = "constant",
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Times through the training data; by default 40 for small data to 10 for large.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples a step.", rich_help_panel=_TRAINING)] = 32,
    early_stopping: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Stop after N epochs without gain, and keep the best.", rich_help_panel=_TRAINING
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.", rich_help_panel=_TRAINING)] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or float64.", rich_help_panel=_MACHINE)] = "float32",
    engine: Annotated[str, typer.Option(help=f"{listed()}.", rich_help_panel=_MACHINE)] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="By default as many as are useful.", rich_help_panel=_MACHINE)
    ] = None,
    progress: Annotated[
        bool | None, typer.Option(help="By default on a terminal only.", rich_help_panel=_MACHINE)
    ] = None,
    checkpoint: CheckpointFolder = None,
    checkpoint_every: CheckpointEvery = "1",
    resume: Resume = False,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the run; by default runs/NAME, numbered.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the run in the folder of --out.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Also write report.html there: derivation, numbers, curves, pictures.")
    ] = False,
    preset: Annotated[str, typer.Option(help="fast, default or best.", rich_help_panel=_RECIPE)] = "default",
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds of training.", rich_help_panel=_RECIPE, show_default=False)
    ] = None,
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
    class_weight: Annotated[
        str | None, typer.Option(help="balanced: rare classes count as much.", rich_help_panel=_RECIPE)
    ] = None,
) -> None:
    """Train networks and test them.

    A table is trained by the recipe for tables, which chooses everything about the networks: it is told what was found,
    and at the end how good predictions of rows are that were not learned from, beside always the most frequent class,
    or always the mean.

    An option that chooses the network or its training (--hidden, --epochs, ...) trains that network instead, as do data
    that are no table. The last line is then "test accuracy 0.9789", the part of the test samples that were classified
    rightly; for a regression "test error 0.1234", the root of the mean squared error, in the target's own units.
    Ctrl-C keeps what has been learned so far; with --checkpoint a training that was interrupted, or killed, goes on
    with --resume.

    The run's folder is what predict, evaluate and info take, and cr.load_run in Python.
    """
    from chainrule.cli import ways

    given = {name for name in context.params if _is_given(context, name)}
    if ways.by_recipe(data, given):
        from chainrule.cli.train_table import TableOptions
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
            test=test,
            preset=preset,
            time_limit=time_limit,
            seed=seed,
            engine=engine,
            threads=threads,
        )
        raise typer.Exit(run_table(table, out=out, force=force, progress=progress, report=report))
    from chainrule.cli.choices import asked
    from chainrule.cli.train import TrainOptions, run

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
        loss=loss,
        l2=l2,
        dropout=dropout,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch_size,
        early_stopping=early_stopping,
        seed=seed,
        dtype=dtype,
        engine=engine,
        threads=threads,
        checkpoints=asked(checkpoint, checkpoint_every, resume),
    )
    way = ways.by_options(data, given)
    raise typer.Exit(run(options, out=out, force=force, progress=progress, report=report, way=way))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The folder of a run, or its model.safetensors.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data of the same kind as the model was trained on.")],
    out: Annotated[
        Path | None, typer.Option(help="Write the predictions to this .csv file.", show_default=False)
    ] = None,
    probabilities: Annotated[bool, typer.Option(help="With a column for each class.")] = True,
    engine: Annotated[str, typer.Option(help=f"{listed()}.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Predict with a trained network: a line of CSV for each sample, in UTF-8, numbers with all their digits.

    Where the data hold the targets too, the accuracy or the error is told on standard error, and so is what differs
    from the training data: categories that were not there, missing values, other columns.
    """
    from chainrule.cli.predict import run

    run(model, data, out=out, probabilities=probabilities, engine=engine, force=force)


RunOf = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def evaluate(
    run: RunOf,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data with the targets, as in training.")],
    engine: Annotated[str, typer.Option(help=f"{listed()}.")] = "auto",
    json: AsJson = False,
) -> None:
    """Say how good a trained network is on data with targets, beside a prediction that looks at nothing.

    Classes: accuracy, balanced accuracy, log-loss and AUC, beside always the most frequent class. Numbers: RMSE, MAE
    and R², beside always the mean. ± is the deviation of the first by chance, of as many samples.
    """
    from chainrule.cli.use import evaluate

    evaluate(run, data, engine, json)


@app.command()
def info(run: RunOf, json: AsJson = False) -> None:
    """Say what a run is: data, columns, network, epochs, result, and the versions that made it."""
    from chainrule.cli.use import info

    info(run, json)


Inputs = Annotated[
    int | None,
    typer.Option(help="Features of a sample.", show_default="784, or as the data have", rich_help_panel=_NETWORK),
]
Outputs = Annotated[
    int | None,
    typer.Option(help="Units of the last layer.", show_default="10, or as the data have", rich_help_panel=_NETWORK),
]
OutputActivation = Annotated[
    str | None, typer.Option(help="By default the one that the loss is meant for.", rich_help_panel=_NETWORK)
]
L1 = Annotated[float, typer.Option("--l1", help="λ of the penalty λ/m Σ |W|.", rich_help_panel=_NETWORK)]
ReductionName = Annotated[str, typer.Option(help="mean or sum over the samples.", rich_help_panel=_NETWORK)]
Long = Annotated[bool, typer.Option("--long", help="The long way round, without the short forms of known pairs.")]


@app.command()
def derive(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A saved network, or a .toml or .json file that describes one; else the options do.",
            show_default=False,
        ),
    ] = None,
    inputs: Inputs = None,
    hidden: Hidden = "256",
    outputs: Outputs = None,
    activation: ActivationName = "sigmoid",
    output_activation: OutputActivation = None,
    loss: LossName = None,
    l1: L1 = 0.0,
    l2: L2 = 0.0,
    dropout: DropoutRate = 0.0,
    reduction: ReductionName = "mean",
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="With its updates: sgd, adam, adamw, ... as in train; 'none'.", show_default="sgd, or the file's"
        ),
    ] = None,
    weighted: Annotated[bool, typer.Option("--weighted", help="With sample weights.")] = False,
    long: Long = False,
    notation: Annotated[
        str | None, typer.Option(help="row, column, index, layer, batch or numpy.", rich_help_panel=_WRITING)
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="unicode, latex, markdown or mathml.", rich_help_panel=_WRITING)
    ] = None,
    why: Annotated[
        bool,
        typer.Option("--why", help="The rule behind each line, and what it goes through.", rich_help_panel=_WRITING),
    ] = False,
    mean_at: Annotated[
        str | None, typer.Option(help="Where 1/m stands: weights or cost.", rich_help_panel=_WRITING)
    ] = None,
    with_numbers: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Each line with its values on these data.", rich_help_panel=_WRITING),
    ] = None,
    samples: Annotated[int, typer.Option(help="How many of the data.", rich_help_panel=_WRITING)] = 8,
    plan: Annotated[
        bool, typer.Option("--plan", help="The stages that the compiled engine makes of it.", rich_help_panel=_WRITING)
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="The equations as data, for Program.from_json.", rich_help_panel=_WRITING)
    ] = False,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="GRADIENT", help="How this gradient comes about, dW1 say, step by step.", rich_help_panel=_WRITING
        ),
    ] = None,
    exercise: Annotated[
        str | None,
        typer.Option(
            metavar="GRADIENT", help="The same with lines left out, to be answered.", rich_help_panel=_WRITING
        ),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP=FORMULA",
            help="An answer to --exercise, checked by numbers; may be repeated.",
            rich_help_panel=_WRITING,
        ),
    ] = None,
    describe: Annotated[
        bool,
        typer.Option(
            "--describe", help="The network's description instead, to begin a file from.", rich_help_panel=_WRITING
        ),
    ] = False,
) -> None:
    """Print the program of a network: its forward propagation, cost, backward propagation and updates."""
    from chainrule.cli.derive import DeriveOptions, run
    from chainrule.cli.network_options import SpecOptions

    spec = SpecOptions(inputs, hidden, outputs, activation, output_activation, loss, l1, l2, dropout, reduction)
    run(
        DeriveOptions(
            spec,
            optimizer=optimizer,
            weighted=weighted,
            long=long,
            model=model,
            notation=notation,
            format=format,
            why=why,
            mean_at=mean_at,
            with_numbers=with_numbers,
            samples=samples,
            plan=plan,
            json=json,
            steps=steps,
            exercise=exercise,
            answers=tuple(answer or ()),
            describe=describe,
        )
    )


@app.command()
def check(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [DATA]",
            help="A network, saved or described (.toml, .json), else by the options; data, else they are random.",
            show_default=False,
        ),
    ] = None,
    inputs: Inputs = None,
    hidden: Hidden = "256",
    outputs: Outputs = None,
    activation: ActivationName = "sigmoid",
    output_activation: OutputActivation = None,
    loss: LossName = None,
    l1: L1 = 0.0,
    l2: L2 = 0.0,
    dropout: DropoutRate = 0.0,
    reduction: ReductionName = "mean",
    long: Long = False,
    samples: Annotated[int, typer.Option(help="How many of the data.")] = 8,
) -> None:
    """Compare every gradient of a network with finite differences.

    Arrays of up to 600 elements element by element, larger ones along random directions.

    Exit code 1 where one is wrong.
    """
    from chainrule.cli.check import run
    from chainrule.cli.network_options import SpecOptions, sort_words

    spec = SpecOptions(inputs, hidden, outputs, activation, output_activation, loss, l1, l2, dropout, reduction)
    raise typer.Exit(run(spec, *sort_words(words or []), samples, long))


app.add_typer(names)
app.command()(bench)
