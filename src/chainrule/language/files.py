"""Files of names, and the names that come with the package."""

from __future__ import annotations

import os
import unicodedata
from importlib.resources import as_file, files

from chainrule.data import read_names

LONGEST = 10_000
"""Characters of a name at most: a line that is longer is no name, and its windows would not fit the memory."""


def load_names(path: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """The names of a file, one a line; without a file those that come with the package.

    é is one character, however it was typed.
    Raises DataError for a file that is missing, empty, not UTF-8, or holds control characters or a line of more than
    10,000 characters (with the line's number).
    """
    if path is None:
        with as_file(files("chainrule.language") / "names.txt") as own:
            return read_names(own)
    return tuple(unicodedata.normalize("NFC", name) for name in read_names(path, longest=LONGEST))
