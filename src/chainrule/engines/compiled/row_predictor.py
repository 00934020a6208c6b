"""Single samples through the network's own arrays: the caller's side of the code in lower/one_sample.py."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
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
from chainrule.program.symbol import STORED

Array = NDArray[Any]


def supports(plan: Plan) -> bool:
    """Whether a plan is a plain forward pass."""
    kinds = (Product, PerSample, Lookup, Arrange, Flat, Scalars)
    stages = [s for s in plan.stages if s.equations]
    forward = all(s.form == "forward" for s in stages if isinstance(s, Product))
    reads = any(s.role == "input" for s in plan.program.given)  # a constant prediction has no use for X
    return reads and forward and all(isinstance(s, kinds) for s in stages)


_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def _unlock() -> None:
    """In a forked child a lock may be held by a thread that is gone."""
    for lock in list(_locks):
        lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


class RowPredictor:
    """Ŷ of one sample in a microsecond or two: own buffers, a call without arguments to convert, one lock.

    call(X) is Ŷ (1, n), or None where the ordinary way has to say what is wrong with X.
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
        self._x = pack.aligned(layout.padded(inputs), np.int64 if given.integers else dtype)
        self._in = self._x[:inputs].reshape(1, inputs)
        self._workspace = pack.aligned(max(size, 1), dtype)
        outputs = int(program.prediction.shape[1])
        start = offsets[program.prediction.name]
        self._out = self._workspace[start : start + outputs].reshape(1, outputs)
        native = self._code.function(ROW, *[ctypes.c_void_p] * 3, returns=ctypes.c_int64)
        self._native = native
        self._arguments = (
            ctypes.c_void_p(base),
            ctypes.c_void_p(self._workspace.ctypes.data),
            ctypes.c_void_p(self._x.ctypes.data),
        )
        self._keep = stored
        self._lock = threading.Lock()
        _locks.add(self._lock)
        self.call: Callable[[Array], Array | None] = self._make_call()

    def _make_call(self) -> Callable[[Array], Array | None]:
        """The call with everything it needs in local names: each look-up counts here."""
        lock, into, out, native, arguments = self._lock, self._in, self._out, self._native, self._arguments
        kinds = "iub" if into.dtype.kind == "i" else "fiub"

        def call(X: Array) -> Array | None:
            if X.dtype.kind not in kinds:
                return None
            with lock:
                try:
                    into[...] = X
                except (Warning, FloatingPointError):  # too large for the dtype, where that is made an error
                    return None
                return out.copy() if native(*arguments) else None

        return call
