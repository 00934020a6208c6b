"""A session by shards of an engine: its own, where it has one, or by the calls that every engine has."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from chainrule.engines.base import Engine, Values
from chainrule.engines.shards.exchange import Workers
from chainrule.engines.shards.session import PlainShards, ShardedSession
from chainrule.engines.shards.split import Split


@runtime_checkable
class OpensShards(Protocol):
    """An engine with a way of its own."""

    def open_shards(self, split: Split, stored: Values, workers: Workers) -> ShardedSession | None:
        """A session by shards that begins with these arrays; None where it has none for these programs."""


def open_shards(engine: Engine, split: Split, stored: Values, workers: Workers, dtype: np.dtype[Any]) -> ShardedSession:
    """A session by shards that begins with these arrays; slots that are not among them are 0."""
    own = engine.open_shards(split, stored, workers) if isinstance(engine, OpensShards) else None
    return PlainShards(engine, split, stored, workers, dtype) if own is None else own
