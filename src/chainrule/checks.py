"""The checked door: what comes from outside is validated here, once, and nothing below validates again.

Shapes, widths, dtypes, label and token ranges, NaN and infinity.  Each fault is a DataError that says where it is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from chainrule import frames
from chainrule.describe.graph import Input
from chainrule.describe.losses import Cost, Kinds, Loss, Losses, Targets, loss_of, losses_of, target_of
from chainrule.describe.network import NetworkSpec
from chainrule.engines.pinned import pinned
from chainrule.errors import DataError, SpecError, expected, shorten, shown, unknown_name

Array = NDArray[Any]
_LARGEST = float(np.finfo(np.float64).max)
_AS_ROUNDED = 1e-6
"""How far from 1 the sum of a row of probabilities may be without being brought there: float32's rounding."""
_AS_MACHINE_CODE_READS: tuple[Literal["C", "A"], ...] = ("C", "A")
"""NumPy's letters for rows one after the other (C), each number at a multiple of its size (A)."""


Inputs = ArrayLike | Mapping[str, ArrayLike]
"""X; of several inputs, each by its name."""


def inputs(spec: NetworkSpec, X: Inputs, dtype: DTypeLike, names: tuple[str, ...] | None = None) -> dict[str, Array]:
    """X (m, inputs) under its symbol's name; of several inputs, each.  Rows contiguous, numbers of the dtype, tokens as
    int64; copied only if it must be.

    names: of the columns, where they are known; those of a data frame are matched by them.
    """
    if not spec.named:
        (source,) = spec.sources
        return {source.symbol.name: _input("X", source, X, dtype, names)}  # type: ignore[arg-type]
    if not isinstance(X, Mapping):
        raise DataError(expected("X", f"a dict of {', '.join(n for n, _ in spec.named)}, the network's inputs", X))
    known = [source.name for source in spec.sources]
    faults = [f"X lacks {name!r}." for name in known if name not in X]
    faults += [unknown_name("input", name, known) for name in X if name not in known]
    if faults:
        raise DataError(" ".join(faults))
    arrays = {s.symbol.name: _input(f"X[{s.name!r}]", s, X[s.name], dtype, None) for s in spec.sources}
    lengths = {name: len(array) for name, array in zip(known, arrays.values(), strict=True)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} {n}" for name, n in lengths.items())
        raise DataError(f"All inputs must have one row per sample. Got rows: {told}.")
    return arrays


def matrix(spec: NetworkSpec, X: ArrayLike, dtype: DTypeLike, names: tuple[str, ...] | None = None) -> Array:
    """X (m, inputs) of a network with one input.  Raises SpecError where there are several."""
    if spec.named:
        raise SpecError(f"This needs a network with one input; this one has {', '.join(n for n, _ in spec.named)}.")
    return inputs(spec, X, dtype, names)[spec.sources[0].symbol.name]


def as_given(spec: NetworkSpec, data: Mapping[str, Array], rows: slice | Array = slice(None)) -> Any:
    """X as `inputs` takes it, of what it gave; some rows of it."""
    part = {s.name: data[s.symbol.name][rows] for s in spec.sources}
    return part if spec.named else part[""]


def _input(what: str, source: Input, X: ArrayLike, dtype: DTypeLike, names: tuple[str, ...] | None) -> Array:
    if type(X) is not np.ndarray and frames.is_frame(X):
        X = frames.matrix(X, names)
    if source.tokens:
        return _tokens(what, source, X)
    array = _numbers(what, X, dtype)
    if array.ndim != 2:
        hint = f" For one sample write {what}[None, :]." if array.ndim == 1 else ""
        raise DataError(expected(what, f"of shape (m, {source.width})", array.shape, hint.strip()))
    if array.shape[1] != source.width:
        raise DataError(
            f"{what} must have {source.width} columns, the network's inputs. Got {array.shape[1]} "
            f"(shape {array.shape})."
        )
    return _finite(what, array)


def _tokens(what: str, source: Input, X: ArrayLike) -> Array:
    array = pinned(_asarray(what, X))
    if array.ndim != 2 or array.shape[1] != source.width:
        raise DataError(expected(what, f"of shape (m, {source.width}), {source.width} tokens a sample", array.shape))
    return _integers(what, array, max(source.counts), "tokens", source.counts)


