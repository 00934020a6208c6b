"""A program as JavaScript: a function step({...}) that a page runs, the sibling of the NumPy source.

An array is a Float64Array, a row after the other; a number is a number.  Every equation is one statement: the NumPy
source's expression with an index behind each array, `each(m * 16, (k) => Z1[k] + b1[k % 16])`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from typing import assert_never

from chainrule.errors import FormulaError
from chainrule.notation.javascript_functions import FUNCTIONS, needed
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
    operands_read,
)
from chainrule.program.scalar import Apply, Constant, Expression, Variable
from chainrule.program.symbol import BATCH, STORED, Dimension, Shape, Symbol, broadcast, shape_text
from chainrule.program.text import ATOM, PRECEDENCE

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARE = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "===", "ne": "!=="}
_CALLS = {
    "exp": "Math.exp", "expm1": "Math.expm1", "log": "Math.log", "log1p": "Math.log1p", "tanh": "Math.tanh",
    "sigmoid": "sigmoid", "softplus": "softplus", "sqrt": "Math.sqrt", "erf": "erf", "erfc": "erfc", "sin": "Math.sin",
    "cos": "Math.cos", "abs": "Math.abs", "sign": "Math.sign", "minimum": "Math.min", "maximum": "Math.max",
    "pow": "Math.pow",
}  # fmt: skip
_Text = tuple[str, int]
"""A text, and how tightly it binds."""
_RESERVED = """
    arguments await break case catch class const continue debugger default delete do else enum eval export extends false
    finally for function if implements import in instanceof interface let new null package private protected public
    return static super switch this throw true try typeof undefined var void while with yield
    Math NaN Infinity Number BigInt Float64Array Set k
