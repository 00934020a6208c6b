"""The folder of a run: its name, its files, and that no run takes another's place unasked."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from chainrule import model_file
from chainrule.data import Standardizer, TableEncoder, TargetEncoder
from chainrule.describe.network import NetworkSpec
from chainrule.errors import DataError, nearest
from chainrule.files import describe_os_error, reading, replace_text, strict_json
from chainrule.files.fields import AnyValue, Kind, Maybe, Object, Text
from chainrule.files.folder import member, replace_files, settle
from chainrule.train.history import History

P = TypeVar("P")
FORMAT = 1
"""Of settings.json; docs/MODEL_FORMAT.md says what it is."""
MODEL = "model.safetensors"
HISTORY = "history.json"
LOG = "history.csv"
SETTINGS = "settings.json"
REPORT = "report.html"
LIVE_LOG = "history.csv.part"
"""The log of a run that is to take another's place, while it is trained."""
TABLE = "table.json"
"""Of an estimator of tables, in the place of settings."""
SEEN = "seen.npz"
"""Some of its rows."""
_DATA = (".csv", ".tsv", ".gz", ".npz", ".parquet", ".pq", ".feather", ".arrow", ".jsonl", ".ndjson", ".xlsx")
"""What files of data, which are no models, are called."""
MOST_MEMBERS = 200
"""Networks that an estimator of tables may have."""


def member_name(number: int) -> str:
    """The file of one of its networks."""
    return f"member-{number}.safetensors"


OWN = (MODEL, HISTORY, LOG, SETTINGS, REPORT, LIVE_LOG, TABLE, SEEN, *map(member_name, range(MOST_MEMBERS)))
"""All files of a run; they are replaced together."""

_PARTS = ("encoder", "standardizer", "target", "target_standardizer")
_RECORD = ("command", "options", "data", "versions", "result")
_FIELDS: dict[str, Kind] = {"model": Maybe(Text(longest=64)), **dict.fromkeys((*_PARTS, *_RECORD), AnyValue())}
_SETTINGS = Object(_FIELDS, absent={"model": None, **dict.fromkeys(_RECORD)}, others=True)