def targets(spec: NetworkSpec, y: Any, samples: int, dtype: DTypeLike) -> tuple[Targets, dict[str, Array]]:
    """The targets by their symbols' names, and what they are: labels y (m,) int64, or values Y (m, n) of the dtype.

    y: an array; of several outputs a dict of one for each.
    """
    if isinstance(spec.loss, Losses):
        names = spec.loss.names
        if not isinstance(y, Mapping):
            raise DataError(expected("y", f"a dict of {', '.join(names)}, the network's outputs", y))
        faults = [f"y lacks {name!r}." for name in names if name not in y]
        faults += [unknown_name("output", name, names) for name in y if name not in names]
        if faults:
            raise DataError(" ".join(faults))
    else:
        y = {"": y}
    kinds: list[Kinds] = []
    arrays: dict[str, Array] = {}
    for (name, node), (_, loss, _) in zip(spec.ends, losses_of(spec.loss), strict=True):
        width = spec.graph.nodes[node].width
        kind, array = _target(f"y[{name!r}]" if name else "y", loss, width, y[name], samples, dtype)
        kinds.append(kind)
        arrays[target_of(kind, width, name).name] = array
    return tuple(kinds) if isinstance(spec.loss, Losses) else kinds[0], arrays


def targets_as_given(spec: NetworkSpec, data: Mapping[str, Array], kinds: Targets) -> Any:
    """y as `targets` takes it, of what it gave."""
    several = (kinds,) * len(spec.ends) if isinstance(kinds, str) else kinds
    symbols = [target_of(k, spec.graph.nodes[n].width, name) for k, (name, n) in zip(several, spec.ends, strict=True)]
    given = {symbol.mark: data[symbol.name] for symbol in symbols}
    return given if isinstance(spec.loss, Losses) else given[""]


def kinds_of(spec: NetworkSpec, given: Collection[str]) -> Targets:
    """What targets are, by the names of their symbols that are given."""
    kinds: list[Kinds] = []
    for name, node in spec.ends:
        labels = target_of("labels", spec.graph.nodes[node].width, name).name
        kinds.append("labels" if labels in given else "values")
    return tuple(kinds) if isinstance(spec.loss, Losses) else kinds[0]


def _target(what: str, loss: Loss | Cost, n: int, y: ArrayLike, samples: int, dtype: DTypeLike) -> tuple[Kinds, Array]:
    array = pinned(_asarray(what, y))
    if array.ndim == 0 or len(array) != samples:
        size = "none" if array.ndim == 0 else len(array)
        raise DataError(f"{what} must have one entry per sample. Got {size} for {samples} samples.")
    if loss.classes and (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1 != n)):
        return "labels", _integers(what, _whole(what, array.reshape(-1), n), n, "labels")
    values = _numbers(what, array, dtype)
    if values.ndim == 1 and n == 1:
        values = values.reshape(-1, 1)
    if values.shape != (samples, n):
        allowed = f"of shape ({samples}, {n})" + (f" or ({samples},)" if n == 1 else "")
        hint = f"Labels go with {loss_of('classes')}." if values.ndim == 1 and n > 1 else ""
        raise DataError(expected(what, allowed, values.shape, hint))
    _finite(what, values)
    if loss.kind == "signs" and (np.abs(values) != 1).any():
        where = int(np.argmax((np.abs(values) != 1).any(1)))
        raise DataError(f"{what} must be -1 or 1 for {loss.name}. Got {values[where].tolist()} in row {where}.")
    between = loss.between if isinstance(loss, Loss) else None
    if between is not None and values.size:
        low, high = float(values.min()), float(values.max())
        if low < between[0] or high > between[1]:
            where = int(np.argmax((values < between[0]).any(1) | (values > between[1]).any(1)))
            upto = f"between {between[0]:g} and {between[1]:g}" if between[1] < np.inf else f"at least {between[0]:g}"
            raise DataError(f"{what} must be {upto} for {loss.name}. Got {values[where].tolist()} in row {where}.")
    if loss.classes:
        sums = values.sum(axis=1, dtype=np.float64)
        wrong = np.flatnonzero(np.abs(sums - 1) > 1e-3)
        if wrong.size:
            raise DataError(
                f"Each row of {what} must be probabilities that add up to 1. Row {wrong[0]} adds up to "
                f"{sums[wrong[0]]:g}."
            )
        if values.size and np.abs(sums - 1).max() > _AS_ROUNDED:  # the slope A - Y is that of rows that add up to 1
            values = (values / sums[:, None]).astype(dtype, copy=False)
    return "values", values


def _whole(what: str, labels: Array, n: int) -> Array:
    """Labels that came as whole numbers in floats (0.0, 1.0), as integers.  Raises DataError where one is no label."""
    if labels.dtype.kind != "f" or not np.isfinite(labels).all():
        return labels
    odd = np.flatnonzero(labels != np.floor(labels))
    if odd.size:
        raise DataError(
            f"{what} must be whole numbers (labels 0 to {n - 1}). Got {labels[odd[0]]:g} in row {odd[0]}. For numbers "
            f"to be predicted take {loss_of('values')}."
        )
    return np.clip(labels, -(2**53), 2**53).astype(np.int64)  # what is far outside would not fit an integer


