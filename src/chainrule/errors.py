"""Every exception of chainrule, and the one form of its messages.

A message says what was wrong, what is allowed, what came, and what to do.  Each class is also the built-in exception
that a caller would expect (`ValueError`, `TypeError`, ...), so that ordinary `except` clauses keep working.
"""

from __future__ import annotations

import functools
import math
import reprlib
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, TypeGuard


class ChainruleError(Exception):
    """The base of every exception that chainrule raises on purpose."""


class SpecError(ChainruleError, ValueError):
    """A network, layer, loss or optimizer that cannot be; holds *all* faults found, one a line."""

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


class ArgumentError(ChainruleError, TypeError):
    """A call with an argument that there is not, or without one that is needed; holds *all* faults, one a line."""

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(self.faults))


class FormulaError(SpecError):
    """A formula that does not parse, uses an unknown name, or cannot be differentiated."""


class DataError(ChainruleError, ValueError):
    """Data that does not fit: its rank, width, type, range, or a value that is not finite."""


class DataWarning(UserWarning):
    """Data that were taken in a way that not everybody would expect."""


class ProgramError(ChainruleError, ValueError):
    """A derivation that breaks its own grammar: a fault of chainrule (or of a hand-made program), never of the data."""


class DivergedError(ChainruleError, ArithmeticError):
    """The cost is no longer finite; the last finite parameters were kept.

    epoch, batch: where it was noticed, counted from 1.
    """

    def __init__(self, message: str, *, epoch: int, batch: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(DivergedError, epoch=self.epoch, batch=self.batch), self.args


class GroupError(ChainruleError, RuntimeError):
    """Workers who train together do not fit together, or one of them was lost."""


class MissingDependencyError(ChainruleError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


SHOWN = 100
"""Characters of a value in a message."""
LONGEST = 500
"""Characters of a message about a file."""


def expected(what: str, allowed: str, got: object, hint: str = "") -> str:
    """The one form: "<what> must be <allowed>. Got <got> instead. <hint>"."""
    return f"{what} must be {allowed}. Got {shown(got)} instead.{' ' + hint if hint else ''}"


def shown(value: object) -> str:
    """A value in a message: as Python writes it, cut where it is long, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * SHOWN:
        # Python refuses to write out one of more than some thousand digits.
        return f"a whole number of about {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    plain = type(value) in (list, tuple, dict, set, frozenset, str, bytes)
    text = " ".join((_cutting().repr(value) if plain else repr(value)).split())  # an array's lines are one
    if len(text) > SHOWN and isinstance(shape := getattr(value, "shape", None), tuple):
        return f"{type(value).__name__} of shape {shape}"
    return text if len(text) <= 2 * SHOWN else f"{text[:SHOWN]} ..."


def shorten(text: str, longest: int = LONGEST) -> str:
    """A message that fits its limit; what is cut is its end."""
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


@functools.cache
def _cutting() -> reprlib.Repr:
    cutting = reprlib.Repr()
    cutting.maxlevel, cutting.maxstring, cutting.maxother, cutting.maxlong = 4, 2 * SHOWN, SHOWN, SHOWN
    cutting.maxlist = cutting.maxtuple = cutting.maxdict = cutting.maxset = cutting.maxfrozenset = 12
    return cutting


def is_number(value: object) -> TypeGuard[float]:
    """Whether a setting is a finite number, Python's or NumPy's; a truth value is none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def unknown_name(what: str, got: str, known: Iterable[str]) -> str:
    """ "Unknown <what> 'x'. Did you mean 'y'? Known: ...": or what to write, where others call something so."""
    from chainrule.words import here  # what only a message needs

    names = sorted(known)
    said = here(what, str(got)[:SHOWN], names)
    guess = None if said else nearest(str(got), names)
    hint = f" {said}" if said else f" Did you mean {guess!r}?" if guess else ""
    return f"Unknown {what} {shown(got)}.{hint} Known: {', '.join(names)}."


def nearest(got: str, known: Iterable[str]) -> str | None:
    """The name that is most like the one that came, if any is."""
    import difflib  # what only a message needs

    small = {name.lower(): name for name in known}  # "ReLU" is nearer to relu than to elu
    close = difflib.get_close_matches(got[:SHOWN].lower(), small, n=1, cutoff=0.5)
    return small[close[0]] if close else None
