"""What the report tells, as plain data: the derivation in every notation with its numbers, the check, the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from chainrule.checks import Inputs
from chainrule.describe.losses import Targets, losses_of
from chainrule.describe.optimizers import Optimizer
from chainrule.glass.check import CheckReport
from chainrule.network import Network
from chainrule.notation import MATHEMATICAL, EquationView, derivation, notation_names, remarks
from chainrule.program.equation import Program
from chainrule.program.symbol import shape_text
from chainrule.program.text import number
from chainrule.report.about import About
from chainrule.report.folding import folds
from chainrule.report.heat import BYTES, CELLS, Heats
from chainrule.report.network_pictures import diagram_columns
from chainrule.report.opened import Opened
from chainrule.report.playing import Player
from chainrule.report.scales import short
from chainrule.report.unfolded import unfolded
from chainrule.report.whole import Whole
from chainrule.report.words import Explained, prose
from chainrule.train.history import History
from chainrule.train.monitor import Monitor
from chainrule.version import VERSION

Array = NDArray[Any]
STEP = 32
"""Samples of the step whose numbers are shown."""


def derivations(
    net: Network, X: Inputs, y: Any, kinds: Targets, optimizer: Optimizer | None, monitor: Monitor | None = None
) -> dict[str, Any]:
    """{"notations": [...], "arrays": [...], "unfolded": ..., "live": ..., "programs": ...}: every line in every
    notation, the steps of the gradients, and the program that computes the arrays that the lines refer to (playing.py);
    where a page cannot run it, the arrays.

    The numbers are of one training step on these samples; a notation that writes 1/m at the weights has other ones.
    """
    program = net.derive(optimizer=optimizer, targets=kinds)
    traces = {n: net.trace(X, y, training=True, optimizer=optimizer, notation=n) for n in notation_names()}
    player = Player.of(net, traces, monitor)
    heats = Heats(min(CELLS, BYTES // max(1, 2 * len(program.equations)))) if player is None else None
    notations = []
    for name, trace in traces.items():
        table = MATHEMATICAL.get(name)
        arranged = derivation(program, name)
        opened, explained = Opened(name, arranged.program, trace, heats), Explained(name, arranged.program)
        lines = [opened.line(view) | {"reason": explained.line(view)} for view in arranged.views]
        title, says = (table.title, table.says) if table else ("NumPy", "Executable source; samples are rows.")
        if more := remarks(program, arranged):
            says = f"{says} Here {'; '.join(more)}."
        notations.append(
            {"name": name, "title": title, "says": prose(f"{title}. {says}"), "code": table is None, "lines": lines,
             "symbols": opened.symbols, "folds": _folds(arranged.views, arranged.program, opened),
             "program": None if player is None else player.place[name]}
        )  # fmt: skip
    told: dict[str, Any] = {"notations": notations, "arrays": [] if heats is None else heats.arrays}
    return told | {
        "unfolded": unfolded(program),
        "live": None if player is None else player.told(),
        "programs": "" if player is None else player.code,
    }


def _folds(views: Sequence[EquationView], program: Program, opened: Opened) -> list[dict[str, Any]]:
    """Runs of lines that repeat others: the first, the one after the last, and whose they are."""
    folded = []
    for fold in folds(views, program):
        update = views[fold.lines[0]].section == "update"
        of = [opened.written(symbol.name) if update else f"layer {symbol.layer}" for symbol in fold.of]
        folded.append({"from": fold.lines.start, "to": fold.lines.stop, "of": of})
    return folded


def check_rows(report: CheckReport) -> dict[str, Any]:
    """The outcome of the check: whether all is well, a row for each gradient, the equations at fault."""
    rows = [
        {
            "name": g.name,
            "of": g.of,
            "shape": shape_text(g.shape),
            "kind": g.compared,
            "error": f"{g.error:.1e}",
            "ok": g.ok,
        }
        for g in report.gradients
    ]
    return {"ok": bool(report), "rows": rows, "faults": [str(f) for f in report.faults]}


def facts(net: Network, cost: float, history: History | None, about: About) -> list[str]:
    """What the page is of, in a few words each."""
    said = [about.on(), f"chainrule {VERSION}"]
    said.append(f"{sum(v.size for v in net.parameters.values()):,} parameters")
    if history is not None and len(history):
        epochs = f"{len(history)} epoch{'' if len(history) == 1 else 's'}"
        last = about.kept == len(history)
        which = "the last" if last else f"epoch {about.kept}"
        said.append(epochs if about.kept is None else f"{epochs}, {which} is kept")
    said.append(f"cost J {short(cost)}")
    return [fact for fact in said if fact]


def facts_of_whole(whole: Whole, about: About) -> list[str]:
    """The same of an estimator."""
    members = len(whole.histories)
    said = [
        about.on(),
        f"chainrule {VERSION}",
        "1 network" if members == 1 else f"{members} networks that predict together",
    ]
    return [fact for fact in (*said, f"{whole.parameters:,} parameters in all") if fact]


def settings(net: Network, optimizer: Optimizer | None, more: Mapping[str, object]) -> list[tuple[str, str]]:
    """(name, value) of everything that was chosen."""
    spec = net.spec
    facts: list[tuple[str, object]] = [
        (f"inputs {i.name}".rstrip(), f"{i.width}{' tokens' if i.tokens else ''}") for i in spec.sources
    ]
    for column in diagram_columns(net)[1:]:
        inside = f" ({', '.join(' '.join(p.split()) for p in column.parameters)})" if column.parameters else ""
        facts.append((f"layer {column.title}", f"{column.width} wide, {column.words}{inside}"))
    for name, loss, factor in losses_of(spec.loss):
        facts.append((f"loss {name}".rstrip(), loss.name if factor == 1 else f"{number(factor)} {loss.name}"))
    facts += [("reduction", spec.reduction), ("L1", spec.l1), ("L2", spec.l2)]
    if optimizer is not None:
        kept = [f"{k} {_words(v)}" for k, v in optimizer.to_dict().items() if k != "type" and v is not None]
        facts.append(("optimizer", f"{type(optimizer).__name__}: {', '.join(kept)}"))
    facts += [("type of numbers", net.dtype.name), ("seed", net.seed), *more.items()]
    return [(name, str(value)) for name, value in facts if value not in (0.0, None) or name == "seed"]


def _words(value: object) -> str:
    """A setting as people write it: a schedule by its kind, factors by parameter."""
    if isinstance(value, Mapping):
        parts = ", ".join(f"{k} {_words(v)}" for k, v in value.items() if k != "kind")
        return f"{value['kind']} ({parts})" if "kind" in value else f"({parts})"
    return number(value) if isinstance(value, float) else str(value)
