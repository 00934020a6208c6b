"""The two ways of `chainrule train`: a table by the recipe, or a network that the options choose."""

from __future__ import annotations

from collections.abc import Collection

from chainrule.errors import SpecError

RECIPE_ONLY = frozenset(("preset", "id", "group", "time", "cv", "quantiles"))
"""Options of the recipe for tables."""
EITHER = frozenset(
    (
        "data",
        "target",
        "task",
        "ignore",
        "header",
        "test",
        "seed",
        "engine",
        "threads",
        "progress",
        "out",
        "force",
        "report",
        "time_limit",
        "class_weight",
        "quiet",
        "json",
    )
)
"""Options of both ways.  All others choose the network or its training."""
_FEW = 3


def by_recipe(data: str, given: Collection[str]) -> bool:
    """Whether the data are trained by the recipe for tables: a table is, where no option chooses the network.

    given: the options that were given, by the names of their parameters.
    Raises SpecError for options of both ways, and of the recipe for what is no table.
    """
    from chainrule.data.readers import TABLE_SUFFIXES, is_table  # slow to load, and --help does without
    from chainrule.tabular.files import is_table_file

    network = _of_network(given)
    recipe = sorted(set(given) & RECIPE_ONLY)
    if recipe and network:
        raise SpecError(
            f"{_options(recipe)}: for the recipe for tables, which chooses the networks itself, and goes with no "
            f"{_options(network)}. Leave out one or the other."
        )
    if recipe and not is_table_file(data):
        kinds = ".csv, .tsv, .parquet, .feather, .jsonl, or '-'"
        raise SpecError(f"{_options(recipe)}: for tables by the recipe; {data} is none. They are {kinds}.")
    if network and is_table_file(data) and not is_table(data):
        raise SpecError(
            f"{data}: a network by {_options(network)} is trained on tables in {', '.join(TABLE_SUFFIXES)}. Save "
            "it so, or leave out such options for the recipe."
        )
    return is_table_file(data) and not network


def recipe_line(preset: str) -> str:
    """What is said of a table that is trained by the recipe."""
    return f"by the recipe for tables, preset {preset} (--hidden, --epochs and such train a network of your own)"


def by_options(data: str, given: Collection[str]) -> str | None:
    """What is said of a table that a network by options is trained on; None for what is no table."""
    from chainrule.tabular.files import is_table_file

    if not is_table_file(data):
        return None
    network = _of_network(given)
    shown = _options(network[:_FEW]) + (", ..." if len(network) > _FEW else "")
    return f"a network by {shown} (without such options: by the recipe for tables)"


def _of_network(given: Collection[str]) -> list[str]:
    return sorted(set(given) - RECIPE_ONLY - EITHER)


def _options(names: Collection[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)
