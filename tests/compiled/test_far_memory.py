"""Machine code in a process whose memory is full of small holes: its parts reach each other all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

HOLES = """
import ctypes, sys
import numpy as np
import chainrule as cr

system = ctypes.CDLL(None, use_errno=True)
system.mmap.restype = ctypes.c_void_p
system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
system.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
RESERVED = 0x22 | 0x4000  # private, of no file, without a promise of memory


def reserve(size):
    return system.mmap(None, size, 0, RESERVED, -1, 0)


hole = int(sys.argv[1])
places = [reserve(hole) for _ in range(1000)]
for place in places[::2]:
    system.munmap(place, hole)
assert reserve(5 << 30) not in (None, 2**64 - 1), "no memory"
X = np.random.default_rng(0).normal(size=(20, 4))
for seed, engine in ((1, "compiled"), (1, "reference")):
    layers = [*(cr.Dense(5 + k, "gelu") for k in range(3)), cr.Dense(2)]
    net = cr.Network(4, layers, "squared_error", engine=engine, seed=seed)
    print(net.gradients(X, X[:, :2])["W1"].sum().round(3))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="holes are made by Linux's mmap")
@pytest.mark.parametrize("hole", [4096, 16384])
def test_parts_of_code_reach_each_other_among_holes(hole: int) -> None:
    done = subprocess.run([sys.executable, "-c", HOLES, str(hole)], capture_output=True, text=True)
    if "no memory" in done.stderr:
        pytest.skip("so much of the address space cannot be reserved here")
    assert done.returncode == 0, done.stderr[-500:]
    compiled, reference = done.stdout.split()
    assert compiled == reference
