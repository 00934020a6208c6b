"""What a fit leaves behind: one record an epoch."""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from chainrule.display import Displayed
from chainrule.errors import DataError, unknown_name
from chainrule.files import replace_text


@dataclass(frozen=True)
class EpochRecord:
    """One epoch."""

    epoch: int
    """Counted from 1."""
    cost: float
    """J of the training data, averaged over the epoch's batches (weighted by their samples)."""
    metric: float | None = None
    """What `metric_name` says, of the training data; None where nobody asked."""
    validation_cost: float | None = None
    """J of the validation data, after the epoch; None without such data."""
    validation_metric: float | None = None
    """What `metric_name` says, of the validation data."""
    learning_rate: float = math.nan
    """Of the epoch's last step."""
    seconds: float = math.nan
    """That the epoch's steps took, by the clock."""
    samples_per_second: float = math.nan
    """In training."""
    metric_name: str | None = None
    """What it is: "accuracy" is a part of 1, "error" the root of the mean squared error; estimators have others."""


COLUMNS = tuple(field.name for field in dataclasses.fields(EpochRecord))
NUMBER_COLUMNS = tuple(name for name in COLUMNS if name != "metric_name")


FORMAT = 1
"""Of history.json."""


class History(Displayed, Sequence[EpochRecord]):
    """The records of a fit, in order; `history[-1]` is the last epoch.

    stopped: why the fit ended before its last epoch, or None.
    """

    def __init__(self, records: Iterable[EpochRecord] = (), stopped: str | None = None) -> None:
        self._records = list(records)
        self.stopped = stopped

    def append(self, record: EpochRecord) -> None:
        """Add the record of the next epoch (the training loop does)."""
        self._records.append(record)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> EpochRecord: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> EpochRecord | History:
        if isinstance(index, slice):
            return History(self._records[index], self.stopped)
        return self._records[index]

    def __iter__(self) -> Iterator[EpochRecord]:
        return iter(self._records)

    def __eq__(self, other: object) -> bool:
        """Equal records, a number that is not one (NaN) being equal to itself."""
        if not isinstance(other, History):
            return NotImplemented
        return self.stopped == other.stopped and repr(self._records) == repr(other._records)

    __hash__ = None  # type: ignore[assignment]  # a history grows

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain dictionaries, one an epoch."""
        return [dataclasses.asdict(record) for record in self._records]

    def column(self, name: str) -> NDArray[np.float64]:
        """One number of every epoch, shape (epochs,); NaN where there is none.

        Raises DataError for a name that no record has.
        """
        _check_column(name)
        return np.array([_number(getattr(record, name)) for record in self._records], dtype=np.float64)

    def best(self, name: str | None = None) -> EpochRecord:
        """The epoch with the best value of a column: the largest accuracy, the smallest of everything else.

        name: by default the validation cost where there is one, else the cost.
        Raises DataError where no epoch has a finite value.
        """
        if name is None:
            name = "validation_cost" if any(r.validation_cost is not None for r in self._records) else "cost"
        _check_column(name)
        best: EpochRecord | None = None
        for record in self._records:
            value = _number(getattr(record, name))
            if math.isfinite(value) and (best is None or improves(record, name, _number(getattr(best, name)))):
                best = record
        if best is None:
            raise DataError(f"No epoch of this history has a finite {name!r}.")
        return best

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """One line an epoch below a header; nothing where there is no value."""
        import csv  # slow to load

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(csv_row(record) for record in self._records)
        replace_text(path, text.getvalue())

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Everything, for `load_json`."""
        from chainrule.files import strict_json  # slow to load

        epochs = [{name: _to_json(value) for name, value in record.items()} for record in self.to_dicts()]
        saved = {"format": FORMAT, "stopped": self.stopped, "epochs": epochs}
        replace_text(path, strict_json.dumps(saved, indent=1) + "\n")

    @classmethod
    def load_json(cls, path: str | os.PathLike[str]) -> History:
        """The history that `save_json` wrote.  Raises DataError where the file is something else, or damaged."""
        from chainrule.files import strict_json
        from chainrule.files.fields import Kind, Listed, Maybe, Number, Object, Text, Whole

        number, numbers = Number(words=True), ("learning_rate", "seconds", "samples_per_second")
        fields: dict[str, Kind] = {"epoch": Whole(1), "cost": number, "metric_name": Maybe(Text(longest=1000))}
        fields |= dict.fromkeys(("metric", "validation_cost", "validation_metric"), Maybe(number))
        fields |= dict.fromkeys(numbers, number)
        epoch = Object(fields, absent={field.name: field.default for field in dataclasses.fields(EpochRecord)[2:]})
        kind = Object({"stopped": Maybe(Text()), "epochs": Listed(epoch)}, others=True)
        saved = strict_json.read(path, kind, "a history", FORMAT)
        return cls([EpochRecord(**epoch) for epoch in saved["epochs"]], saved["stopped"])

    def __repr__(self) -> str:
        if not self._records:
            return "History(no epochs)"
        last = self._records[-1]
        parts = [f"{len(self)} epoch{'s' if len(self) > 1 else ''}", *describe_record(last)]
        if self.stopped:
            parts.append(f"stopped: {self.stopped}")
        return f"History({', '.join(parts)})"


def improves(record: EpochRecord, name: str, best: float, margin: float = 0.0) -> bool:
    """Whether the record's value is better than `best` by more than `margin`; one that is not finite never is."""
    value = _number(getattr(record, name))
    if not math.isfinite(value):
        return False
    if name in ("metric", "validation_metric") and record.metric_name == "accuracy":
        return value - best > margin
    return best - value > margin


def describe_record(record: EpochRecord) -> list[str]:
    """The values of a record in words: ["cost 0.1234", "accuracy 0.9712", "validation cost 0.2", ...]."""
    metric = record.metric_name or "metric"
    named = {
        "cost": record.cost,
        metric: record.metric,
        "validation cost": record.validation_cost,
        f"validation {metric}": record.validation_metric,
    }
    return [
        f"{name} {value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{name} {value:.4g}"
        for name, value in named.items()
        if value is not None
    ]


def csv_row(record: EpochRecord) -> list[str]:
    """The cells of a record, in the order of COLUMNS; floats so that they read back as the same number."""
    values = dataclasses.astuple(record)
    return ["" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values]


def _check_column(name: str) -> None:
    if name not in NUMBER_COLUMNS:
        raise DataError(unknown_name("column of a history", name, NUMBER_COLUMNS))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _to_json(value: Any) -> Any:
    """JSON has no word for NaN and infinity; "nan" and "inf" are what float() reads."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
