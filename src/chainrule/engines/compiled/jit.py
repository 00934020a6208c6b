"""From IR text to machine code in this process."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

from chainrule.engines.compiled.emit import Module
from chainrule.engines.compiled.target import Target

CODEGEN_LEVEL = 2


@functools.cache
def _llvm() -> Any:
    from llvmlite import binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


def _machine(target: Target, level: int = CODEGEN_LEVEL) -> Any:
    llvm = _llvm()
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=level, reloc="pic", codemodel="default", jit=True
    )


def object_code(module: Module) -> bytes:
    """The module as an object file for its target."""
    llvm = _llvm()
    parsed = llvm.parse_assembly(module.text())
    parsed.verify()
    return bytes(_machine(module.target).emit_object(parsed))


def assembly(module: Module) -> str:
    """The module as assembly text, for reading."""
    return str(_machine(module.target).emit_assembly(_llvm().parse_assembly(module.text())))


class Code:
    """Machine code loaded into this process; the functions live as long as this object."""

    def __init__(self, target: Target, binary: bytes) -> None:
        llvm = _llvm()
        empty = llvm.parse_assembly(f'target triple = "{target.triple}"')
        self._engine = llvm.create_mcjit_compiler(empty, _machine(target))
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(binary))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """The address of a function."""
        found = int(self._engine.get_function_address(name))
        if not found:
            raise LookupError(f"no function {name!r} in the machine code")
        return found

    def function(self, name: str, *params: Any, returns: Any = None) -> Any:
        """A callable made with ctypes; calling it releases the interpreter lock."""
        made = ctypes.CFUNCTYPE(returns, *params)(self.address(name))
        made._keep = self
        return made


def compile_module(module: Module) -> Code:
    """Compile and load."""
    return Code(module.target, object_code(module))
