"""`chainrule runs`: the runs in a folder, or some beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from chainrule.files import printable
from chainrule.runs.listing import RunRecord, differing, records_in

HIDDEN = frozenset(("data", "epochs", "target", "targets"))
"""Options that have a column of their own."""
LONGEST = 24
"""Characters of an option's value in the table."""


def run(folders: Sequence[Path], as_json: bool) -> None:
    """Prints a line for each run, with the options in which they differ; or an array of objects.  Raises DataError."""
    records = records_in(folders)
    if as_json:
        print(json.dumps([record.to_dict() for record in records], ensure_ascii=False))
        return
    options = [name for name in differing(records) if name not in HIDDEN]
    rows = [["run", "data", "target", "test", "epochs", *options]]
    rows += [_row(record, options) for record in records]
    told = [
        k for k in range(len(rows[0])) if any(row[k] for row in rows[1:])
    ]  # of tables no epochs, of digits no target
    rows = [[row[k] for k in told] for row in rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(record: RunRecord, options: Sequence[str]) -> list[str]:
    epochs, best = record.result.get("epochs"), record.result.get("best epoch")
    told = "" if record.by_recipe or epochs is None else str(epochs) if best is None else f"{best} of {epochs}"
    cells = [printable(str(record.folder)), record.data, _cell(list(record.targets)), record.test_words, told]
    return [*cells, *(_cell(record.options.get(name)) for name in options)]


def _cell(value: object) -> str:
    text = "" if value in (None, [], "") else ",".join(map(str, value)) if isinstance(value, list) else str(value)
    text = f"{value:g}" if isinstance(value, float) else text
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
