"""Names as (context → next character) samples, all at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chainrule.errors import DataError
from chainrule.language.vocabulary import Tokens

Name = TypeVar("Name")
SPLIT_SEED = 42
FEWEST_TO_SPLIT = 10


def windows(tokens: Tokens, lengths: Tokens, context: int) -> tuple[Tokens, Tokens]:
    """X (m, context) the tokens before each position of each name, y (m,) the token there; m = Σ (length + 1).

    The names lie in one row with `context` boundaries before, between and after them:

        0 0 0 e m m a 0 0 0 a v a 0 0 0        context 3

    so that every X is a slice of it, a name's last y being the first boundary behind it.
    """
    samples = lengths + 1
    name = np.repeat(np.arange(len(lengths)), samples)
    # Of the boundaries behind a name one is a sample of its own; the others only move the next name along.
    position = np.arange(len(name)) + context + name * (context - 1)
    row = np.zeros(context + int(lengths.sum()) + context * len(lengths), np.int64)
    last = np.cumsum(samples) - 1
    inner = np.ones(len(name), bool)
    inner[last] = False
    row[position[inner]] = tokens
    return np.ascontiguousarray(sliding_window_view(row, context)[position - context]), row[position]


def split_names(names: Sequence[Name]) -> tuple[list[Name], list[Name], list[Name]]:
    """(train, dev, test): shuffled once with `random.Random(42)`, then 80/10/10 by names.

    Raises DataError for fewer than 10 names.
    """
    if len(names) < FEWEST_TO_SPLIT:
        raise DataError(f"At least {FEWEST_TO_SPLIT} names are needed to train and to validate on. Got {len(names)}.")
    shuffled = list(names)
    random.Random(SPLIT_SEED).shuffle(shuffled)
    first, second = int(0.8 * len(shuffled)), int(0.9 * len(shuffled))
    return shuffled[:first], shuffled[first:second], shuffled[second:]
