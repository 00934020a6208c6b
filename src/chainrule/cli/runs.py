"""The folder of a run: its name, its files, and that no run takes another's place unasked."""

from __future__ import annotations

import contextlib
import json
import platform
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chainrule.data import Standardizer, TableEncoder, TargetEncoder
from chainrule.errors import DataError
from chainrule.files import describe_os_error, read_text, replace_text

FORMAT = 1
MODEL = "model.safetensors"
HISTORY = "history.json"
LOG = "history.csv"
SETTINGS = "settings.json"
REPORT = "report.html"


@dataclass(frozen=True)
class Settings:
    """What a saved model needs beside its weights, and what a person needs to repeat the run.

    encoder: how a table's rows become numbers (None: they are numbers already).  standardizer: of the inputs.
    target, target_standardizer: how outputs become classes or numbers again.  record: options, versions, results.
    """

    encoder: TableEncoder | None
    standardizer: Standardizer | None
    target: TargetEncoder | None
    target_standardizer: Standardizer | None
    record: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write settings.json."""
        parts = {
            "encoder": self.encoder,
            "standardizer": self.standardizer,
            "target": self.target,
            "target_standardizer": self.target_standardizer,
        }
        saved = {"format": FORMAT, **self.record}
        saved |= {name: None if part is None else part.to_dict() for name, part in parts.items()}
        replace_text(path, json.dumps(saved, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read settings.json.  Raises DataError where it is damaged or of a later format."""
        try:
            saved = json.loads(read_text(path))
            if saved["format"] != FORMAT:
                raise DataError(f"{path}: is of format {saved['format']}; this chainrule reads format {FORMAT}.")
            encoder, standardizer = saved["encoder"], saved["standardizer"]
            target, target_standardizer = saved["target"], saved["target_standardizer"]
            return cls(
                None if encoder is None else TableEncoder.from_dict(encoder),
                None if standardizer is None else Standardizer.from_dict(standardizer),
                None if target is None else TargetEncoder.from_dict(target),
                None if target_standardizer is None else Standardizer.from_dict(target_standardizer),
                {k: v for k, v in saved.items() if k in ("options", "data", "versions", "result")},
            )
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: is not what chainrule saves ({type(error).__name__}: {error}).") from None


def versions() -> dict[str, str]:
    """Of everything that has a part in the result."""
    names = ("chainrule", "numpy", "scikit-learn", "safetensors")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def check_out(out: Path | None, force: bool) -> None:
    """Raise DataError, before any work is done, where `out` cannot take the run."""
    if out is None:
        if force:
            raise DataError("--force overwrites the run in the folder of --out; give that too.")
        return
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; --out needs a folder.")
    held = [name for name in (MODEL, SETTINGS, HISTORY, LOG) if (out / name).exists()]
    if held and not force:
        raise DataError(f"{out}: holds a run already ({held[0]}). Choose another folder, or overwrite it with --force.")


def claim(out: Path | None, name: str) -> Path:
    """The folder for the run, made: `out`, or runs/NAME, runs/NAME-2, ... whichever is the first that is not there.

    Raises DataError where it cannot be made.
    """
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            return out
        Path("runs").mkdir(exist_ok=True)
        number = 1
        while True:
            folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
            try:
                # Making it is what claims it: of two runs that start together, each gets its own.
                folder.mkdir()
            except FileExistsError:
                number += 1
            else:
                return folder
    except OSError as error:
        raise DataError(f"{error.filename}: the run's folder cannot be made: {describe_os_error(error)}.") from None


def find_model(model: Path) -> tuple[Path, Settings | None]:
    """The model's file and its settings (None where there are none), from the folder of a run or the file itself.

    Raises DataError where there is no model.
    """
    path = model / MODEL if model.is_dir() else model
    if not path.is_file():
        hint = f"the folder holds no {MODEL}" if model.is_dir() else "there is no such model"
        raise DataError(f"{model}: {hint}. Give the folder of a run, or its {MODEL}.")
    settings = path.parent / SETTINGS
    return path, Settings.load(settings) if settings.is_file() else None


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not take what the first one left to save."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        # Not the main thread: signals do not arrive here.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
