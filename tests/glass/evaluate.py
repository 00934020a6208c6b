"""The lines of a derivation evaluated: every formula that is shown is held to the numbers of the engine.

A matrix formula is evaluated in its notation's own orientation.  In components a value has one axis for each letter,
and repeats where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np

from chainrule.engines.reference import named_rows
from chainrule.engines.scalars import SCALAR
from chainrule.notation import Derivation
from chainrule.notation.tree import (
    Apply,
    Call,
    Delta,
    Diagonal,
    Fold,
    Leaf,
    Math,
    Number,
    Phrase,
    Product,
    Relation,
    Transpose,
)
from chainrule.program.op import AtRows
from chainrule.program.scalar import Apply as Applied
from chainrule.program.scalar import Constant, Expression, Reduction, Variable

Array = np.ndarray
FOLDS = {"sum": np.sum, "max": np.max}
LETTERS = "ijkpqruvst"


def formula(e: Expression, z: Array, axis: int) -> Array:
    """A formula in z, its reductions along the axis."""
    if isinstance(e, Constant):
        return np.float64(e.value)
    if isinstance(e, Variable):
        return z
    if isinstance(e, Reduction):
        return FOLDS[e.kind](formula(e.argument, z, axis), axis=axis, keepdims=True)
    assert isinstance(e, Applied)
    return SCALAR[e.function](*(formula(a, z, axis) for a in e.arguments))


class Matrix:
    """Values of matrix formulas."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def leaf(self, m: Leaf | Phrase) -> Array:
        array = np.asarray(self.values[m.name])
        if m.name.startswith("change of"):
            return array
        if array.ndim == 2:
            return array.T if m.flipped else array
        return array if array.ndim == 0 else array[:, None] if m.flipped else array[None, :]

    def __call__(self, m: Math) -> Array:
        match m:
            case Number(value):
                return np.float64(value)
            case Phrase(of=inside) if inside is not None:
                return self(inside)
            case Leaf() | Phrase():
                return self.leaf(m)
            case Transpose(inside):
                return self(inside).T
            case Product(left, right):
                return self(left) @ self(right)
            case Apply(function, arguments):
                return SCALAR[function](*(self(a) for a in arguments))
            case Fold(kind, _, body, axis):
                return FOLDS[kind](self(body)) if axis is None else FOLDS[kind](self(body), axis=axis, keepdims=True)
            case Call(_, arguments, meaning):
                (z,) = arguments
                return formula(meaning, self(z), 0 if z.flipped else 1)
            case Diagonal(rows, inside):
                left = self(rows)
                slopes = np.broadcast_to(self(inside), left.shape[::-1])
                return np.stack([row @ np.diag(slope) for row, slope in zip(left, slopes.T, strict=True)])
        raise AssertionError(m)

    def assign(self, leaf: Leaf, value: Array) -> None:
        self.values[leaf.name] = value


class Component(Matrix):
    """Values of formulas over components."""

    def __init__(self, values: Mapping[str, Any], relation_sizes: Mapping[str, int]) -> None:
        super().__init__(values)
        self.sizes = relation_sizes

    def leaf(self, m: Leaf | Phrase) -> Array:
        array = np.asarray(self.values[m.name])
        if m.name.startswith("entry of"):
            return array
        if len(m.letters) < array.ndim:  # (m, 1) with one index
            array = array[:, 0]
        shape = [1] * len(LETTERS)
        letters = m.letters[::-1]  # the program's axes
        if letters[-1:] == ("1",):  # the only node
            letters, array = letters[:-1], array[..., 0]
        order = sorted(range(len(letters)), key=lambda k: LETTERS.index(letters[k]))
        for k, letter in enumerate(letters):
            shape[LETTERS.index(letter)] = array.shape[k]
        return array.transpose(order).reshape(shape)

    def __call__(self, m: Math) -> Array:
        match m:
            case Delta(left, right):
                n, a, b = self.sizes[right], LETTERS.index(left), LETTERS.index(right)
                shape = [1] * len(LETTERS)
                shape[a] = shape[b] = n
                return np.eye(n).reshape(shape)
            case Fold(kind, letter, body):
                return FOLDS[kind](self(body), axis=tuple(LETTERS.index(x) for x in letter.split(",")), keepdims=True)
            case Call(_, arguments, meaning):
                return formula(meaning, self(arguments[0]), LETTERS.index(arguments[0].letters[0]))
        return super().__call__(m)


