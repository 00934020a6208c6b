"""Blocks of numbers turned round in registers: square ones, and rows shorter than a register."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import chainrule as cr
from chainrule.engines.llvm import jit, target
from chainrule.engines.llvm.emit import Module
from chainrule.engines.llvm.target import RealType


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_every_length_become_columns(dtype: str) -> None:
    real = RealType(target.host(), dtype)
    lanes = real.lanes
    lengths = [1 << k for k in range(1, lanes.bit_length())]
    module = Module(real.target)
    for length in lengths:
        f = module.function(f"turn{length}", ["ptr", "ptr"])
        source, place = f.args
        rows = [f.load(f"<{length} x {real.real}>", source, i * length) for i in range(lanes)]
        for k, column in enumerate(f.transpose(rows)):
            f.store(column, place, k * lanes)
        f.ret()
    code = jit.compile_module(module)
    for length in lengths:
        rows = np.random.default_rng(length).normal(size=(lanes, length)).astype(dtype)
        columns = np.zeros((length, lanes), dtype)
        turn = code.function(f"turn{length}", ctypes.c_void_p, ctypes.c_void_p)
        turn(rows.ctypes.data, columns.ctypes.data)
        np.testing.assert_array_equal(columns, rows.T)


@pytest.mark.parametrize("inputs", [1, 2, 3, 7, 10, 13, pytest.param(29, marks=pytest.mark.long)])
def test_rows_of_data_of_every_length_are_read(inputs: int) -> None:
    X = np.random.default_rng(inputs).normal(size=(41, inputs))
    net = cr.Network(inputs, [cr.Dense(inputs, bias=False)], "squared_error", dtype="float64", engine="compiled")
    net.parameters["W1"][...] = np.eye(inputs)
    np.testing.assert_array_equal(net.predict(X), X)
