"""The table of engines: from each name to what makes the engine.  All that knows an engine by name reads it here."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import numpy as np

from chainrule.engines.base import Engine
from chainrule.errors import MissingDependencyError

EngineFactory = Callable[[np.dtype[Any]], Engine]
"""Makes an engine that computes in a dtype, float32 or float64."""


def can_compile() -> bool:
    """Whether what the compiled engine needs is installed."""
    from importlib.util import find_spec

    return find_spec("llvmlite") is not None


def _compiled(dtype: np.dtype[Any]) -> Engine:
    if not can_compile():
        raise MissingDependencyError(
            'The compiled engine needs llvmlite: pip install llvmlite. Without it there is engine="reference".'
        )
    engine: Engine = _whole("chainrule.engines.compiled.engine").CompiledEngine(dtype)
    return engine


def _whole(name: str) -> Any:
    """The module, which another thread loads if nobody has: llvmlite takes its time.

    A handler of signals that strikes meanwhile, and needs it too, waits for it; on the thread that loads a module it
    would find half of it.
    """
    there = sys.modules.get(name)
    if there is None or getattr(there.__spec__, "_initializing", False):
        thread = threading.Thread(target=_load, args=(name,), daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread begins any more where the process ends
            thread.start()
            thread.join()
    return import_module(name)


def _load(name: str) -> None:
    with contextlib.suppress(ImportError):  # whoever asked tries again, and is told
        import_module(name)


def _reference(dtype: np.dtype[Any]) -> Engine:
    from chainrule.engines.reference import ReferenceEngine

    return ReferenceEngine(dtype)


ENGINES: dict[str, EngineFactory] = {"compiled": _compiled, "reference": _reference}
"""Every engine.  One of your own is a line more, `ENGINES["mine"] = MyEngine`: then `Network(..., engine="mine")`."""

EngineName = Literal["auto", "compiled", "reference"]
"""What `engine=` may be, for editors and type checkers."""
AUTO = "auto"
"""The name that stands for the faster of the two, "compiled" and "reference", for the work at hand (choose.py)."""


def engine_names() -> tuple[str, ...]:
    """All that `engine=` may be: "auto", and each engine's name."""
    return (AUTO, *ENGINES)


def listed(*, quoted: bool = False) -> str:
    """The names in a line: auto, compiled or reference."""
    *most, last = (repr(name) if quoted else name for name in engine_names())
    return f"{', '.join(most)} or {last}"
