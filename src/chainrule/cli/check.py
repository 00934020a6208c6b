"""`chainrule check`: every gradient of a network against finite differences."""

from __future__ import annotations

from chainrule.cli.network_options import SpecOptions, with_data


def run(options: SpecOptions, model: str | None, data: str | None, samples: int, long: bool) -> int:
    """Print the report; the exit code: 0 if every gradient agrees, else 1.  Raises SpecError, DataError."""
    network, X, y = with_data(options, model, data, samples)
    report = network.check(X, y, canonical=not long)
    print(report)
    return 0 if report else 1
