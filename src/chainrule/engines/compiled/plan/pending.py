"""Pending: which equations of a program have not run yet, and which of them may run now."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from chainrule.program.equation import Equation
from chainrule.program.symbol import STORED


class Pending:
    """Equations in the order of the program, each with what it waits for.

    An equation waits for the makers of what it reads; it reads a stored value after its overwriting if it stands after
    that, and a stored value is overwritten after all that stand before and read it.
    """

    def __init__(self, equations: Iterable[Equation], available: Iterable[str]) -> None:
        self.equations = list(equations)
        self._number = {id(e): k for k, e in enumerate(self.equations)}
        self._maker = {e.target.name: k for k, e in enumerate(self.equations)}
        self._readers: dict[str, list[int]] = {}
        self._waiting = [True] * len(self.equations)
        self._left = len(self.equations)
        self._blocks: list[list[int]] = [[] for _ in self.equations]
        self._blockers = [0] * len(self.equations)
        there = set(available)
        for number, equation in enumerate(self.equations):
            for name, stored in {s.name: s.role in STORED for s in equation.operands}.items():
                self._readers.setdefault(name, []).append(number)
                maker = self._maker.get(name)
                if maker is None:
                    self._blockers[number] += name not in there
                elif stored and maker > number:
                    self._wait(maker, number)
                elif maker != number:
                    self._wait(number, maker)
        self._ready = [k for k, blockers in enumerate(self._blockers) if not blockers]

    def _wait(self, number: int, other: int) -> None:
        self._blocks[other].append(number)
        self._blockers[number] += 1

    def __bool__(self) -> bool:
        return self._left > 0

    def __iter__(self) -> Iterator[Equation]:
        """Those that have not run."""
        return (e for e, waiting in zip(self.equations, self._waiting, strict=True) if waiting)

    def __contains__(self, equation: Equation) -> bool:
        """Whether it has not run."""
        number = self._number.get(id(equation))
        return number is not None and self._waiting[number]

    def ready(self) -> Iterator[Equation]:
        """Those that may run now, in order; none of them may be removed on the way."""
        return (self.equations[k] for k in self._ready)

    def is_ready(self, equation: Equation) -> bool:
        """Whether it may run now."""
        number = self._number[id(equation)]
        return self._waiting[number] and not self._blockers[number]

    def maker(self, name: str) -> Equation | None:
        """The equation that computes this and has not run."""
        number = self._maker.get(name)
        return self.equations[number] if number is not None and self._waiting[number] else None

    def readers(self, names: Iterable[str]) -> list[Equation]:
        """Those that have not run and read one of these, in order."""
        numbers = {k for name in names for k in self._readers.get(name, ()) if self._waiting[k]}
        return [self.equations[k] for k in sorted(numbers)]

    def remove(self, equation: Equation) -> None:
        """It runs."""
        number = self._number[id(equation)]
        self._waiting[number] = False
        self._left -= 1
        if not self._blockers[number]:
            del self._ready[bisect_left(self._ready, number)]
        for other in self._blocks[number]:
            self._blockers[other] -= 1
            if not self._blockers[other] and self._waiting[other]:
                insort(self._ready, other)
