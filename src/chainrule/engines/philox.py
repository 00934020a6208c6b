"""Counted random words: what dropout draws is a function of numbers, the same for every engine and team of threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def random_words(seed: int, step: int, stream: int, rows: int, columns: int) -> NDArray[np.uint64]:
    """Philox 4x32-10 words (rows, columns): counter (i, ⌊j/4⌋, step, stream), key = seed, word j mod 4.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
    """
    low = np.uint64(0xFFFFFFFF)
    blocks = -(-columns // 4)
    i, block = np.meshgrid(np.arange(rows, dtype=np.uint64), np.arange(blocks, dtype=np.uint64), indexing="ij")
    c = [i, block, np.full_like(i, step & 0xFFFFFFFF), np.full_like(i, stream & 0xFFFFFFFF)]
    key0, key1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        shift = np.uint64(32)
        c = [(p1 >> shift) ^ c[1] ^ np.uint64(key0), p1 & low, (p0 >> shift) ^ c[3] ^ np.uint64(key1), p0 & low]
        key0, key1 = (key0 + 0x9E3779B9) & 0xFFFFFFFF, (key1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=-1).reshape(rows, -1)[:, :columns]
