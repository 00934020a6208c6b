"""Philox4x32-10: random words as a pure function of a counter and a key, one counter to a lane.

Ten rounds of two 32x32-bit products (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011).
For sample i and feature j: counter (i, j // 4, step, stream), key (seed low, seed high), word j % 4; four neighbouring
features share one evaluation.
"""

from __future__ import annotations

from chainrule.engines.llvm.emit import Function, Operand, Value, lanes_of

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_MASK = 0xFFFFFFFF

RoundKeys = list[tuple[Value, Value]]


def round_keys(f: Function, low: Operand, high: Operand, lanes: int) -> RoundKeys:
    """The keys of the ten rounds, an i32 in every lane; make them once, before any loop."""
    keys = []
    for turn in range(ROUNDS):
        pair = [
            f.splat(f.bits("add", f.value(k, "i32"), _signed(w * turn)) if turn else f.value(k, "i32"), lanes)
            for k, w in zip((low, high), WEYL, strict=True)
        ]
        keys.append((pair[0], pair[1]))
    return keys


def words(f: Function, keys: RoundKeys, counter: tuple[Operand, Operand, Operand, Operand]) -> list[Value]:
    """Four vectors of random words for the counters in the lanes; scalars and numbers hold for all lanes."""
    type = keys[0][0].type
    lanes = lanes_of(type)
    c0, c1, c2, c3 = (
        x if isinstance(x, Value) and x.type == type else f.splat(f.value(x, "i32"), lanes) for x in counter
    )
    for k0, k1 in keys:
        high0, low0 = _product(f, c0, MULTIPLIERS[0])
        high1, low1 = _product(f, c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            f.bits("xor", f.bits("xor", high1, c1), k0),
            low1,
            f.bits("xor", f.bits("xor", high0, c3), k1),
            low0,
        )
    return [c0, c1, c2, c3]


def least(f: Function, rate: float | Value) -> Value | int:
    """floor(rate * 2**32), the least word that keeps a value, as an i32."""
    if isinstance(rate, Value):
        wide = rate if rate.type == "double" else f.convert("fpext", rate, "double")
        return f.convert("trunc", f.convert("fptoui", f.fmul(wide, 2.0**32), "i64"), "i32")
    return _signed(min(int(rate * 2.0**32), _MASK))


def keep(f: Function, word: Value, least: Value | int) -> Value:
    """True where the word says that a value is kept: it is not below the least one, unsigned."""
    return f.icmp("uge", word, f.splat(least, lanes_of(word.type)) if isinstance(least, Value) else least)


def _signed(word: int) -> int:
    word &= _MASK
    return word - (1 << 32) if word >> 31 else word


def _product(f: Function, x: Value, factor: int) -> tuple[Value, Value]:
    """The high and the low words of the 64-bit products of unsigned 32-bit words."""
    lanes = lanes_of(x.type)
    if lanes < 2:
        wide = f.bits("mul", f.convert("zext", x, "i64"), factor)
        return f.convert("trunc", f.bits("lshr", wide, 32), "i32"), f.convert("trunc", wide, "i32")
    # Vector units multiply every other lane: even lanes and odd lanes apart, then interleaved again.
    pairs = f.emit(f"<{lanes // 2} x i64>", f"bitcast {x.type} {x.text} to <{lanes // 2} x i64>")
    even = f.bits("mul", f.bits("and", pairs, _MASK), factor)
    odd = f.bits("mul", f.bits("lshr", pairs, 32), factor)
    e, o = (f.emit(x.type, f"bitcast {p.type} {p.text} to {x.type}") for p in (even, odd))
    high = [i + 1 if i % 2 == 0 else lanes + i for i in range(lanes)]
    low = [i if i % 2 == 0 else lanes + i - 1 for i in range(lanes)]
    return f.shuffle(e, o, high), f.shuffle(e, o, low)
