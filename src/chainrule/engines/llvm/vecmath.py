"""Elementary functions as straight-line vector code, float32 and float64, any number of lanes (1: a plain scalar).

Every function takes the function under construction and a Value, and returns a Value of the same type.  NaN comes out
as NaN; infinities have their limits.  Largest error measured against float64 (float32: a dense sweep of all magnitudes)
or a longer format (float64), in units in the last place:

              float32  float64   notes
    exp        1.0      1.1      results below 2**-125.5 (2**-1021.5) are 0
    expm1      1.3      1.9
    log        0.8      0.8      subnormal arguments are taken in full
    log1p      1.4      1.3
    tanh       2.3      2.4
    sigmoid    2.3      2.3      subnormal results may be 0
    softplus   1.7      1.7      subnormal results may be 0
    erf        1.3      2.0
    erfc       3.3      4.0
    power      0.5      see power

Without fused multiply-add up to 1.5 ulp more.

The polynomials q of expm1, those of erf and those of erfc are fits made for this file; the logarithm's coefficients are
those of FreeBSD's msun (e_logf.c, e_log.c).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.engines.llvm.emit import Function, Operand, Value, element_of

LN2 = 0.6931471805599453
LOG2E = 1.4426950408889634


@dataclass(frozen=True)
class _Format:
    """What the code must know of a floating point format."""

    integer: str  # the integer type of the same width
    mantissa: int  # stored bits
    bias: int
    magic: float  # 1.5 * 2**mantissa: added to x, it leaves x rounded to an integer in the low bits
    exp_range: tuple[float, float]  # below: 0; above: infinity; the scale factor stays representable
    ln2: tuple[float, float]  # high part (few bits: n * high is exact), low part
    expm1: tuple[float, ...]  # q: expm1(r) = r + r**2 q(r) for |r| <= ln2/2
    tanh_limit: float  # tanh rounds to 1 from here
    root_half: int  # the bits of sqrt(1/2)
    log: tuple[float, ...]
    log_ln2: tuple[float, float]
    tiny: float  # smallest normal number
    erf_split: float
    erf_limit: float
    erf_small: tuple[float, ...]  # erf(x) = x + x p(x**2)
    erf_large: tuple[float, ...]  # log(1 - erf(x))
    erfc_bend: float  # K of q = (x - K) / (x + K)
    erfc_limit: float  # erfc is 0 from here
    erfc: tuple[float, ...]  # (1 + 2 x) exp(x**2) erfc(x), in q


_FORMATS = {
    "float": _Format(
        "i32", 23, 127, 12582912.0, (-87.5, 89.0), (0.693359375, -2.12194440e-4),
        (0.5000000062900585, 0.16666542959248, 0.04166627793923, 0.00836658686661, 0.00139467305396),
        10.0, 0x3F3504F3,
        (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841),
        (6.9313812256e-01, 9.0580006145e-06), 2.0**-126,
        0.925, 4.0,
        (0.128379149439738883, -0.3761249025686544, 0.11281759123776406, -0.026763952454627503, 0.00498858003196469,
         -0.00059645635685741),
        (0.00017509024937897, -1.12951694531412459, -0.63334270866803375, -0.10828484141023524, 0.025122581571965438,
         -0.0041722897281014, 0.00043472130680679, -0.0000211178607980899),
        2.0, 10.2,
        (1.276978391667678, -0.09276390249836232, -0.16603133924025762, 0.1640532755049752, -0.05420530140019787,
         -0.008045223174704427, 0.008638677018449465, 0.0012745741034923864, -0.001253207545324541,
         -0.0003652674450404932, 2.6245844936647274e-05),
    ),
    "double": _Format(
        "i64", 52, 1023, 6755399441055744.0, (-708.7, 710.0), (6.93147180369123816490e-01, 1.90821492927058770002e-10),
        (0.5000000000000005587, 0.1666666666666668284, 0.04166666666657318794, 0.008333333333316767133,
         0.001388888893251224304, 0.0001984126989619637878, 0.00002480150429808756221, 2.755723229940033893e-6,
         2.762638087713098452e-7, 2.511310054313865914e-8),
        22.0, 0x3FE6A09E667F3BCD,
        (6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
         1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01),
        (6.93147180369123816490e-01, 1.90821492927058770002e-10), 2.0**-1022,
        1.0, 6.0,
        (0.1283791670955125668, -0.3761263890318354618, 0.1128379167094524207, -0.02686617064327510945,
         0.005223977607417733514, -0.0008548325989520505886, 0.0001205529531703580293, -0.00001492474461846308207,
         1.644751729157055866e-6, -1.620917378304346535e-7, 1.372296949914938561e-8, -7.801179575794229456e-10),
        (-1.811481495385475076e-7, -1.128377314175965517, -0.6366285583484395751, -0.1027470543372252229,
         0.01907776416357831664, 0.0002810584437296047207, -0.001769633312131875586, 0.0006417205403762532487,
         -0.00004519753376794191362, -0.00007016209447945202391, 0.00004494832304273789127, -0.00001648306538181192217,
         4.318584600269402025e-6, -8.487686500470872082e-7, 1.254111267000679601e-7, -1.35915298898142158e-8,
         1.022783420302583453e-9, -4.781073452324377628e-11, 1.046048593271579807e-12),
        4.0, 27.3,
        (1.2329951186255526, -0.13962111684056286, 0.015379652102620657, 0.06809705425473303, -0.10103906603635057,
         0.0937328349969264, -0.06633036581148705, 0.037167515560654, -0.016197734060493674, 0.005031969769485449,
         -0.0007577733265408471, -0.00019925556428036412, 0.00015062216190667467, -2.4403038611125253e-05,
         -1.1224533670700563e-05, 5.717753972399096e-06, 3.0090086721267893e-07, -8.35202932556079e-07,
         6.311234388213206e-08, 1.1555935620988906e-07, -7.836154866606108e-09, -1.380154050684586e-08,
         -1.8513931343401878e-09),
    ),
}  # fmt: skip


def _format(x: Value) -> _Format:
    return _FORMATS[element_of(x.type)]


def polynomial(f: Function, x: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 x + c2 x**2 + ..., by Horner's rule"""
    acc: Operand = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        acc = f.fma(acc, x, c)
    assert isinstance(acc, Value)
    return acc


