"""How products with values of the samples are done: the words, and what they mean.

A float32 number has 24 binary digits, a bfloat16 number 8, and the same exponents.  So x is the sum of bfloat16 parts,

    x₁ = bf16(x)    x₂ = bf16(x - x₁)    x₃ = bf16(x - x₁ - x₂)        bf16: rounded to the nearest, halves to even

two of them its first 16 digits or more, three of them all.  A product of two parts is exact in float32, and

    "medium"    L R = L₁ R₁                        one part:    3 digits
    "high"      L R = L₂ R₁ + L₁ R₂ + L₁ R₁        two parts:   5 digits
                L R = the six of three parts       three parts: as many as float32 has

where the products are added up in float32.  What is left out, L₂ R₂, is as small as what was cut off the parts.
docs/precision.md has it in full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

Precision = Literal["highest", "high", "medium"]
PRECISIONS: Mapping[str, int] = dict(zip(get_args(Precision), (0, 2, 1), strict=True))
"""The bfloat16 parts of each side of a product; 0: float32, multiplied and added as it is."""
PARTS = range(4)
"""How many parts there may be; 0 for none."""


def pairs(parts: int) -> tuple[tuple[int, int], ...]:
    """Which parts of both sides (from 0) are multiplied, in the order in which they are added up: smallest first."""
    every = [(a, b) for a in range(parts) for b in range(parts) if a + b < parts]
    return tuple(sorted(every, key=lambda pair: (-sum(pair), -pair[0])))


def told(parts: int) -> str:
    """What a product of so many parts means, in a line: L R is L₂R₁ + L₁R₂ + L₁R₁ in float32, with ..."""
    below = "₁₂₃"
    products = " + ".join(f"L{below[a]}R{below[b]}" for a, b in pairs(parts))
    rests = ["L", "L - L₁", "L - L₁ - L₂"]
    sides = ", ".join(f"L{below[k]} = bf16({rests[k]})" for k in range(parts))
    return f"products with samples, L R, are {products} in float32, with {sides}, and R alike"
