"""`chainrule report`: the page on a finished run."""

from __future__ import annotations

import warnings
import webbrowser
from pathlib import Path

from chainrule.cli import names_report
from chainrule.cli.scores import tell
from chainrule.errors import DataError, DataWarning
from chainrule.runs import Run
from chainrule.runs.folder import REPORT, find_model
from chainrule.tabular import report as tables
from chainrule.tabular.doors import load_run
from chainrule.tabular.frame import read_frame

TRAINING = '<section id="training" data-watched'
"""What a page has that was written with a training: its curves, a record after each so many steps."""


def run(folder: Path, data: str | None, *, out: Path | None, show: bool, notation: str, force: bool) -> None:
    """Writes it, and says where; what differs from the training data is told on standard error.

    The page that a training has left holds its curves, which cannot be made again: it is kept, unless `force`.  Raises
    DataError for a file that is there already (unless `force`), and where the run or the data cannot be read.
    """
    if out is not None and out.exists() and not force:
        raise DataError(f"{out}: is there already. Choose another name, or overwrite it with --force.")
    place = folder / REPORT if out is None else out
    if names_report.is_of_names(folder):
        names_report.report(folder, data, place, notation)
        print(f"report in {place}")
        _open(place, show)
        return
    found = load_run(folder)
    if out is None and not force and _of_the_training(place, find_model(folder)[0] if isinstance(found, Run) else None):
        if data is not None or notation != "row":
            raise DataError(
                f"{place}: holds the curves of the training, which cannot be made again. "
                "Write this page elsewhere with --out, or overwrite that one with --force."
            )
        print(f"report in {place}")
        _open(place, show)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        if isinstance(found, Run):
            found.report(data, place, notation=notation)
        else:
            frame = tables.test_part(found, folder) if data is None else read_frame(data, header=found.header_)
            about = {"part": "test"} if data is None else {}
            found.report(
                frame, place, title=folder.resolve().name, notation=notation, **about, **tables.about(found, folder)
            )
    for warning in caught:
        name, _, notes = str(warning.message).partition(": ")
        tell(name, [notes.rstrip(".")])
    print(f"report in {place}")
    _open(place, show)


def _open(page: Path, show: bool) -> None:
    if show and not webbrowser.open(page.resolve().as_uri()):
        raise DataError(f"{page}: there is no browser to show it with; open the file.")


def _of_the_training(page: Path, model: Path | None) -> bool:
    """Whether the page was written with the training of the model that is there now: it shows the training's curves."""
    try:
        if model is None or page.stat().st_mtime < model.stat().st_mtime:
            return False
        return TRAINING in page.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