def in_pairs(f: Function, x: Value, square: Value, coefficients: Sequence[float]) -> Value:
    """The same in x**2, of c0 + c1 x, c2 + c3 x, ..., which wait for each other less."""
    pairs: list[Value | float] = [
        f.fma(x, c[1], c[0]) if len(c) == 2 else c[0]
        for c in (coefficients[k : k + 2] for k in range(0, len(coefficients), 2))
    ]
    acc = pairs[-1]
    for pair in reversed(pairs[:-1]):
        acc = f.fma(square, acc, pair)
    assert isinstance(acc, Value)
    return acc


def _reduced(f: Function, x: Value, shift: int = 0) -> tuple[Value, Value, Value]:
    """x = n ln2 + r: returns r, expm1(r) - r, and 2**(n + shift) (n + shift being an exponent, or 0 the one below)."""
    form = _format(x)
    # The sum's low bits hold n + shift + bias: shifted up they are the exponent of the scale.
    magic = form.magic + form.bias
    t = f.fma(x, LOG2E, magic + shift)
    n = f.fsub(t, magic + shift)
    bits = f.bits("shl", f.convert("bitcast", t, form.integer), form.mantissa)
    scale = f.convert("bitcast", bits, element_of(x.type))
    high, low = form.ln2
    r = f.fma(n, -low, f.fma(n, -high, x))
    square = f.fmul(r, r)
    return r, f.fmul(square, in_pairs(f, r, square, form.expm1)), scale


def _clamp(f: Function, x: Value, low: float, high: float) -> Value:
    return f.fmax(f.fmin(x, high), low)


def exp(f: Function, x: Value) -> Value:
    """e**x"""
    half = _half_exp(f, x)
    return f.fadd(half, half)


def _half_exp(f: Function, x: Value) -> Value:
    """e**x / 2, which is finite where e**x is just beyond the largest number."""
    r, more, half_scale = _reduced(f, _clamp(f, x, *_format(x).exp_range), shift=-1)
    return f.fma(half_scale, f.fadd(r, more), half_scale)


def expm1(f: Function, x: Value) -> Value:
    """e**x - 1, accurate near 0"""
    form = _format(x)
    r, more, half = _reduced(f, _clamp(f, x, -form.mantissa - 3.0, form.exp_range[1]), shift=-1)
    t = f.fma(half, more, f.fma(half, r, f.fsub(half, 0.5)))
    return f.fadd(t, t)


