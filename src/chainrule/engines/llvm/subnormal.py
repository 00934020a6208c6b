"""Machine code's door: numbers below the smallest normal one are 0 within it, and the caller's settings are put back.

A processor takes many times as long over such numbers (subnormal, denormal) as over others, and they come in crowds:
what decays, as an optimizer's moments of a feature that is rarely there, ends among them.  In the settings of a core,
one bit takes operands that are subnormal as 0 and one bit makes results so; on machines that have neither, numbers stay
as they are.
"""

from __future__ import annotations

from chainrule.engines.llvm.emit import Function, Module, Value

X86 = 0x8040
"""Of MXCSR: flush to zero (bit 15), denormals are zero (bit 6).  Intel, Software Developer's Manual, vol. 1, 10.2.3."""
ARM = 1 << 24
"""Of FPCR: flush to zero (FZ), operands and results.  Arm, Architecture Reference Manual, FPCR."""


def entry(module: Module, name: str, inner: Function) -> Function:
    """The function to be called from outside: `inner`, with subnormal numbers taken as 0 while it runs."""
    f = module.function(name, [x.type for x in inner.args], inner.returns)
    before = _settings(f)
    if before is not None:
        _set(f, f.bits("or", before, X86 if before.type == "i32" else ARM))
    result = f.call(inner, *f.args)
    if before is not None:
        _set(f, before)
    f.ret(None if inner.returns == "void" else result)
    return f


def _settings(f: Function) -> Value | None:
    """The settings of the core that runs this; None where there are no such bits."""
    match f.module.target.architecture:
        case "x86_64":
            f.module.declarations["llvm.x86.sse.stmxcsr"] = "declare void @llvm.x86.sse.stmxcsr(ptr)"
            place = f.alloca("i32", 1)
            f.line(f"call void @llvm.x86.sse.stmxcsr(ptr {place.text})")
            return f.load("i32", place)
        case "aarch64":
            f.module.declarations["llvm.aarch64.get.fpcr"] = "declare i64 @llvm.aarch64.get.fpcr()"
            return f.emit("i64", "call i64 @llvm.aarch64.get.fpcr()")
    return None


def _set(f: Function, settings: Value) -> None:
    if settings.type == "i32":
        f.module.declarations["llvm.x86.sse.ldmxcsr"] = "declare void @llvm.x86.sse.ldmxcsr(ptr)"
        place = f.alloca("i32", 1)
        f.store(settings, place)
        f.line(f"call void @llvm.x86.sse.ldmxcsr(ptr {place.text})")
    else:
        f.module.declarations["llvm.aarch64.set.fpcr"] = "declare void @llvm.aarch64.set.fpcr(i64)"
        f.line(f"call void @llvm.aarch64.set.fpcr(i64 {settings.text})")
