"""Where the boxes of a graph stand: in rows by the longest way, with lines that cross no box.

A line that passes rows goes through places of its own in them, which boxes make room for; those of one box share them.
Orders by barycentres and exchanges of neighbours, kept where fewest lines cross.  Source: Sugiyama et al. 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

APART = 0.3
"""Inches between boxes of a row."""
BETWEEN = 0.4
"""Inches between rows."""
LANE = 0.16
"""Inches that a line which passes a row takes there."""
PORTS = 0.26
"""Inches between lines that reach one box, where there is room."""
_SWEEPS = 12
_PLACINGS = 24

Edge = tuple[int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Inches from the left and from the top."""

    width: float
    """Of the whole."""
    height: float
    """Of the whole."""
    centres: tuple[Point, ...]
    """Of each box."""
    lines: tuple[tuple[Point, ...], ...]
    """From row to row; each goes straight down at both ends of a gap.  Those that reach a box end above it."""
    reaching: tuple[bool, ...]
    """Of each line, whether it ends at a box."""
    crossings: int
    """How often lines cross."""


def rows_of(count: int, edges: Sequence[Edge]) -> list[int]:
    """The row of each of the nodes 0, 1, ..., each after those that lead to it; what nothing leads to stands late."""
    rows = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        rows[target] = max(rows[target], rows[source] + 1)
    reached = {target for _, target in edges}
    for node in range(count):
        after = [rows[target] for source, target in edges if source == node]
        if node not in reached and after:
            rows[node] = min(after) - 1
    return rows


def layered(sizes: Sequence[Point], edges: Sequence[Edge]) -> Layout:
    """The layout of boxes (width, height), joined by edges to boxes of higher numbers."""
    edges = list(dict.fromkeys(edges))
    rows = rows_of(len(sizes), edges)
    widths = [width for width, _ in sizes]
    lanes: dict[tuple[int, int], int] = {}
    links: list[Edge] = []
    for source, target in edges:
        last = source
        for row in range(rows[source] + 1, rows[target]):
            if (source, row) not in lanes:
                lanes[source, row] = len(widths)
                widths.append(LANE)
                rows.append(row)
            links.append((last, lanes[source, row]))
            last = lanes[source, row]
        links.append((last, target))
    links = list(dict.fromkeys(links))
    order, crossings = _ordered(rows, links)
    xs = _placed(order, widths, links, len(sizes))
    heights = [max(sizes[n][1] for n in row if n < len(sizes)) for row in order]
    tops = [BETWEEN / 2 + sum(heights[:r]) + BETWEEN * r for r in range(len(order))]
    left = min(x - w / 2 for x, w in zip(xs, widths, strict=True)) - APART
    xs = [x - left for x in xs]
    centres = tuple((xs[n], tops[rows[n]] + heights[rows[n]] / 2) for n in range(len(sizes)))
    drawn = _lines(links, rows, xs, sizes, tops, heights)
    return Layout(
        width=max(x + w / 2 for x, w in zip(xs, widths, strict=True)) + APART,
        height=tops[-1] + heights[-1] + BETWEEN / 2,
        centres=centres,
        lines=drawn,
        reaching=tuple(target < len(sizes) for _, target in links),
        crossings=crossings,
    )


def _lines(
    links: Sequence[Edge],
    rows: Sequence[int],
    xs: Sequence[float],
    sizes: Sequence[Point],
    tops: Sequence[float],
    heights: Sequence[float],
) -> tuple[tuple[Point, ...], ...]:
    """(where it leaves, the end of the row, the beginning of the next, where it ends) of each link."""
    lines = []
    for source, target in links:
        row = rows[source]
        middle = heights[row] / 2
        leaves = tops[row] + (middle + sizes[source][1] / 2 if source < len(sizes) else 0)
        end, begin = tops[row] + heights[row], tops[row + 1]
        x, stop = xs[target], begin
        if target < len(sizes):
            into = sorted((s for s, t in links if t == target), key=lambda s: xs[s])
            reach = 0.4 * sizes[target][0]
            step = min(PORTS, 2 * reach / len(into))
            wanted = [
                min(max(xs[s], x - reach + k * step), x + reach - (len(into) - 1 - k) * step)
                for k, s in enumerate(into)
            ]
            x = _apart(wanted, [step] * (len(into) - 1), [1.0] * len(into))[into.index(source)]
            stop = begin + (heights[row + 1] - sizes[target][1]) / 2
        lines.append(((xs[source], leaves), (xs[source], end), (x, begin), (x, stop)))
    return tuple(lines)


