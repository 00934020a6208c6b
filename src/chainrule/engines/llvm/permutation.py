"""NumPy's permutations of many numbers, the same to the last, in less than half of the time.

NumPy shuffles 0, ..., n - 1 from the end: the number at place i changes places with that at a random place j <= i.
j is a random word of 32 bits of which as many are kept as i has; if it is above i, the next word is asked.  Whether it
is no processor can foresee, and each wrong guess costs as much as several numbers.  Here all j are chosen first: each
word is written down as that of i, and the next one over it where it was too large, without a branch.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.engines.llvm import jit
from chainrule.engines.llvm.emit import Function, Int, Module, Value
from chainrule.engines.llvm.target import Target, host

Order = NDArray[np.int64]
FEWEST = 10_000
"""Numbers from which on the code is asked: of fewer NumPy's permutation takes no time."""
BLOCK = 15_000
"""Random numbers that are drawn at a time, of 64 bits: memory that stays in the caches, and that is not given back."""
LOWER = (1 << 32) - 1
"""The lower half of 64 bits."""
_TRIED = 300
"""Numbers of the permutation that is held to NumPy's before the code is used."""


def permute(generator: np.random.Generator, out: Order) -> None:
    """Writes what `generator.permutation(len(out))` is; how far the generator has moved then is not said."""
    shuffled = _shuffled() if FEWEST <= len(out) < 1 << 31 else None
    if shuffled is None:
        out[...] = generator.permutation(len(out))
    else:
        shuffled(generator, out)


@functools.cache
def _shuffled() -> Callable[[np.random.Generator, Order], None] | None:
    """The permutation by machine code; None where NumPy's are made in another way than the code's."""
    made, found = _Shuffled(host()), np.empty(_TRIED, np.int64)
    theirs, ours = (np.random.default_rng(7) for _ in range(2))
    made(ours, found)
    return made if np.array_equal(theirs.permutation(_TRIED), found) else None


class _Shuffled:
    def __init__(self, target: Target) -> None:
        code = jit.load(target, "int64", "permutation", functools.partial(module, target))
        address, number = ctypes.c_void_p, ctypes.c_int64
        self._choose: Any = code.function("choose", address, address, number, number, returns=number)
        self._swap: Any = code.function("swap", address, number)

    def __call__(self, generator: np.random.Generator, out: Order) -> None:
        place = len(out) - 1
        out[:1] = 0  # what is chosen for the first place, if words last that long, is of no use
        while place > 0:
            words = generator.bit_generator.random_raw(min(BLOCK, _words(place) // 2 + 1))  # two in each
            place = self._choose(out.ctypes.data, words.ctypes.data, 2 * len(words), place)
        self._swap(out.ctypes.data, len(out))


def _words(place: int) -> int:
    """Words that a permutation from this place on takes, nearly always."""
    expected, first = 0.0, 1
    while first <= place:  # of the places with so many bits
        expected += 2 * first * math.log(min(2 * first, place + 1) / first)
        first *= 2
    return int(expected + 4 * math.sqrt(expected)) + 4


def module(target: Target) -> Module:
    """The two functions.

    i64 choose(ptr order, ptr words, i64 count, i64 place): into each place from this one downwards j and the place, as
    the upper and the lower half of an int64; the place that is next when the words are used up.  -1 is the last.
    void swap(ptr order, i64 count): of places that are so, the lower halves change, and are what is left.
    """
    made = Module(target)
    _choose(made.function("choose", ["ptr", "ptr", "i64", "i64"], returns="i64"))
    _swap(made.function("swap", ["ptr", "i64"]))
    return made


def _choose(f: Function) -> None:
    order, words, count, start = f.args

    def word(k: Int, place: Value, mask: Value) -> list[Value]:
        other = f.bits("and", f.convert("zext", f.load("i32", f.at(words, k, type="i32")), "i64"), mask)
        here = f.imax(place, 0)
        f.store(f.bits("or", f.bits("shl", other, 32), here), f.at(order, here, type="i64"))
        after = f.value(f.sub(place, f.convert("zext", f.icmp("sle", other, place), "i64")))
        less = f.bits("lshr", mask, 1)
        # A branch that is foreseen, rather than arithmetic that the next word would wait for.
        return [after, f.if_(f.icmp("sle", after, less), lambda: [less], lambda: [mask], results=1)[0]]

    mask = f.bits("lshr", f.constant("i64", -1), _leading_zeros(f, start))
    f.ret(f.loop(0, count, word, [start, mask])[0])


def _swap(f: Function) -> None:
    order, count = f.args

    def number(entry: Value) -> Value:
        return f.bits("and", entry, LOWER)

    def settle(place: Int) -> None:
        here = f.at(order, place, type="i64")
        mine = f.load("i64", here)
        there = f.at(order, f.bits("lshr", mine, 32), type="i64")
        its = f.load("i64", there)
        f.store(f.bits("or", f.bits("and", its, ~LOWER), number(mine)), there)
        f.store(number(its), here)  # last: a place may change with itself

    def first() -> None:
        f.store(number(f.load("i64", order)), order)

    f.loop(1, count, lambda k: settle(f.sub(count, k)))
    f.if_(f.icmp("sgt", count, 0), first)
    f.ret()


def _leading_zeros(f: Function, x: Value) -> Value:
    """How many bits above the highest that is set; x is not 0."""
    f.declarations.setdefault("llvm.ctlz.i64", "declare i64 @llvm.ctlz.i64(i64, i1)")
    return f.emit("i64", f"call i64 @llvm.ctlz.i64(i64 {x.text}, i1 true)")
