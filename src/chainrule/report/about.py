"""What a page says of its data and of how it was made, beside the network and the numbers."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.data import Standardizer
from chainrule.describe.network import NetworkSpec
from chainrule.errors import SpecError, expected


@dataclass(frozen=True)
class About:
    """What is known of the data behind a report; everything may be left out."""

    part: str = ""
    """Of the data, which the samples are: "test", say."""
    target: str = ""
    """The name of what is predicted."""
    target_scale: Standardizer | None = None
    """Of a target that the network predicts standardised: numbers are shown in the target's own unit."""
    columns: Sequence[str] | None = None
    """For each input of the network the column that it was made of; several may be of one."""
    kept: int | None = None
    """The epoch whose weights the network has."""
    command: str = ""
    """What makes the network again."""
    date: str | None = None
    """When it was trained; None for today, "" for nothing."""

    def check(self, spec: NetworkSpec) -> None:
        """Raises SpecError where it cannot be of that network."""
        if self.columns is not None and len(self.columns) != spec.inputs:
            what = f"a name for each of {spec.inputs:,} inputs"
            raise SpecError(expected("columns", what, f"{len(self.columns):,} names"))

    def on(self) -> str:
        """The day."""
        return day(datetime.date.today()) if self.date is None else self.date


def day(date: datetime.date) -> str:
    """A day in words: 27 November 2026."""
    return f"{date.day} {date:%B %Y}"
