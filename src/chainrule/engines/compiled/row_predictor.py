"""Single samples through the network's own arrays: the caller's side of the code in lower/one_sample.py."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.plan import Plan
from chainrule.engines.compiled.plan.memory import ROW
from chainrule.engines.compiled.plan.stages import Arrange, Flat, Lookup, PerSample, Product, Scalars
from chainrule.engines.llvm import jit
from chainrule.engines.llvm.emit import Module
from chainrule.program.op import GroupedMatMul, ReduceGroups, Repeat
from chainrule.program.symbol import STORED

Array = NDArray[Any]


def supports(plan: Plan) -> bool:
    """Whether a plan is a plain forward pass."""
    kinds = (Product, PerSample, Lookup, Arrange, Flat, Scalars)
    if plan.packings:  # its products are of numbers as they are
        return False
    stages = [s for s in plan.stages if s.equations]
    if any(isinstance(e.op, GroupedMatMul | Repeat | ReduceGroups) for s in stages for e in s.equations):
        return False
    forward = all(s.form == "forward" for s in stages if isinstance(s, Product))
    reads = any(s.role == "input" for s in plan.program.given)  # a constant prediction has no use for X
    return reads and forward and all(isinstance(s, kinds) for s in stages)


class RowPredictor:
    """Ŷ of one sample in a microsecond or two: buffers that are used again, a call without arguments to convert.

    call(X) is Ŷ (1, n), or None where the ordinary way has to say what is wrong with X.  A call borrows its buffers;
    one that begins before another has ended (on another thread, or in a handler of signals) takes others.
    """

    def __init__(self, plan: Plan, layout: PanelLayout, dtype: np.dtype[Any], stored: dict[str, Array]) -> None:
        program = plan.program
        given = next(s for s in program.given if s.role == "input")
        inputs = int(given.shape[1])
        base = min((a.ctypes.data for a in stored.values()), default=0)
        offsets = {name: (array.ctypes.data - base) // dtype.itemsize for name, array in stored.items()}
        size = 0
        for name, symbol in plan.program.symbols.items():
            if symbol.role in STORED or symbol.integers or symbol == given:
                continue
            if name in plan.kept or any(name == e.target.name for s in plan.stages for e in s.equations):
                offsets[name] = size
                width = int(symbol.shape[-1]) if symbol.shape else 1
                size += layout.padded(width) + layout.panel

        def build() -> Module:
            from chainrule.engines.compiled.lower.one_sample import lower_row  # not loaded for what is in the cache

            return lower_row(plan, layout, offsets)

        key = f"row|{plan.recipe.key(program)}|{sorted(offsets.items())}"
        self._code = jit.load(layout.target, dtype.name, key, build, jit.About("row", plan.__str__))
        self.shape = (1, inputs)
        self._keep = stored
        outputs, start = int(program.prediction.shape[1]), offsets[program.prediction.name]
        dtype_of_x = np.dtype(np.int64) if given.integers else dtype

        def buffers() -> Buffers:
            x, workspace = pack.aligned(layout.padded(inputs), dtype_of_x), pack.aligned(max(size, 1), dtype)
            return (
                x[:inputs].reshape(1, inputs),
                workspace[start : start + outputs].reshape(1, outputs),
                (ctypes.c_void_p(base), ctypes.c_void_p(workspace.ctypes.data), ctypes.c_void_p(x.ctypes.data)),
            )

        native = self._code.function(ROW, *[ctypes.c_void_p] * 3, returns=ctypes.c_int64)
        self.call: Callable[[Array], Array | None] = _call(native, "iub" if given.integers else "fiub", buffers)


Buffers = tuple[Array, Array, tuple[ctypes.c_void_p, ...]]
"""Where x (1, n) goes, where Ŷ comes out, and the arguments of the call: the stored arrays, the workspace, x."""


def _call(native: Any, kinds: str, buffers: Callable[[], Buffers]) -> Callable[[Array], Array | None]:
    """The call with everything it needs in local names: each look-up counts here.

    A list is a pool of buffers without a lock: to take from it and to add to it is one step for the interpreter each.
    """
    idle: list[Buffers] = [buffers()]
    take, give = idle.pop, idle.append

    def call(X: Array) -> Array | None:
        if X.dtype.kind not in kinds:
            return None
        try:
            mine = take()
        except IndexError:
            mine = buffers()
        into, out, arguments = mine
        try:
            into[...] = X
        except (Warning, FloatingPointError):  # too large for the dtype, where that is made an error
            return None
        found = out.copy() if native(*arguments) else None
        give(mine)
        return found

    return call
