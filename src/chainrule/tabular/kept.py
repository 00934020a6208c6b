"""A preparation as JSON holds it, and read back with everything checked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from chainrule.data.cells import STYLE, written
from chainrule.errors import DataError
from chainrule.files import fields
from chainrule.files.fields import Flag, Listed, Number, Object, Tagged, Text
from chainrule.tabular.columns import CYCLES, CategoryColumn, Column, NumberColumn, OrderColumn, Scaling, TimeColumn
from chainrule.tabular.preparation import REASONS, Preparation
from chainrule.tabular.times import FIRSTS

_NAME = Text()
_SCALING = Object({"median": Number(), "scale": Number(above=0.0)})
_EDGES = Listed(Number(-100.0, below=100.0), least=2, most=1000)
"""In the units of inputs, which lie between -3 and 3."""
_KINDS: Mapping[str, Object] = {
    NumberColumn.tag: Object({"name": _NAME, "scaling": _SCALING, "edges": _EDGES, "gaps": Flag(), "style": STYLE}),
    CategoryColumn.tag: Object({"name": _NAME, "levels": Listed(_NAME, least=1), "gaps": Flag(), "rest": Flag()}),
    TimeColumn.tag: Object(
        {
            "name": _NAME,
            "scaling": _SCALING,
            "edges": _EDGES,
            "cycles": Listed(Text(tuple(CYCLES), what="cycle")),
            "gaps": Flag(),
            "first": Text(FIRSTS, what="order of dates"),
        },
        absent={"first": ""},
    ),
    OrderColumn.tag: Object(
        {"name": _NAME, "levels": Listed(_NAME, least=3), "scaling": _SCALING, "edges": _EDGES, "gaps": Flag()}
    ),
}
_LEFT_OUT = Object({"name": _NAME, "why": Text(tuple(REASONS), what="reason")})
_SAVED = Object(
    {
        "columns": Listed(Tagged("kind", _KINDS, "kind of column")),
        "names": Listed(_NAME, least=1),
        "named": Flag(),
        "left_out": Listed(_LEFT_OUT),
    }
)


def preparation_to_dict(preparation: Preparation) -> dict[str, Any]:
    """As JSON-ready data."""
    return {
        "columns": [{"kind": column.tag, **asdict(column)} for column in preparation.columns],
        "names": list(preparation.names),
        "named": preparation.named,
        "left_out": [{"name": name, "why": why} for name, why in preparation.left_out],
    }


def preparation_from_dict(saved: object) -> Preparation:
    """What `preparation_to_dict` wrote.  Raises DataError for anything else."""
    said = fields.part(_SAVED, saved, "what was learned of a table")
    columns = tuple(_column(kind, column) for kind, column in said["columns"])
    names = said["names"]
    unknown = [column.name for column in columns if column.name not in names]
    if unknown or len(set(names)) < len(names) or len({c.name for c in columns}) < len(columns):
        raise DataError("This is not what was learned of a table as chainrule saves it: its names do not agree.")
    left_out = tuple((column["name"], column["why"]) for column in said["left_out"])
    return Preparation(columns, names, said["named"], left_out)


def _column(kind: str, said: Mapping[str, Any]) -> Column:
    if kind == CategoryColumn.tag:
        return CategoryColumn(**said)
    edges = said["edges"]
    if any(b <= a for a, b in itertools.pairwise(edges)):
        raise DataError(f"The edges of the pieces of {said['name']!r} do not increase.")
    scaling = Scaling(**said["scaling"])
    if kind == NumberColumn.tag:
        return NumberColumn(said["name"], scaling, edges, said["gaps"], written(said["style"]))
    if kind == OrderColumn.tag:
        return OrderColumn(said["name"], said["levels"], scaling, edges, said["gaps"])
    return TimeColumn(said["name"], scaling, edges, said["cycles"], said["gaps"], said["first"])