def leaves(m: Math) -> list[Leaf]:
    """All symbols of a formula."""
    match m:
        case Leaf():
            return [m]
        case Apply(_, arguments) | Call(_, arguments):
            return [x for a in arguments for x in leaves(a)]
        case Transpose(inside) | Fold(_, _, inside):
            return leaves(inside)
        case Phrase(of=inside) if inside is not None:
            return leaves(inside)
        case Product(a, b) | Diagonal(a, b):
            return leaves(a) + leaves(b)
    return []


def sizes(relation: Relation, values: Mapping[str, Any]) -> dict[str, int]:
    """How far each letter runs."""
    found: dict[str, int] = {}
    for m in (relation.target, *relation.sides):
        for leaf in leaves(m):
            if leaf.name in values and leaf.letters and not leaf.name.startswith("entry of"):
                array = np.asarray(values[leaf.name])
                axes = array.shape[::-1] if len(leaf.letters) == array.ndim else array.shape[:1]
                found.update(zip(leaf.letters, axes, strict=True))
    found.pop("1", None)
    width = found.get("j", found.get("p", 1))
    for letter in "jpq":  # nodes of the same layer
        found.setdefault(letter, width)
    return found


def disagreements(
    derivation: Derivation, values: Mapping[str, Any], updated: Mapping[str, Any], *, components: bool
) -> list[str]:
    """The lines that do not give the engine's numbers, each with the size of the difference."""
    known = {**values, **derivation.penalties}
    found = []
    for view in derivation.views:
        relation = view.relation
        assert relation is not None
        evaluate = Component(known, sizes(relation, known)) if components else Matrix(known)
        with np.errstate(all="ignore"):
            sides = [evaluate(side) for side in relation.sides]
            target = relation.target
            if isinstance(target, Leaf) and target.name not in known:
                known[target.name] = sides[0]
                continue
            if relation.sign == ":=":
                assert isinstance(target, Leaf)
                known[target.name] = updated[target.name]
                evaluate.assign(target, updated[target.name])
            expected = evaluate(target)
        kept = _left_alone(derivation, target, evaluate)
        for side in sides:
            try:
                wide = np.where(kept, expected, np.broadcast_to(side, expected.shape))
            except ValueError:
                found.append(f"{view.unicode}: {np.shape(side)} for {expected.shape}")
                continue
            size = max(np.abs(expected).max(initial=0), 1e-3)
            if not np.allclose(wide, expected, rtol=1e-8, atol=1e-10 * size, equal_nan=True):
                found.append(f"{view.unicode}: off by {np.abs(wide - expected).max():.2g}")
    return found


def _left_alone(derivation: Derivation, target: Math, evaluate: Matrix) -> Any:
    """Where an update of some rows says nothing: the rows that its tokens do not name."""
    name = target.name if isinstance(target, Leaf) else ""
    for equation in derivation.program.update:
        if equation.target.name == name and isinstance(equation.op, AtRows):
            table, tokens = equation.operands[:2]
            rows, meant = named_rows(equation.op, np.asarray(evaluate.values[tokens.name]), int(table.shape[0]))
            kept = np.ones([int(d) for d in table.shape], bool)
            kept[np.unique(rows if meant is None else rows[meant]).astype(int)] = False
            return type(evaluate).leaf(_holding(evaluate, name, kept), target)  # type: ignore[arg-type]
    return False


def _holding(evaluate: Matrix, name: str, values: Array) -> Matrix:
    """Another of its kind, with one array in the place of one."""
    other = copy(evaluate)
    other.values = {**evaluate.values, name: values}
    return other