def _ordered(rows: Sequence[int], links: Sequence[Edge]) -> tuple[list[list[int]], int]:
    """The nodes of each row from left to right, and how many lines cross."""
    order: list[list[int]] = [[] for _ in range(max(rows) + 1)]
    for node, row in enumerate(rows):
        order[row].append(node)
    above: dict[int, list[int]] = {n: [] for n in range(len(rows))}
    below: dict[int, list[int]] = {n: [] for n in range(len(rows))}
    for source, target in links:
        above[target].append(source)
        below[source].append(target)
    best, fewest = [[*row] for row in order], -1
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = above if down else below
        for r in range(1, len(order)) if down else range(len(order) - 2, -1, -1):
            other = order[r - 1 if down else r + 1]
            at = {node: k for k, node in enumerate(other)}
            own = {node: k for k, node in enumerate(order[r])}

            def centre(node: int, at: dict[int, int] = at, own: dict[int, int] = own) -> float:
                places = [at[n] for n in neighbours[node]]  # noqa: B023  # used within this round
                return sum(places) / len(places) if places else float(own[node])

            order[r].sort(key=centre)
        _exchange(order, above, below)
        crossings = sum(_crossings(order[r], order[r + 1], below) for r in range(len(order) - 1))
        if fewest < 0 or crossings < fewest:
            best, fewest = [[*row] for row in order], crossings
        if fewest == 0:
            break
    return best, max(0, fewest)


def _exchange(order: list[list[int]], above: dict[int, list[int]], below: dict[int, list[int]]) -> None:
    """Neighbours change places where fewer lines cross then."""
    for r, row in enumerate(order):
        sides = [(above, order[r - 1])] if r else []
        sides += [(below, order[r + 1])] if r + 1 < len(order) else []
        places = [(near, {node: k for k, node in enumerate(other)}) for near, other in sides]
        for k in range(len(row) - 1):
            a, b = row[k], row[k + 1]
            as_is = sum(at[m] > at[n] for near, at in places for m in near[a] for n in near[b])
            other_way = sum(at[m] < at[n] for near, at in places for m in near[a] for n in near[b])
            if other_way < as_is:
                row[k], row[k + 1] = b, a


def _crossings(upper: Sequence[int], lower: Sequence[int], below: dict[int, list[int]]) -> int:
    at = {node: k for k, node in enumerate(lower)}
    ends = [at[target] for node in upper for target in sorted(below[node], key=at.__getitem__)]
    return sum(ends[j] < ends[i] for i in range(len(ends)) for j in range(i + 1, len(ends)))


def _placed(order: list[list[int]], widths: Sequence[float], links: Sequence[Edge], boxes: int) -> list[float]:
    """Where the middle of each stands from left to right: below and above its neighbours as far as there is room."""
    near: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})
    for source, target in links:
        near[0].setdefault(target, []).append(source)
        near[1].setdefault(source, []).append(target)
    xs = [0.0] * len(widths)
    for row in order:
        _settle(row, [0.0] * len(row), widths, xs, boxes)
    for placing in range(_PLACINGS):
        both = placing >= _PLACINGS - 6
        for row in order if placing % 2 == 0 else reversed(order):
            wanted = []
            for node in row:
                sides = near if both else near[placing % 2 : placing % 2 + 1]
                others = [n for side in sides for n in side.get(node, [])]
                # The way through boxes is straight; lines that pass them bend.
                if node < boxes and any(n < boxes for n in others):
                    others = [n for n in others if n < boxes]
                wanted.append(sum(xs[n] for n in others) / len(others) if others else xs[node])
            _settle(row, wanted, widths, xs, boxes)
    return xs


def _settle(row: Sequence[int], wanted: Sequence[float], widths: Sequence[float], xs: list[float], boxes: int) -> None:
    """As near as can be to where each wants to stand, in this order and apart; a line gives way to a box."""
    gaps = [(widths[a] + widths[b]) / 2 + APART for a, b in pairwise(row)]
    weights = [1.0 if node < boxes else 0.01 for node in row]
    for node, x in zip(row, _apart(wanted, gaps, weights), strict=True):
        xs[node] = x


def _apart(wanted: Sequence[float], gaps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Places with at least these gaps, nearest to those wanted: weighted least squares, by pooling neighbours."""
    offsets = [*accumulate(gaps, initial=0.0)]
    pools: list[tuple[float, float, int]] = []
    for place, offset, weight in zip(wanted, offsets, weights, strict=True):
        pools.append((place - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, v, m), (b, w, n) = pools[-2:]
            pools[-2:] = [((a * v + b * w) / (v + w), v + w, m + n)]
    shifts = [shift for shift, _, members in pools for _ in range(members)]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=True)]