def weights(w: ArrayLike, samples: int, dtype: DTypeLike, *, relative: bool = False, some: bool = False) -> Array:
    """Sample weights as (m, 1): finite, not negative, not all 0, and their sum in the dtype's range.

    relative: whether nothing depends on their common size; far from 1 they are then brought there, by a power of 2.
    some: whether there are others beside these, so that these may all be 0.
    """
    array = _numbers("sample_weight", w, np.float64)
    if array.shape not in ((samples,), (samples, 1)):
        raise DataError(expected("sample_weight", f"of shape ({samples},)", array.shape))
    _finite("sample_weight", array)
    if array.size and array.min() < 0:
        raise DataError(f"sample_weight must not be negative. Got {array.min():g} in row {int(array.argmin())}.")
    if array.size and not some and not array.any():
        raise DataError("sample_weight must not be 0 everywhere: there would be nothing to learn from.")
    return weights_in_range(array.reshape(-1, 1), dtype, relative=relative)


def weights_in_range(array: Array, dtype: DTypeLike, *, relative: bool) -> Array:
    """Weights (m, 1) in the dtype, so that sums of weighted losses are in its range.  Raises DataError."""
    largest, info = float(array.max(initial=0.0)), np.finfo(np.dtype(dtype))
    with np.errstate(over="ignore"):
        total = float(array.sum())
    if relative and largest > 0 and not float(info.tiny) ** 0.5 < largest <= total < float(info.max) ** 0.5:
        array = np.ldexp(array, -math.frexp(largest)[1])
    elif total > float(info.max) / 1e6 or 0 < largest < float(info.tiny):
        limits = f"{float(info.tiny):.1e} to {float(info.max) / 1e6:.1e}"
        raise DataError(
            f"sample_weight must add up to a number within the range of {info.dtype}, {limits}. Got weights up to "
            f"{largest:g}; divide them by a common number."
        )
    return pinned(np.require(array, dtype, _AS_MACHINE_CODE_READS))


class Views(dict[str, Array]):
    """A network's arrays by name, as views: what is assigned to a name is written into the network.

    Raises DataError for another shape, or what is not finite numbers; SpecError for a name that is not there.
    """

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        if name not in self:
            raise SpecError(unknown_name("array", name, self))
        array = _asarray(name, values)
        if array.shape != self[name].shape:
            raise DataError(expected(name, f"of shape {self[name].shape}", array.shape))
        with np.errstate(over="ignore"):  # what does not fit the dtype becomes inf, and is named as such
            array = array.astype(self[name].dtype)
        self[name][...] = _finite(name, array)

    def update(self, *several: Any, **named: ArrayLike) -> None:
        """As assigning to each name."""
        for name, values in dict(*several, **named).items():
            self[name] = values

    def __ior__(self, several: Any) -> Views:  # type: ignore[override,misc]
        self.update(several)
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (dict(self),)  # a copy is a copy, and belongs to no network


def positive_number(name: str, value: object) -> float:
    """A finite number above 0.  Raises DataError."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool) or not 0 < value <= _LARGEST:
        raise DataError(expected(name, "a finite number above 0", value))
    return float(value)


def positive_integer(name: str, value: object) -> int:
    """A whole number of at least 1.  Raises DataError."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise DataError(expected(name, "a positive whole number", value))
    return int(value)


def _asarray(name: str, given: ArrayLike) -> Array:
    given = _unwrapped(name, given)
    try:
        array = np.asanyarray(given)
        # Naming np.ma loads it, which takes longer than a small fit; who has a masked array has loaded it.
        if "numpy.ma" in sys.modules and isinstance(array, np.ma.MaskedArray):
            if array.mask.any():
                raise DataError(f"{name} must have no masked values. Fill or remove them first.")
            array = array.data
        array = np.asarray(array)
    except DataError:
        raise
    except (ValueError, TypeError, RuntimeError, AttributeError, LookupError) as fault:
        # Ragged rows; what an array of another library refuses.
        raise DataError(f"{name} cannot be made an array: {shorten(str(fault).rstrip('.'), 200)}.") from None
    if array.dtype.kind not in "biufc":
        if array.dtype.kind != "O" or any(isinstance(value, str | bytes) for value in array.flat):
            raise DataError(_no_numbers(name, array))
        try:
            array = array.astype(np.float64)
        except OverflowError:
            raise DataError(f"{name} must hold numbers up to 1.8e308. Got a larger whole number.") from None
        except (TypeError, ValueError, AttributeError, RuntimeError, LookupError):
            raise DataError(_no_numbers(name, array)) from None
    if array.dtype.kind == "c":
        raise DataError(f"{name} must hold real numbers. Got complex ones.")
    return array


