"""Runs: what `chainrule train` leaves in a folder, and taking it back into Python."""

from chainrule.metrics import Evaluation
from chainrule.runs.run import Run, load_run

__all__ = ["Evaluation", "Run", "load_run"]
