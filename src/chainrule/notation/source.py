"""A program as NumPy source: a function step(...) that gives the reference engine's numbers to the bit in float64.

Every equation is one assignment; brackets keep the order of its operations.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from chainrule.notation.size import writable
from chainrule.program.equation import Equation, Program
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
    OverShards,
    Reduce,
    ReduceGroups,
    Repeat,
    ScatterAdd,
)
from chainrule.program.scalar import Apply, Constant, Expression, Variable
from chainrule.program.symbol import BATCH, STORED, Symbol, shape_text
from chainrule.program.text import ATOM, PRECEDENCE
from chainrule.program.walk import occurrences

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_CALLS = {
    "exp": "np.exp", "expm1": "np.expm1", "log": "np.log", "log1p": "np.log1p", "tanh": "np.tanh",
    "sigmoid": "sigmoid", "softplus": "softplus", "sqrt": "np.sqrt", "erf": "erf", "erfc": "erfc", "sin": "np.sin",
    "cos": "np.cos", "abs": "np.abs",
    "sign": "np.sign", "minimum": "np.minimum", "maximum": "np.maximum", "pow": "np.power",
}  # fmt: skip
_AXES = {"rows": ", axis=0", "columns": ", axis=1, keepdims=True", "all": ""}
_HELPERS: Mapping[str, str] = {
    "sigmoid": '''def sigmoid(z):
    """1 / (1 + exp(-z)); exp of what is not positive never overflows."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)
''',
    "softplus": '''def softplus(z):
    """log(1 + exp(z))"""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
