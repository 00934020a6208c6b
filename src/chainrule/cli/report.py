"""`chainrule report`: the page on a finished run."""

from __future__ import annotations

import warnings
import webbrowser
from pathlib import Path

from chainrule.cli.scores import tell
from chainrule.errors import DataError, DataWarning
from chainrule.runs import Run
from chainrule.runs.folder import REPORT
from chainrule.tabular import report as tables
from chainrule.tabular.doors import load_run
from chainrule.tabular.frame import read_frame


def run(folder: Path, data: str | None, *, out: Path | None, show: bool, notation: str, force: bool) -> None:
    """Writes it, and says where; what differs from the training data is told on standard error.

    Raises DataError for a file that is there already (unless `force`), and where the run or the data cannot be read.
    """
    if out is not None and out.exists() and not force:
        raise DataError(f"{out}: is there already. Choose another name, or overwrite it with --force.")
    found = load_run(folder)
    place = folder / REPORT if out is None else out
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
    if show and not webbrowser.open(place.resolve().as_uri()):
        raise DataError(f"{place}: there is no browser to show it with; open the file.")
