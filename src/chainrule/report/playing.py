"""What moves on the page: the program as JavaScript, the data of its step, and the weights at some steps of the fit.

An array is {"shape", "type", "data"}: its elements in base64, as u1, i4 or f4, little-endian; where there would be too
much of it, as i2 or i1 times "scale".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import FormulaError
from chainrule.glass.trace import Trace
from chainrule.network import Network
from chainrule.notation import javascript
from chainrule.program.symbol import BATCH, STORED
from chainrule.report.outputs import Names, outputs_of
from chainrule.train.monitor import Monitor

Array = NDArray[Any]
STOPS_BYTES = 400_000
"""Of the weights at all stops of the slider, before base64 makes four of three; two are there in any case."""
EXACT = 60_000
"""Parameters up to which each has its four bytes; of more the last weights have two, those before one."""
POINTS = 400
"""Samples that the map of two inputs shows."""
LONGEST = 60_000
"""Characters of a program in JavaScript up to which the page runs it."""


class Player:
    """The parts of the page that train.  traces: the step that is shown, of each notation by name."""

    def __init__(self, net: Network, traces: Mapping[str, Trace], monitor: Monitor | None) -> None:
        self.net, self.monitor = net, monitor
        self.sources: list[str] = []
        """The different programs, each a function that returns all values."""
        self.place: dict[str, int] = {}
        """Of each notation's program in `sources`."""
        digests: dict[str, int] = {}
        for name, trace in traces.items():
            program = trace.program
            if program.digest not in digests:
                digests[program.digest] = len(self.sources)
                names = dict.fromkeys(e.target.name for e in program.equations)
                code = javascript(program, names)
                if len(code) > LONGEST:
                    raise FormulaError(f"A page runs programs of up to {LONGEST:,} characters. Got {len(code):,}.")
                self.sources.append(f"(() => {{\n{code}return step;\n}})()")
            self.place[name] = digests[program.digest]
        self.traces = traces

    @classmethod
    def of(cls, net: Network, traces: Mapping[str, Trace], monitor: Monitor | None) -> Player | None:
        """The player, or None for a program that has no JavaScript or too much of it."""
        try:
            return cls(net, traces, monitor)
        except FormulaError:
            return None

    @property
    def code(self) -> str:
        """The script that defines the programs: `programs` and `predict`."""
        prediction = self.net.derive(mode="inference")
        predict = javascript(prediction.pruned([prediction.prediction], update=False), [prediction.prediction.name])
        predict = f"(() => {{\n{predict}return step;\n}})()"
        return f"const programs = [{', '.join(self.sources)}];\nconst predict = {predict};\n"

    def told(self) -> dict[str, Any]:
        """What the player's script reads."""
        given: dict[str, Any] = {}
        for trace in self.traces.values():
            given |= {s.name: trace[s.name] for s in trace.program.given if s.name in trace}
        first = next(iter(self.traces.values())).program
        arrays = {s.name: s.role in STORED for s in first.given if s.name in given and s.shape != ()}
        stored = {s.name: s for s in first.stored}
        objective = first.objective
        return {
            "data": {name: encoded(given[name]) for name, kept in arrays.items() if not kept},
            "settings": {n: _plain(v) for n, v in given.items() if np.ndim(v) == 0 and n not in stored},
            "slots": {n: [int(d) for d in s.shape] for n, s in stored.items() if s.role == "slot"},
            "stops": self._stops([n for n, s in stored.items() if s.role != "slot"]),
            "stored": list(stored),
            "samples": int(given[BATCH]),
            "cost": objective.name if objective is not None else None,
            "prediction": self.net.derive(mode="inference").prediction.name,
            "trains": bool(first.update),
        }

    def _stops(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The weights from the first record of the monitor, or fresh ones, to those of the network."""
        own = {**self.net.parameters, **self.net.state}
        last = [own[n] for n in names]
        snapshots = [] if self.monitor is None else self.monitor.snapshots
        fits = [(k, s) for k, s in snapshots if all(n in s and s[n].shape == own[n].shape for n in names)]
        if not fits:
            fresh = Network.from_spec(self.net.spec, dtype=self.net.dtype.name, seed=self.net.seed)
            fits = [(0, {**fresh.parameters, **fresh.state})]
        size = sum(a.size for a in last)
        large = size > EXACT
        most = max(1, (STOPS_BYTES - size * (2 if large else 4)) // max(1, size * (1 if large else 4)))
        first, end = (1, 2) if large else (4, 4)
        chosen = sorted({round(x) for x in np.linspace(0, len(fits) - 1, min(most, len(fits)))})
        stops = [{"step": fits[k][0], "arrays": {n: encoded(fits[k][1][n], first) for n in names}} for k in chosen]
        return [*stops, {"step": None, "arrays": {n: encoded(own[n], end) for n in names}}]


def visuals(
    net: Network,
    X: Any,
    y: Any,
    shape: tuple[int, int] | None,
    names: Names | None,
    columns: Sequence[str] | None = None,
) -> dict[str, dict[str, Any] | None]:
    """What the network says of all that is between two inputs ("map"), and of what is drawn ("pad"); None where the
    inputs are neither.  columns: what the inputs are called.
    """
    if net.spec.tokens or net.spec.named or len(outputs_of(net.spec)) > 1:
        return {"map": None, "pad": None}
    own = names if names is None or not isinstance(names, Mapping) else None
    return {
        "map": map_of_inputs(net, np.asarray(X), np.asarray(y), own, columns),
        "pad": pad(net, np.asarray(X), shape, own),
    }


def map_of_inputs(
    net: Network, X: Array, y: Array, names: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> dict[str, Any] | None:
    """The plane of two inputs and its samples; None for other networks."""
    (output,) = outputs_of(net.spec)
    if net.spec.inputs != 2:
        return None
    rows = np.linspace(0, len(X) - 1, min(POINTS, len(X))).astype(np.int64)
    low, high = X.min(axis=0), X.max(axis=0)
    room = 0.08 * np.where(high > low, high - low, 1.0)
    said = np.asarray(y, np.float64).reshape(len(X), -1)[rows, 0]
    return {
        "low": [_plain(v) for v in low - room],
        "high": [_plain(v) for v in high + room],
        "points": [
            [float(f"{a:.4g}"), float(f"{b:.4g}"), float(f"{c:.4g}")] for (a, b), c in zip(X[rows], said, strict=True)
        ],
        "classes": output.classes if output.classifies else 0,
        "names": output.names(names) if output.classifies else [],
        "axes": list(columns or ("first input", "second input")),
    }


def pad(net: Network, X: Array, shape: tuple[int, int] | None, names: Sequence[str] | None) -> dict[str, Any] | None:
    """What is drawn on where the inputs are an image: its shape, what an empty and a full element are."""
    (output,) = outputs_of(net.spec)
    if shape is None or not output.classifies:
        return None
    low, high = X.min(axis=0), X.max(axis=0)
    if np.unique(low).size <= 2:  # one scale for all elements
        low, high = np.full_like(low, X.min()), np.full_like(high, X.max())
    said = list(names) if names is not None else [str(k) for k in range(output.classes)]
    return {"shape": list(shape), "low": encoded(low), "high": encoded(high), "names": said}


def encoded(array: Array, width: int = 4) -> dict[str, Any]:
    """An array as plain data.  width: bytes of a number; with fewer than 4 it is rounded, but of small arrays."""
    values = np.asarray(array)
    about: dict[str, Any] = {"shape": list(values.shape)}
    whole = values.dtype.kind in "iu" or bool(
        np.all(values == np.floor(values)) and np.abs(values).max(initial=0) < 256
    )
    if width < 4 and values.size > 256 and np.isfinite(values).all():
        scale = float(np.abs(values).max()) / (2 ** (8 * width - 1) - 1) or 1.0
        about |= {"type": f"i{width}", "scale": scale}
        values = np.rint(values / scale).astype(f"<i{width}")
    elif whole and values.min(initial=0) >= 0 and values.max(initial=0) < 256:
        about["type"], values = "u1", values.astype(np.uint8)
    elif whole:
        about["type"], values = "i4", values.astype("<i4")
    else:
        about["type"], values = "f4", values.astype("<f4")
    about["data"] = base64.b64encode(values.tobytes()).decode("ascii")
    return about


def _plain(value: Any) -> float | int:
    number = np.asarray(value).item()
    return float(number) if isinstance(number, float) else int(number)