def _unwrapped(name: str, given: Any) -> Any:
    """What NumPy makes an array of in the way that is meant.  Raises DataError for what it makes none of."""
    if type(given) in (np.ndarray, list, tuple):
        return given
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        raise DataError(
            f"{name} must be dense. Got a sparse matrix ({type(given).__name__}): take {name}.toarray(), or "
            "MLPClassifier and MLPRegressor, which take sparse ones."
        )
    if hasattr(given, "__next__"):
        raise DataError(
            f"{name} must be an array. Got a {type(given).__name__}, which gives its rows one by one: take "
            f"np.array(list({name}))."
        )
    if isinstance(given, dict | set | frozenset | str | bytes | type(None)):
        raise DataError(f"{name} must be an array, rows of numbers. Got {shown(given)} ({type(given).__name__}).")
    if frames.is_frame(given):
        return frames.matrix(given)
    if hasattr(given, "to_numpy") and hasattr(given, "dtype"):  # a Series, of pandas or polars
        cells = frames.cells(given)
        if isinstance(cells, list) and None in cells:
            raise DataError(f"{name} must hold numbers. Got none in row {cells.index(None)}: a missing value.")
        return cells
    return given


def _no_numbers(name: str, array: Array) -> str:
    """What an array holds instead of numbers, and where."""
    for place in np.ndindex(array.shape):
        value = array[place]
        if not frames.is_number(value):
            at = f" at [{', '.join(map(str, place))}]" if place else ""
            if frames.is_missing(value):
                return f"{name} must hold numbers. Got none{at} ({value}): remove or impute missing values first."
            hint = "; encode text columns first" if isinstance(value, str | bytes) else ""
            value = value.item() if isinstance(value, np.generic) else value
            return f"{name} must hold numbers. Got {shown(value)}{at}, {frames.kind(value)}{hint}."
    return f"{name} must hold numbers. Got {array.dtype}."


def _numbers(name: str, given: ArrayLike, dtype: DTypeLike) -> Array:
    with np.errstate(over="ignore"):  # what does not fit the dtype becomes inf, and is named as such
        array = pinned(np.require(_asarray(name, given), dtype, _AS_MACHINE_CODE_READS))
    if array.ndim > 0 and len(array) == 0:
        raise DataError(f"{name} is empty: at least one sample is needed.")
    return array


def _finite(name: str, array: Array) -> Array:
    # A sum is finite only if every term is: one pass and no copy.  Where it is not, look closer.
    with np.errstate(all="ignore"):
        if not np.isfinite(array.sum()):
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                place = ", ".join(str(int(k)) for k in bad[0])
                value = array[tuple(bad[0])]
                raise DataError(
                    f"{name} must be finite. Got {value} at [{place}]"
                    f"{f' and {len(bad) - 1} more' if len(bad) > 1 else ''}; remove or impute such values first."
                )
    return array


def _integers(name: str, array: Array, count: int, what: str, counts: tuple[int, ...] = ()) -> Array:
    """The array as whole numbers below count; those of each column below its own of `counts`, where given."""
    if array.shape[0] == 0:
        raise DataError(f"{name} is empty: at least one sample is needed.")
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        hint = ""
        if array.dtype.kind == "f":
            finite = np.isfinite(array)
            if not finite.all():
                place = ", ".join(str(int(k)) for k in np.argwhere(~finite)[0])
                raise DataError(f"{name} must be finite. Got {array[~finite][0]} at [{place}].")
            hint = f"Convert whole numbers with {name}.astype(int)."
        raise DataError(expected(name, f"whole numbers ({what} 0 to {count - 1})", str(array.dtype), hint))
    low, high = int(array.min()), int(array.max())
    if counts and (low < 0 or high >= min(counts)) and ((array < 0) | (array >= np.array(counts))).any():
        row, column = np.argwhere((array < 0) | (array >= np.array(counts)))[0]
        raise DataError(
            f"{name} must hold {what} from 0 to {counts[column] - 1} in column {column}. "
            f"Got {int(array[row, column])} in row {row}."
        )
    if not counts and (low < 0 or high >= count):
        place = np.argwhere((array < 0) | (array >= count))[0]
        raise DataError(
            f"{name} must hold {what} from 0 to {count - 1}. Got {int(array[tuple(place)])} at "
            f"[{', '.join(str(int(k)) for k in place)}]."
        )
    return np.require(array, np.int64, _AS_MACHINE_CODE_READS)
