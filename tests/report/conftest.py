"""A small network that has been trained and watched, and its report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from in_browser import BROWSERS, FLAGS, run, size, theme
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
    assert (
        net.report(path, X, y, monitor=monitor, optimizer=optimizer, title="<Digits> & more", shape=(8, 8), part="test")
        == path
    )
    return Written(path, net, X, y, monitor, optimizer)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install -e '.[test]')")
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no chromium and chromedriver here (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


@pytest.fixture
def page(browser: Any, written: Written) -> Any:
    size(browser, 1280, 900)
    theme(browser, "light")
    browser.get("about:blank")
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(written.path.as_uri())
    run(browser, "localStorage.clear(); delete document.documentElement.dataset.theme")
    return browser
