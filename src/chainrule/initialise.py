"""First values of a network's parameters and statistics, as its layers declare them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.describe.initialisers import draw
from chainrule.describe.network import NetworkSpec
from chainrule.errors import SpecError
from chainrule.rules.derive import forward_of


def initialise(spec: NetworkSpec, arrays: dict[str, NDArray[Any]], seed: int | None) -> None:
    """Fills parameters and statistics in the order of layers.

    Raises SpecError where a standard deviation goes beyond the dtype.
    """
    rng = np.random.default_rng(seed)
    network = forward_of(spec)
    for name, how in network.initials.items():
        array = arrays[name]
        with np.errstate(over="ignore"):
            array[...] = draw(how, array.shape, rng)
        if name in network.zero_rows:
            array[network.zero_rows[name]] = 0
        if not np.isfinite(array).all():
            raise SpecError(f"The initial weights {name} of standard deviation {how} do not fit {array.dtype}.")
