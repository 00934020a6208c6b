"""Options that several commands share, as the terminal shows them: of the network, of what is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.engines.table import engine_names, listed

NETWORK = "Network"
TRAINING = "Training"
DATA = "Data"
WRITING = "Writing"
MACHINE = "Machine"
SHORT = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""


def completing(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell may complete a word to; names: those there are, asked for only then."""

    def complete(incomplete: str) -> list[str]:
        before, comma, word = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(word)]

    return complete


def activation_names() -> Iterable[str]:
    """Of the activations."""
    from chainrule.describe.activations import ACTIVATIONS

    return ACTIVATIONS


def loss_names() -> Iterable[str]:
    """Of the losses."""
    from chainrule.describe.losses import LOSSES

    return LOSSES


def optimizer_names() -> Iterable[str]:
    """Of the optimizers."""
    from chainrule.describe.optimizers import OPTIMIZERS

    return OPTIMIZERS


def notation_names() -> Iterable[str]:
    """Of the notations."""
    from chainrule.notation import notation_names as names

    return names()


def _choice(*names: str, **options: Any) -> Any:
    """An option of one of these words."""
    return {"autocompletion": completing(lambda: names), **options}


Hidden = Annotated[
    str,
    typer.Option(
        "--hidden",
        "-H",
        metavar="SIZES",
        help="Units of the hidden layers, 256,128 say; 'none' for none.",
        rich_help_panel=NETWORK,
    ),
]
ActivationName = Annotated[
    str,
    typer.Option(
        "--activation",
        "-a",
        metavar="NAME",
        help="Of the hidden layers: a name, a formula in z as 'z*sigmoid(z)', or one for each layer, relu,tanh say.",
        rich_help_panel=NETWORK,
        autocompletion=completing(activation_names),
    ),
]
OutputActivation = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Of the last layer; by default the one that the loss is meant for.",
        rich_help_panel=NETWORK,
        autocompletion=completing(activation_names),
    ),
]
LossName = Annotated[
    str | None,
    typer.Option(
        "--loss",
        "-L",
        metavar="NAME",
        help="A name, quantile:0.9, huber:2, or a formula in yhat and y, 'abs(yhat-y)**1.5' say; by default "
        "cross_entropy for classes and squared_error for numbers.",
        rich_help_panel=NETWORK,
        autocompletion=completing(loss_names),
    ),
]
PrecisionName = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Of products: highest (float32), high or medium (of bfloat16 parts).",
        rich_help_panel=NETWORK,
        **_choice("highest", "high", "medium"),
    ),
]
LabelSmoothing = Annotated[
    float,
    typer.Option(help="The share of a label that is spread evenly, with cross_entropy.", rich_help_panel=NETWORK),
]
Normalisation = Annotated[
    str,
    typer.Option(
        "--normalisation",
        "--normalization",
        help="Of the hidden layers: layer, batch or none.",
        rich_help_panel=NETWORK,
        **_choice("layer", "batch", "none", metavar="KIND"),
    ),
]
L1 = Annotated[float, typer.Option("--l1", help="λ of the penalty λ/m Σ |W|.", rich_help_panel=NETWORK)]
L2 = Annotated[
    float, typer.Option("--l2", help="λ of the penalty λ/(2m) Σ W² on the weights.", rich_help_panel=NETWORK)
]
DropoutRate = Annotated[
    float, typer.Option(help="The part of each hidden layer that is dropped in training.", rich_help_panel=NETWORK)
]
ReductionName = Annotated[
    str,
    typer.Option(
        help="mean or sum over the samples.", rich_help_panel=NETWORK, **_choice("mean", "sum", metavar="KIND")
    ),
]
Inputs = Annotated[
    int | None,
    typer.Option(help="Features of a sample.", show_default="784, or as the data have", rich_help_panel=NETWORK),
]
Outputs = Annotated[
    int | None,
    typer.Option(help="Units of the last layer.", show_default="10, or as the data have", rich_help_panel=NETWORK),
]
OptimizerName = Annotated[
    str,
    typer.Option(
        "--optimizer",
        "-O",
        metavar="NAME",
        help="sgd, adam, adamw, nadam, rmsprop, adagrad, adafactor, lion or muon.",
        rich_help_panel=TRAINING,
        autocompletion=completing(optimizer_names),
    ),
]
Momentum = Annotated[float | None, typer.Option(help="Of sgd, rmsprop and muon.", rich_help_panel=TRAINING)]
WeightDecay = Annotated[
    float | None, typer.Option(help="Of adamw, lion, adafactor and muon.", rich_help_panel=TRAINING)
]
ClipNorm = Annotated[float | None, typer.Option(help="Scale gradients down to this norm.", rich_help_panel=TRAINING)]
EngineName = Annotated[
    str, typer.Option(help=f"{listed()}.", rich_help_panel=MACHINE, **_choice(*engine_names(), metavar="NAME"))
]
Long = Annotated[bool, typer.Option("--long", help="The long way round, without the short forms of known pairs.")]
RunOf = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
AsJson = Annotated[bool, typer.Option("--json", "-j", help="As JSON.", rich_help_panel=WRITING)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the last line; no progress.", rich_help_panel=WRITING)]
Progress = Annotated[
    bool | None, typer.Option(help="Show how it goes; by default on a terminal only.", rich_help_panel=MACHINE)
]
Threads = Annotated[int | None, typer.Option(help="By default as many as are useful.", rich_help_panel=MACHINE)]
