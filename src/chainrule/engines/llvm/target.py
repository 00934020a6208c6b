"""The machine that code is made for: vector width, registers, multiply-add, caches; and the tile sizes it allows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import unknown_name

REALS = {"float32": ("float", 4), "float64": ("double", 8)}


@dataclass(frozen=True)
class Target:
    """A processor as the emitter sees it.

    triple, cpu, features: LLVM's names; vector_bytes: width of a vector register; registers: how many of them;
    fma: whether a fused multiply-add is one instruction; l1, l2: bytes of data cache of one core.
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    fma: bool
    l1: int = 32 << 10
    l2: int = 512 << 10

    def layout(self, dtype: str) -> Layout:
        """The vector geometry for `dtype`, "float32" or "float64"."""
        if dtype not in REALS:
            raise ValueError(unknown_name("dtype", dtype, REALS))
        return Layout(self, dtype)


@dataclass(frozen=True)
class Layout:
    """How values of one dtype lie in memory on one target, and how large a register tile may be."""

    target: Target
    dtype: str

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
        return self.target.vector_bytes // self.itemsize

    @functools.cached_property
    def vector(self) -> str:
        """LLVM's name of the vector type."""
        return f"<{self.lanes} x {self.real}>"

    @property
    def vectors(self) -> int:
        """Vectors side by side in a panel (nv)."""
        return 2

    @functools.cached_property
    def panel(self) -> int:
        """Scalars in one panel line (NR): samples of a batch value, features of a weight."""
        return self.lanes * self.vectors

    def panels(self, n: int) -> int:
        """How many panels hold n samples or features."""
        return -(-n // self.panel)

    def padded(self, n: int) -> int:
        """n rounded up to whole panels: the length of a bias, and of a row for row_predict."""
        return self.panels(n) * self.panel

    def batch_size(self, m: int, n: int) -> int:
        """Scalars stored for a batch value of shape (m, n)."""
        return self.panels(m) * n * self.panel

    def weight_size(self, k: int, n: int) -> int:
        """Scalars stored for a weight of shape (k, n)."""
        return self.panels(n) * k * self.panel

    def tile_rows(self, vectors: int) -> int:
        """The most rows of a register tile `vectors` wide: the sums, the line of vectors, a broadcast or two."""
        if not self.target.fma and self.target.registers <= 16:
            return 4  # each product needs a register of its own before it is added
        if self.target.vector_bytes <= 16 and self.target.registers > 16:
            return 8  # sixteen sums fill four units, and broadcasts are loaded ahead into registers
        spare = self.target.registers - vectors - (1 if self.target.registers <= 16 else 2)
        return max(1, min(spare // vectors, 14))

    @property
    def chains(self) -> int:
        """Independent sums that keep the multiply-add units busy (latency 4 cycles, two a cycle)."""
        return 8


def _tuned(triple: str, cpu: str, features: str, known: dict[str, bool], l1: int, l2: int) -> Target:
    arch = triple.split("-", 1)[0]
    if arch in ("aarch64", "arm64", "aarch64_be"):
        return Target(triple, cpu, features, 16, 32, True, l1, l2)
    if arch in ("x86_64", "amd64", "i686", "i386"):
        wide = known.get("avx512f", False) and known.get("avx512vl", False) and known.get("avx512dq", False)
        if wide:
            # Without this LLVM may stay with 256-bit vectors on machines whose tuning prefers them.
            features = ",".join(filter(None, (features, "-prefer-256-bit")))
            return Target(triple, cpu, features, 64, 32, True, l1, l2)
        registers = 8 if arch in ("i686", "i386") else 16
        if known.get("avx2", False) and known.get("fma", False):
            return Target(triple, cpu, features, 32, registers, True, l1, l2)
        return Target(triple, cpu, features, 16, registers, known.get("fma", False), l1, l2)
    return Target(triple, cpu, features, 16, 32, arch.startswith(("riscv", "ppc64", "powerpc64")), l1, l2)


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

    known = dict(llvm.get_host_cpu_features())
    features = ",".join(("+" if on else "-") + name for name, on in sorted(known.items()))
    cpu = llvm.get_host_cpu_name()
    return _tuned(llvm.get_process_triple(), cpu, features, known, _cache_size(0, 32 << 10), _cache_size(2, 512 << 10))


_NAMED = {
    "x86-64-v2": ("x86_64-unknown-linux-gnu", "x86-64-v2", ()),
    "x86-64-v3": ("x86_64-unknown-linux-gnu", "x86-64-v3", ("avx2", "fma")),
    "x86-64-v4": ("x86_64-unknown-linux-gnu", "x86-64-v4", ("avx2", "fma", "avx512f", "avx512vl", "avx512dq")),
    "aarch64": ("aarch64-unknown-linux-gnu", "generic", ()),
}


def named(name: str) -> Target:
    """A machine by name: "host", "x86-64-v2", "x86-64-v3", "x86-64-v4" or "aarch64"."""
    if name == "host":
        return host()
    if name not in _NAMED:
        raise ValueError(unknown_name("target", name, ["host", *_NAMED]))
    triple, cpu, known = _NAMED[name]
    return _tuned(triple, cpu, "", dict.fromkeys(known, True), 32 << 10, 512 << 10)
