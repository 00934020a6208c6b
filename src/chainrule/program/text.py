"""A program as plain text, in row notation with shapes; the one precedence table of all notations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

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
    Op,
    OverShards,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.precision import told
from chainrule.program.scalar import Apply, Constant, Expression, Reduction, Variable
from chainrule.program.symbol import BATCH, STORED, Symbol, shape_text
from chainrule.program.walk import larger_than, parts

if TYPE_CHECKING:  # text is read off these classes, which print themselves with it
    from chainrule.program.equation import Equation, Program

PRECEDENCE = {
    "where": 0,
    "eq": 1, "ne": 1, "lt": 1, "le": 1, "gt": 1, "ge": 1,
    "add": 2, "sub": 2,
    "mul": 3, "div": 3,
    "neg": 4,
    "pow": 5,
}  # fmt: skip
ATOM = 6
"""Higher binds tighter; what is not in the table (names, numbers, calls) is an atom."""

_INFIX = {"add": " + ", "sub": " - ", "mul": " ", "div": " / ", "lt": " < ", "le": " <= ", "gt": " > ", "ge": " >= ",
          "eq": " = ", "ne": " != "}  # fmt: skip
_OVER = {"rows": "over i", "columns": "over j", "all": "over i, j"}


LARGEST = 20_000
"""Parts of an expression, written out, up to which it is written at all."""


def number(value: float) -> str:
    """A number as short as it can be read back."""
    text = repr(float(value))
    return text[:-2] if text.endswith(".0") else text


def expression_text(e: Expression, names: dict[str, str] | None = None) -> str:
    """The expression in one line; `names` are texts to put in a variable's place."""
    return _expression(e, names or {})[0]


def _expression(e: Expression, names: dict[str, str]) -> tuple[str, int]:
    """The text, and how tightly it binds."""
    if larger_than(e, LARGEST):
        return f"(a formula of more than {LARGEST:,} parts)", ATOM
    texts: dict[Expression, tuple[str, int]] = {}
    for part in parts(e):
        texts[part] = _written(part, texts, names)
    return texts[e]


def _written(e: Expression, texts: Mapping[Expression, tuple[str, int]], names: dict[str, str]) -> tuple[str, int]:
    """The same, of an expression whose arguments have their texts."""
    if isinstance(e, Constant):
        return number(e.value), ATOM if e.value >= 0 else PRECEDENCE["neg"]
    if isinstance(e, Variable):
        text = names.get(e.name, e.name)
        return text, ATOM if text == e.name else PRECEDENCE["mul"]
    if isinstance(e, Reduction):
        return f"{e.kind}({texts[e.argument][0]}, {e.over})", ATOM
    assert isinstance(e, Apply)
    f, level = e.function, PRECEDENCE.get(e.function, ATOM)

    def part(k: int, at_least: int) -> str:
        text, its = texts[e.arguments[k]]
        return text if its >= at_least else f"({text})"

    if f in _INFIX:
        # a - (b + c) and a / (b c) keep their parentheses: only the left side may have the same level.
        right = level if f in ("add", "mul") and _same(e.arguments[1], f) else level + 1
        return f"{part(0, level)}{_INFIX[f]}{part(1, right)}", level
    if f == "neg":
        text, its = texts[e.arguments[0]]
        if its == PRECEDENCE["mul"]:  # -2 a b, whose sign is a sum's to its surroundings
            return f"-{text}", PRECEDENCE["add"]
        return f"-{part(0, level)}", level
    if f == "pow":
        exponent = part(1, ATOM)
        return part(0, ATOM) + {"2": "²", "3": "³"}.get(exponent, f"^{exponent}"), level
    arguments = ", ".join(texts[a][0] for a in e.arguments)
    if f == "abs":
        return f"|{arguments}|", ATOM
    return f"{'max' if f == 'maximum' else 'min' if f == 'minimum' else f}({arguments})", ATOM


def _same(e: Expression, function: str) -> bool:
    """Whether a + (b + c) may be written without parentheses: sums in sums, products in products."""
    return isinstance(e, Apply) and e.function == function