def tanh(f: Function, x: Value) -> Value:
    """The sign of x times e / (e + 2) with e = expm1(2|x|), in which the errors of e all but cancel."""
    form = _format(x)
    y = f.fmin(f.fabs(x), form.tanh_limit)
    # 2y = n ln2 + r, by ln2 rounded once: what n times its error takes from r counts for nothing where n is large.
    magic = form.magic + form.bias
    t = f.fma(y, 2 * LOG2E, magic)
    r = f.fma(f.fsub(t, magic), -LN2, f.fadd(y, y))
    scale = f.convert(
        "bitcast", f.bits("shl", f.convert("bitcast", t, form.integer), form.mantissa), element_of(x.type)
    )
    square = f.fmul(r, r)
    e = f.fma(scale, f.fma(square, in_pairs(f, r, square, form.expm1), r), f.fsub(scale, 1.0))
    return f.intrinsic("copysign", f.fdiv(e, f.fadd(e, 2.0)), x)


def sigmoid(f: Function, x: Value) -> Value:
    """1 / (1 + e**-x)"""
    return f.fdiv(f.constant(x.type, 1.0), f.fma(_half_exp(f, f.fneg(x)), 2.0, 1.0))


def softplus(f: Function, x: Value) -> Value:
    """log(1 + e**x), as max(x, 0) + log1p(e**-|x|)"""
    return f.fadd(f.fmax(x, 0.0), log1p(f, exp(f, f.fneg(f.fabs(x)))))


def _split(f: Function, u: Value) -> tuple[Value, Value, Value]:
    """u = 2**k m, sqrt(1/2) <= m < sqrt(2): returns k as a float, m, and the bits of u moved so that k is their top."""
    form, element = _format(u), element_of(u.type)
    one = form.bias << form.mantissa
    moved = f.bits("add", f.convert("bitcast", u, form.integer), one - form.root_half)
    # k + bias, put into the low bits of 2**mantissa: a conversion that every vector unit has.
    large = 2.0**form.mantissa
    biased = f.bits("or", f.bits("lshr", moved, form.mantissa), (form.mantissa + form.bias) << form.mantissa)
    k = f.fsub(f.convert("bitcast", biased, element), large + form.bias)
    m = f.bits("add", f.bits("and", moved, (1 << form.mantissa) - 1), form.root_half)
    return k, f.convert("bitcast", m, element), moved


def _log_sum(f: Function, g: Value, k: Value) -> Value:
    """log(1 + g) + k ln2, for 1 + g near 1"""
    form = _format(g)
    high, low = form.log_ln2
    s = f.fdiv(g, f.fadd(g, 2.0))
    z = f.fmul(s, s)
    half = f.fmul(f.fmul(g, 0.5), g)
    tail = f.fmul(z, polynomial(f, z, form.log))
    rest = f.fsub(f.fma(s, f.fadd(half, tail), f.fmul(k, low)), half)
    return f.fma(k, high, f.fadd(rest, g))


def _log_limits(f: Function, u: Value, result: Value) -> Value:
    """log u where u is 0, negative, infinite or NaN."""
    result = f.select(f.fcmp("olt", u, float("inf")), result, u)
    result = f.select(f.fcmp("oeq", u, 0.0), float("-inf"), result)
    return f.select(f.fcmp("olt", u, 0.0), float("nan"), result)


def log(f: Function, x: Value) -> Value:
    """The natural logarithm; 0 gives -inf, negative numbers NaN."""
    form = _format(x)
    lift = form.mantissa + 2
    small = f.fcmp("olt", x, form.tiny)
    k, m, _ = _split(f, f.select(small, f.fmul(x, 2.0**lift), x))
    k = f.select(small, f.fsub(k, float(lift)), k)
    return _log_limits(f, x, _log_sum(f, f.fsub(m, 1.0), k))


def log1p(f: Function, x: Value) -> Value:
    """log(1 + x), accurate near 0"""
    form = _format(x)
    u = f.fadd(x, 1.0)
    k, m, moved = _split(f, u)
    # What rounding took from u, brought to the scale of m.
    lost = f.select(f.fcmp("oge", u, 2.0), f.fsub(1.0, f.fsub(u, x)), f.fsub(x, f.fsub(u, 1.0)))
    exponent = f.bits("and", moved, -1 << form.mantissa)
    back = f.bits("sub", f.constant(exponent.type, (2 * form.bias) << form.mantissa), exponent)
    scale = f.convert("bitcast", back, element_of(x.type))
    scale = f.select(f.fcmp("olt", u, 2.0**form.bias), scale, 0.0)  # the inverse of the largest powers does not exist
    g = f.fma(lost, scale, f.fsub(m, 1.0))
    return _log_limits(f, u, _log_sum(f, g, k))


