"""The options of checkpoints, which every command that trains has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_WRITING = "Writing"

CheckpointFolder = Annotated[
    Path | None,
    typer.Option(help="A folder to write the training down in as it goes.", rich_help_panel=_WRITING),
]
CheckpointEvery = Annotated[str, typer.Option(help="After so many epochs, or seconds (60s).", rich_help_panel=_WRITING)]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from what --checkpoint holds, or start.", rich_help_panel=_WRITING)
]
