"""Checkpoints: a fit written down so that another process goes on with it to the same bits.

    folder/
      checkpoint-000000001200.safetensors     after step 1200; the newest ones, as many as are kept
      best.safetensors                        the best of those that were written after an epoch

A checkpoint is a network's file (docs/MODEL_FORMAT.md) that holds its fit beside: the optimizer's slots, the position
in the epoch, the history, and what schedule, judge and callbacks remember.  `Network.load` reads it like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, SpecError, expected
from chainrule.train.saved_state import pack, unpack

Array = NDArray[Any]
State = dict[str, Any]
Write = Callable[[Path, Mapping[str, Array], tuple[object, Mapping[str, Array]]], None]
"""Writes a file: the network's arrays, and the fit's state with its arrays."""
Read = Callable[[Path], tuple[dict[str, Array], object, dict[str, Array]]]
"""Reads it back.  Raises DataError for a file that is damaged or none."""


class OtherFitError(DataError):
    """A checkpoint that is well, but of another network, other data or other settings."""


KEEP = 2
"""Checkpoints that are kept, so that one that was damaged leaves another."""
_NAME = re.compile(r"checkpoint-(\d{12})\.safetensors")
BEST = "best.safetensors"


@dataclass(frozen=True)
class Every:
    """How often: after so many epochs, or seconds."""

    epochs: int | None = 1
    """None where it goes by seconds."""
    seconds: float = math.inf
    """Infinite where it goes by epochs."""

    @classmethod
    def of(cls, given: object) -> Every:
        """2, "2" or "60s".  Raises SpecError."""
        number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*s", given.strip()) if isinstance(given, str) else None
        if number is not None and float(number[1]) > 0:
            return cls(None, float(number[1]))
        if isinstance(given, str) and given.isdecimal() and given.isascii() and len(given) < 10:
            given = int(given)
        if isinstance(given, int | np.integer) and not isinstance(given, bool) and given >= 1:
            return cls(int(given))
        raise SpecError(expected("every", "a whole number of epochs, or seconds such as '60s'", given))


@dataclass(frozen=True)
class Asked:
    """What a user asks for."""

    folder: str | os.PathLike[str]
    """Where checkpoints are written."""
    every: int | str = 1
    """How often: after so many epochs, or seconds ("60s")."""
    resume: bool = False
    """Whether a fit goes on from there."""


def kept(asked: Asked | None) -> dict[str, Any]:
    """As the arguments of `Network.fit`."""
    return {} if asked is None else {"checkpoint": asked.folder, "every": asked.every, "resume": asked.resume}


@dataclass
class Checkpoints:
    """The checkpoints of one fit in a folder."""

    folder: Path
    """Where they are."""
    every: Every
    """How often one is due."""
    identity: Mapping[str, str]
    """What must be the same for a fit to go on, in words -> a digest or a short text."""
    write: Write
    """What writes one."""
    read: Read
    """What reads one."""
    origin: Mapping[str, int] = field(default_factory=dict)
    """What a fit that goes on takes over from the one that began: the network's seed, the number of the fit."""
    keep: int = KEEP
    """How many of the newest there are at a time."""
    best: float = math.inf
    """The lowest value that a checkpoint was written at."""
    _last: float = field(default_factory=time.monotonic)

    def due(self, epochs: int) -> bool:
        """Whether one is to be written after so many epochs."""
        return self.due_now() if self.every.epochs is None else epochs > 0 and epochs % self.every.epochs == 0

    def due_now(self) -> bool:
        """Whether so many seconds have passed since the last one."""
        return time.monotonic() - self._last >= self.every.seconds

    def save(self, stored: Mapping[str, Array], state: State, *, step: int, value: float | None) -> None:
        """Writes one, atomically, and removes those that are no longer kept.

        stored: the network's arrays.  value: what the epoch came to, the lower the better; None within an epoch.
        Raises DataError where it cannot be written; the ones before are then still there.
        """
        arrays: dict[str, Array] = {}
        better = value is not None and value < self.best
        best = value if better else self.best
        about = {"identity": dict(self.identity), "origin": dict(self.origin), "best": best}
        packed = pack({**about, **state}, "fit", arrays)
        path = self.folder / f"checkpoint-{step:012d}.safetensors"
        try:
            self.write(path, stored, (packed, arrays))
            if better:
                self.write(self.folder / BEST, stored, (packed, arrays))
                assert value is not None
                self.best = value
        except MemoryError as fault:
            raise DataError(f"{path}: there is not enough memory to write it: {fault}.") from None
        self._last = time.monotonic()
        for old in self.files()[self.keep :]:
            with contextlib.suppress(OSError):  # somebody else's folder by now: the next one tries again
                old.unlink()

    def files(self) -> list[Path]:
        """The checkpoints in the folder, the newest first.  Raises DataError where it is no folder."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as fault:
            reason = "it is no folder" if isinstance(fault, NotADirectoryError) else str(fault.strerror).lower()
            raise DataError(f"{self.folder}: cannot hold checkpoints: {reason}.") from None
        return [self.folder / name for name in sorted(filter(_NAME.fullmatch, names), reverse=True)]

    def begin(self, resume: bool) -> tuple[dict[str, Array], State] | None:
        """What to go on from: the network's arrays and the fit's state; None to start.

        A damaged checkpoint is passed by, with a warning, for the one before.  Raises DataError: there are checkpoints
        and `resume` is not set, they are of another fit, or all of them are damaged.
        """
        files = self.files()
        if files and not resume:
            raise DataError(
                f"{self.folder} holds checkpoints already ({files[0].name} is the newest). Use resume=True (--resume) "
                "to go on from there, or another folder."
            )
        for path in files:
            try:
                stored, packed, arrays = self.read(path)
                state = unpack(packed, arrays)
                if not isinstance(state, dict) or not isinstance(state.get("identity"), dict):
                    raise DataError(f"{path} is no checkpoint of a fit.")
            except OtherFitError:
                raise
            except DataError as fault:
                warnings.warn(f"A checkpoint is passed by: {fault}", RuntimeWarning, stacklevel=4)
                continue
            self._check_same(path, state["identity"])
            self.best = state["best"]
            return stored, state
        if files:
            raise DataError(f"{self.folder}: all {len(files)} checkpoints are damaged; start anew in another folder.")
        return None

    def _check_same(self, path: Path, saved: Mapping[str, str]) -> None:
        everything = {**saved, **self.identity}
        others = [what for what in everything if saved.get(what) != self.identity.get(what)]
        if others:
            raise OtherFitError(
                f"{path} was written by a fit with other {', '.join(others)}. A fit goes on with the same only: use "
                "another folder to start anew."
            )


def digest_of(arrays: Mapping[str, Array] | Iterable[Array]) -> str:
    """SHA-256 of arrays with their names, dtypes and shapes."""
    digest = hashlib.sha256()
    pairs = arrays.items() if isinstance(arrays, Mapping) else enumerate(arrays)
    for name, array in pairs:
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
