"""JavaScript of programs, run by Node: skipped, with the reason, where that is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

RUN = """
const read = (said) => Array.isArray(said) ? Float64Array.from(said, Number) : said;
const told = JSON.parse(require("fs").readFileSync(0, "utf8")).map(([code, given]) => {
  const values = Object.fromEntries(Object.entries(given).map(([name, said]) => [name, read(said)]));
  const found = new Function(code + "; return step")()(values);
  const flat = (v) => (typeof v === "number" ? [v] : Array.from(v));
  return Object.fromEntries(Object.entries(found).map(([name, v]) => [name, flat(v)]));
});
process.stdout.write(JSON.stringify(told, (_, v) => typeof v === "number" && !Number.isFinite(v) ? String(v) : v));
"""


def run_in_node(steps: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, np.ndarray]]:
    """What `step` of each source returns of these values, flat."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here (apt-get install nodejs)")
    said = [(code, {name: _said(value) for name, value in given.items()}) for code, given in steps]
    done = subprocess.run([node, "-e", RUN], input=json.dumps(said), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [{k: np.array([float(x) for x in v]) for k, v in one.items()} for one in json.loads(done.stdout)]


def _said(value: Any) -> Any:
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array.reshape(-1).tolist()