''',
    "mask": '''def mask(rate, seed, step, stream, rows, columns):
    """1 with probability 1 - rate, else 0: counted random bits (Philox 4x32-10)."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    i, block = np.meshgrid(
        np.arange(rows, dtype=np.uint64), np.arange(-(-columns // 4), dtype=np.uint64), indexing="ij"
    )
    c = [i, block, np.full_like(i, int(step) & 0xFFFFFFFF), np.full_like(i, stream & 0xFFFFFFFF)]
    key0, key1 = int(seed) & 0xFFFFFFFF, (int(seed) >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> shift) ^ c[1] ^ np.uint64(key0), p1 & low, (p0 >> shift) ^ c[3] ^ np.uint64(key1), p0 & low]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    words = np.stack(c, axis=-1).reshape(rows, -1)[:, :columns]
    return (words >= int(np.floor(rate * 2**32))).astype(np.float64)
''',
}


@dataclass(frozen=True)
class CodeLine:
    """One assignment."""

    section: str
    """Of the program."""
    targets: tuple[str, ...]
    """The names of what it defines, its own last."""
    operands: tuple[str, ...]
    """The names of what it reads."""
    code: str
    """The line, or lines."""
    shape: str
    """Of its value."""


def expression(e: Expression) -> str:
    """A scalar expression as NumPy, in exactly its order of operations."""
    return _expression(e, {})[0]


def _expression(e: Expression, within: Mapping[str, str]) -> tuple[str, int]:
    if isinstance(e, Constant):
        return _number(e.value), ATOM if math.copysign(1.0, e.value) > 0 else PRECEDENCE["neg"]
    if isinstance(e, Variable):
        return (within[e.name], PRECEDENCE["mul"]) if e.name in within else (e.name, ATOM)
    assert isinstance(e, Apply)
    f, a = e.function, e.arguments
    if f in _INFIX:
        level = PRECEDENCE[f]
        left, its = _expression(a[0], within)
        right, other = _expression(a[1], within)
        left = left if its >= level else f"({left})"
        return f"{left} {_INFIX[f]} {right if other > level else f'({right})'}", level
    if f == "neg":
        inner, level = _expression(a[0], within)
        return f"-{inner if level >= ATOM else f'({inner})'}", PRECEDENCE["neg"]
    if f == "stop":
        return _expression(a[0], within)
    if f in _COMPARE:
        return f"np.where({_condition(e, within)}, 1.0, 0.0)", ATOM
    if f == "where":
        rest = ", ".join(_expression(x, within)[0] for x in a[1:])
        return f"np.where({_condition(a[0], within)}, {rest})", ATOM
    if f == "pow" and a[1] == Constant(2.0):
        return f"np.square({_expression(a[0], within)[0]})", ATOM
    return f"{_CALLS[f]}({', '.join(_expression(x, within)[0] for x in a)})", ATOM


def _condition(e: Expression, within: Mapping[str, str]) -> str:
    if isinstance(e, Apply) and e.function in _COMPARE:
        sides = [_expression(x, within) for x in e.arguments]
        left, right = (text if level >= PRECEDENCE["add"] else f"({text})" for text, level in sides)
        return f"{left} {_COMPARE[e.function]} {right}"
    text, level = _expression(e, within)
    return f"{text if level >= PRECEDENCE['add'] else f'({text})'} != 0"


def _number(value: float) -> str:
    return repr(float(value))


def _right(equation: Equation, within: Mapping[str, str], samples: str) -> str:
    """samples: how many there are, as code."""
    names = [s.name for s in equation.operands]
    op, shape = equation.op, equation.target.shape
    match op:
        case MatMul(transpose_left, transpose_right):
            return f"{names[0]}{'.T' * transpose_left} @ {names[1]}{'.T' * transpose_right}"
        case Elementwise(e):
            text = _expression(e, within)[0]
            if op.shape(equation.operands) == shape:
                return text
            sizes = ", ".join(samples if d == BATCH else str(d) for d in shape)
            return f"np.broadcast_to({text}, ({sizes}{',' * (len(shape) == 1)})).copy()"
        case Reduce(kind, over, e):
            return f"np.{kind}({_expression(e, within)[0]}{_AXES[over]})"
        case Gather():
            return _looked_up(op, *names)
        case ScatterAdd(rows):
            return f"np.zeros(({rows}, {shape[1]}))"
        case AtRows(e):
            at = _named_rows(op, names[1])
            named = f"np.isin(np.arange({shape[0]}), {at})"
            if op.padding is not None:
                named += f" & (np.arange({shape[0]}) != {op.padding})"
            return f"np.where(({named})[:, None], {_expression(e, within)[0]}, {names[0]})"
        case Mask(rate, stream, columns):
            share = names[2] if rate is None else repr(rate)
            return f"mask({share}, {names[0]}, {names[1]}, {stream}, {samples}, {columns})"
        case OneHot(classes):
            return f"({names[0]}[:, None] == np.arange({classes})).astype(np.float64)"
        case Beside():
            return f"np.concatenate([{', '.join(_pieces(op, equation.operands))}], axis=1)"
        case Columns(start, count):
            return f"{names[0]}[:, {start}:{start + count}]"
        case GroupedMatMul():
            return _grouped(op, equation.operands)
        case Repeat(times):
            return f"np.repeat({names[0]}, {times}, axis=1)" if op.within else f"np.tile({names[0]}, (1, {times}))"
        case ReduceGroups(kind, groups):
            stacked = f"{names[0]}.reshape(len({names[0]}), {groups}, {int(equation.operands[0].shape[1]) // groups})"
            return f"np.{kind}({stacked}, axis={2 if op.within else 1})"
        case OverShards():
            return f"{names[0]}.copy()  # of one shard" if shape else names[0]
        case _:
            assert_never(op)


def _grouped(op: GroupedMatMul, operands: tuple[Symbol, ...]) -> str:
    """The product of each group, as the reference engine takes it."""
    (left, right), g = operands, op.groups
    a, b = int(left.shape[1]) // g, int(right.shape[1])
    if op.transpose_left:
        b //= g
        if op.shared:
            return f"{left}.reshape(-1, {a}).T @ {right}.reshape(-1, {b})"
        turned = f"{left}.reshape(len({left}), {g}, {a}).transpose(1, 2, 0)"
        other = f"{right}.reshape(len({right}), {g}, {b}).swapaxes(0, 1)"
        return f"({turned} @ {other}).reshape({g * a}, {b})"
    below = int(right.shape[0]) // (1 if op.shared else g)
    width = g * (below if op.transpose_right else b)
    if op.shared:
        product = f"({left}.reshape(-1, {a}) @ {right}{'.T' * op.transpose_right})"
        return f"{product}.reshape(len({left}), {width})"
    stacked = f"{left}.reshape(len({left}), {g}, {a}).swapaxes(0, 1)"
    weights = f"{right}.reshape({g}, {below}, {b}){'.swapaxes(1, 2)' * op.transpose_right}"
    return f"({stacked} @ {weights}).swapaxes(0, 1).reshape(len({left}), {width})"


def _named_rows(op: Gather | ScatterAdd | AtRows, tokens: str) -> str:
    """The rows that the tokens name, as code."""
    if op.starts:
        return f"{tokens} + np.array([{', '.join(map(str, op.starts))}])"
    return tokens if op.column is None else f"{tokens}[:, {op.column}]"


def _looked_up(op: Gather, table: str, tokens: str) -> str:
    rows = _named_rows(op, tokens)
    value = f"{table}[{rows}]"
    if op.padding is not None:
        value = f"np.where(({rows} != {op.padding})[..., None], {value}, 0)"
    if op.starts:
        return f"{value}.sum(axis=1)"
    return value if op.column is not None else f"{value}.reshape(len({tokens}), -1)"


def _added(op: ScatterAdd, target: str, pieces: str, tokens: str, width: int) -> str:
    rows = _named_rows(op, tokens)
    if op.starts:
        return f"np.add.at({target}, {rows}, {pieces}[:, None])"
    if op.padding is not None:
        some = f"{rows} != {op.padding}"
        return f"np.add.at({target}, {rows}[{some}], {pieces}.reshape(*{rows}.shape, -1)[{some}])"
    if op.column is not None:
        return f"np.add.at({target}, {rows}, {pieces})"
    return f"np.add.at({target}, {tokens}.reshape(-1), {pieces}.reshape(-1, {width}))"


def _rows(program: Program) -> str:
    """How many samples there are."""
    return f"len({next((s.name for s in program.given if s.batched), 'X')})"


def _pieces(op: Beside, operands: tuple[Symbol, ...]) -> list[str]:
    """The operands in their order, and zeros for columns that none of them covers."""
    gaps = op.gaps(operands)
    pieces = []
    for gap, symbol in zip(gaps, [*operands, None], strict=True):
        if gap:
            pieces.append(f"np.zeros((len({operands[0].name}), {gap}))")
        if symbol is not None:
            pieces.append(symbol.name)
    return pieces


def _code(equation: Equation, within: Mapping[str, str], samples: str) -> str:
    target = equation.target.name
    code = f"{target} = {_right(equation, within, samples)}"
    if isinstance(equation.op, ScatterAdd):
        pieces, tokens = (s.name for s in equation.operands)
        code += f"\n{_added(equation.op, target, pieces, tokens, int(equation.target.shape[1]))}"
    return code


def source_lines(program: Program) -> list[CodeLine]:
    """The assignments of the function's body; a product before its bias is written in place."""
    uses: dict[str, int] = {}
    for equation in writable(program).equations:
        counts: Mapping[str, int] = Counter(s.name for s in equation.operands)
        if isinstance(equation.op, Elementwise | Reduce | AtRows):
            counts = {x.name: k for x, k in occurrences(equation.op.expression).items() if isinstance(x, Variable)}
        for name, count in counts.items():
            uses[name] = uses.get(name, 0) + count
    read_by_expression = {
        s.name for e in program.equations if isinstance(e.op, Elementwise | Reduce | AtRows) for s in e.operands
    }
    ends = {program.prediction.name, *(g.name for _, g in program.gradients)}
    within: dict[str, str] = {}
    inside: dict[str, Equation] = {}
    lines, samples = [], _rows(program)
    for section, equations in program.sections():
        for equation in equations:
            target: Symbol = equation.target
            once = target.role == "temporary" and uses.get(target.name) == 1 and target.name in read_by_expression
            if once and isinstance(equation.op, MatMul) and target.name not in ends:
                within[target.name] = _right(equation, within, samples)
                inside[target.name] = equation
                continue
            read = [inside[s.name].operands if s.name in inside else (s,) for s in equation.operands]
            operands = tuple(dict.fromkeys(s.name for part in read for s in part))
            targets = (*(s.name for s in equation.operands if s.name in inside), target.name)
            code = _code(equation, within, samples)
            lines.append(CodeLine(section, targets, operands, code, shape_text(target.shape)))
    return lines


