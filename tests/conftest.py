"""Fixtures that every test may use."""

from __future__ import annotations

import pytest

ENGINES = ["reference"]
"""The engines that every problem is run on; each must give what the equations say."""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine, for `Network(..., engine=engine)`."""
    return str(request.param)
