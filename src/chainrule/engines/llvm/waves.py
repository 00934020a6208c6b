"""Sine and cosine as straight-line vector code: x = n π/2 + r with |r| ≤ π/4, and a polynomial in r.

Of float32, r is computed in float64.  Errors stay below 1.5 units in the last place (float32) and 2 (float64).  The
reduction holds to |x| = 2**45 (without fused multiply-add to a million); beyond it, where the next number is whole
turns away, the result is NaN.  The constants are those of FreeBSD's msun (k_sin.c, k_cos.c, k_sinf.c, k_cosf.c,
e_rem_pio2.c).
"""

from __future__ import annotations

import math

from chainrule.engines.llvm.emit import Function, Value, element_of
from chainrule.engines.llvm.vecmath import polynomial

LIMIT = 2.0**45
"""The largest |x|."""
_MAGIC = 6755399441055744.0
"""1.5 · 2**52: added to x, it leaves x rounded to an integer in the low bits."""
_QUARTERS = (1.57079632673412561417, 6.07710050630396597660e-11, 2.02226624871116645580e-21, 8.47842766036889956997e-32)
"""π/2 in parts, of which n times each but the last is exact."""
_TWO = (1.5707963267948966, 6.123233995736766e-17)
"""The same for float32, whose digits these are enough for."""
_SINE = {
    "float": (-1.66666666416265235595e-01, 8.3333293858894631756e-03, -1.98393348360966317347e-04,
              2.7183114939898219064e-06),
    "double": (-1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04,
               2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10),
}  # fmt: skip
"""sin r = r + r³ p(r²)"""
_COSINE = {
    "float": (-4.99999997251031003120e-01, 4.16666233237390631894e-02, -1.38867637746099294692e-03,
              2.43904487962774090654e-05),
    "double": (-0.5, 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05,
               -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11),
}  # fmt: skip
"""cos r = 1 + r² p(r²)"""


def sin(f: Function, x: Value) -> Value:
    """The sine of x, in radians"""
    return _wave(f, x, 0)


def cos(f: Function, x: Value) -> Value:
    """The cosine of x, in radians"""
    return _wave(f, x, 1)


def _wave(f: Function, x: Value, ahead: int) -> Value:
    """sin(x + ahead π/2)"""
    element = element_of(x.type)
    wide = x if element == "double" else f.convert("fpext", x, "double")
    t = f.fma(wide, 2 / math.pi, _MAGIC)
    n = f.fsub(t, _MAGIC)
    r = wide
    for part in _QUARTERS if element == "double" else _TWO:
        r = f.fma(n, -part, r)
    quarter = f.bits("add", f.convert("bitcast", t, "i64"), ahead)
    integer, top = "i64", 62
    if element == "float":
        r, quarter = f.convert("fptrunc", r, element), f.convert("trunc", quarter, "i32")
        integer, top = "i32", 30
    square = f.fmul(r, r)
    odd = f.fma(f.fmul(square, r), polynomial(f, square, _SINE[element]), r)
    even = f.fma(square, polynomial(f, square, _COSINE[element]), 1.0)
    other = f.icmp("ne", f.bits("and", quarter, 1), 0)
    flip = f.bits("shl", f.bits("and", quarter, 2), top)
    value = f.convert("bitcast", f.select(other, even, odd), integer)
    signed = f.convert("bitcast", f.bits("xor", value, flip), element)
    return f.select(f.fcmp("ole", f.fabs(x), LIMIT), signed, math.nan)
