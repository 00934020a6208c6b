"""scikit-learn's own tests of its multi-layer perceptron, run on ours: the contract in its authors' words."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")

NOT_OURS = {
    "test_gradient": "calls a private method, _loss_grad_lbfgs; tests/test_gradients.py holds our gradients",
}
THEIRS = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")


@pytest.fixture
def global_random_seed() -> int:
    """Theirs comes from an environment variable."""
    return 42


def _collected() -> dict[str, Any]:
    if THEIRS is None or THEIRS.origin is None:  # a packager may leave the tests out
        return {}
    text = Path(THEIRS.origin).read_text(encoding="utf-8")
    theirs = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
    assert theirs in text
    space: dict[str, Any] = {"__name__": __name__, "__file__": __file__}
    ours = text.replace(theirs, "from chainrule import MLPClassifier, MLPRegressor\n")
    exec(compile(ours, THEIRS.origin, "exec"), space)
    return {name: f for name, f in space.items() if name.startswith("test_") and name not in NOT_OURS}


globals().update(_collected())


def test_there_are_theirs() -> None:
    if THEIRS is None:
        pytest.skip("scikit-learn was installed without its tests")
    assert sum(name.startswith("test_") for name in globals()) > 40
