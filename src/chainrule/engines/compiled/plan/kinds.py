"""How each symbol of a program lies in memory, and which equations there is code for.

batch (m, n)    lane panels          vector (n,)   in order
weight (k, n)   feature panels       scalar ()
table (v, d)    row after row        tokens (m, c) the user's own array
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from chainrule.errors import ProgramError
from chainrule.program.equation import Equation, Program
from chainrule.program.op import (
    AtRows,
    Beside,
    Columns,
    Elementwise,
    Gather,
    GroupedMatMul,
    MatMul,
    OneHot,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.symbol import BATCH, Symbol, shape_text

Kind = Literal["batch", "weight", "table", "vector", "scalar", "tokens"]
Form = Literal["forward", "backward", "batch"]
"""Of a product: Z = A W, dA = dZ Wᵀ, dW = Aᵀ dZ."""
FORMS: Mapping[tuple[Kind, Kind, bool, bool], Form] = {
    ("batch", "weight", False, False): "forward",
    ("batch", "weight", False, True): "backward",
    ("batch", "batch", True, False): "batch",
}
"""The form of a product by its operands' kinds, and which of them is transposed."""


def kinds_of(program: Program) -> dict[str, Kind]:
    """How each symbol lies in memory; parameters of an embedding are tables, as is all that meets them.

    A table that is also a factor of a product with samples lies as a weight does.
    """
    tables = _tables(program)
    products = {s.name for e in program.equations if _with_samples(e) for s in (e.target, *e.operands)}
    tables -= _meeting(program, tables & products)
    kinds: dict[str, Kind] = {}
    for name, symbol in program.symbols.items():
        if symbol.integers and len(symbol.shape) == 2:
            kinds[name] = "tokens"
        elif symbol.batched:
            kinds[name] = "batch"
        elif len(symbol.shape) == 2:
            kinds[name] = "table" if name in tables else "weight"
        else:
            kinds[name] = "vector" if symbol.shape else "scalar"
    return kinds


def _tables(program: Program) -> set[str]:
    """Names of what rows are looked up in or added to, and of all that meets it element by element."""
    tables = set()
    for equation in program.equations:
        if isinstance(equation.op, Gather):
            tables.add(equation.operands[0].name)
        elif isinstance(equation.op, ScatterAdd):
            tables.add(equation.target.name)
    return _meeting(program, tables)


def _meeting(program: Program, names: set[str]) -> set[str]:
    """These matrices, and all that meet them element by element."""
    names, before = set(names), -1
    while len(names) > before:  # a slot may meet its table only after the table's gradient did
        before = len(names)
        for equation in program.equations:
            matrices = [s for s in (equation.target, *equation.operands) if len(s.shape) == 2 and not s.batched]
            if isinstance(equation.op, Elementwise | AtRows) and any(s.name in names for s in matrices):
                names |= {s.name for s in matrices}
    return names


def _with_samples(equation: Equation) -> bool:
    """Whether it is a product with values of the samples."""
    return isinstance(equation.op, MatMul | GroupedMatMul) and any(s.batched for s in equation.operands)


def in_one_shape(equation: Equation, kinds: Mapping[str, Kind]) -> bool:
    """Whether an equation without samples runs over memory of one shape and kind, its end as well if it has one."""
    symbols = equation.operands if isinstance(equation.op, Reduce) else (equation.target, *equation.operands)
    return len({(s.shape, kinds[s.name]) for s in symbols if s.shape}) == 1


def form_of(product: Equation, kinds: Mapping[str, Kind]) -> Form | None:
    """The form of a product; None if there is no code for operands of these kinds."""
    assert isinstance(product.op, MatMul | GroupedMatMul)
    left, right = (kinds[s.name] for s in product.operands)
    return FORMS.get((left, right, product.op.transpose_left, product.op.transpose_right))


def rows_of(product: Equation) -> int:
    """The rows of a tile's result: the features that come out of a product with a weight, those of A in Aᵀ dZ."""
    op = product.op
    assert isinstance(op, MatMul | GroupedMatMul)
    groups = op.groups if isinstance(op, GroupedMatMul) else 1
    left = product.operands[0] if op.transpose_left else product.target
    return int(left.shape[1]) // groups


def members_of(program: Program) -> int:
    """The most groups that share one matrix: each sample is so many rows of those products."""
    return max((e.op.groups for e in program.equations if isinstance(e.op, GroupedMatMul) and e.op.shared), default=1)


