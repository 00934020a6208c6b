"""A small network that has been trained and watched, and its report."""

from __future__ import annotations

import pytest
from written import Written

import chainrule as cr


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    data = cr.data.load("digits").split(0.2)
    net = cr.Network(64, [cr.Dense(16, "relu"), cr.Dense(10, "softmax")], "cross_entropy", engine="reference", l2=0.1)
    monitor, optimizer = cr.Monitor(every=10), cr.SGD(0.1)
    X, y = data.X_test, data.y_test
    assert X is not None and y is not None
    watched = {"callbacks": [monitor], "validation_data": (X, y), "verbose": False}
    net.fit(data.X, data.y, epochs=3, optimizer=optimizer, **watched)
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert net.report(path, X, y, monitor=monitor, optimizer=optimizer, title="<Digits> & more") == path
    return Written(path, net, X, y, monitor, optimizer)
