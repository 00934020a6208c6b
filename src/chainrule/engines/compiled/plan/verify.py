"""The laws of a plan, always looked at: what breaks one is a fault of the planner, never of the user's.

each equation is run once; what it reads was computed or given before; a stored value is overwritten after all that
read the old one, and before all that read the new one
what a stage reads lies in memory, or it computes it itself, before
stages hold what there is code for: the form of a product and the kinds of its operands, one shape in a tile
values whose lives overlap lie apart
a barrier stands between stages of which one touches what the other writes
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from chainrule.engines.base import rate_scalars
from chainrule.engines.compiled.plan.kinds import form_of, in_one_shape
from chainrule.engines.compiled.plan.listing import lines_of
from chainrule.engines.compiled.plan.memory import Memory, size_of
from chainrule.engines.compiled.plan.stages import (
    Arrange,
    Flat,
    Fusion,
    Load,
    Lookup,
    Masks,
    Nonzero,
    Pack,
    PerSample,
    Pieces,
    Plain,
    Product,
    RowUpdates,
    Scalars,
    Scatter,
    Stage,
    Sums,
    loops_of,
)
from chainrule.engines.compiled.plan.steps import (
    HALT,
    AddUp,
    Ask,
    Chunks,
    HandOut,
    KeepCost,
    Look,
    Meet,
    Run,
    Step,
    runs,
)
from chainrule.errors import ProgramError
from chainrule.program.equation import Equation
from chainrule.program.op import (
    AtRows,
    Beside,
    Columns,
    Elementwise,
    Gather,
    GroupedMatMul,
    Mask,
    MatMul,
    OneHot,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.symbol import BATCH, STORED

Faults = Iterator[tuple[int, str]]
"""The number of a stage (0: the plan's as a whole), and what is wrong."""
NEAR = 3
"""Lines of the listing before and after a stage, in a message."""


def verify(fusion: Fusion, memory: Memory, steps: tuple[Step, ...]) -> None:
    """Raises ProgramError with every fault of a plan, its stage and the stages around it."""
    order = runs(steps)
    faults: list[tuple[int, str]] = []
    for law in (_once, _order, _kept, _fitting):
        faults += law(fusion, memory, order)
    faults += _apart(fusion, memory, order)
    faults += _barriers(fusion, memory, steps)
    if faults:
        raise ProgramError(_message(fusion, memory, steps, faults))


def _message(fusion: Fusion, memory: Memory, steps: tuple[Step, ...], faults: list[tuple[int, str]]) -> str:
    head, *lines = lines_of(fusion, memory, steps)
    numbers = {number: k for k, (number, _) in enumerate(lines) if number}
    text = ["The plan breaks its laws:"]
    for number, fault in faults:
        text.append(f"stage {number}: {fault}" if number else fault)
        if number in numbers:
            at = numbers[number]
            near = range(max(0, at - NEAR), min(len(lines), at + NEAR + 1))
            text += [f"  {head[1]}", *(f" {'>' if k == at else ' '}{lines[k][1]}" for k in near)]
    return "\n".join(text)


def _once(fusion: Fusion, memory: Memory, order: list[Run]) -> Faults:
    """Each equation of the program is run once."""
    program = fusion.program
    outside = {id(e) for e in (*fusion.rates, *(e for e in program.equations if isinstance(e.op, OneHot)))}
    count = Counter(id(e) for run in order for e in run.stage.all())
    at = {id(e): run.number for run in order for e in run.stage.all()}
    for equation in program.equations:
        times = count.pop(id(equation), 0)
        if times != (id(equation) not in outside):
            yield at.get(id(equation), 0), f"{equation} is run {times} times"
    for strange in count:
        yield at[strange], "it runs an equation that the program does not have"
    if {id(e) for e in fusion.rates} != {id(e) for e in rate_scalars(program)}:
        yield 0, "what is computed outside does not depend on rates and counters alone"


def _order(fusion: Fusion, memory: Memory, order: list[Run]) -> Faults:
    """What an equation reads is there, in the version that the program means."""
    program = fusion.program
    position = {id(e): k for k, e in enumerate(program.equations)}
    writer = {e.target.name: e for e in program.equations}
    given = {s.name for s in program.given}
    done: set[str] = set()
    for equation in (*fusion.rates, *(e for e in program.equations if isinstance(e.op, OneHot))):
        done.add(equation.target.name)
    for run in order:
        for equation in run.stage.all():
            here = position.get(id(equation), -1)
            for operand in equation.operands:
                name = operand.name
                maker = writer.get(name)
                if maker is None or maker is equation:
                    if name not in given:
                        yield run.number, f"{equation} reads {name}, which nobody makes"
                elif operand.role in STORED and (here > position[id(maker)]) != (name in done):
                    when = "before" if name not in done else "after"
                    yield run.number, f"{equation} reads {name} {when} it is overwritten"
                elif operand.role not in STORED and name not in done:
                    yield run.number, f"{equation} reads {name}, which is computed later"
            done.add(equation.target.name)


def _kept(fusion: Fusion, memory: Memory, order: list[Run]) -> Faults:
    """What a stage reads from memory was put there; what is wanted and what outlives the batch is put there."""
    rates = {s.name for s in fusion.program.given if s.role == "rate"} | {e.target.name for e in fusion.rates}
    tokens = {s.name for s in memory.data if fusion.kinds[s.name] == "tokens"}
    there = {s.name for s in fusion.program.given if s.role in STORED} | rates | tokens | {BATCH, "seed", "t"}
    there |= {p.name for p in fusion.prepared}
    places = {*memory.stored, *memory.fixed, *memory.batch, *memory.pieces, *memory.packed}
    for run in order:
        for name in sorted(fusion.touched(run.stage.reads()) - set(fusion.labels) - there):
            yield run.number, f"it reads {name}, which is not in memory"
        for name in sorted(run.stage.keeps() - places - set(fusion.labels)):
            yield run.number, f"{name} has no place in memory"
        there |= run.stage.writes() & places
    for name in sorted(set(fusion.recipe.wanted) - there):
        yield 0, f"{name} is wanted, and not in memory at the end"


# --- what a stage may hold ------------------------------------------------------------------------------------------


def _fitting(fusion: Fusion, memory: Memory, order: list[Run]) -> Faults:
    """A stage holds what its code can do."""
    for run in order:
        for fault in _CODE[type(run.stage)](run.stage, fusion):
            yield run.number, fault
        for fault in _packs(run.stage, fusion):
            yield run.number, fault
        if fusion.chunked and fusion.of_samples(run.stage):
            stored = [e.target.name for e in run.stage.all() if e.target.role in STORED]
            if stored:
                yield run.number, f"{', '.join(stored)} would be overwritten once a chunk"


def _load(stage: Load, fusion: Fusion) -> Iterator[str]:
    for symbol in stage.symbols:
        if symbol not in fusion.program.given or fusion.kinds[symbol.name] != "batch":
            yield f"{symbol} is not data of the samples"


def _nonzero(stage: Nonzero, fusion: Fusion) -> Iterator[str]:
    for name, form in stage.lists.items():
        if fusion.lists.get(name, ())[:2] != (form, stage.symbol.shape[1]):
            yield f"{name} are not the lists that the plan has"


def _pack(stage: Pack, fusion: Fusion) -> Iterator[str]:
    packing = stage.packing
    kind = "weight" if packing.form in ("turned", "rows") else "batch" if packing.form == "lines" else None
    if fusion.kinds[packing.symbol.name] not in ((kind,) if kind else ("weight", "batch")):
        yield f"{packing.symbol} cannot be packed in {packing.form}"


def _packs(stage: Stage, fusion: Fusion) -> Iterator[str]:
    """It packs what it makes; and who overwrites a weight packs it, if that was done once and for all before."""
    for packing in stage.packs:
        if packing.symbol.name not in stage.writes() or isinstance(stage, Pack | Nonzero):
            yield f"{packing.name} is packed by who does not make it"
        if packing.name in stage.reads():
            yield f"{packing.name} would be overwritten while the product reads it"
    for packing in fusion.prepared:
        if packing.symbol.name in stage.writes() and packing not in stage.packs:
            yield f"{packing.name} would be that of the batch before"


def _product(stage: Product, fusion: Fusion) -> Iterator[str]:
    head, *chain = stage.equations
    if not isinstance(head.op, MatMul | GroupedMatMul):
        yield f"{head} is no product"
        return
    packed = [p.symbol for p in stage.packed.values()]
    if packed != list(head.operands[: 1 if stage.form == "batch" else 2]) * bool(head.op.parts):
        yield f"{head} does not read its factors as a product of {head.op.parts} parts does"
    form = form_of(head, fusion.kinds)
    if form != stage.form:
        yield f"{head} is of the form {form}, not {stage.form}"
    if stage.nonzero is not None:
        lists = fusion.lists.get(stage.nonzero)
        if (
            lists is None
            or isinstance(head.op, GroupedMatMul)
            or lists != (stage.form, head.operands[0].shape[1], head.op.parts)
            or head.operands[0].role != "input"
        ):
            yield f"{stage.nonzero} are not lists for {head}"
    yield from _chain(head, chain, fusion)
    over = [s.name for s in head.operands if s.name in stage.writes()]
    if over:
        yield f"{', '.join(over)} would be overwritten while the product reads it"
    if stage.bias:
        first, *rest = stage.bias
        slopes = head.operands[1]
        if (
            form != "batch"
            or isinstance(head.op, GroupedMatMul)
            or not isinstance(first.op, Reduce)
            or first.operands != (slopes,)
        ):
            yield f"{first} is not the sum of the columns of {slopes}"
        yield from _chain(first, rest, fusion)
        tile, bias = Stage(stage.equations), Stage(stage.bias)
        mixed = (tile.writes() & (bias.reads() | bias.writes())) | (bias.writes() & tile.reads())
        if mixed:
            yield f"{', '.join(sorted(mixed))} passes between the tile and the bias"


def _chain(head: Equation, chain: list[Equation], fusion: Fusion) -> Iterator[str]:
    """What follows in a tile is element-wise, of the head's shape and kind."""
    for e in chain:
        kinds = fusion.kinds[e.target.name], fusion.kinds[head.target.name]
        if not isinstance(e.op, Elementwise) or e.target.shape != head.target.shape or kinds[0] != kinds[1]:
            yield f"{e} does not fit in a tile of {head.target}"
        elif not head.target.batched and not in_one_shape(e, fusion.kinds):
            yield f"{e} repeats a value in a tile of {head.target}"


def _per_sample(stage: PerSample, fusion: Fusion) -> Iterator[str]:
    for e in stage.equations:
        fits = isinstance(e.op, Elementwise) or (isinstance(e.op, Reduce) and e.op.over == "columns")
        if not fits or not e.target.batched:
            yield f"{e} is not computed sample by sample"
    for width, equations in loops_of(stage):
        reduced = {e.target.name for e in equations if isinstance(e.op, Reduce)} if width > 1 else set()
        for e in equations:
            early = [s.name for s in e.operands if s.name in reduced]
            if early:
                yield f"{e} reads {', '.join(early)} in the loop that makes it"


def _sums(stage: Sums, fusion: Fusion) -> Iterator[str]:
    e = stage.equations[0]
    over_samples = isinstance(e.op, Reduce) and e.op.over != "columns" and any(s.batched for s in e.operands)
    if len(stage.equations) != 1 or not over_samples:
        yield f"{e} is not one reduction over the samples"


def _flat(stage: Flat, fusion: Fusion) -> Iterator[str]:
    shapes = {(s.shape, fusion.kinds[s.name]) for e in stage.equations for s in e.operands if s.shape}
    shapes |= {(e.target.shape, fusion.kinds[e.target.name]) for e in stage.equations if e.target.shape}
    if len(shapes) != 1 or any(s.batched for e in stage.equations for s in e.operands):
        yield "its equations are not over parameters of one shape and kind"
    reduced = {e.target.name for e in stage.equations if isinstance(e.op, Reduce)}
    for e in stage.equations:
        if isinstance(e.op, Reduce) and e.op.over != "all":
            yield f"{e} does not reduce all elements"
        if not isinstance(e.op, Reduce | Elementwise) or any(s.name in reduced for s in e.operands):
            yield f"{e} cannot be run beside the others"


def _plain(stage: Plain, fusion: Fusion) -> Iterator[str]:
    for e in stage.equations:
        if any(s.batched for s in (e.target, *e.operands)) or not isinstance(
            e.op, Elementwise | Reduce | MatMul | GroupedMatMul
        ):
            yield f"{e} is not over parameters"
    if len(stage.equations) != 1:
        yield "it is not one equation"


def _scalars(stage: Scalars, fusion: Fusion) -> Iterator[str]:
    for e in stage.equations:
        if not isinstance(e.op, Elementwise) or any(s.shape for s in (e.target, *e.operands)):
            yield f"{e} is not of scalars"


def _arrange(stage: Arrange, fusion: Fusion) -> Iterator[str]:
    for e in stage.equations:
        if not isinstance(e.op, Beside | Columns | Repeat | ReduceGroups) or not all(
            s.batched for s in (e.target, *e.operands)
        ):
            yield f"{e} is not laid out of values of the samples"


def _row_updates(stage: RowUpdates, fusion: Fusion) -> Iterator[str]:
    """One loop over the tokens serves all, and finds each piece beside the token that it belongs to."""
    first = stage.equations[0]
    for e in stage.equations:
        if not isinstance(e.op, AtRows) or not isinstance(first.op, AtRows):
            yield f"{e} does not belong here"
            continue
        same = (e.op.column, e.op.starts, e.op.padding) == (first.op.column, first.op.starts, first.op.padding)
        if not same or e.operands[1] != first.operands[1] or e.target.shape != first.target.shape:
            yield f"{e} is not of the rows that {first} is of"
        for name in sorted({s.name for s in e.operands} & fusion.pieces.keys()):
            maker = fusion.pieces[name]
            assert isinstance(maker.op, ScatterAdd)
            named = (maker.op.column, maker.op.starts, maker.op.padding)
            if maker.operands[1] != e.operands[1] or named != (e.op.column, e.op.starts, e.op.padding):
                yield f"{e} reads {name}, which is kept in pieces for the rows of other tokens"


def _of(op: type) -> Callable[[Stage, Fusion], Iterator[str]]:
    def law(stage: Stage, fusion: Fusion) -> Iterator[str]:
        for e in stage.equations:
            if not isinstance(e.op, op):
                yield f"{e} does not belong here"

    return law


_CODE: dict[type[Stage], Callable[..., Iterator[str]]] = {
    Load: _load,
    Nonzero: _nonzero,
    Pack: _pack,
    Product: _product,
    PerSample: _per_sample,
    Sums: _sums,
    Flat: _flat,
    Plain: _plain,
    Scalars: _scalars,
    Lookup: _of(Gather),
    Scatter: _of(ScatterAdd),
    Pieces: _of(ScatterAdd),
    RowUpdates: _row_updates,
    Masks: _of(Mask),
    Arrange: _arrange,
}


# --- memory and barriers --------------------------------------------------------------------------------------------


def _apart(fusion: Fusion, memory: Memory, order: list[Run]) -> Faults:
    """Values whose lives overlap lie apart: lives are counted anew, from the stages in the order in which they run."""
    symbols = fusion.program.symbols
    packed = [(at, at + fusion.packings[name].size(memory.layout), name) for name, at in memory.packed.items()]
    yield from ((0, fault) for fault in _overlaps(packed))
    for table, size in ((memory.stored, memory.stored_size), (memory.fixed, memory.fixed_size)):
        places = [
            (at, at + size_of(symbols[name], fusion.kinds[name], memory.layout), name) for name, at in table.items()
        ]
        yield from ((0, fault) for fault in _overlaps(places))
        yield from ((0, f"{name} lies past the end") for _, end, name in places if end > size)
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for run in order:
        for name in _new(fusion, run) & memory.batch.keys():
            first.setdefault(name, run.number)
            last[name] = run.number
    for symbol in memory.outputs:
        last[symbol.name] = len(order) + 1
    lying: list[tuple[int, int, str]] = []
    for run in order:
        lying = [place for place in lying if last[place[2]] >= run.number]
        for name in sorted(name for name in _new(fusion, run) if first.get(name) == run.number):
            place = (memory.batch[name], memory.batch[name] + memory.widths[name], name)
            at = bisect_left(lying, place)
            for other in lying[max(0, at - 1) : at + 1]:
                if other[0] < place[1] and place[0] < other[1]:
                    yield run.number, f"{other[2]} and {name} lie in the same place"
            lying.insert(at, place)
    for name, at in memory.batch.items():
        if at + memory.widths[name] > memory.batch_units:
            yield first.get(name, 0), f"{name} lies past the end of the workspace"


def _new(fusion: Fusion, run: Run) -> set[str]:
    """What a stage may bring to life."""
    return fusion.touched(run.stage.reads() | run.stage.writes())


def _overlaps(places: Iterable[tuple[int, int, str]]) -> Iterator[str]:
    end, owner = 0, ""
    for at, stop, name in sorted(places):
        if at < end:
            yield f"{owner} and {name} lie in the same place"
        if stop > end:
            end, owner = stop, name


def _barriers(fusion: Fusion, memory: Memory, steps: tuple[Step, ...]) -> Faults:
    """Between two barriers no thread touches what another writes; what is run alone is run by the same."""
    read: dict[tuple[str, bool], int] = {}
    wrote: dict[tuple[str, bool], int] = {}
    number = 0
    for step in steps:
        if isinstance(step, Meet):
            read, wrote = {}, {}
            continue
        reads, writes = _touched(step, fusion)
        number = step.number if isinstance(step, Run) else number
        alone = step.stage.alone if isinstance(step, Run) else isinstance(step, KeepCost | Ask)
        for name in sorted(reads | writes):
            others = wrote if name not in writes else {**read, **wrote}
            for (other, by_one), before in others.items():
                if memory.share(name, other) and not (alone and by_one):
                    yield number, f"no barrier between it and stage {before}, which touches {other}; {name} is touched"
        read |= dict.fromkeys(((name, alone) for name in reads), number)
        wrote |= dict.fromkeys(((name, alone) for name in writes), number)
    if not steps or not isinstance(steps[-1], Meet):
        yield 0, "no barrier at the end of a batch"


def _touched(step: Step, fusion: Fusion) -> tuple[set[str], set[str]]:
    """Names of what a step reads and writes."""
    match step:
        case Run():
            return fusion.touched(step.stage.reads()), step.stage.writes()
        case HandOut():
            return {step.symbol.name}, set()
        case KeepCost() | Ask():
            return set(), {HALT}
        case Look():
            return {HALT}, set()
        case Chunks():
            both = [_touched(s, fusion) for s in step.steps]
            return set().union(*(r for r, _ in both)), set().union(*(w for _, w in both))
        case AddUp():
            return set(), {e.target.name for e in step.sums}
        case Meet():
            return set(), set()
