"""What is compiled, written into a folder to be read: CHAINRULE_DUMP=FOLDER.

For each module a few files of one name, `train-3f9c01d2e5.*`: what the caller says of it (the plan, .plan.txt), the
LLVM IR (.ll) and the assembly (.s).  The code is emitted anew for this, also where the cache would have had it.
"""

from __future__ import annotations

import os
from pathlib import Path

from chainrule.errors import SpecError, expected

VARIABLE = "CHAINRULE_DUMP"


def folder() -> Path | None:
    """Where to write; None where nobody asked.  Raises SpecError if that cannot be a folder."""
    chosen = os.environ.get(VARIABLE, "")
    if not chosen:
        return None
    place = Path(chosen)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(expected(VARIABLE, "a folder that can be written to", chosen, str(error))) from None
    return place


def write(place: Path, name: str, texts: dict[str, str]) -> None:
    """Writes each text to `name` with its ending.  Raises SpecError where that cannot be done."""
    try:
        for ending, text in texts.items():
            (place / f"{name}.{ending}").write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(expected(VARIABLE, "a folder that can be written to", str(place), str(error))) from None