def check_kinds(program: Program, kinds: Mapping[str, Kind]) -> None:
    """Raises ProgramError with every equation that there is no code for."""
    one_hot = {e.target.name for e in program.equations if isinstance(e.op, OneHot)}
    faults = [
        f"    {equation}   {shape_text(equation.target.shape)}\n        {fault}"
        for equation in program.equations
        if (fault := _fault(equation, kinds, one_hot)) is not None
    ]
    if faults:
        raise ProgramError(
            "The compiled engine has no code for\n" + "\n".join(faults) + '\nThe engine "reference" runs every program.'
        )


def _fault(equation: Equation, kinds: Mapping[str, Kind], one_hot: set[str]) -> str | None:
    """What keeps an equation from being compiled; None for nothing."""
    across = [s for s in (equation.target, *equation.operands) if BATCH in s.shape[1:]]
    if across and not _samples_by_samples(equation):
        return f"samples are laid along the lanes, one row each; {across[0]} has samples in its columns"
    match equation.op:
        case MatMul() | GroupedMatMul():
            if any(s.name in one_hot for s in equation.operands):
                return "a product of one-hot rows: these are compared with their labels and lie nowhere"
            if _with_samples(equation) and form_of(equation, kinds) is None:
                return "a product with values of the samples must be A W, dZ Wᵀ or Aᵀ dZ. " + _they(
                    equation.operands, kinds
                )
        case Elementwise() | Reduce():
            return _misfit(equation, kinds, one_hot)
        case OneHot():
            if equation.operands[0].role not in ("input", "target"):
                return "labels must be given"
        case Beside() | Columns() | Repeat() | ReduceGroups():
            parameters = [s for s in equation.operands if kinds[s.name] != "batch"]
            if parameters:
                return f"only values of the samples can be laid side by side. {_they(parameters, kinds)}"
        case AtRows():
            tables = [s for s in (equation.target, *equation.operands) if len(s.shape) == 2 and not s.integers]
            others = [s for s in equation.operands[2:] if len(s.shape) == 1]
            wrong = [s for s in (*tables, *others) if kinds[s.name] != "table" or s.shape != equation.target.shape]
            if wrong:
                return f"in some rows, tables of one shape and scalars alone can be read. {_they(wrong, kinds)}"
            if kinds[equation.operands[1].name] != "tokens" or equation.operands[1].role != "input":
                return "tokens must be given"
        case Gather() | ScatterAdd():
            if equation.operands[0].name in one_hot:
                return "one-hot rows to be added up: these are compared with their labels and lie nowhere"
            if kinds[equation.operands[1].name] != "tokens" or equation.operands[1].role != "input":
                return "tokens must be given"
    return None


def _samples_by_samples(equation: Equation) -> bool:
    """Whether it is a product that other words refuse."""
    return isinstance(equation.op, MatMul | GroupedMatMul) and not any(BATCH in s.shape[1:] for s in equation.operands)


def _misfit(equation: Equation, kinds: Mapping[str, Kind], one_hot: set[str]) -> str | None:
    """An operand that cannot be read element by element beside the others."""
    if equation.target.batched and len(equation.target.shape) != 2:
        return "values of the samples must be a matrix, a row a sample"
    symbols = [s for s in (equation.target, *equation.operands) if s.shape]
    if not any(s.batched for s in symbols):
        return None
    width = width_of(equation)
    for s in symbols:
        if s.name in one_hot:
            continue
        if kinds[s.name] not in ("batch", "vector") or (kinds[s.name] == "vector" and s.shape != (width,)):
            return f"beside values of the samples, only numbers a feature and scalars can be read. {_they([s], kinds)}"
    return None


def width_of(equation: Equation) -> int:
    """The features that an equation over samples runs over."""
    widths = [s.shape[1] for s in (equation.target, *equation.operands) if s.batched and len(s.shape) == 2]
    widths += [s.shape[0] for s in equation.operands if len(s.shape) == 1 and not s.batched]
    return max((int(w) for w in widths), default=1)


def _they(symbols: tuple[Symbol, ...] | list[Symbol], kinds: Mapping[str, Kind]) -> str:
    """ "W1 (3, 4) is a weight, Z1 (m, 4) has samples"."""
    words = {"batch": "has samples", "table": "is an embedding's table", "tokens": "is tokens"}
    return ", ".join(
        f"{s.name} {shape_text(s.shape)} {words.get(kinds[s.name], 'is a ' + kinds[s.name])}" for s in symbols
    )
