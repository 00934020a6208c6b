"""Traces: every symbol of a step with its array, its summary and its equation; the network stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from systems import SYSTEMS

import chainrule as cr
from chainrule.notation import views
from problems import PROBLEMS


@pytest.mark.parametrize("problem", PROBLEMS[::5], ids=str)
def test_a_trace_holds_every_symbol_and_the_gradients(problem: object) -> None:
    net = problem.network("reference")  # type: ignore[attr-defined]
    X, y, w = problem.data()  # type: ignore[attr-defined]
    trace = net.trace(X, y, sample_weight=w, training=True)
    gradients = net.gradients(X, y, sample_weight=w, training=True)
    for name, value in gradients.items():
        np.testing.assert_array_equal(trace[f"d{name}"], value)
    assert float(trace["J"]) == net.cost(X, y, sample_weight=w, training=True)
    assert set(trace.program.symbols) == set(trace)
    assert all(trace.symbol(e.target.name).equation == e for e in trace.program.equations)


def test_the_summary_by_hand() -> None:
    system = SYSTEMS["regularised"]
    net = system.network()
    trace = net.trace(*system.data())
    record = trace.symbol("A2")
    A2 = trace["A2"]
    assert record.summary() == {
        "shape": (5, 5), "mean": A2.mean(), "std": A2.std(), "min": A2.min(), "max": A2.max(),
        "zeros": (A2 == 0).mean(), "norm": pytest.approx(np.linalg.norm(A2)),
    }  # fmt: skip
    assert record.zeros > 0 and str(record).startswith("A2 = max(Z2, 0)   (m, 5)\n[[")
    np.testing.assert_allclose(trace["Z1"], trace["X"] @ trace["W1"] + trace["b1"])


def test_the_update_is_shown_and_not_done() -> None:
    system = SYSTEMS["regularised"]
    net, (X, y) = system.network(), system.data()
    before = {k: v.copy() for k, v in net.parameters.items()}
    trace = net.trace(X, y, training=True, optimizer=cr.Adam(0.1))
    for name, array in net.parameters.items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(trace[name], before[name])
    net.fit(X, y, epochs=1, batch_size=len(X), optimizer=cr.Adam(0.1), shuffle=False, verbose=False)
    for name, array in net.parameters.items():
        np.testing.assert_allclose(trace.updated[name], array, rtol=1e-12)
        assert not np.array_equal(array, before[name])


def test_a_schedule_gives_the_rate_of_the_step() -> None:
    system = SYSTEMS["regularised"]
    trace = system.network().trace(*system.data(), optimizer=cr.SGD(cr.Cosine(0.3)))
    assert float(trace["lr"]) == 0.3


def test_a_trace_is_a_copy() -> None:
    system = SYSTEMS["eight"]
    net = system.network()
    trace = net.trace(*system.data())
    kept = trace["W2"].copy()
    net.parameters["W2"][...] = 0
    np.testing.assert_array_equal(trace["W2"], kept)


def test_the_printed_table_is_aligned() -> None:
    system = SYSTEMS["regularised"]
    text = str(system.network().trace(*system.data(), optimizer=cr.SGD(0.1)))
    lines = text.splitlines()
    assert lines[0].split() == ["shape", "mean", "std", "min", "max", "zeros", "norm", "equation"]
    assert [line for line in lines if not line.startswith(" ")] == ["given", "forward", "cost", "backward", "update"]
    rows = [line for line in lines if line.startswith("    ")]
    column = lines[0].index("equation")
    assert all(line[column - 1] == " " for line in rows if len(line) > column)
    assert any("= X W1 + b1" in line for line in rows) and any(":= W1 - lr dW1" in line for line in rows)
    assert "XW1 " not in text  # a product written in place has no row of its own


def test_the_numbers_of_a_notations_lines() -> None:
    """Where 1/m stands at the weights, the errors are m times as large, and the weights' gradients the same."""
    system = SYSTEMS["regularised"]
    net, (X, y) = system.network(), system.data()
    plain = net.trace(X, y)
    column = net.trace(X, y, notation="column")
    np.testing.assert_allclose(column["dZ2"], len(X) * plain["dZ2"], rtol=1e-12)
    np.testing.assert_allclose(column["dW2"], plain["dW2"], rtol=1e-12)
    for view in views(net.program, "column"):
        assert all(name in column for name in (*view.targets, *view.operands))


def test_an_unknown_symbol_is_named_with_the_nearest() -> None:
    system = SYSTEMS["regularised"]
    trace = system.network().trace(*system.data())
    with pytest.raises(KeyError, match=r"Did you mean .*dZ1"):
        trace["dz1"]
    with pytest.raises(cr.DataError, match="must have 4 columns"):
        system.network().trace(np.ones((3, 5)), np.ones((3, 2)))
