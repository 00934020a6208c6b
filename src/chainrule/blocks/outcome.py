"""What a network says of data that are read block by block: predictions as a whole, the cost block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.blocks.given import Blocks
from chainrule.blocks.supply import Block
from chainrule.errors import DataError

Array = NDArray[Any]


class Evaluated(Protocol):
    """The part of a network that is asked."""

    def predict(self, X: Any) -> Any:
        """Ŷ (m, outputs)."""

    def predict_and_cost(self, X: Any, y: Any, *, sample_weight: Any = None) -> tuple[Any, float]:
        """Ŷ and J."""

    def penalty(self) -> tuple[float, Mapping[str, Array]]:
        """P, and its gradient."""


def predicted(net: Evaluated, blocks: Blocks) -> Any:
    """Ŷ of all rows, in their order; X is held a block at a time.  Raises DataError, with the block's place."""
    parts: list[Any] = []

    def convert(block: Block) -> Mapping[str, Array]:
        parts.append(net.predict(block.X))
        return parts[-1] if isinstance(parts[-1], Mapping) else {"": parts[-1]}

    _through(blocks, convert)
    return _joined(parts)


def outcome(net: Evaluated, blocks: Blocks, *, added: bool, per_weight: bool) -> tuple[Any, float, list[Block]]:
    """(Ŷ, J, all targets and weights) of all rows.

    J = (Σ_c s_c (J_c - P/d_c)) / s + P/d of parts c: s_c is a part's rows, or the sum of its weights; 1 where losses
    are added.  d_c is what its penalty P is divided by, per_weight: the sum of weights, else the rows.
    """
    predictions: list[Any] = []
    kept: list[Block] = []
    penalty = net.penalty()[0]
    losses = size = count = 0.0

    def convert(block: Block) -> Mapping[str, Array]:
        nonlocal losses, size, count
        if block.y is None:
            raise DataError("there are no targets to compare with.")
        weight = None if block.w is None else float(np.asarray(block.w, np.float64).sum())
        if weight == 0:  # nothing of it counts
            part = net.predict(block.X)
        else:
            part, cost = net.predict_and_cost(block.X, block.y, sample_weight=block.w)
        rows = _rows(part)
        if weight != 0:
            own = rows if weight is None else weight
            divided = own if per_weight else rows
            losses += (cost - penalty / divided) * (1.0 if added else own)
            size += own
        count += rows
        predictions.append(part)
        kept.append(Block(None, block.y, block.w))
        return part if isinstance(part, Mapping) else {"": part}

    _through(blocks, convert)
    if not size:
        raise DataError("sample_weight must not be 0 everywhere: there would be nothing to compare with.")
    cost = losses / (1.0 if added else size) + penalty / (size if per_weight else count)
    return _joined(predictions), cost, kept


def _through(blocks: Blocks, convert: Any) -> None:
    for _ in blocks.converted(convert):
        pass
    if not blocks.supply.unchanged():
        raise DataError(f"{blocks.supply.what} was changed while it was read. Read it again.")


def _rows(part: Any) -> int:
    return len(next(iter(part.values())) if isinstance(part, Mapping) else part)


def _joined(parts: Sequence[Any]) -> Any:
    """Arrays, or dicts of arrays, one below the other."""
    if not parts:
        raise DataError("There are no blocks: at least one sample is needed.")
    if isinstance(parts[0], Mapping):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate([np.asarray(part) for part in parts])


def targets_of(kept: Sequence[Block]) -> tuple[Any, Array | None, int]:
    """(y, weights, how many) of all blocks."""
    y = _joined([block.y for block in kept])
    w = None if kept[0].w is None else np.concatenate([np.asarray(block.w) for block in kept])
    return y, w, _rows(y)
