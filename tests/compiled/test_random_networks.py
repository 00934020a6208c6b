"""Random networks: the compiled engine against the definition, every buffer guarded, every number of threads alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from guarded import Guards
from random_networks import Case, Trajectory, make, make_in_groups, train

from chainrule import Network
from chainrule.engines.compiled import pack, table_rows
from chainrule.engines.compiled.engine import CompiledEngine
from chainrule.engines.reference import ReferenceEngine
from chainrule.program import layout

pytestmark = pytest.mark.usefixtures("many_processors")
NORMAL, LONG = 10, 2002
IN_GROUPS, LONG_IN_GROUPS = 7, 300

Arrays = dict[str, np.ndarray]


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    """The largest difference, relative to the largest number."""
    if not np.isfinite(truth).all():
        return 0.0 if np.array_equal(np.isfinite(found), np.isfinite(truth)) else np.inf
    scale = float(np.abs(truth).max(initial=0.0))
    return float(np.abs(found.astype(np.float64) - truth).max(initial=0.0)) / max(scale, 1e-3)


def allowances(case: Case, truth: Arrays, others: Iterable[Arrays]) -> dict[str, float]:
    """How far each array may be from the reference's.

    others: what the reference says in float64, or after its parameters were moved by a few units in the last place.
    How far those are from its answer is the condition of the problem in this dtype; an engine that rounds elsewhere may
    be as far, times a small factor.
    """
    floor = 2e-6 if case.dtype == "float32" else 1e-9
    found = dict.fromkeys(truth, 0.0)
    for other in others:
        for name, value in truth.items():
            found[name] = max(found[name], distance(other[name], value))
    return {name: floor + 10 * value for name, value in found.items()}


def close(case: Case, found: Arrays, answer: Callable[[Network], Arrays]) -> None:
    """Each array as near to the reference's answer as rounding allows.

    Where it is not, the reference is asked some more, moved a little further: a network that stands on the edge of a
    relu, and is trained from there, may end on either side.
    """
    truth = answer(case.network())
    others = [answer(case.network(nudge=k)) for k in (1, 2)]
    if "precision" in case.options:  # where a number is rounded to the other side, they differ as its parts from it
        plain = {name: value for name, value in case.options.items() if name != "precision"}
        others += [answer(replace(case, options=plain).network(dtype=dtype)) for dtype in ("float32", "float64")]
    elif case.dtype == "float32":
        others.append(answer(case.network(dtype="float64")))
    if any(a.shape != b.shape for o in others for a, b in zip(o.values(), truth.values(), strict=True)):
        return  # on the brink of divergence: rounding decides which step is the first without a finite cost
    allowed = allowances(case, truth, others)
    errors = {name: distance(found[name], value) for name, value in truth.items()}
    if any(errors[name] > allowed[name] for name in truth):
        allowed = allowances(case, truth, [*others, *(answer(case.network(nudge=k)) for k in range(3, 19))])
    for name, error in errors.items():
        assert error <= allowed[name], f"{name}: off by {error:.2g}, allowed {allowed[name]:.2g}"


def flat(run: Trajectory) -> Arrays:
    """A trajectory as named arrays."""
    found = {"costs": run.costs}
    for k, arrays in enumerate(run.arrays):
        found |= {f"{name} after epoch {k + 1}": array for name, array in arrays.items()}
    return found


def same_bits(a: Arrays, b: Arrays) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert value.tobytes() == b[name].tobytes(), f"{name} differs"


def check_training(case: Case, guards: Guards) -> None:
    engine, runs = CompiledEngine(np.dtype(case.dtype)), []
    program = case.training_program(case.network())
    for threads in (1, 2 + case.seed % 4):
        net = case.network()
        runs.append(flat(train(case, net, engine, program=program, threads=threads, place=guards.copy)))
        guards.check()
    same_bits(runs[0], runs[1])
    close(case, runs[0], lambda net: flat(train(case, net, ReferenceEngine(net.dtype))))


def check_calls(case: Case, guards: Guards) -> None:
    """One of the calls: which one, the case's number says."""
    X, y, w = case.given
    rows = guards.copy(X if X.dtype.kind == "i" else X.astype(case.dtype))

    def call(net: Network) -> Arrays:
        match case.seed // 3 % 5:
            case 0:
                return {"predict": net.predict(rows)}
            case 1:
                return {"row": net.predict(rows[-1:]), "row again": net.predict(rows[-1:].copy())}
            case 2:
                training = case.seed % 2 == 0
                return {"cost": np.array(net.cost(rows, y, sample_weight=w, training=training, step=3))}
            case kind:
                return net.gradients(rows, y, sample_weight=w, training=kind == 4, step=3)

    found = call(case.network("compiled"))
    guards.check()
    close(case, found, call)


def check(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = case.seed
    guards = Guards(before=seed % 4 == 0)
    monkeypatch.setattr(pack, "aligned", guards.aligned)
    monkeypatch.setattr(pack, "seldom", guards.aligned)
    if seed % 2:  # tables are looked after row by row, however small
        monkeypatch.setattr(table_rows, "LARGE", 1)
        monkeypatch.setattr(table_rows, "SHARE", 1)
    monkeypatch.setattr(pack, "zeros", guards.empty)
    line = layout.ALIGNMENT // np.dtype(case.dtype).itemsize  # one row may be read from a line past the parameters' end
    monkeypatch.setattr(layout, "aligned_zeros", lambda size, dtype: guards.aligned(size + line, dtype)[:size])
    check_training(case, guards)
    if seed % 3 == 0:
        check_calls(case, guards)


def in_parts(case: Case) -> Case:
    """The same in float32, its products of bfloat16 parts."""
    word = ("high", "medium")[case.seed % 2]
    return replace(case, dtype="float32", options={**case.options, "precision": word})


@pytest.mark.parametrize("seed", [2, 5])
def test_network_of_products_in_parts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(in_parts(make(seed)), monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(NORMAL, NORMAL + LONG // 4))
def test_network_of_products_in_parts_long(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(in_parts(make(seed)), monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(IN_GROUPS + LONG_IN_GROUPS // 2))
def test_network_of_groups_and_tables_in_parts_long(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(in_parts(make_in_groups(seed)), monkeypatch)


@pytest.mark.parametrize("seed", range(NORMAL))
def test_network(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(make(seed), monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(NORMAL, NORMAL + LONG))
def test_network_long(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(make(seed), monkeypatch)


@pytest.mark.parametrize("seed", range(IN_GROUPS))
def test_network_of_groups_and_tables(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(make_in_groups(seed), monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(IN_GROUPS, IN_GROUPS + LONG_IN_GROUPS))
def test_network_of_groups_and_tables_long(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(make_in_groups(seed), monkeypatch)
