"""The commands of `chainrule names` and their options; what they do is in cli/names_train.py and cli/names_use.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chainrule.cli.checkpoint_options import CheckpointEvery, CheckpointFolder, Resume
from chainrule.cli.help import HelpCommand, HelpGroup
from chainrule.cli.options import MACHINE, EngineName, Progress, Threads

names = typer.Typer(
    name="names",
    help="Learn to spell from a file with a name (a word, a product, a place) per line, and invent new ones.",
    cls=HelpGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
)

_NETWORK = "Network (by default as the preset has it)"
_TRAINING = "Training (by default as the preset has it)"

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        help="A name per line; without it, given names from many languages that come with chainrule.",
        show_default=False,
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="The folder of a run, or its model.safetensors.")]
Unknown = Annotated[
    str | None,
    typer.Option(metavar="CHARACTER", help="Read characters that the model does not know as this one."),
]
Prefixes = Annotated[
    list[str] | None,
    typer.Option("--prefix", help="A beginning to show the next character of; may be given again."),
]


@names.command(cls=HelpCommand, epilog="chainrule names train names.txt\nchainrule names train --preset quick")
def train(
    file: File = None,
    preset: Annotated[
        str, typer.Option(help="classic, quick or best; the other options change parts of it.")
    ] = "classic",
    context: Annotated[int | None, typer.Option(help="Characters looked back at.", rich_help_panel=_NETWORK)] = None,
    embedding: Annotated[int | None, typer.Option(help="Features of a character.", rich_help_panel=_NETWORK)] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Units of the hidden layers, 512,256 say.", rich_help_panel=_NETWORK)
    ] = None,
    activation: Annotated[str | None, typer.Option(help="Of the hidden layers.", rich_help_panel=_NETWORK)] = None,
    normalisation: Annotated[
        str | None, typer.Option(help="Of the hidden layers: layer, batch or none.", rich_help_panel=_NETWORK)
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="The part of each hidden layer dropped.", rich_help_panel=_NETWORK)
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="sgd, adam, adamw, nadam, rmsprop, adagrad, adafactor, lion or muon.", rich_help_panel=_TRAINING
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The largest.", rich_help_panel=_TRAINING)] = None,
    schedule: Annotated[
        str | None, typer.Option(help="constant, cosine or one-cycle.", rich_help_panel=_TRAINING)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Times through the training names.", rich_help_panel=_TRAINING)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Characters a step.", rich_help_panel=_TRAINING)] = None,
    average: Annotated[
        int | None,
        typer.Option(metavar="N", help="Average the weights of the last N epochs.", rich_help_panel=_TRAINING),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.", rich_help_panel=_TRAINING)] = 0,
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
        Path | None, typer.Option("--out", "-o", help="The folder for the run; by default runs/NAME, numbered.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the run in the folder of --out.")] = False,
) -> None:
    """Train on 80 % of the names, and tell what the next 10 % (dev) cost; the last 10 % are left for `score`.

    The names are shuffled once, always in the same way, before they are divided. The last line is
    "train cost 2.0377, dev cost 2.1065 nats per character", the end of a name being a character too.

    The run's folder gets model.safetensors, history.json, history.csv and settings.json. Ctrl-C keeps what has been
    learned so far.
    """
    from chainrule.cli.choices import asked
    from chainrule.cli.names_train import NamesOptions, run

    options = NamesOptions(
        file=None if file is None else str(file),
        preset=preset,
        context=context,
        embedding=embedding,
        hidden=hidden,
        activation=activation,
        normalisation=normalisation,
        dropout=dropout,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        epochs=epochs,
        batch_size=batch_size,
        average=average,
        seed=seed,
        dtype=dtype,
        engine=engine,
        threads=threads,
        checkpoints=asked(checkpoint, checkpoint_every, resume),
    )
    raise typer.Exit(run(options, out=out, force=force, progress=progress))


@names.command(cls=HelpCommand, epilog="chainrule names sample runs/names -n 5 --prefix Ma")
def sample(
    model: Model,
    number: Annotated[int, typer.Option("--number", "-n", help="How many.")] = 20,
    prefix: Annotated[str, typer.Option(help="What each begins with.")] = "",
    temperature: Annotated[float, typer.Option(help="Below 1 more of the probable, above 1 more of the rare.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Of the k most probable characters only.")] = None,
    longest: Annotated[
        int | None, typer.Option(help="Where a name that does not end is cut off; by default long enough.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same names; by default others every time.")
    ] = None,
    unknown: Unknown = None,
) -> None:
    """Invent names, one a line."""
    from chainrule.cli.names_use import sample as run

    run(model, number, prefix, temperature, top_k, longest, seed, unknown)


@names.command(cls=HelpCommand, epilog="chainrule names score runs/names names.txt --each")
def score(
    model: Model,
    file: File = None,
    part: Annotated[str, typer.Option(help="all, or the part that training would make: train, dev or test.")] = "all",
    each: Annotated[bool, typer.Option("--each", help="First a line of CSV for each name.")] = False,
    unknown: Unknown = None,
) -> None:
    """Tell what names cost, in nats per character: little for names that are spelled as the model expects.

    The last line is "cost 2.1065 nats per character". With --each there is a table before it, of each name's nats, and
    nats per character.
    """
    from chainrule.cli.names_use import score as run

    run(model, file, part, each, unknown)


@names.command(cls=HelpCommand, epilog="chainrule names plot runs/names --prefix Ma")
def plot(
    model: Model,
    prefix: Prefixes = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the pictures; by default the model's.", show_default=False)
    ] = None,
) -> None:
    """Draw the embedding, the learning curve, and the next character after some beginnings, as .png pictures.

    Needs matplotlib: `pip install 'chainrule[plot]'`.
    """
    from chainrule.cli.names_use import plot as run

    run(model, tuple(prefix or ()), out)