def right_side(equation: Equation, names: dict[str, str]) -> str:
    """What stands right of the equals sign; `names` holds the texts of temporaries written in place."""
    operands = [names.get(s.name, s.name) for s in equation.operands] + ["?", "?"]  # verify shows broken ones as well
    op: Op = equation.op
    match op:
        case MatMul(transpose_left, transpose_right):
            return f"{operands[0]}{'ᵀ' * transpose_left} {operands[1]}{'ᵀ' * transpose_right}"
        case Elementwise(expression):
            return expression_text(expression, names)
        case Reduce(kind, over, expression):
            sign = "Σ" if kind == "sum" else kind
            text, level = _expression(expression, names)
            shapes = [s.shape for s in equation.operands]
            named = over
            if over == "all" and all(shape in ((), (BATCH, 1)) for shape in shapes):
                named = "rows"
            elif over == "all" and all(len(shape) < 2 for shape in shapes):
                named = "columns"
            return f"{sign} {text if level > PRECEDENCE['add'] else f'({text})'}   {_OVER[named]}"
        case Gather():
            return f"rows of {operands[0]} at {operands[1]}{lookup_text(op)}{lookup_words(op, 'side by side')}"
        case ScatterAdd():
            return f"{operands[0]} added into rows {operands[1]}{lookup_text(op)}{lookup_words(op)}"
        case AtRows(expression):
            return f"{expression_text(expression, names)}   in rows {operands[1]}{lookup_text(op)}{lookup_words(op)}"
        case Mask(rate, stream, _):
            kept = f"1 - {operands[2]}" if rate is None else number(1 - rate)
            return f"1 with probability {kept}, else 0   (seed, step {operands[1]}, stream {stream})"
        case OneHot():
            return f"one-hot rows of {operands[0]}"
        case Beside():
            parts = [operands[k] if k is not None else "0" for k in laid_out(op, equation.operands)]
            return f"[{' | '.join(parts)}]"
        case Columns(start, count):
            return f"{operands[0]}[columns {start}{f'…{start + count - 1}' * (count > 1)}]"
        case GroupedMatMul(_, transpose_left, transpose_right):
            product = f"{operands[0]}{'ᵀ' * transpose_left} {operands[1]}{'ᵀ' * transpose_right}"
            return f"({product} {grouped(op)})"
        case Repeat():
            return f"({repeated(op, operands[0])})"
        case ReduceGroups():
            return f"({reduced(op)} {operands[0]})"
        case OverShards(kind):
            return f"{'Σ' if kind == 'sum' else kind} {operands[0]}   over the shards k"
        case _:
            assert_never(op)


def repeated(op: Repeat, what: str) -> str:
    """What is said of a value that stands there several times."""
    return f"each column of {what} {op.times} times" if op.within else f"{what} {op.times} times side by side"


def reduced(op: ReduceGroups) -> str:
    """What is said before the value whose groups are added up or compared."""
    words = "sum" if op.kind == "sum" else "largest"
    return f"{words} within each of the {op.groups} groups of" if op.within else f"{words} of the {op.groups} groups of"


def grouped(op: GroupedMatMul) -> str:
    """What is said beside a product that is one for each group of columns."""
    if not op.shared:
        return f"in {op.groups} groups"
    return f"{'summed over' if op.transpose_left else 'in each of'} {op.groups} groups"


def lookup_text(op: Gather | ScatterAdd | AtRows) -> str:
    """Which of the tokens' columns are read, or where the rows of each begin: [column 2], + (0, 16)."""
    if op.starts:
        return f" + ({', '.join(map(str, op.starts))})"
    return "" if op.column is None else f"[column {op.column}]"


def lookup_words(op: Gather | ScatterAdd | AtRows, beside: str = "") -> str:
    """What becomes of the rows, and of the padding token."""
    words = ", added up" if op.starts and beside else "" if op.column is not None or not beside else f", {beside}"
    if op.padding is None:
        return words
    return f"{words}, {'0' if beside else 'none'} for token {op.padding}"


def laid_out(op: Beside, operands: tuple[Symbol, ...]) -> list[int | None]:
    """The numbers of the operands in their order, None where columns of zeros stand between them."""
    gaps = op.gaps(operands)
    order: list[int | None] = []
    for k in range(len(operands)):
        order += [None, k] if gaps[k] else [k]
    return [*order, None] if gaps[-1] else order


def equation_text(equation: Equation, names: dict[str, str] | None = None) -> str:
    """`Z1 = X W1 + b1   (m, 256)`; := where a stored value is overwritten."""
    sign = ":=" if equation.target.role in STORED else "="
    return f"{equation.target.name} {sign} {right_side(equation, names or {})}   {shape_text(equation.target.shape)}"


_IN_PLACE = (MatMul, Beside, Columns, GroupedMatMul, Repeat, ReduceGroups)
"""Operations that may be printed where their value is used."""


def written_in_place(program: Program) -> dict[str, str]:
    """The text of each temporary that is used once, and so is printed where it is used."""
    uses: dict[str, int] = {}
    for equation in program.equations:
        for operand in equation.operands:
            uses[operand.name] = uses.get(operand.name, 0) + 1
    names: dict[str, str] = {}
    for equation in program.equations:
        target: Symbol = equation.target
        once = uses.get(target.name) == 1 and target != program.prediction
        if target.role == "temporary" and once and isinstance(equation.op, _IN_PLACE):
            names[target.name] = right_side(equation, names)
    return names


def program_text(program: Program) -> str:
    """The whole derivation, a section at a time."""
    names = written_in_place(program)
    lines: list[str] = [told(program.parts)] if program.parts else []
    rows = [
        (section, [equation_text(e, names) for e in equations if e.target.name not in names])
        for section, equations in program.sections()
    ]
    split = [(section, [line.rsplit("   (", 1) for line in lines_]) for section, lines_ in rows]
    width = max((len(left) for _, pairs in split for left, *_ in pairs), default=0)
    for section, pairs in split:
        if pairs:
            lines.append(f"{section}")
            lines += [f"    {left:<{min(width, 76)}}   ({shape}" for left, shape in pairs]
    return "\n".join(lines)