def erf(f: Function, x: Value) -> Value:
    """2/sqrt(pi) times the integral of e**-t**2 from 0 to x"""
    form = _format(x)
    t = f.fabs(x)
    near = f.fma(polynomial(f, f.fmul(x, x), form.erf_small), x, x)
    far = f.fsub(1.0, exp(f, polynomial(f, f.fmin(t, form.erf_limit), form.erf_large)))
    far = f.intrinsic("copysign", far, x)
    return f.select(f.fcmp("olt", t, form.erf_split), near, far)


def erfc(f: Function, x: Value) -> Value:
    """1 - erf(x), and for x > 0 with all its digits: exp(-x**2) / (1 + 2 x) times a polynomial in (x - K) / (x + K)."""
    form = _format(x)
    t = f.fmin(f.fabs(x), form.erfc_limit)
    bend = f.fdiv(f.fsub(t, form.erfc_bend), f.fadd(t, form.erfc_bend))
    share = f.fdiv(polynomial(f, bend, form.erfc), f.fma(t, 2.0, 1.0))
    square, lost = _square(f, t)
    e = exp(f, f.fneg(square))
    tail = f.fmul(share, f.fma(f.fneg(lost), e, e))  # exp(-lost) is 1 - lost
    return f.select(f.fcmp("olt", x, 0.0), f.fsub(2.0, tail), tail)


def _square(f: Function, x: Value) -> tuple[Value, Value]:
    """x**2 as it is rounded, and what the rounding took."""
    form, square = _format(x), f.fmul(x, x)
    if f.module.target.fma:
        return square, f.fma(x, x, f.fneg(square))
    kept = f.bits("and", f.convert("bitcast", x, form.integer), -1 << (form.mantissa + 2) // 2)
    high = f.convert("bitcast", kept, element_of(x.type))
    low = f.fsub(x, high)
    twice = f.fmul(f.fadd(high, high), low)
    return square, f.fadd(f.fadd(f.fsub(f.fmul(high, high), square), twice), f.fmul(low, low))


def power(f: Function, x: Value, exponent: float) -> Value:
    """x ** exponent for an exponent known now; NaN for a negative x (-inf too) and a fractional exponent.

    Whole exponents up to 32: products; their halves: with the square root; the error
    grows by half an ulp a product (3 for x**5, 4.3 for x**-1.5).  Others: by
    exp(exponent * log x), float32 computed in float64 (1 ulp), float64 to about 1 + |exponent * log x| ulp.
    """
    if exponent == 0:
        return f.constant(x.type, 1.0)
    size = abs(exponent)
    if size <= 32 and size * 2 == int(size * 2):
        y = _whole_power(f, x, int(size), f.sqrt(x) if size != int(size) else None)
        return f.fdiv(f.constant(x.type, 1.0), y) if exponent < 0 else y
    if element_of(x.type) == "float":
        return f.convert("fptrunc", power_double(f, f.convert("fpext", x, "double"), exponent), "float")
    return power_double(f, x, exponent)


def power_double(f: Function, x: Value, exponent: float) -> Value:
    """exp(exponent * log x)"""
    whole = exponent == int(exponent)
    y = exp(f, f.fmul(log(f, f.fabs(x) if whole else x), exponent))
    return f.intrinsic("copysign", y, x) if whole and int(exponent) % 2 else y


def power_of(f: Function, x: Value, y: Value) -> Value:
    """x ** y in float64, by exp(y log |x|), with C's special values: x ** 0 = 1, NaN for x < 0 and a fractional y."""
    size = exp(f, f.fmul(y, log(f, f.fabs(x))))
    half = f.fmul(y, 0.5)
    whole = f.fcmp("oeq", y, f.intrinsic("rint", y))
    even = f.fcmp("oeq", half, f.intrinsic("rint", half))
    signed = f.select(f.bits("and", whole, f.bits("xor", even, 1)), f.intrinsic("copysign", size, x), size)
    defined = f.bits("or", f.bits("or", whole, f.fcmp("uge", x, 0.0)), f.fcmp("oeq", x, -math.inf))
    real = f.select(defined, signed, math.nan)
    # x ** 0, 1 ** y and (-1) ** (an infinity) are 1, whatever the other is
    ones = f.bits("or", f.fcmp("oeq", y, 0.0), f.fcmp("oeq", x, 1.0))
    far = f.bits("and", f.fcmp("oeq", x, -1.0), f.fcmp("oeq", f.fabs(y), math.inf))
    return f.select(f.bits("or", ones, far), f.constant(x.type, 1.0), real)


def _whole_power(f: Function, x: Value, n: int, y: Value | None) -> Value:
    """x**n times y, by squaring"""
    while n:
        if n & 1:
            y = x if y is None else f.fmul(y, x)
        n >>= 1
        if n:
            x = f.fmul(x, x)
    assert y is not None
    return y
