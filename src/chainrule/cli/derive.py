"""`chainrule derive`: the program of a network that the options describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainrule.cli.choices import hidden_layers, make_optimizer, output_activation
from chainrule.rules.derive import derive
from chainrule.rules.losses import Loss
from chainrule.spec import Dense, NetworkSpec


@dataclass(frozen=True)
class DeriveOptions:
    """The options of the command; see its help."""

    inputs: int
    hidden: str
    outputs: int
    activation: str
    output_activation: str | None
    loss: str
    l1: float
    l2: float
    dropout: float
    reduction: str
    optimizer: str | None
    weighted: bool
    long: bool


def run(options: DeriveOptions) -> None:
    """Derive the program and print it.  Raises SpecError where the network cannot be."""
    last = options.output_activation or output_activation(options.loss)
    reduction: Any = options.reduction
    spec = NetworkSpec(
        options.inputs,
        [
            *hidden_layers(options.hidden, options.activation, options.dropout),
            Dense(options.outputs, last),
        ],
        options.loss,
        l1=options.l1,
        l2=options.l2,
        reduction=reduction,
    )
    optimizer = None if options.optimizer in (None, "none") else make_optimizer(options.optimizer, None)
    labels = isinstance(spec.loss, Loss) and spec.loss.classes
    program = derive(
        spec,
        optimizer=optimizer,
        targets="labels" if labels else "values",
        weighted=options.weighted,
        canonical=not options.long,
    )
    print(program)
