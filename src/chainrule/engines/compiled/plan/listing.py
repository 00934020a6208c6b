"""A plan as text: a line for each step of a batch, and in front what is done outside of it.

       stage              equations                 reads           keeps
    3  Product backward   dD1 = dZ2 W2ᵀ; dA1, dZ1   dZ2, W2, A1     dZ1 [64:128]

The number and the kind of the stage; its equations in order: a product whole and then the names of what follows in its
tile (after | what rides along as the bias), or the loops over the features one after the other; what it reads; what it
keeps in memory, where a value of the samples says which of the workspace's features are its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chainrule.engines.compiled.kernels.inner import kernel_for
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan.kinds import rows_of
from chainrule.engines.compiled.plan.memory import Memory
from chainrule.engines.compiled.plan.stages import (
    Flat,
    Fusion,
    Load,
    Nonzero,
    Pack,
    Packing,
    PerSample,
    Product,
    Scalars,
    Stage,
    loops_of,
)
from chainrule.engines.compiled.plan.steps import AddUp, Ask, Chunks, HandOut, KeepCost, Look, Meet, Run, Step
from chainrule.program.equation import Equation
from chainrule.program.text import right_side


@dataclass(frozen=True)
class _Row:
    """A line, in its columns."""

    number: int
    kind: str
    equations: str = ""
    reads: str = ""
    keeps: str = ""


def listing(fusion: Fusion, memory: Memory, steps: Iterable[Step]) -> str:
    """The text, without a newline at its end."""
    return "\n".join([_head(fusion, memory), *(line for _, line in lines_of(fusion, memory, steps))])


def lines_of(fusion: Fusion, memory: Memory, steps: Iterable[Step]) -> list[tuple[int, str]]:
    """A line for each step, with the number of its stage (0 where it has none); the first says what stands below it."""
    rows = [_Row(0, "stage", "equations", "reads", "keeps"), *_rows(fusion, memory, steps, "")]
    columns = [(row.kind, row.equations, row.reads) for row in rows]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)]
    lines = []
    for row, column in zip(rows, columns, strict=True):
        padded = "  ".join(text.ljust(width) for text, width in zip(column, widths, strict=True))
        lines.append((row.number, f"{row.number or '':>3}  {padded}  {row.keeps}".rstrip()))
    return lines


def _head(fusion: Fusion, memory: Memory) -> str:
    recipe = fusion.recipe
    what = "training" if recipe.training else f"a call for {', '.join(recipe.wanted)}"
    how = f"in chunks of {recipe.chunk}" if fusion.chunked else "whole"
    nonzero = ", without the data's zeros" if recipe.nonzero else ""
    text = [
        f"{what}, batches {how}{nonzero}, {memory.layout.dtype}",
        f"workspace: {memory.batch_units} features a sample",
    ]
    if fusion.rates:
        text.append(f"computed outside, once a step: {_names(fusion.rates)}")
    if fusion.prepared:
        text.append(f"packed before the first batch, then by their updates: {', '.join(map(_packed, fusion.prepared))}")
    if fusion.labels:
        text.append(
            "compared, not stored: "
            + ", ".join(f"{hot} with the labels {label}" for hot, label in fusion.labels.items())
        )
    return "\n".join(text)


def _rows(fusion: Fusion, memory: Memory, steps: Iterable[Step], indent: str) -> Iterator[_Row]:
    """The lines of the steps, those within chunks further to the right."""
    for step in steps:
        match step:
            case Run():
                stage = step.stage
                reads, keeps = _reads(stage, fusion), _keeps(stage, memory)
                kind = _kind(stage, memory.layout)
                yield _Row(step.number, indent + kind, _equations(stage), ", ".join(reads), ", ".join(keeps))
            case Meet():
                yield _Row(0, indent + "barrier")
            case KeepCost():
                yield _Row(0, indent + "keep the cost", step.objective.name)
            case Ask():
                yield _Row(0, indent + "ask whether to stop")
            case Look():
                yield _Row(0, indent + "leave if to stop")
            case HandOut():
                yield _Row(0, indent + "hand out", step.symbol.name)
            case AddUp():
                yield _Row(0, indent + "add up", _names(step.sums))
            case Chunks():
                yield _Row(0, indent + "for each chunk")
                yield from _rows(fusion, memory, step.steps, indent + "  ")


def _kind(stage: Stage, layout: PanelLayout) -> str:
    name = type(stage).__name__
    if isinstance(stage, Product):
        head, how = stage.equations[0], ""
        if parts := getattr(head.op, "parts", 0):
            kernel = kernel_for(layout, parts, rows_of(head))
            how = f" of {parts} parts by {kernel.way}"
        return f"{name} {stage.form}" + (" nonzero" if stage.nonzero else "") + how
    return name


def _equations(stage: Stage) -> str:
    match stage:
        case Load():
            return ", ".join(s.name for s in stage.symbols)
        case Nonzero():
            return f"{stage.symbol} for {', '.join(stage.lists.values())}"
        case Pack():
            return _packed(stage.packing)
        case Product():
            head, *chain = stage.equations
            text = f"{_text(head)}; {_names(chain)}" if chain else _text(head)
            return f"{text} | {_names(stage.bias)}" if stage.bias else text
        case PerSample():
            return " | ".join(_names(equations) for _, equations in loops_of(stage))
        case Flat() | Scalars():
            return _names(stage.equations)
        case _:
            return "; ".join(_text(e) for e in stage.equations)


def _packed(packing: Packing) -> str:
    return f"{packing.name}, {packing.parts} parts"


def _text(e: Equation) -> str:
    return f"{e.target} = {' '.join(right_side(e, {}).split())}"


def _names(equations: Iterable[Equation]) -> str:
    return ", ".join(e.target.name for e in equations)


def _reads(stage: Stage, fusion: Fusion) -> list[str]:
    """In the order in which the equations have them."""
    reads = fusion.touched(stage.reads()) - set(fusion.labels)
    operands = [s.name for e in stage.all() for s in e.operands]
    labels = [fusion.labels[name].name for name in operands if name in fusion.labels]
    named = dict.fromkeys(name for name in (*operands, *labels) if name in reads)
    return [*named, *sorted(reads - named.keys())]


def _keeps(stage: Stage, memory: Memory) -> list[str]:
    symbols = [s.name for s in stage.symbols] if isinstance(stage, Load) else [e.target.name for e in stage.all()]
    kept = []
    packs = [p.name for p in stage.packs]
    for name in [*symbols, *packs] or sorted(stage.writes()):
        if name in memory.batch:
            at = memory.batch[name]
            kept.append(f"{name} [{at}:{at + memory.widths[name]}]")
        elif name in memory.stored or name in memory.fixed or name in memory.packed:
            kept.append(name)
        elif name in memory.pieces:
            kept.append(f"{name} in pieces")
    return kept
