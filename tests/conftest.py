"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chainrule.engines import reference
from chainrule.engines.table import can_compile
from chainrule.rules import derive

ENGINES = ["reference", "compiled"]
"""The engines that every problem is run on; each must give what the equations say."""


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore Ctrl-C, which some of them press.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the garbage collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine, for `Network(..., engine=engine)`."""
    return str(request.param)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Machine code is kept for the tests alone, and only as long as they run; the workers of a run share it."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAINRULE_CACHE_DIR", str(place / "code"))
        yield


@pytest.fixture
def monkeypatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """pytest's own; what was derived and compiled before something is exchanged is forgotten, and after the test."""

    def forgetting(exchange: Any) -> Any:
        def exchanged(*arguments: Any, **options: Any) -> None:
            exchange(*arguments, **options)
            forget()

        return exchanged

    for name in ("setattr", "setitem", "delattr", "delitem"):
        vars(monkeypatch)[name] = forgetting(getattr(monkeypatch, name))
    yield monkeypatch
    forget()


@pytest.fixture
def forgetting() -> Callable[[], None]:
    """A function that lets go of what is kept in memory."""
    return forget


def forget() -> None:
    """Lets go of what is kept of derivations and of what engines made of programs."""
    for kept in (derive._derived, derive._step, reference._made_ready):
        kept.cache_clear()
    if can_compile():
        from chainrule.engines.compiled import engine

        engine._compiled_of_late.cache_clear()


@pytest.fixture
def many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as a test asks for, whatever the machine has."""
    monkeypatch.setenv("CHAINRULE_PROCESSORS", "16")
