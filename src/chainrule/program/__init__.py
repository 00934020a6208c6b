"""The language that a derivation is written in: symbols, scalar expressions, operations, equations, programs."""

from chainrule.program.derivative import differentiate
from chainrule.program.equation import Equation, Program
from chainrule.program.layout import ParameterLayout
from chainrule.program.op import (
    OPERATIONS,
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
from chainrule.program.scalar import Expression
from chainrule.program.symbol import Symbol
from chainrule.program.verify import verify

__all__ = [
    "OPERATIONS",
    "AtRows",
    "Beside",
    "Columns",
    "Elementwise",
    "Equation",
    "Expression",
    "Gather",
    "GroupedMatMul",
    "Mask",
    "MatMul",
    "OneHot",
    "Op",
    "OverShards",
    "ParameterLayout",
    "Program",
    "Reduce",
    "ReduceGroups",
    "Repeat",
    "ScatterAdd",
    "Symbol",
    "differentiate",
    "verify",
]
