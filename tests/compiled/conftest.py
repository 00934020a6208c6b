"""What the tests of the compiled engine share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is compiled anew, so that what is tested is what the sources say now."""
    monkeypatch.setenv("CHAINRULE_CACHE", "0")
