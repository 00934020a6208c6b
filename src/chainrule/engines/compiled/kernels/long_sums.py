"""Sums of many terms: in partial sums, so that float32 keeps its digits.

One sum of n terms may lose as many as n of its last digits' units: each addition rounds, and where the terms are alike,
always to the same side.  From `LONG` terms on, 64 of them make a partial sum, 64 of these another, and so on.  The
order is fixed by n alone, so the bits do not depend on threads or chunks; shorter sums are added up one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.engines.llvm.emit import Function, Int, Value

LONG = 4096
"""Terms up to which a sum is taken as it comes."""
DEEP = 65_536
"""Terms from which on a product's blocks of its depth are twice as long: they are added up one by one."""
_PART = 64

Take = Callable[[Value, Value], Value]


def accumulated(
    f: Function,
    count: int,
    body: Callable[..., list[Value]],
    empty: Sequence[Value],
    takes: Sequence[Take],
    step: int = 1,
    lanes: int = 1,
) -> list[Value]:
    """sums = body(i, *sums) for i in range(0, count, step), from `empty` on, as `f.loop` has it.

    body takes more terms into the sums and reads them for nothing else; takes: how two partial results are one.
    lanes: the terms that a step takes, each into a lane of its own; the lanes are added up afterwards.
    """
    if count * lanes <= LONG * step:
        return f.loop(0, count, body, empty, step=step)

    def run(first: Int, last: Int, size: int) -> list[Value]:
        """The terms first, ..., last - 1, in parts of `size`."""
        if size == step:
            return f.loop(first, last, body, empty, step=step)

        def part(start: Int, *sums: Value) -> list[Value]:
            more = run(start, f.imin(f.add(start, size), last), size // _PART)
            return [take(a, b) for take, a, b in zip(takes, sums, more, strict=True)]

        return f.loop(first, last, part, empty, step=size)

    return run(0, count, _PART * _PART * step)
