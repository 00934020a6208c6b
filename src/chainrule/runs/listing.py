"""What runs say of themselves, without their networks: to list and compare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.errors import DataError
from chainrule.files import strict_json
from chainrule.files.fields import AnyValue, Each, Listed, Maybe, Object, Text
from chainrule.files.folder import member
from chainrule.metrics import shown
from chainrule.runs.folder import FORMAT, SETTINGS, TABLE

_RECORD = ("options", "data", "versions", "result")
_SETTINGS = Object(
    {**dict.fromkeys(_RECORD, AnyValue()), "target": Maybe(Each(AnyValue()))},
    absent=dict.fromkeys((*_RECORD, "target")),
    others=True,
)
_TABLE = Object(
    {"record": Maybe(Each(AnyValue())), "targets": Maybe(Listed(Text()))},
    absent={"record": None, "targets": None},
    others=True,
)


@dataclass(frozen=True)
class RunRecord:
    """The record of a run."""

    folder: Path
    """Where it lies."""
    by_recipe: bool
    """Whether the recipe for tables has chosen its networks."""
    options: Mapping[str, Any]
    """Of the command that trained it."""
    data: str
    """The name of its data."""
    result: Mapping[str, Any]
    """As the run holds it."""
    targets: tuple[str, ...] = ()
    """The columns that are predicted."""

    @property
    def test(self) -> dict[str, float]:
        """The metrics of the test that count first, by their names: one, or one for each target."""
        if not self.by_recipe:  # character models have a part "dev" in the place of a test
            numbers = {name: value for name, value in self.result.items() if _is(value)}
            return {k.removeprefix("test "): v for k, v in numbers.items() if k.startswith("test ") or k == "dev cost"}
        first: dict[str, float] = {}
        for target, tests in self.result.items():
            name = next(iter(tests[0]["metrics"]))
            values = [test["metrics"][name] for test in tests]
            first[name if len(self.result) == 1 else f"{name} of {target}"] = sum(values) / len(values)
        return first

    @property
    def test_words(self) -> str:
        """ "accuracy 0.9777"."""
        return ", ".join(f"{name} {shown(value)}" for name, value in self.test.items())

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data."""
        said = {"run": str(self.folder), "data": self.data, "targets": list(self.targets), "test": self.test}
        return {**said, "options": dict(self.options)}


def record_of(folder: Path) -> RunRecord | None:
    """The record of the run in a folder; None where there is no run.  Raises DataError where it is damaged."""
    table, settings = member(folder, TABLE), member(folder, SETTINGS)
    if table.is_file():
        whole = strict_json.read(table, _TABLE, "an estimator of tables", FORMAT)
        said = {**(whole["record"] or {}), "targets": whole["targets"]}
    elif settings.is_file():
        said = strict_json.read(settings, _SETTINGS, "the settings of a run", FORMAT)
    else:
        return None
    options, result, data = (said.get(name) or {} for name in ("options", "result", "data"))
    name = data.get("name") or options.get("data") or ""
    named = said.get("targets") if table.is_file() else [(said.get("target") or {}).get("name")]
    targets = tuple(name for name in named or () if isinstance(name, str))
    return RunRecord(folder, table.is_file(), options, str(name), result, targets)


def records_in(folders: Iterable[Path]) -> list[RunRecord]:
    """The runs in these folders: each a run itself, or one that holds runs.  Raises DataError where there is none."""
    records: list[RunRecord] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder. Give the folder of a run, or one that holds runs.")
        own = record_of(folder)
        below = [own] if own is not None else [record_of(inner) for inner in sorted(folder.iterdir()) if inner.is_dir()]
        records += [record for record in below if record is not None]
        if all(record is None for record in below):
            raise DataError(f"{folder}: holds no run. 'chainrule train DATA' makes one.")
    return records


def differing(records: Iterable[RunRecord]) -> list[str]:
    """The options in which those of the runs differ that have them, in their order."""
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.options.items():
            values.setdefault(name, set()).add(repr(value))
    return [name for name, several in values.items() if len(several) > 1]


def _is(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
