"""Products of bfloat16 parts: packing and the three products against the meaning that the reference engine has."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chainrule.engines.compiled import pack, tile_check
from chainrule.engines.compiled.kernels import parts as packing
from chainrule.engines.compiled.kernels.batch_product import batch_product, batch_scratch
from chainrule.engines.compiled.kernels.feature_product import feature_product
from chainrule.engines.compiled.kernels.inner import Dots, TileProducts, WholeProducts, kernel_for
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import store_tile
from chainrule.engines.llvm import jit, subnormal, target, tiles
from chainrule.engines.llvm.emit import Module, Value
from chainrule.engines.reference import split
from chainrule.program.precision import pairs

P, L = ctypes.c_void_p, ctypes.c_int64
EPS = float(np.finfo(np.float32).eps)


def kernels(name: str, parts: int) -> list[Dots]:
    """The ways that there are on a machine: by vectors, where it has it by the instruction, by tiles as vector code."""
    layout = PanelLayout(target.named(name), "float32")
    ways = [Dots(layout, parts)]
    if layout.target.vector_bytes == 64:
        tiled = replace(layout, target=replace(layout.target, tiles="emulated"))
        ways += [Dots(tiled, parts), TileProducts(tiled, parts)]
        ways += [WholeProducts(tiled)] if parts == 3 else []
    if "avx512bf16" in layout.target.on and layout.target.vector_bytes == 64:
        ways.append(Dots(layout, parts, dots=True))
    return ways


def emit(kernel: Dots, k: int, n: int) -> Module:
    """Each with one record of addresses, and m, tid, team."""
    layout = kernel.layout
    module = Module(layout.target)

    def function(name: str, body: Any) -> None:
        f = module.function(f"{name}_inner", ["ptr", "i64", "i64"], internal=True)
        record, tid, team = f.args
        places = [f.load("ptr", f.at(record, i, type="i64")) for i in range(6)]
        m = f.load("i64", f.at(record, 6, type="i64"))
        body(f, *places, m=m, tid=tid, team=team)
        f.ret()
        subnormal.entry(module, name, f)

    def packed(f: Any, W: Value, A: Value, D: Value, *to: Value, m: Value, tid: Value, team: Value) -> None:
        whole = f.udiv(f.add(m, layout.panel - 1), layout.panel)
        if kernel.turned:
            packing.pack_turned(f, kernel, weight=W, to=to[0], k=k, n=n, groups=1, lo=0, hi=layout.panels(k))
        else:
            packing.pack_pairs_of_rows(f, kernel, weight=W, to=to[0], k=k, groups=1, lo=0, hi=layout.panels(n))
        packing.pack_rows_of_lanes(f, kernel, values=W, to=to[1], lo=0, hi=layout.panels(n) * k)
        packing.pack_lines(f, kernel, values=A, to=to[2], n=k, groups=1, lo=0, hi=whole)

    def more(f: Any, W: Value, A: Value, D: Value, *to: Value, m: Value, tid: Value, team: Value) -> None:
        whole = f.udiv(f.add(m, layout.panel - 1), layout.panel)
        packing.pack_rows_of_lanes(f, kernel, values=A, to=to[0], lo=0, hi=f.mul(whole, k))
        packing.pack_lines(f, kernel, values=D, to=to[1], n=n, groups=1, lo=0, hi=whole)

    function("packed", packed)
    function("more", more)
    for name, backward, rolled in (("forward", False, False), ("rolled", False, True), ("backward", True, False)):

        def product(
            f: Any, W: Value, A: Value, out: Value, *plain: Value, m: Value, tid: Value, team: Value,
            backward: bool = backward, rolled: bool = rolled,
        ) -> None:  # fmt: skip
            feature_product(
                f, layout, weight=W, values=A, out=out, k=k, n=n, m=m,
                epilogue=lambda t: store_tile(f, layout, out, t),
                backward=backward, rolled=rolled, kernel=kernel, plain=(plain[0], plain[1]), tid=tid, team=team,
            )  # fmt: skip

        function(name, product)

    def batch(
        f: Any, A: Value, D: Value, scratch: Value, out: Value, bias: Value, plain: Value,
        *, m: Value, tid: Value, team: Value,
    ) -> None:  # fmt: skip
        def keep(panel: Any, sums: list[Value]) -> None:
            at = f.at(bias, (panel, layout.panel), type=layout.real)
            for v, x in enumerate(sums):
                f.store(x, at, v * layout.lanes)

        batch_product(
            f, layout, values=A, slopes=D, scratch=scratch, out=out, k=k, n=n, m=m,
            epilogue=lambda t: store_tile(f, layout, out, t), bias_epilogue=keep, kernel=kernel, plain=plain,
            tid=tid, team=team,
        )  # fmt: skip

    function("batch", batch)
    return module


class Products:
    """The products of one size, by one way."""

    def __init__(self, kernel: Dots, k: int, n: int) -> None:
        self.kernel, self.k, self.n = kernel, k, n
        self.code = jit.compile_module(emit(kernel, k, n))

    def call(self, name: str, *arrays: Any, m: int, tid: int = 0, team: int = 1) -> None:
        record = np.zeros(7, np.int64)
        record[: len(arrays)] = [a.ctypes.data for a in arrays]
        record[6] = m
        self.code.function(name, P, L, L)(record.ctypes.data, tid, team)

    def of(self, A: Any, W: Any, D: Any, team: int) -> dict[str, Any]:
        """The results, by name."""
        layout, parts, k, n, m = self.kernel.layout, self.kernel.parts, self.k, self.n, len(A)
        lanes, panels = layout.panel // 2, layout.panels(m)

        def blank(size: int) -> Any:
            whole = pack.aligned(size, "f")
            whole[:] = np.nan
            return whole

        weight, a, d = (
            pack.weight_to_panels(layout, W), pack.batch_to_panels(layout, A), pack.batch_to_panels(layout, D)
        )  # fmt: skip
        turned, below = layout.panels(k) * n * lanes, layout.panels(n) * -(-k // 2) * layout.panel
        W1, W2 = blank(parts * max(turned, below)), blank(layout.panels(n) * k * parts * lanes)
        stored = self.kernel.stored_lines
        A1, A2 = blank(panels * stored(k) * parts * layout.panel), blank(panels * k * parts * lanes)
        D1 = blank(panels * stored(n) * parts * layout.panel)
        self.call("packed", weight, a, d, W1, W2, A1, m=m)
        self.call("more", weight, a, d, A2, D1, m=m)
        found = {}
        for name, w, values, wide in (("forward", W1, A1, n), ("rolled", W1, A1, n), ("backward", W2, D1, k)):
            out = blank(layout.batch_size(m, wide))
            for tid in range(team):
                plain = d if name == "backward" else a
                self.call(name, w, values, out, weight, plain, m=m, tid=tid, team=team)
            found[name] = pack.batch_from_panels(layout, out, m, wide)
        scratch, out, bias = (
            blank(batch_scratch(layout, m, 1, parts)), blank(layout.weight_size(k, n)), blank(layout.padded(n))
        )  # fmt: skip
        for tid in range(team):
            self.call("batch", A2, d, scratch, out, bias, a, m=m, tid=tid, team=team)
        found["batch"], found["bias"] = pack.weight_from_panels(layout, out, k, n), bias[:n].copy()
        return found


def exact(L: Any, R: Any, parts: int) -> tuple[Any, Any]:
    """The products of the parts in float64, and of their absolute values."""
    lefts, rights = (
        [x.astype(float) for x in split(np.ascontiguousarray(side), parts)] for side in (L, R)
    )  # fmt: skip
    whole = [(lefts[a] @ rights[b], abs(lefts[a]) @ abs(rights[b])) for a, b in pairs(parts)]
    return sum(x for x, _ in whole), sum(y for _, y in whole)


def check(name: str, parts: int, k: int, n: int, batches: list[int], rng: np.random.Generator) -> None:
    ways = [Products(kernel, k, n) for kernel in kernels(name, parts)]
    for m in batches:
        A, W, D = (rng.standard_normal(s).astype("f") for s in ((m, k), (k, n), (m, n)))
        meant = {
            "forward": (exact(A, W, parts), k),
            "rolled": (exact(A, W, parts), k),
            "backward": (exact(D, W.T, parts), n),
            "batch": (exact(A.T, D, parts), m),
        }
        seen: dict[tuple[str, str], bytes] = {}
        for products in ways:
            for team in (1, 2, 5):
                for what, got in products.of(A, W, D, team).items():
                    if what == "bias":
                        assert np.allclose(got, D.astype(float).sum(0), atol=1e-4)
                    else:
                        (value, mass), depth = meant[what]
                        assert (abs(got - value) <= EPS * (4 + parts * depth) * mass + 1e-30).all(), (what, m, k, n)
                    # The same bits for every team, and by vectors and dots.
                    order = (what, type(products.kernel).__name__)
                    assert seen.setdefault(order, got.tobytes()) == got.tobytes(), (what, team)


@pytest.mark.parametrize(("name", "parts"), [("host", 2), ("x86-64-v2", 1), ("x86-64-v3", 2)])
def test_products_of_parts_are_what_they_mean(name: str, parts: int) -> None:
    check(name, parts, *((33, 37) if name == "host" else (18, 11)), [37], np.random.default_rng(5))


def test_code_for_tiles_is_emitted_and_assembled() -> None:
    """The instructions themselves run on processors that have them alone; here they are written and assembled."""
    layout = PanelLayout(target.named("amx"), "float32")
    kernel = kernel_for(layout, 2, rows=70)
    assert isinstance(kernel, TileProducts) and not isinstance(kernel_for(layout, 2, rows=2), TileProducts)
    text = jit.assembly(emit(kernel, 70, 50))
    for instruction in ("ldtilecfg", "tdpbf16ps", "tileloadd", "tilestored", "tilerelease"):
        assert instruction in text
    assert text.count("tdpbf16ps") % len(pairs(2)) == 0


@pytest.mark.long
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("name", ["host", "x86-64-v2", "x86-64-v3"])
def test_products_of_parts_of_random_sizes(name: str, parts: int) -> None:
    rng = np.random.default_rng(6)
    sizes = [(1, 1), (71, 5), (1, 64), (64, 1), (785, 33), (33, 777), *rng.integers(1, 90, (6, 2)).tolist()]
    for k, n in sizes:
        check(name, parts, k, n, [1, 32, *rng.integers(2, 80, 2).tolist()], rng)


def tiled_layout() -> PanelLayout:
    """Of this machine, vector code in the place of tiles' instructions."""
    layout = PanelLayout(target.host(), "float32")
    if layout.target.vector_bytes != 64:
        pytest.skip("tiles stand beside vectors of 64 bytes")
    return replace(layout, target=replace(layout.target, tiles="emulated"))


def test_tiles_are_tried_before_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = tiled_layout()
    way = tile_check.by_code(layout)
    assert tile_check.holds(layout, way)

    def swapped(left: Any, right: Any, sums: Any) -> None:
        way(left[..., ::-1].copy(), right, sums)

    def one_short(left: Any, right: Any, sums: Any) -> None:
        way(left, right, sums)
        sums[-1, -1] += 1

    for wrong in (swapped, one_short, lambda left, right, sums: None):
        assert not tile_check.holds(layout, wrong)

    monkeypatch.setattr(tiles, "permitted", lambda: True)
    monkeypatch.setattr(tile_check, "by_code", lambda layout: one_short)
    tile_check.right.cache_clear()
    with pytest.warns(RuntimeWarning, match="do not multiply as they have to"):
        assert not tile_check.usable(layout)
    assert not tile_check.usable(layout)  # and is not said again
    tile_check.right.cache_clear()


def test_the_trial_of_tiles_is_emitted_for_them() -> None:
    layout = PanelLayout(target.named("amx"), "float32")
    text = jit.assembly(tile_check.trial(layout))
    for instruction in ("ldtilecfg", "tileloadd", "tdpbf16ps", "tilestored", "tilerelease"):
        assert instruction in text