def source(program: Program) -> str:
    """A Python module: the helpers that are needed and `step`, which returns Ŷ, J, the gradients and what was updated.

    step takes the data by position and everything stored by name; rates and counters are numbers.
    """
    body = source_lines(program)
    text = "\n".join(line.code for line in body)
    helpers = [code for name, code in _HELPERS.items() if f"{name}(" in text]
    data = [s.name for s in program.given if s.role in ("input", "target", "weight")]
    stored = [s.name for s in program.given if s.role in STORED]
    numbers = [s.name for s in program.given if s.role in ("rate", "counter")]
    keywords = [*stored, *numbers]
    signature = ", ".join([*data, *(["*", *keywords] if keywords else [])])
    wanted = [program.prediction.name]
    if program.objective is not None:
        wanted.append(program.objective.name)
    wanted += [g.name for _, g in program.gradients]
    wanted += [e.target.name for e in program.update if e.target.role in STORED]
    out = ["import numpy as np"]
    if special := [name for name in ("erf", "erfc") if f"{name}(" in text]:
        out.append(f"from scipy.special import {', '.join(special)}")
    out += ["", *(f"\n{code}" for code in helpers), ""]
    out.append(f"def step({signature}):")
    as_they_are = ", and products of numbers as they are" if program.parts else ""
    out.append(f'    """One step of the network: rows are samples, arrays are float64{as_they_are}."""')
    if any(s.name == BATCH for s in program.given):
        out.append(f"    {BATCH} = np.float64({_rows(program)})")
    if "t" in numbers:
        out.append("    t = np.float64(t)")
    width = min(max((len(x) for line in body for x in line.code.split("\n")), default=0), 60)
    section = ""
    for line in body:
        if line.section != section:
            section = line.section
            out += ["", f"    # {section}"]
        first, *rest = line.code.split("\n")
        out.append(f"    {first:<{width}}  # {line.shape}")
        out += [f"    {x}" for x in rest]
    pairs = ", ".join(f'"{name}": {name}' for name in dict.fromkeys(wanted))
    out += ["", f"    return {{{pairs}}}", ""]
    return "\n".join(out)