"""
"""Words that mean something else, and the letter of the elements."""


def javascript(program: Program, wanted: Collection[str] | None = None, *, name: str = "step") -> str:
    """The functions that are needed, and `step({...})`, which takes and returns values by name.

    It takes the data, everything stored, rates and counters; arrays as typed arrays, rows after each other.  It returns
    those that are wanted: by default Ŷ, J, the gradients and what was updated, as the NumPy source.  name: of the
    function.  Raises FormulaError for a program too large to be written, or with an operation or function that has no
    JavaScript.
    """
    return _Printer(writable(program), name).source(wanted)


class _Printer:
    def __init__(self, program: Program, function: str) -> None:
        self.program, self.function = program, function
        taken = {*_RESERVED.split(), *FUNCTIONS, function}
        self.names: dict[str, str] = {}
        """How a symbol is called: by its name, unless that means something else."""
        for name in program.symbols:
            own = name
            while own in taken:
                own += "_"
            taken |= {own}
            self.names[name] = own

    def source(self, wanted: Collection[str] | None) -> str:
        program = self.program
        lines, section = [], ""
        statements = [(part, e, self._statement(e)) for part, equations in program.sections() for e in equations]
        width = min(max((len(code) for _, _, code in statements), default=0), 90)
        for part, equation, code in statements:
            if part != section:
                section = part
                lines += ["", f"  // {section}"]
            lines.append(f"  {code:<{width}} // {shape_text(equation.target.shape)}")
        given = [s for s in program.given if s.name != BATCH]
        out = [FUNCTIONS[name] for name in needed("\n".join(lines))]
        parameters = ", ".join(self._pair(s.name) for s in given)
        out.append(f"\nfunction {self.function}({{ {parameters} }}) {{")
        if sized := next((s for s in given if s.batched), None):
            row = math.prod(int(d) for d in sized.shape[1:])
            out.append(f"  const {BATCH} = {self.names[sized.name]}.length{f' / {row}' if row > 1 else ''};")
        out += lines
        names = self._returned() if wanted is None else list(wanted)
        out += ["", f"  return {{ {', '.join(self._pair(name) for name in names)} }};", "}", ""]
        return "\n".join(out)

    def _returned(self) -> list[str]:
        p = self.program
        names = [p.prediction.name, *([p.objective.name] if p.objective is not None else [])]
        names += [g.name for _, g in p.gradients]
        return list(dict.fromkeys([*names, *(e.target.name for e in p.update if e.target.role in STORED)]))

    def _pair(self, name: str) -> str:
        """name: as a property and as a variable."""
        own = self.names[name]
        return own if own == name else f"{json.dumps(name, ensure_ascii=False)}: {own}"

    def _statement(self, equation: Equation) -> str:
        target = equation.target
        code = f"{self.names[target.name]} = {self._right(equation)};"
        return code if target.role in STORED else f"const {code}"

    # --- operations --------------------------------------------------------------------------------------------

    def _right(self, equation: Equation) -> str:
        op, operands = equation.op, equation.operands
        names = [self.names[s.name] for s in operands]
        match op:
            case MatMul(transpose_left, transpose_right):
                (left, right), (a, b) = names, (s.shape for s in operands)
                rows, inner = a[::-1] if transpose_left else a
                columns = b[0] if transpose_right else b[1]
                left = f"transpose({left}, {a[0]}, {a[1]})" if transpose_left else left
                right = f"transpose({right}, {b[0]}, {b[1]})" if transpose_right else right
                return f"matmul({left}, {right}, {rows}, {inner}, {columns})"
            case Elementwise(e):
                shape = equation.target.shape
                value = self._scalar(e, shape)
                return value if shape == () else f"each({_count(shape)}, {_function(value)})"
            case Reduce(kind, over, e):
                shape = broadcast([s.shape for s in operands]) or ()
                value = _function(self._scalar(e, shape))
                sizes = _count(shape) if over == "all" else ", ".join(str(d) for d in shape)
                return f"{kind}{over.capitalize()}({sizes}, {value})"
            case Gather():
                width = operands[0].shape[1]
                return f"gather({names[0]}, {width}, {self._rows(op, operands[1])}, {self._added(op, operands[1])})"
            case ScatterAdd(count):
                width = equation.target.shape[1]
                rows = self._rows(op, operands[1])
                return f"scatterAdd({count}, {width}, {names[0]}, {rows}, {self._added(op, operands[1])})"
            case AtRows(e):
                read = operands_read(e, (operands[0], *operands[2:]))
                assert read is not None
                rows = self._rows(op, operands[1])
                value = _function(self._scalar(e, operands[0].shape))
                return f"atRows({names[0]}, {operands[0].shape[1]}, {rows}, {value})"
            case Mask(rate, stream, columns):
                share = names[2] if rate is None else _number(rate)
                return f"mask({share}, {names[0]}, {names[1]}, {stream}, {BATCH}, {columns})"
            case OneHot(classes):
                return f"oneHot({names[0]}, {classes})"
            case Beside(starts, width):
                parts = zip(names, starts, operands, strict=True)
                each = ", ".join(f"[{name}, {start}, {s.shape[1]}]" for name, start, s in parts)
                return f"beside({operands[0].shape[0]}, {width}, [{each}])"
            case Columns(start, count):
                return f"columns({names[0]}, {operands[0].shape[1]}, {start}, {count})"
            case GroupedMatMul():
                return self._grouped(op, operands)
            case Repeat(times, within):
                return f"repeat({names[0]}, {operands[0].shape[1]}, {times}, {_truth(within)})"
            case ReduceGroups(kind, groups, within):
                width = int(operands[0].shape[1]) // groups
                fold = "(a, b) => a + b" if kind == "sum" else "Math.max"
                return f"foldGroups({names[0]}, {groups}, {width}, {_truth(within)}, {fold})"
            case OverShards():  # of one shard
                return f"{names[0]}.slice()" if equation.target.shape else names[0]
            case _:
                assert_never(op)

    def _grouped(self, op: GroupedMatMul, operands: tuple[Symbol, ...]) -> str:
        left, right = operands
        g, rows = op.groups, left.shape[0]
        if op.transpose_left:
            function, a, b = "groupsWeights", int(left.shape[1]) // g, int(right.shape[1]) // g
        else:
            function = "groupsBack" if op.transpose_right else "groups"
            a, b = int(right.shape[0]) // (1 if op.shared else g), int(right.shape[1])
        names = f"{self.names[left.name]}, {self.names[right.name]}"
        return f"{function}({names}, {rows}, {g}, {a}, {b}, {_truth(op.shared)})"

    def _rows(self, op: Gather | ScatterAdd | AtRows, tokens: Symbol) -> str:
        """The rows that the tokens name."""
        said = [f"column: {op.column}"] if op.column is not None else []
        said += [f"starts: [{', '.join(map(str, op.starts))}]"] if op.starts else []
        said += [f"padding: {op.padding}"] if op.padding is not None else []
        return f"rowsNamed({self.names[tokens.name]}, {tokens.shape[1]}, {{ {', '.join(said)} }})".replace("{  }", "{}")

    def _added(self, op: Gather | ScatterAdd, tokens: Symbol) -> str:
        """How many rows a sample names; whether they are added up."""
        return f"{op.places(tokens)}, {_truth(bool(op.starts))}"

    # --- expressions -------------------------------------------------------------------------------------------

    def _scalar(self, e: Expression, shape: Shape) -> str:
        """Element k of the expression, whose whole shape this is."""
        return self._expression(e, shape, {})[0]

    def _element(self, name: str, whole: Shape) -> str:
        """Element k of the whole, where a smaller array is repeated over it."""
        own, shape = self.names[name], self.program.symbols[name].shape
        if shape == ():
            return own
        if shape == whole:
            return f"{own}[k]"
        if all(d == 1 for d in shape):
            return f"{own}[0]"
        if len(shape) == 2 and shape[1] == 1:
            return f"{own}[Math.floor(k / {whole[-1]})]"
        return f"{own}[k % {whole[-1]}]"

    def _expression(self, e: Expression, whole: Shape, texts: dict[Expression, _Text]) -> _Text:
        if e not in texts:
            texts[e] = self._written(e, whole, texts)
        return texts[e]

    def _written(self, e: Expression, whole: Shape, texts: dict[Expression, _Text]) -> _Text:
        if isinstance(e, Constant):
            return _number(e.value), ATOM if math.copysign(1.0, e.value) > 0 else PRECEDENCE["neg"]
        if isinstance(e, Variable):
            return self._element(e.name, whole), ATOM
        assert isinstance(e, Apply)
        f, said = e.function, [self._expression(a, whole, texts) for a in e.arguments]
        if f in _INFIX:
            level = PRECEDENCE[f]
            (left, its), (right, other) = said
            return f"{_within(left, its >= level)} {_INFIX[f]} {_within(right, other > level)}", level
        if f == "neg":
            return f"-{_within(said[0][0], said[0][1] >= ATOM)}", PRECEDENCE["neg"]
        if f == "stop":
            return said[0]
        if f in _COMPARE:
            return f"({self._condition(e, whole, texts)} ? 1 : 0)", ATOM
        if f == "where":
            return f"({self._condition(e.arguments[0], whole, texts)} ? {said[1][0]} : {said[2][0]})", ATOM
        if f == "pow" and e.arguments[1] == Constant(2.0):
            return f"square({said[0][0]})", ATOM
        if f not in _CALLS:
            raise FormulaError(f"The function {f} has no JavaScript; those that have: {', '.join(sorted(_CALLS))}.")
        return f"{_CALLS[f]}({', '.join(text for text, _ in said)})", ATOM

    def _condition(self, e: Expression, whole: Shape, texts: dict[Expression, _Text]) -> str:
        """Without the brackets that make it 1 or 0."""
        sides = e.arguments if isinstance(e, Apply) and e.function in _COMPARE else (e, Constant(0.0))
        sign = _COMPARE[e.function] if isinstance(e, Apply) and e.function in _COMPARE else "!=="
        said = [self._expression(x, whole, texts) for x in sides]
        left, right = (_within(text, level >= PRECEDENCE["add"]) for text, level in said)
        return f"{left} {sign} {right}"


def _within(text: str, tight: bool) -> str:
    return text if tight else f"({text})"


def _function(value: str) -> str:
    return f"(k) => {value}"


def _count(shape: Shape) -> str:
    sizes: list[Dimension] = [d for d in shape if d != 1]
    return " * ".join(str(d) for d in sizes) or "1"


def _number(value: float) -> str:
    text = repr(float(value))
    return text.removesuffix(".0")


def _truth(value: bool) -> str:
    return "true" if value else "false"
