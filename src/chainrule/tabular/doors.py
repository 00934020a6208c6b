"""From a whole table, with its target, to a fitted estimator; and back from the folder that it was saved to."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.data.targets import Task
from chainrule.engines.table import EngineName
from chainrule.errors import DataError, DataWarning
from chainrule.network import Network
from chainrule.runs import run as runs
from chainrule.runs.run import Run
from chainrule.tabular import saved
from chainrule.tabular.frame import Frame, read_frame
from chainrule.tabular.members import as_given
from chainrule.tabular.roles import Roles, apart
from chainrule.tabular.saved import Fitted
from chainrule.tabular.told import giveaways

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame


def fit_table(
    data: IntoDataFrame | str | os.PathLike[str],
    target: str | Sequence[str],
    *,
    task: Task | None = None,
    ignore: str | Sequence[str] = (),
    **options: Any,
) -> Fitted:
    """A fitted TabularClassifier or TabularRegressor of a whole table: a data frame, or the path of a file.

        model = cr.fit_table("adult.csv", target="income")
        print(model.evaluate("test.csv"))

    Parameters
    ----------
    data
        A data frame (pandas, polars, pyarrow) or the path of a file: .csv, .tsv (also .gz), .parquet, .feather, .jsonl.
    target
        The column to predict, or several of numbers, which are learned together.  Rows without a value of it are left
        out, and told in a DataWarning.
    task
        By default texts are classes, and so are whole numbers if there are few (up to 20, each 5 times or more, or
        two).
    ignore
        Columns to leave out.
    options
        Of the estimator: preset="fast", random_state=0, ...

    Raises
    ------
    DataError
        For columns that are not there, a target that is missing or the same in all rows, and as the estimators do.
    """
    if hasattr(target, "dtype") or hasattr(target, "dtypes"):
        name = getattr(target, "name", None)
        raise DataError(
            "target: the name of the column to predict, and the column is one of data. Write "
            f"fit_table(data, {name if isinstance(name, str) else 'price'!r}), or TabularClassifier().fit(X, y)."
        )
    targets, left_out = ((names,) if isinstance(names, str) else tuple(names) for names in (target, ignore))
    table = apart(read_frame(data, "The data"), Roles(targets, left_out), task)
    estimator = table.estimator(**options)
    estimator.fit(table.features, table.y)
    told = giveaways(estimator.preparation_, table.features, table.y, table.is_classes, command=False)
    if notes := (*table.notes, *told):
        warnings.warn(f"{table.features.source}: {'; '.join(notes)}.", DataWarning, stacklevel=2)
    estimator.targets_, estimator.beside_ = table.targets, table.beside
    return estimator


def load_run(folder: str | os.PathLike[str], *, engine: EngineName | str = "auto") -> Run | Fitted:
    """What `chainrule train` or an estimator's `save` left in a folder; nothing in its files is executed.

    Parameters
    ----------
    folder
        Of the run.
    engine
        What is to run it.

    Returns
    -------
    Run or TabularClassifier or TabularRegressor
        A fitted estimator of tables comes back as itself; of other runs a `Run`.  Both predict, evaluate and hold
        their networks.

    Raises
    ------
    DataError
        Where there is none, or its files are damaged or not of one run.
    """
    if saved.is_table_run(folder):
        return saved.load(folder, engine=None if engine == "auto" else engine)
    return runs.load_run(folder, engine=engine)


def first_member(model: Fitted, frame: Frame | None, rows: int) -> tuple[Network, Any, Any]:
    """(network, X, y): the first member and the first rows of the frame as it takes them; without a frame no rows.

    Raises DataError where there is no network, or the frame does not fit.
    """
    if model.trained_ is None:
        raise DataError("There is no network to look at: the table had no column to learn from.")
    network = model.trained_.networks[0]
    if frame is None:
        return network, None, None
    inputs, targets, _ = model._with_targets(frame, None)
    few = np.arange(min(rows, len(targets)))
    return network, *as_given(model.trained_, inputs.of(few), targets[few])
