"""Philox against the known answers of Random123, at every width."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from chainrule.engines.llvm import jit, philox, target
from chainrule.engines.llvm.emit import Module

KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("name", ["host", "x86-64-v2"])
@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
def test_known_answers(name: str, lanes: int) -> None:
    machine = target.named(name)
    module = Module(machine)
    f = module.function("words", ["ptr", "ptr", "ptr"])
    type = f"<{lanes} x i32>" if lanes > 1 else "i32"
    counters, key, out = f.args
    keys = philox.round_keys(f, f.load("i32", key), f.load("i32", key, 1), lanes)
    counter = [f.load(type, counters, c * lanes) for c in range(4)]
    for w, x in enumerate(philox.words(f, keys, (counter[0], counter[1], counter[2], counter[3]))):
        f.store(x, out, w * lanes)
    f.ret()
    words = jit.compile_module(module).function("words", *[ctypes.c_void_p] * 3)
    for counter_, key_, known in KNOWN:
        c = np.repeat(np.array(counter_, np.uint32)[:, None], lanes, 1)
        k, o = np.array(key_, np.uint32), np.zeros((4, lanes), np.uint32)
        words(c.ctypes.data, k.ctypes.data, o.ctypes.data)
        assert (o == np.array(known, np.uint32)[:, None]).all()


def test_keep_compares_without_sign() -> None:
    module = Module(target.host())
    f = module.function("keep", ["ptr", "ptr"])
    kept = philox.keep(f, f.load("<4 x i32>", f.args[0]), philox.least(f, 0.75))
    f.store(f.convert("zext", kept, "i32"), f.args[1])
    f.ret()
    keep = jit.compile_module(module).function("keep", *[ctypes.c_void_p] * 2)
    words = np.array([0, 0x7FFFFFFF, 0xBFFFFFFF, 0xC0000000], np.uint32)
    out = np.zeros(4, np.uint32)
    keep(words.ctypes.data, out.ctypes.data)
    assert out.tolist() == [0, 0, 0, 1]
