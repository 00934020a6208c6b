"""Walks through expressions.  Parts may be shared, and each is met once; nothing here calls itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from chainrule.program.scalar import (
    ZERO,
    Apply,
    Expression,
    Product,
    Reduction,
    Transposed,
    Variable,
    children,
    with_children,
)


def walk(e: Expression) -> Iterator[Expression]:
    """The expression and everything under it, each part once, from the top down."""
    met: set[Expression] = set()
    waiting = [e]
    while waiting:
        part = waiting.pop()
        if part not in met:
            met.add(part)
            yield part
            waiting += reversed(children(part))


def parts(e: Expression, under: Callable[[Expression], tuple[Expression, ...]] = children) -> tuple[Expression, ...]:
    """The expression and everything under it, each part once, after all that is under it."""
    done: dict[Expression, None] = {}
    waiting = [(e, False)]
    while waiting:
        part, opened = waiting.pop()
        if opened:
            done[part] = None
        elif part not in done:
            waiting.append((part, True))
            waiting += [(x, False) for x in reversed(under(part)) if x not in done]
    return tuple(done)


def occurrences(e: Expression) -> dict[Expression, int]:
    """How often each part stands in the expression as it is written out."""
    counts = dict.fromkeys(reversed(parts(e)), 0)  # from the top down: all uses of a part before the part
    counts[e] = 1
    for part, count in counts.items():
        for child in children(part):
            counts[child] += count
    return counts


def larger_than(e: Expression, size: int) -> bool:
    """Whether the expression, written out, has more parts than that."""
    waiting, met = [e], 0
    while waiting:
        met += 1
        if met > size:
            return True
        waiting += children(waiting.pop())
    return False


def variables(e: Expression) -> tuple[str, ...]:
    """The names of its variables, each once, in the order of appearance."""
    return _contents(e)[0]


def is_over_arrays(e: Expression) -> bool:
    """Whether a sum, a mean, a maximum or a product of matrices is among its parts, so that it is no scalar."""
    return _contents(e)[1]


def _contents(e: Expression) -> tuple[tuple[str, ...], bool]:
    """The names of its variables, and whether it is over arrays; an expression, which never changes, keeps them."""
    if isinstance(e, Variable):
        return (e.name,), False
    contents: tuple[tuple[str, ...], bool] | None = e.__dict__.get("_contents")
    if contents is None:
        contained = tuple(walk(e))
        names = tuple(x.name for x in contained if isinstance(x, Variable))
        contents = names, any(isinstance(x, Reduction | Product | Transposed) for x in contained)
        if isinstance(e, Apply):
            object.__setattr__(e, "_contents", contents)
    return contents


def replace(e: Expression, by: Mapping[Expression, Expression]) -> Expression:
    """The expression with every part that is a key of `by` (from the top down) replaced by its value."""
    done: dict[Expression, Expression] = {}
    for part in parts(e, lambda x: () if x in by else children(x)):
        done[part] = by[part] if part in by else with_children(part, tuple(done[a] for a in children(part)))
    return done[e]


TERMS = 32
"""Of a sum that is written as it stands: ((a + b) + c) + d; longer ones are sums of such sums, so that none is deep."""


def sum_of(terms: Sequence[Expression]) -> Expression:
    """The sum of the terms, in their order; 0 if there are none."""
    while len(terms) > TERMS:
        terms = [sum_of(terms[k : k + TERMS]) for k in range(0, len(terms), TERMS)]
    result: Expression = ZERO
    for term in terms:
        result = result + term
    return result
