"""Small tables in files, and how a reader refuses one."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainrule.errors import DataError

PEOPLE = """age,city,size,income
30, Rome ,1.5,low
40,Oslo,2.5,high
50,Rome,,low
20,?,0.5,high
"""


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refuses(path: Path, *words: str) -> pytest.RaisesExc[DataError]:
    """A DataError of one line that names the file and holds all the words."""

    def check(error: DataError) -> bool:
        return "\n" not in str(error) and all(word in str(error) for word in (path.name, *words))

    return pytest.RaisesExc(DataError, check=check)
