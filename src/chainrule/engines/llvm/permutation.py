"""NumPy's permutations of many numbers, the same to the last, in about half of the time.

NumPy shuffles 0, ..., n - 1 from the end: the number at place i changes places with that at a random place j <= i.
j is a random word of 32 bits of which as many are kept as i has; if it is above i, the next word is asked.  Whether it
is no processor can foresee, and each wrong guess costs as much as several numbers.  Here a word too large moves
nothing, by arithmetic, and the next word finds the same place.
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
_TRIED = 300
"""Numbers of the permutation that is held to NumPy's before the code is used."""


def permutation(generator: np.random.Generator, count: int) -> Order:
    """What `generator.permutation(count)` is; how far the generator has moved then is not said."""
    shuffled = _shuffled() if FEWEST <= count < 1 << 32 else None
    order: Order = generator.permutation(count) if shuffled is None else shuffled(generator, count)
    return order


@functools.cache
def _shuffled() -> Callable[[np.random.Generator, int], Order] | None:
    """The permutation by machine code; None where NumPy's are made in another way than the code's."""
    made = _Shuffled(host())
    theirs, ours = (np.random.default_rng(7) for _ in range(2))
    return made if np.array_equal(theirs.permutation(_TRIED), made(ours, _TRIED)) else None


class _Shuffled:
    def __init__(self, target: Target) -> None:
        code = jit.load(target, "int64", "permutation", functools.partial(module, target))
        address, number = ctypes.c_void_p, ctypes.c_int64
        self._swap: Any = code.function("swap", address, address, number, number, returns=number)

    def __call__(self, generator: np.random.Generator, count: int) -> Order:
        order, place = np.arange(count, dtype=np.int64), count - 1
        while place > 0:
            words = generator.bit_generator.random_raw(_words(place) // 2 + 1)  # two in each
            place = self._swap(order.ctypes.data, words.ctypes.data, 2 * len(words), place)
        return order


def _words(place: int) -> int:
    """Words that a permutation from this place on takes, nearly always."""
    expected, first = 0.0, 1
    while first <= place:  # of the places with so many bits
        expected += 2 * first * math.log(min(2 * first, place + 1) / first)
        first *= 2
    return int(expected + 4 * math.sqrt(expected)) + 4


def module(target: Target) -> Module:
    """i64 swap(ptr order, ptr words, i64 count, i64 place): the place that is next when the words are used up."""
    made = Module(target)
    f = made.function("swap", ["ptr", "ptr", "i64", "i64"], returns="i64")
    order, words, count, start = f.args

    def word(k: Int, place: Value, mask: Value) -> list[Value]:
        drawn = f.convert("zext", f.load("i32", f.at(words, k, type="i32")), "i64")
        other = f.bits("and", drawn, mask)
        taken = f.icmp("sle", other, place)
        here, there = f.at(order, place, type="i64"), f.at(order, f.select(taken, other, place), type="i64")
        mine, its = f.load("i64", here), f.load("i64", there)
        f.store(its, f.select(taken, here, aside))
        f.store(mine, f.select(taken, there, aside))
        on = f.bits("and", taken, f.icmp("sgt", place, 0))  # at place 0 all is done: it changes places with itself
        after = f.value(f.sub(place, f.convert("zext", on, "i64")))
        less = f.bits("lshr", mask, 1)
        # A branch that is foreseen, rather than arithmetic that the next word would wait for.
        return [after, f.if_(f.icmp("sle", after, less), lambda: [less], lambda: [mask], results=1)[0]]

    aside = f.alloca("i64", 1)  # where what moves nothing is written: who reads a place next need not wait for it
    mask = f.bits("lshr", f.constant("i64", -1), _leading_zeros(f, f.bits("or", start, 1)))
    f.ret(f.loop(0, count, word, [start, mask])[0])
    return made


def _leading_zeros(f: Function, x: Value) -> Value:
    """How many bits above the highest that is set; x is not 0."""
    f.declarations.setdefault("llvm.ctlz.i64", "declare i64 @llvm.ctlz.i64(i64, i1)")
    return f.emit("i64", f"call i64 @llvm.ctlz.i64(i64 {x.text}, i1 true)")