@dataclass(frozen=True)
class Settings:
    """What a saved model needs beside its weights, and what a person needs to repeat the run."""

    encoder: TableEncoder | None
    """How a table's rows become numbers; None where they are numbers already."""
    standardizer: Standardizer | None
    """Of the inputs."""
    target: TargetEncoder | None
    """How outputs become classes or numbers again."""
    target_standardizer: Standardizer | None
    """Of the targets of a regression."""
    record: dict[str, Any]
    """Options, versions, results: for people."""
    model: str | None = None
    """The digest of the model that they belong to; None in runs of versions that had none."""

    def save(self, path: Path) -> None:
        """Write settings.json."""
        saved = {"format": FORMAT, "model": self.model, **self.record}
        saved |= {name: None if (part := getattr(self, name)) is None else part.to_dict() for name in _PARTS}
        replace_text(path, strict_json.dumps(saved, indent=1, readable=True) + "\n")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read settings.json.  Raises DataError where it is damaged or of a later format."""
        saved = strict_json.read(path, _SETTINGS, "the settings of a run", FORMAT)
        with reading(path):
            return cls(
                _part(TableEncoder.from_dict, saved, "encoder"),
                _part(Standardizer.from_dict, saved, "standardizer"),
                _part(TargetEncoder.from_dict, saved, "target"),
                _part(Standardizer.from_dict, saved, "target_standardizer"),
                {name: saved[name] for name in _RECORD},
                saved["model"],
            )

    def check(self, path: Path, spec: NetworkSpec) -> None:
        """Raises DataError where they cannot be those of the network: features, outputs and classes are as many."""
        widths = [
            ("features", None if self.encoder is None else len(self.encoder.feature_names), spec.inputs),
            ("means of features", _width(self.standardizer), spec.inputs),
            ("means of targets", _width(self.target_standardizer), spec.outputs),
        ]
        if self.target is not None and self.target.names is not None:
            # Two classes may be one output.
            widths.append(("classes", len(self.target.names), 2 if spec.outputs == 1 else spec.outputs))
        for what, told, needed in widths:
            if told not in (None, needed):
                raise DataError(f"{path}: holds {told:,} {what}, but the network beside it has {needed:,}.")


def _width(standardizer: Standardizer | None) -> int | None:
    return None if standardizer is None else len(standardizer.mean)


def _part(from_dict: Callable[[Any], P], saved: Mapping[str, Any], name: str) -> P | None:
    try:
        return None if saved[name] is None else from_dict(saved[name])
    except DataError as fault:
        raise DataError(f"{name}: {fault}") from None


@dataclass(frozen=True)
class RunFolder:
    """Where a run is written: all of it at once, when it is trained."""

    folder: Path
    """Where it lies in the end."""
    made: bool
    """Whether the folder was made for this run."""
    log: Path
    """A line an epoch, while it is trained."""

    @property
    def replaces(self) -> bool:
        """Whether another run is there."""
        return bool(_held(self.folder))

    def give_up(self) -> None:
        """Nothing was learned: what was there before stays, and nothing else."""
        with contextlib.suppress(OSError):
            self.log.unlink(missing_ok=True)
            if self.made:
                self.folder.rmdir()

    def aside(self) -> RunFolder:
        """Where a training that was interrupted is kept: RUN-interrupted, beside the run in its folder if there is one.

        It takes the run's place where no folder can be made there.
        """
        if not self.replaces:
            return self
        name, number = self.folder.resolve(), 1
        while True:
            folder = name.with_name(f"{name.name}-interrupted" + (f"-{number}" if number > 1 else ""))
            folder = folder if self.folder.is_absolute() else self.folder.parent / folder.name
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
            except OSError:
                return self
            else:
                self.give_up()
                return RunFolder(folder, True, folder / LOG)

    def interrupted(self, claimed: RunFolder) -> str:
        """What is said of it.  claimed: the folder that was asked for."""
        stays = "" if self is claimed else f"; {claimed.folder} is as it was"
        return f"chainrule: interrupted; what was learned until then is in {self.folder}{stays}"

    def save(self, save_model: Callable[[Path], object], history: History, settings: Settings) -> None:
        """Writes the run, which takes an older one's place as a whole.

        Raises DataError; the older one is then kept.
        """

        def write(draft: Path) -> None:
            save_model(draft / MODEL)
            history.save_json(draft / HISTORY)
            history.save_csv(draft / LOG)
            dataclasses.replace(settings, model=model_file.digest(draft / MODEL)).save(draft / SETTINGS)

        replace_files(self.folder, OWN, write)


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
    held = _held(out)
    if held and not force:
        raise DataError(f"{out}: holds a run already ({held[0]}). Choose another folder, or overwrite it with --force.")


def claim(out: Path | None, name: str) -> RunFolder:
    """The folder for the run, made: `out`, or runs/NAME, runs/NAME-2, ... whichever is the first that is not there.

    Raises DataError where it cannot be made.
    """
    try:
        if out is not None:
            is_new = not out.exists()
            out.mkdir(parents=True, exist_ok=True)
            return RunFolder(out, is_new, out / (LIVE_LOG if _held(out) else LOG))
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
                return RunFolder(folder, True, folder / LOG)
    except OSError as error:
        raise DataError(f"{error.filename}: the run's folder cannot be made: {describe_os_error(error)}.") from None


def _held(folder: Path) -> list[str]:
    """The files of a run that is there already; a log alone is that of a training that was killed, and may go on."""
    return [name for name in (MODEL, SETTINGS, HISTORY, TABLE) if member(folder, name).exists()]


def _runs_in(folder: Path) -> list[str]:
    """The names of the runs that lie in a folder."""
    with contextlib.suppress(OSError):
        return sorted(p.name for p in folder.iterdir() if any((p / name).is_file() for name in (MODEL, TABLE)))
    return []


def find_model(model: Path) -> tuple[Path, Settings | None]:
    """The model's file and its settings (None where there are none), from the folder of a run or the file itself.

    Raises DataError where there is no model, or the settings are another model's.
    """
    if not model.is_dir() and not model.is_file():
        close = nearest(model.name, _runs_in(model.parent))
        guess = f" Did you mean {model.with_name(close)}?" if close else ""
        raise DataError(f"{model}: there is no such model.{guess} Give the folder of a run, or its {MODEL}.")
    folder = model if model.is_dir() else model.parent
    if model.is_file() and model.name in (TABLE, SETTINGS, HISTORY, LOG, SEEN, REPORT):
        raise DataError(f"{model}: is one of a run's files. Give its folder, {folder}.")
    with contextlib.suppress(OSError):  # who may not write there reads the files where they are
        settle(folder, OWN)
    path = member(folder, MODEL) if model.is_dir() or model.name == MODEL else model
    if not path.is_file():
        names = _runs_in(model)
        those = f" It holds runs: give one of them, as {model / names[0]}." if names else ""
        wanted = those or f" Give the folder of a run, or its {MODEL}."
        raise DataError(f"{model}: the folder holds no {MODEL}.{wanted}")
    if path.suffix.lower() in _DATA:
        raise DataError(f"{model}: is data by its name, and no model. The folder of the run stands before the data.")
    place = member(folder, SETTINGS)
    if not place.is_file():
        return path, None
    settings = Settings.load(place)
    if settings.model is not None and settings.model != model_file.digest(path):
        raise DataError(
            f"{folder}: {path.name} is not the model that {SETTINGS} was written with, so that it would be fed other "
            "numbers than it was trained on. Put the two of one run together, or train again."
        )
    return path, settings
