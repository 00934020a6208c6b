"""The three products against NumPy: any size, both dtypes, partial batches, any team; the same bits for every team."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.engines.compiled import pack
from chainrule.engines.compiled.kernels import few_features, tile
from chainrule.engines.compiled.kernels.batch_product import batch_product, batch_scratch
from chainrule.engines.compiled.kernels.feature_product import feature_product
from chainrule.engines.compiled.kernels.panels import PanelLayout
from chainrule.engines.compiled.kernels.tile import Tile, store_tile
from chainrule.engines.llvm import jit, target
from chainrule.engines.llvm.emit import Module, Value

CANARY = 12345.0
TARGETS = ["host", "x86-64-v2", "x86-64-v3"]


def guarded(content: Any) -> tuple[Any, Any]:
    """A copy of a flat array between two lines of canaries, and a check that they still live."""
    whole = pack.aligned(content.size + 64, content.dtype)
    whole[:] = CANARY
    inner = whole[32 : 32 + content.size]
    inner[:] = content
    return inner, whole


def alive(whole: Any) -> bool:
    return bool((whole[:32] == CANARY).all() and (whole[-32:] == CANARY).all())


def emit(layout: PanelLayout, k: int, n: int) -> Module:
    """forward, forward_rolled, backward, batch: (args..., m, tid, team)."""
    module = Module(layout.target)
    for name, backward, rolled in (("forward", False, False), ("rolled", False, True), ("backward", True, False)):
        f = module.function(name, ["ptr", "ptr", "ptr", "i64", "i64", "i64"])
        weight, values, out, m, tid, team = f.args

        def epilogue(t: Tile, f: Any = f, out: Value = out) -> None:
            twice = tuple(tuple(f.fmul(x, 2.0) for x in row) for row in t.acc)
            store_tile(f, layout, out, replace(t, acc=twice))

        feature_product(
            f, layout, weight=weight, values=values, out=out, k=k, n=n, m=m, epilogue=epilogue,
            backward=backward, rolled=rolled, tid=tid, team=team,
        )  # fmt: skip
        f.ret()
    f = module.function("batch", ["ptr", "ptr", "ptr", "ptr", "ptr", "i64", "i64", "i64", "i1"])
    values, slopes, scratch, out, bias, m, tid, team, add = f.args

    def keep_bias(panel: Any, sums: list[Value]) -> None:
        at = f.at(bias, (panel, layout.panel), type=layout.real)
        for v, x in enumerate(sums):
            f.store(x, at, v * layout.lanes)

    batch_product(
        f, layout, values=values, slopes=slopes, scratch=scratch, out=out, k=k, n=n, m=m,
        epilogue=lambda t: store_tile(f, layout, out, t), bias_epilogue=keep_bias, accumulate=add,
        tid=tid, team=team,
    )  # fmt: skip
    f.ret()
    return module


P, L = ctypes.c_void_p, ctypes.c_int64


def check(layout: PanelLayout, k: int, n: int, batches: list[int], rng: np.random.Generator) -> None:
    code = jit.compile_module(emit(layout, k, n))
    feature = {name: code.function(name, P, P, P, L, L, L) for name in ("forward", "rolled", "backward")}
    batch = code.function("batch", P, P, P, P, P, L, L, L, ctypes.c_bool)
    eps = float(np.finfo(layout.dtype).eps)
    W = rng.standard_normal((k, n)).astype(layout.dtype)
    weight, wall_w = guarded(pack.weight_to_panels(layout, W))
    for m in batches:
        A, D = (rng.standard_normal((m, x)).astype(layout.dtype) for x in (k, n))
        a, wall_a = guarded(pack.batch_to_panels(layout, A))
        d, wall_d = guarded(pack.batch_to_panels(layout, D))
        A64, D64, W64 = (x.astype(np.float64) for x in (A, D, W))
        seen: dict[str, bytes] = {}
        for team in (1, 2, 3, 5):
            for name, values, wide, exact, mass in (
                ("forward", a, n, 2 * A64 @ W64, 2 * abs(A64) @ abs(W64)),
                ("rolled", a, n, 2 * A64 @ W64, 2 * abs(A64) @ abs(W64)),
                ("backward", d, k, 2 * D64 @ W64.T, 2 * abs(D64) @ abs(W64.T)),
            ):
                out, wall = guarded(np.full(layout.batch_size(m, wide), np.nan, layout.dtype))
                for tid in range(team):
                    feature[name](weight.ctypes.data, values.ctypes.data, out.ctypes.data, m, tid, team)
                got = pack.batch_from_panels(layout, out, m, wide)
                assert (abs(got - exact) <= eps * (4 + k + n) * mass + 1e-30).all(), (name, m, k, n, team)
                assert alive(wall)
                assert seen.setdefault(name, got.tobytes()) == got.tobytes()
            for add in (False, True):
                G = rng.standard_normal((k, n)).astype(layout.dtype) if team == 1 else G  # noqa: F821
                out, wall = guarded(pack.weight_to_panels(layout, G))
                scratch, wall_s = guarded(np.full(batch_scratch(layout, m), np.nan, layout.dtype))
                bias, wall_b = guarded(np.full(layout.padded(n), np.nan, layout.dtype))
                for tid in range(team):
                    batch(
                        a.ctypes.data, d.ctypes.data, scratch.ctypes.data, out.ctypes.data, bias.ctypes.data,
                        m, tid, team, add,
                    )  # fmt: skip
                got = pack.weight_from_panels(layout, out, k, n)
                exact = A64.T @ D64 + (G if add else 0)
                assert (abs(got - exact) <= eps * (4 + m) * (abs(A64.T) @ abs(D64) + abs(G))).all(), (m, k, n, team)
                assert np.allclose(bias[:n], D64.sum(0), atol=eps * (4 + m) * (1 + abs(D64).sum(0).max()))
                assert alive(wall) and alive(wall_s) and alive(wall_b)
                padding = out.reshape(-1, k, layout.panel).transpose(1, 0, 2).reshape(k, -1)[:, n:]
                assert (padding == 0).all()
                seen.setdefault(f"batch {add}", out.tobytes())
                if team > 1 and not add:
                    assert seen[f"batch {add}"] == out.tobytes()
                seen.setdefault("bias", bias[:n].tobytes())
                assert seen["bias"] == bias[:n].tobytes()
        assert alive(wall_a) and alive(wall_d) and alive(wall_w)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TARGETS)
def test_products_of_random_sizes(name: str, dtype: str) -> None:
    layout = PanelLayout(target.named(name), dtype)
    rng = np.random.default_rng(7)
    for _ in range(10 if name == "host" else 4):
        k, n = (int(x) for x in rng.integers(1, 71, 2))
        check(layout, k, n, [1, *(int(x) for x in rng.integers(2, 71, 3))], rng)


@pytest.mark.parametrize("size", [(1, 1), (300, 9), (785, 33), (33, 777), (8, 32), (32, 1), (3, 16)])
def test_products_of_marked_sizes(size: tuple[int, int]) -> None:
    check(PanelLayout(target.host(), "float32"), *size, [1, 16, 33, 130], np.random.default_rng(1))


FEW = [(1, 40), (2, 3), (3, 70), (4, 32), (7, 16), (8, 33), (16, 4), (17, 2), (18, 5), (9, 19)]
"""Input and output features of which one side is narrow."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["host", "x86-64-v3"])
def test_products_of_few_features_over_many_samples(name: str, dtype: str) -> None:
    layout = PanelLayout(target.named(name), dtype)
    sizes = [size for size in FEW if few_features.suits(layout, *size)]
    assert len(sizes) > 4 or layout.lanes < 8
    module = Module(layout.target)
    for k, n in sizes:
        f = module.function(f"few_{k}_{n}", ["ptr", "ptr", "ptr", "ptr", "ptr", "i64", "i1"])
        values, slopes, scratch, out, bias, m, add = f.args

        def keep(panel: Any, sums: list[Value], f: Any = f, bias: Value = bias) -> None:
            for v, x in enumerate(sums):
                f.store(x, f.at(bias, (panel, layout.panel), v * layout.lanes, type=layout.real))

        batch_product(
            f, layout, values=values, slopes=slopes, scratch=scratch, out=out, k=k, n=n, m=m, many=True,
            epilogue=lambda t, f=f, out=out: store_tile(f, layout, out, t), bias_epilogue=keep, accumulate=add,
        )  # fmt: skip
        f.ret()
    code, rng, eps = jit.compile_module(module), np.random.default_rng(3), float(np.finfo(dtype).eps)
    for k, n in sizes:
        few = code.function(f"few_{k}_{n}", P, P, P, P, P, L, ctypes.c_bool)
        for m in (1, 31, 256):
            A, D, G = (rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (m, n), (k, n)))
            a, d = pack.batch_to_panels(layout, A), pack.batch_to_panels(layout, D)
            for add in (False, True):
                out, wall = guarded(pack.weight_to_panels(layout, G))
                scratch, wall_s = guarded(np.full(batch_scratch(layout, m), np.nan, dtype))
                bias, wall_b = guarded(np.full(layout.padded(n), np.nan, dtype))
                few(*(x.ctypes.data for x in (a, d, scratch, out, bias)), m, add)
                A64, D64 = A.astype(np.float64), D.astype(np.float64)
                mass = abs(A64.T) @ abs(D64) + abs(G)
                got = pack.weight_from_panels(layout, out, k, n)
                assert (abs(got - A64.T @ D64 - add * G) <= eps * (4 + m) * mass).all(), (m, k, n)
                assert np.allclose(bias[:n], D64.sum(0), atol=eps * (4 + m) * (1 + abs(D64).sum(0).max()))
                assert (out.reshape(-1, k, layout.panel).transpose(1, 0, 2).reshape(k, -1)[:, n:] == 0).all()
                assert alive(wall) and alive(wall_s) and alive(wall_b)


@pytest.mark.parametrize("name", ["x86-64-v4", "aarch64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_code_for_other_machines_is_emitted_and_verified(name: str, dtype: str) -> None:
    layout = PanelLayout(target.named(name), dtype)
    for k, n in ((70, 50), (300, 1), (3, 9)):
        assert b"\x7fELF" in jit.object_code(emit(layout, k, n))[:64]  # perhaps the first of several


def test_example_of_the_manual_runs() -> None:
    manual = Path(tile.__file__).with_name("KERNELS.md").read_text(encoding="utf-8")
    example = manual[manual.index("## Example") :]
    exec(example.split("```python\n")[1].split("```")[0], {})
