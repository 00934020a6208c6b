"""The machine that code is made for: vector width, registers, multiply-add, caches."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from chainrule.errors import unknown_name

REALS = {"float32": ("float", 4), "float64": ("double", 8)}


@dataclass(frozen=True)
class Target:
    """A processor as the emitter sees it."""

    triple: str
    """LLVM's name of the machine: x86_64-unknown-linux-gnu, wasm32-unknown-unknown."""
    cpu: str
    """LLVM's name of the processor."""
    features: str
    """Its features, +avx2,-sse4a, beside those that the processor's name stands for."""
    vector_bytes: int
    """Width of a vector register; 0 where a register holds one number."""
    registers: int
    """How many vector registers there are."""
    fma: bool
    """Whether a fused multiply-add is one instruction."""
    l1: int = 32 << 10
    """Bytes of data cache of one core, level 1."""
    l2: int = 512 << 10
    """Bytes of cache of one core, level 2."""
    tiles: Literal["", "instructions", "emulated"] = ""
    """Whether there are matrix tiles for bfloat16, or vector code is to take their place."""

    @property
    def architecture(self) -> str:
        """The first word of the triple, by the name that LLVM's own back ends have."""
        word = self.triple.split("-", 1)[0]
        return _ALIASES.get(word, word)

    @functools.cached_property
    def on(self) -> frozenset[str]:
        """The features that are named as there."""
        return frozenset(word[1:] for word in self.features.split(",") if word.startswith("+"))

    @property
    def pointer_bytes(self) -> int:
        """Bytes of an address."""
        return 4 if self.architecture in ("wasm32", "i686", "arm", "armv7", "nvptx") else 8


_ALIASES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686"}


@dataclass(frozen=True)
class RealType:
    """Numbers of one dtype on one target: LLVM's types for one of them and for a vector register full.

    Raises ValueError for another dtype than float32 and float64.
    """

    target: Target
    """The processor."""
    dtype: str
    """float32 or float64."""

    def __post_init__(self) -> None:
        if self.dtype not in REALS:
            raise ValueError(unknown_name("dtype", self.dtype, REALS))

    @functools.cached_property
    def real(self) -> str:
        """LLVM's name of the scalar type."""
        return REALS[self.dtype][0]

    @functools.cached_property
    def itemsize(self) -> int:
        """Bytes of one scalar."""
        return REALS[self.dtype][1]

    @functools.cached_property
    def lanes(self) -> int:
        """Scalars in one vector register (VW)."""
        return max(1, self.target.vector_bytes // self.itemsize)

    @functools.cached_property
    def vector(self) -> str:
        """LLVM's name of the vector type; of the scalar type where a register holds one number."""
        return f"<{self.lanes} x {self.real}>" if self.lanes > 1 else self.real


def described(
    triple: str,
    cpu: str = "",
    features: str = "",
    *,
    implied: Iterable[str] = (),
    l1: int = 32 << 10,
    l2: int = 512 << 10,
) -> Target:
    """The target of LLVM's names.

    features: "+simd128,-avx"; implied: those that the processor's name stands for.
    """
    on = {*implied, *(word[1:] for word in features.split(",") if word.startswith("+"))}
    bare = Target(triple, cpu, features, 16, 32, True, l1, l2)
    match bare.architecture:
        case "x86_64" | "i686":
            registers = 8 if bare.architecture == "i686" else 16
            if {"avx512f", "avx512vl", "avx512dq"} <= on:
                # Without this LLVM may stay with 256-bit vectors on machines whose tuning prefers them.
                features = ",".join(filter(None, (features, "-prefer-256-bit")))
                tiles: Literal["", "instructions"] = "instructions" if {"amx-tile", "amx-bf16"} <= on else ""
                return replace(bare, features=features, vector_bytes=64, tiles=tiles)
            if {"avx2", "fma"} <= on:
                return replace(bare, vector_bytes=32, registers=registers)
            return replace(bare, registers=registers, fma="fma" in on)
        case "aarch64" | "aarch64_be":
            return bare
        case "wasm32" | "wasm64":
            return replace(bare, vector_bytes=16 if "simd128" in on else 0, fma=False)
        case "nvptx64" | "nvptx" | "amdgcn":  # a thread is a lane
            return replace(bare, vector_bytes=0, registers=255)
        case other:
            return replace(bare, fma=other.startswith(("riscv", "ppc64", "powerpc64")))


def _cache_size(index: int, default: int) -> int:
    """Bytes of the cache that Linux lists at `index` of the first core (0: level 1 data, 2: level 2)."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu0/cache/index{index}/size").read_text(encoding="ascii").strip()
        size = int(text[:-1]) << {"K": 10, "M": 20}[text[-1]]
    except (OSError, ValueError, KeyError, IndexError):
        return default
    return size if 8 << 10 <= size <= 64 << 20 else default


@functools.cache
def host() -> Target:
    """This machine."""
    from llvmlite import binding as llvm

    flags = dict(llvm.get_host_cpu_features())
    features = ",".join(("+" if on else "-") + name for name, on in sorted(flags.items()))
    l1, l2 = _cache_size(0, 32 << 10), _cache_size(2, 512 << 10)
    return described(llvm.get_process_triple(), llvm.get_host_cpu_name(), features, l1=l1, l2=l2)


_LINUX = "unknown-linux-gnu"
_NAMED: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "x86-64-v2": (f"x86_64-{_LINUX}", "x86-64-v2", "", ()),
    "x86-64-v3": (f"x86_64-{_LINUX}", "x86-64-v3", "", ("avx2", "fma")),
    "x86-64-v4": (f"x86_64-{_LINUX}", "x86-64-v4", "", ("avx2", "fma", "avx512f", "avx512vl", "avx512dq")),
    "amx": (f"x86_64-{_LINUX}", "sapphirerapids", "", ("avx512f", "avx512vl", "avx512dq", "amx-tile", "amx-bf16")),
    "aarch64": (f"aarch64-{_LINUX}", "generic", "", ()),
    "wasm32": ("wasm32-unknown-unknown", "generic", "+simd128", ()),
    "nvptx64": ("nvptx64-nvidia-cuda", "sm_80", "", ()),
}
"""By name: triple, processor, features, and those that the processor's name stands for."""


def named(name: str) -> Target:
    """A machine by name: "host", or one of the table.  Raises ValueError for another."""
    if name == "host":
        return host()
    if name not in _NAMED:
        raise ValueError(unknown_name("target", name, ["host", *_NAMED]))
    triple, cpu, features, implied = _NAMED[name]
    return described(triple, cpu, features, implied=implied)
