"""The language that a derivation is written in: symbols, scalar expressions, operations, equations, programs."""

from chainrule.program.derivative import differentiate
from chainrule.program.equation import Equation, Program
from chainrule.program.layout import ParameterLayout
from chainrule.program.op import (
    OPERATIONS,
    Beside,
    Columns,
    Elementwise,
    Gather,
    Mask,
    MatMul,
    OneHot,
    Op,
    Reduce,
    ScatterAdd,
)
from chainrule.program.scalar import Expression
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify

__all__ = [
    "OPERATIONS",
    "Beside",
    "Columns",
    "Elementwise",
    "Equation",
    "Expression",
    "Gather",
    "Mask",
    "MatMul",
    "OneHot",
    "Op",
    "ParameterLayout",
    "Program",
    "Reduce",
    "ScatterAdd",
    "Symbol",
    "differentiate",
    "verify",
]
