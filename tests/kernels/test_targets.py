"""What is emitted holds for other machines too: LLVM verifies it and makes code of it, whatever the vectors' width."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chainrule.engines.llvm import jit, philox, target, vecmath
from chainrule.engines.llvm.emit import Function, Module, Value
from chainrule.engines.llvm.expression import Evaluator
from chainrule.engines.llvm.target import RealType, described
from chainrule.program.scalar import FUNCTIONS, Apply, Expression, Variable

MACHINES = {
    **{name: target.named(name) for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "aarch64", "wasm32", "nvptx64")},
    "wasm32 without vectors": described("wasm32-unknown-unknown", "generic"),
    "riscv64": described("riscv64-unknown-linux-gnu", "generic-rv64", "+d"),
    "i686": described("i686-unknown-linux-gnu", "pentium4"),
}
ROUTINES: dict[str, Callable[[Function, Value], Value]] = {
    name: getattr(vecmath, name) for name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "softplus", "erf")
} | {
    "x**-1.5": lambda f, x: vecmath.power(f, x, -1.5),
    "x**(1/3)": lambda f, x: vecmath.power(f, x, 1 / 3),
    "the larger": lambda f, x: f.fmax(x, f.fmin(x, 1.0)),
    "sum of the lanes": lambda f, x: f.reduce(f.fadd, x),
    "some lanes": lambda f, x: f.select(f.lane_mask(f.constant("i64", 3), target_lanes(x)), x, 0.0),
}


def target_lanes(x: Value) -> int:
    return int(x.type[1:].split()[0]) if x.type.startswith("<") else 1


def code_for(machine: target.Target, dtype: str, lanes: int, body: Callable[[Function, Value], Value]) -> str:
    """Assembly of a function that applies the body to the vectors of an array."""
    if not jit.has_backend(machine):
        pytest.skip(f"this build of LLVM has no back end for {machine.triple}")
    real = RealType(machine, dtype).real
    vector = f"<{lanes} x {real}>" if lanes > 1 else real
    module = Module(machine)
    f = module.function("apply", ["ptr", "ptr", "i64"])
    source, to, count = f.args

    def turn(i: Value) -> None:
        f.store(body(f, f.load(vector, f.at(source, i, type=real))), f.at(to, i, type=real))

    f.loop(0, count, turn, step=lanes)
    f.ret()
    return jit.assembly(module)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=[pytest.mark.long] if dtype == "float64" and number % 3 else [])
        for number, name in enumerate(MACHINES)
        for dtype in ("float32", "float64")
    ],
)
def test_every_routine_is_code_on_every_machine(name: str, dtype: str) -> None:
    machine = MACHINES[name]
    for lanes in sorted({1, RealType(machine, dtype).lanes, 4}):
        for routine, body in ROUTINES.items():
            assert "apply" in code_for(machine, dtype, lanes, body), (routine, lanes)


@pytest.mark.parametrize("name", MACHINES)
def test_every_scalar_function_is_code_on_every_machine(name: str) -> None:
    machine = MACHINES[name]
    numbers = RealType(machine, "float32")
    x = Variable("x")
    for function, about in FUNCTIONS.items():
        expression: Expression = Apply(function, (x,) * about.arity)

        def body(f: Function, value: Value, expression: Expression = expression) -> Value:
            return Evaluator(f, numbers.vector, lambda _: value)(expression)

        assert "apply" in code_for(machine, "float32", numbers.lanes, body), function


@pytest.mark.parametrize("name", MACHINES)
def test_random_words_are_code_on_every_machine(name: str) -> None:
    numbers = RealType(MACHINES[name], "float32")

    def body(f: Function, value: Value) -> Value:
        keys = philox.round_keys(f, 1, 2, numbers.lanes)
        words = philox.words(f, keys, (f.iota(numbers.lanes), 3, 4, 5))
        return f.select(philox.keep(f, words[2], 0.3), value, 0.0)

    assert "apply" in code_for(MACHINES[name], "float32", numbers.lanes, body)


def test_vectors_are_vectors_there() -> None:
    """The instructions of each machine's own vector unit; a thread of a graphics processor has one lane."""
    expected = {
        "x86-64-v3": "vfmadd",
        "x86-64-v4": "%zmm",
        "aarch64": "fmla",
        "wasm32": "f32x4.mul",
        "nvptx64": "fma.rn.f32",
    }
    for name, instruction in expected.items():
        machine = MACHINES[name]
        assert instruction in code_for(machine, "float32", RealType(machine, "float32").lanes, vecmath.exp), name
    plain = code_for(MACHINES["wasm32 without vectors"], "float32", 1, vecmath.exp)
    assert "f32.mul" in plain and "f32x4" not in plain


def test_pointers_have_the_width_of_the_machine() -> None:
    """What a record of addresses holds is read as the target has it."""
    for name, size in (("wasm32", 4), ("aarch64", 8)):
        module = Module(MACHINES[name])
        f = module.function("second", ["ptr"], "ptr")
        f.ret(f.load("ptr", f.at(f.args[0], 1, type="ptr")))
        assert f"align {size}" in module.text()
        if jit.has_backend(module.target):
            assert {4: "i32.load", 8: "ldr\tx0, [x0, #8]"}[size] in jit.assembly(module)
