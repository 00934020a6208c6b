"""`chainrule derive`: the program of a network, in any notation, with its reasons and its numbers if wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chainrule.cli.choices import make_optimizer
from chainrule.cli.network_options import SpecOptions, make_network, with_data
from chainrule.describe.losses import Loss
from chainrule.describe.optimizers import Optimizer
from chainrule.errors import SpecError
from chainrule.notation import check_format, check_notation, derivation, remarks, show
from chainrule.notation.views import Mean
from chainrule.rules.derive import derive


@dataclass(frozen=True)
class DeriveOptions:
    """The options of the command; see its help."""

    spec: SpecOptions
    optimizer: str | None
    weighted: bool
    long: bool
    model: str | None = None
    notation: str | None = None
    format: str | None = None
    why: bool = False
    mean_at: str | None = None
    with_numbers: str | None = None
    samples: int = 8


def run(options: DeriveOptions) -> None:
    """Derive the program and print it.  Raises SpecError where the network, a notation or a format cannot be."""
    notation, form = options.notation or "row", options.format or "unicode"
    check_notation(notation)
    check_format(form)
    mean: Any = options.mean_at
    optimizer = None if options.optimizer in (None, "none") else make_optimizer(options.optimizer, None)
    if options.with_numbers is not None:
        _numbers(options, notation, form, mean, optimizer)
        return
    spec = options.spec.spec() if options.model is None else make_network(options.spec, options.model).spec
    labels = isinstance(spec.loss, Loss) and spec.loss.classes
    program = derive(
        spec,
        optimizer=optimizer,
        targets="labels" if labels else "values",
        weighted=options.weighted,
        canonical=not options.long,
    )
    if options.notation is None and options.format is None and not options.why and mean is None:
        print(program)
    else:
        print(show(program, notation, form, why=options.why, mean_at=mean))


def _numbers(options: DeriveOptions, notation: str, form: str, mean: Mean | None, optimizer: Optimizer | None) -> None:
    """Each line with its value on the first samples of the data."""
    if form != "unicode":
        raise SpecError(f"--with-numbers goes with the format unicode. Got {form!r}; leave --format out.")
    if options.weighted or options.long:
        raise SpecError("--with-numbers goes with neither --weighted nor --long.")
    network, X, y = with_data(options.spec, options.model, options.with_numbers, options.samples)
    trace = network.trace(X, y, training=True, optimizer=optimizer, notation=notation, mean_at=mean)
    labels = isinstance(network.spec.loss, Loss) and network.spec.loss.classes
    program = network.derive(optimizer=optimizer, targets="labels" if labels else "values")
    made = derivation(program, notation, mean_at=mean)
    print("\n".join([f"m = {len(X)}", *remarks(program, made)]))
    section = ""
    for view in made.views:
        if view.section != section:
            section = view.section
            print(section)
        print(f"    {view.unicode}   {view.shape}".rstrip())
        if options.why and view.why:
            print(f"        {view.why}")
        numbers = trace.numbers(view)
        if numbers:
            print(f"        {numbers}")
