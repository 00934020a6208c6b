"""The commands that look at a network: derive and check; what they do is in the module of each."""

from __future__ import annotations

from typing import Annotated

import typer

from chainrule.cli.options import (
    L1,
    L2,
    TRAINING,
    WRITING,
    ActivationName,
    ClipNorm,
    DropoutRate,
    Hidden,
    Inputs,
    LabelSmoothing,
    Long,
    LossName,
    Momentum,
    Normalisation,
    OutputActivation,
    Outputs,
    PrecisionName,
    ReductionName,
    WeightDecay,
    completing,
    notation_names,
    optimizer_names,
)

DERIVING = """
chainrule derive --inputs 3 --hidden 4 --outputs 2
chainrule derive -a 'z*sigmoid(z)' -n column --why
chainrule derive runs/iris --with-numbers iris.csv
chainrule derive --steps dW1 -n layer
"""
CHECKING = """
chainrule check
chainrule check -a 'z*sigmoid(z)' -L huber:2
chainrule check runs/iris iris.csv
"""


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
    activation: ActivationName = "relu",
    output_activation: OutputActivation = None,
    normalisation: Normalisation = "none",
    dropout: DropoutRate = 0.0,
    loss: LossName = None,
    label_smoothing: LabelSmoothing = 0.0,
    precision: PrecisionName = "highest",
    l1: L1 = 0.0,
    l2: L2 = 0.0,
    reduction: ReductionName = "mean",
    optimizer: Annotated[
        str | None,
        typer.Option(
            "--optimizer",
            "-O",
            metavar="NAME",
            help="With its updates: sgd, adam, adamw, ... as in train; 'none'.",
            show_default="sgd, or the file's",
            rich_help_panel=TRAINING,
            autocompletion=completing(optimizer_names),
        ),
    ] = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    clip_norm: ClipNorm = None,
    weighted: Annotated[bool, typer.Option("--weighted", help="With sample weights.")] = False,
    long: Long = False,
    notation: Annotated[
        str | None,
        typer.Option(
            "--notation",
            "-n",
            metavar="NAME",
            help="row, column, index, layer, batch, numpy or javascript; by default the program's own plain text.",
            rich_help_panel=WRITING,
            autocompletion=completing(lambda: (*notation_names(), "javascript")),
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-F",
            metavar="NAME",
            help="unicode, latex, markdown or mathml.",
            rich_help_panel=WRITING,
            autocompletion=completing(lambda: ("unicode", "latex", "markdown", "mathml")),
        ),
    ] = None,
    why: Annotated[
        bool,
        typer.Option(
            "--why", "-w", help="The rule behind each line, and what it goes through.", rich_help_panel=WRITING
        ),
    ] = False,
    mean_at: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Where 1/m stands: weights or cost.",
            rich_help_panel=WRITING,
            autocompletion=completing(lambda: ("weights", "cost")),
        ),
    ] = None,
    with_numbers: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Each line with its values on these data.", rich_help_panel=WRITING),
    ] = None,
    samples: Annotated[int, typer.Option(help="How many of the data.", rich_help_panel=WRITING)] = 8,
    plan: Annotated[
        bool, typer.Option("--plan", help="The stages that the compiled engine makes of it.", rich_help_panel=WRITING)
    ] = False,
    json: Annotated[
        bool,
        typer.Option("--json", "-j", help="The equations as data, for Program.from_json.", rich_help_panel=WRITING),
    ] = False,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="GRADIENT", help="How this gradient comes about, dW1 say, step by step.", rich_help_panel=WRITING
        ),
    ] = None,
    exercise: Annotated[
        str | None,
        typer.Option(metavar="GRADIENT", help="The same with lines left out, to be answered.", rich_help_panel=WRITING),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEP=FORMULA",
            help="An answer to --exercise, checked by numbers; may be repeated.",
            rich_help_panel=WRITING,
        ),
    ] = None,
    describe: Annotated[
        bool,
        typer.Option(
            "--describe", help="The network's description instead, to begin a file from.", rich_help_panel=WRITING
        ),
    ] = False,
) -> None:
    """Print the program of a network: its forward propagation, cost, backward propagation and updates."""
    from chainrule.cli.derive import DeriveOptions, run
    from chainrule.cli.network_options import SpecOptions

    spec = SpecOptions(
        inputs=inputs,
        hidden=hidden,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        normalisation=normalisation,
        dropout=dropout,
        loss=loss,
        label_smoothing=label_smoothing,
        precision=precision,
        l1=l1,
        l2=l2,
        reduction=reduction,
    )
    run(
        DeriveOptions(
            spec,
            optimizer=optimizer,
            settings={"momentum": momentum, "weight_decay": weight_decay, "clip_norm": clip_norm},
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
    activation: ActivationName = "relu",
    output_activation: OutputActivation = None,
    normalisation: Normalisation = "none",
    dropout: DropoutRate = 0.0,
    loss: LossName = None,
    label_smoothing: LabelSmoothing = 0.0,
    precision: PrecisionName = "highest",
    l1: L1 = 0.0,
    l2: L2 = 0.0,
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

    spec = SpecOptions(
        inputs=inputs,
        hidden=hidden,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        normalisation=normalisation,
        dropout=dropout,
        loss=loss,
        label_smoothing=label_smoothing,
        precision=precision,
        l1=l1,
        l2=l2,
        reduction=reduction,
    )
    raise typer.Exit(run(spec, *sort_words(words or []), samples, long))
