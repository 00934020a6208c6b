"""From IR text to machine code in this process, by way of the cache on disk."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from chainrule.engines.llvm import cache, dump
from chainrule.engines.llvm.emit import Module
from chainrule.engines.llvm.target import Target
from chainrule.engines.llvm.team import inside

# The emitter writes loops, tiles and unrolling as they are to be: no pass over the IR pays for its time, and the code
# generator's third level takes longer for the same code.
CODEGEN_LEVEL = 2
PART = 2000
"""Lines of IR that are compiled at a time, which nothing interrupts: a tenth of a second."""
_LIBRARY = 64
"""Functions of the system's library that LLVM may call by itself, at most: memset, memcpy, ..."""
_SEVERAL = b"chainrule objects\n"


@functools.cache
def _llvm(native: bool) -> Any:
    from llvmlite import binding as llvm

    if native:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    else:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    return llvm


def _backend(target: Target) -> Any:
    from llvmlite import binding as llvm

    return _llvm(target.architecture == replace(target, triple=llvm.get_process_triple()).architecture)


def _machine(target: Target) -> Any:
    llvm = _backend(target)
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=CODEGEN_LEVEL, reloc="pic", codemodel="default", jit=True
    )


def _parsed(target: Target, text: str, machine: Any) -> Any:
    """LLVM's own form of a module's text, verified, with the sizes and alignments of its target."""
    parsed = _backend(target).parse_assembly(text)
    parsed.data_layout = str(machine.target_data)
    parsed.verify()
    return parsed


def object_code(module: Module) -> bytes:
    """The module as an object file for its target, or several of them, packed.

    Signals are heard between two of them.  Raises RuntimeError if the IR does not hold together.
    """
    machine, objects = _machine(module.target), []
    for text in module.parts(PART):
        with inside():
            parsed = _parsed(module.target, text + _room(text), machine)
            objects.append(bytes(machine.emit_object(parsed)))
            parsed.close()  # by itself it would be closed where an interrupt is lost: in a destructor
    return objects[0] if len(objects) == 1 else _SEVERAL + b"".join(struct.pack("<Q", len(o)) + o for o in objects)


def _room(text: str) -> str:
    """Memory to write to, for the addresses of functions in other objects: LLVM reserves none for them."""
    addresses = text.count("declare ") + _LIBRARY
    array = f"[{addresses} x i64]"
    return f"\n@room = internal global {{ i64, {array} }} {{ i64 1, {array} zeroinitializer }}\n"


def objects(binary: bytes) -> Iterator[bytes]:
    """The object files of what `object_code` has made."""
    if not binary.startswith(_SEVERAL):
        yield binary
        return
    at = len(_SEVERAL)
    while at < len(binary):
        (size,) = struct.unpack_from("<Q", binary, at)
        yield binary[at + 8 : at + 8 + size]
        at += 8 + size


def assembly(module: Module) -> str:
    """The module as assembly text.  Raises RuntimeError if the IR does not hold together."""
    machine = _machine(module.target)
    return str(machine.emit_assembly(_parsed(module.target, module.text(), machine)))


def has_backend(target: Target) -> bool:
    """Whether this build of LLVM can make code for the target."""
    llvm = _backend(target)
    try:
        llvm.Target.from_triple(target.triple)
    except RuntimeError:
        return False
    return True


class Code:
    """Machine code loaded into this process; its functions live as long as this object."""

    def __init__(self, target: Target, binary: bytes) -> None:
        llvm = _backend(target)
        empty = llvm.parse_assembly(f'target triple = "{target.triple}"')
        # In one stretch of memory: where others hold the places beside it, code and its numbers may else lie further
        # apart than 2 GB, which they do not reach (LLVM ends the process then).  Elsewhere llvmlite knows best.
        together = True if "linux" in target.triple else None
        self._engine = llvm.create_mcjit_compiler(empty, _machine(target), use_lmm=together)
        for each in objects(binary):
            self._engine.add_object_file(llvm.ObjectFileRef.from_data(each))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """The address of a function."""
        address = int(self._engine.get_function_address(name))
        if not address:
            raise LookupError(f"no function {name!r} in the machine code")
        return address

    def function(self, name: str, *params: Any, returns: Any = None) -> Any:
        """A callable made with ctypes; calling it releases the interpreter lock."""
        function: Any = ctypes.CFUNCTYPE(returns, *params)(self.address(name))
        function._keep = self
        return function


def compile_module(module: Module) -> Code:
    """Compile and load, without the cache."""
    return Code(module.target, object_code(module))


@dataclass(frozen=True)
class About:
    """What is said of code where it is written down to be read (see dump.py)."""

    name: str
    """What it is for: the beginning of its files' names."""
    plan: Callable[[], str]
    """What it was made from, as text."""


def load(target: Target, dtype: str, key: str | bytes, build: Callable[[], Module], about: About | None = None) -> Code:
    """The code that the cache holds for `key` on this target, or what `build` emits, compiled and kept.

    The key must say all that `build` depends on besides the target, the dtype and this package's own source.
    """
    name = cache.entry_name(target, dtype, key)
    place = dump.folder()
    if place is not None:
        module = build()
        texts = {"ll": module.text(), "s": assembly(module)}
        if about is not None:
            texts["plan.txt"] = about.plan() + "\n"
        dump.write(place, f"{'code' if about is None else about.name}-{name[:10]}", texts)
    binary = cache.read(name)
    if binary is None:
        binary = object_code(build())
        cache.write(name, binary)
    with inside():
        return Code(target, binary)
