"""The diagram of networks that are graphs: what leads to what, in rows, with lines that cross no box and no text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from test_pictures import boxes

import chainrule as cr
from chainrule.report.graph_picture import MOST_ROWS, Picture, curve, picture, sizes_of
from chainrule.report.layered import Layout, layered

pytest.importorskip("matplotlib")


def network() -> cr.Network:
    """Several inputs and outputs, residual blocks in each other, a gate, values that are kept, weights used twice."""
    columns = [cr.Take("numbers"), cr.Dense(8, "relu"), cr.Keep("n")], [cr.Take("kinds"), cr.Embedding(dimension=3)]
    gate = cr.Branches([cr.Dense(16, "tanh")], [cr.Dense(16, "sigmoid")], join="multiply")
    inner = cr.Dense(16, "relu"), cr.Residual(cr.Dense(16, "gelu")), cr.Dense(16)
    layers = [
        cr.Branches(*columns), cr.Dense(16, "tanh"), cr.Keep("body"), cr.Residual(gate, cr.Dropout(0.1)),
        cr.Residual(*inner), cr.Branches([], [cr.Take("n")], [cr.Take("body")]), cr.Dense(3, "softmax"),
        cr.Keep("kind"), cr.Take("body"), cr.Dense(14, weights=cr.Tied("W2", transposed=True)), cr.Keep("back"),
    ]  # fmt: skip
    losses = {"kind": "cross_entropy", "back": ("squared_error", 0.5)}
    return cr.Network({"numbers": 9, "kinds": [2, 7]}, layers, losses, engine="reference")


def arranged(drawn: Picture) -> Layout:
    return layered(sizes_of(drawn), drawn.edges)


def test_what_leads_to_what() -> None:
    layers = [
        cr.Dense(4, "tanh"), cr.Keep("code"), cr.Residual(cr.Dense(4)), cr.Branches([], [cr.Take("code")]),
        cr.Dense(1), cr.Keep("size"),
    ]  # fmt: skip
    losses = {"size": "squared_error", "code": ("squared_error", 0.5)}
    drawn = picture(cr.Network(2, layers, losses).spec)
    titles = [" ".join(box.title.split()) for box in drawn.boxes]
    assert titles == ["X (m, 2)", "A1 (m, 4)", "Z2 (m, 4)", "+ U2 (m, 4)", "side by side U2b (m, 8)", "Z3 (m, 1)",
                      "output size", "output code"]  # fmt: skip
    assert set(drawn.edges) == {(0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (1, 4), (4, 5), (5, 6), (1, 7)}
    assert drawn.boxes[1].words == "dense tanh\nkept as code" and drawn.boxes[7].words == "0.5 squared_error"
    assert drawn.boxes[1].parameters == "W1 2 x 4, b1 4"


def test_inputs_and_tied_weights_are_named() -> None:
    told = {box.title.split()[0]: box for box in picture(network().spec).boxes}
    assert told["X_kinds"].words == "input kinds\ntokens of 2, 7"
    assert any("weights W2 transposed" in box.words and "W2" not in box.parameters for box in told.values())


def faults(layout: Layout, sizes: list[tuple[float, float]], edges: list[tuple[int, int]]) -> list[str]:
    """Boxes that touch each other or the edge, lines within boxes, ends that are at no box."""
    from matplotlib.path import Path

    found = []
    at = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for (x, y), (w, h) in zip(layout.centres, sizes, strict=True)]
    for k, (left, top, right, bottom) in enumerate(at):
        if left < 0 or top < 0 or right > layout.width or bottom > layout.height:
            found.append(f"box {k} is outside")
        found += [f"boxes {k}, {n} touch" for n in range(k)
                  if left < at[n][2] and at[n][0] < right and top < at[n][3] and at[n][1] < bottom]  # fmt: skip
    codes = [Path.MOVETO, Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
    arrived = np.zeros(len(sizes), int)
    for line, reaches in zip(layout.lines, layout.reaching, strict=True):
        corners = Path(curve(line), codes).to_polygons(closed_only=False)[0]
        points = np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(corners)])
        for k, (left, top, right, bottom) in enumerate(at):
            x, y = points[:, 0], points[:, 1]
            inside = (x > left) & (x < right) & (y > top + 1e-9) & (y < bottom - 1e-9)
            found += [f"a line runs through box {k}"] * bool(inside.any())
            arrived[k] += reaches and left < line[-1][0] < right and abs(line[-1][1] - top) < 1e-9
    wanted = np.bincount([target for _, target in edges], minlength=len(sizes))
    return found + [f"{a} of {n} lines reach box {k}" for k, (a, n) in enumerate(zip(arrived, wanted, strict=True))
                    if a != n]  # fmt: skip


def test_lines_cross_no_box_and_texts_stand_in_theirs() -> None:
    drawn = picture(network().spec)
    layout = arranged(drawn)
    assert faults(layout, sizes_of(drawn), list(drawn.edges)) == []
    assert layout.crossings == 0
    figure = cr.plot.network(network(), theme="dark")
    texts = boxes(figure)
    patches = [p.get_window_extent() for p in figure.axes[0].patches if type(p).__name__ == "FancyBboxPatch"]
    assert len(patches) == len(drawn.boxes) and len(texts) > 2 * len(patches)
    for text, box in texts:
        holding = [p for p in patches if p.x0 < box.x0 and box.x1 < p.x1 and p.y0 < box.y0 and box.y1 < p.y1]
        assert len(holding) == 1, text


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(s, marks=pytest.mark.long) for s in range(2, 60))])
def test_random_graphs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 25))
    sizes = [(float(w), float(h)) for w, h in rng.uniform(0.3, 2, size=(count, 2))]
    edges: list[tuple[int, int]] = []
    for target in range(1, count):
        below = rng.choice(target, size=min(target, int(rng.integers(1, 4))), replace=False)
        edges += [(int(source), target) for source in below]
    assert faults(layered(sizes, edges), sizes, edges) == []


def test_deep_networks_leave_out_the_middle() -> None:
    block = cr.Residual(cr.Dense(4, "relu"), cr.Dense(4))
    deep = picture(cr.Network(4, [block] * 40 + [cr.Dense(1)], "squared_error").spec)
    layout = arranged(deep)
    assert len({y for _, y in layout.centres}) <= MOST_ROWS + 1 and layout.crossings == 0
    (left_out,) = [box for box in deep.boxes if box.kind == "left out"]
    assert left_out.words == f"{40 * 3 + 3 - (len(deep.boxes) - 1)} values are left out here"


def test_a_chain_stays_a_row_of_columns() -> None:
    tied: list[Any] = [cr.Dense(4, "tanh"), cr.Dense(8, weights=cr.Tied("W1", transposed=True))]
    net = cr.Network(8, tied, "squared_error")
    assert net.spec.chain and not network().spec.chain
    assert not any(type(p).__name__ == "FancyBboxPatch" for p in cr.plot.network(net).axes[0].patches)


def test_few_lines_cross_however_boxes_are_numbered() -> None:
    """A ladder of two chains with rungs, numbered crosswise: drawn without a crossing, as it can be."""
    chains = [0, 3, 4, 7, 8, 11], [1, 2, 5, 6, 9, 10]
    edges = [pair for chain in chains for pair in pairwise(chain)] + [(11, 12), (10, 12), (0, 5), (4, 9)]
    assert layered([(1.0, 0.5)] * 13, edges).crossings == 0
