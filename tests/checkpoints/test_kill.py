"""Checkpoints across processes: killed at any instant, asked to end, without room on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from checkpoints.fits import Slow, fit, network

SCRIPT = Path(__file__).with_name("fits.py")
TESTS = SCRIPT.parents[1]


def start(folder: Path, threads: int = 1) -> subprocess.Popen[str]:
    """A process that fits or goes on, once it has begun."""
    path = os.pathsep.join([str(TESTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    command = [sys.executable, str(SCRIPT), str(folder), str(threads)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def ends_like_one_that_was_not_killed(folder: Path, kills: int, seed: int) -> None:
    """Kills the process again and again; in the end it has the bits of an undisturbed fit."""
    expected = fit(network(), [Slow()], epochs=40)
    rng = np.random.default_rng(seed)
    for kill in range(kills):
        process = start(folder, 1 + kill % 2)
        time.sleep(rng.uniform(0.0, 0.6))
        process.kill()
        process.communicate(timeout=60)
    said, trouble = start(folder).communicate(timeout=120)
    assert said.strip() == expected, trouble


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
def test_a_fit_that_is_killed_at_any_instant_ends_with_the_same_bits(tmp_path: Path) -> None:
    ends_like_one_that_was_not_killed(tmp_path, 5, 0)


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
@pytest.mark.parametrize("seed", range(40))
def test_two_hundred_kills(seed: int, tmp_path: Path) -> None:
    ends_like_one_that_was_not_killed(tmp_path, 5, 1 + seed)


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_fit_that_is_asked_to_end_writes_a_checkpoint(number: signal.Signals, tmp_path: Path) -> None:
    process = start(tmp_path)
    while not list(tmp_path.glob("checkpoint-*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, trouble = process.communicate(timeout=60)
    assert process.returncode == (143 if number == signal.SIGTERM else -number), trouble
    said, trouble = start(tmp_path).communicate(timeout=120)
    assert said.strip() == fit(network(), [Slow()], epochs=40), trouble


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="the size of files is limited by POSIX")
def test_without_room_the_last_checkpoint_stays(tmp_path: Path) -> None:
    code = f"""
import resource, sys
sys.path.insert(0, {str(TESTS)!r})
import chainrule as cr
from checkpoints.fits import fit, network

class Full(cr.Callback):
    writes = False
    def on_epoch_end(self, fit, record):
        if record.epoch == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

try:
    fit(network(), [Full()], checkpoint={str(tmp_path)!r})
except cr.DataError as fault:
    print(fault)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "cannot be written: file too large" in done.stdout
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name for name in names if not name.startswith("best")] == [
        "checkpoint-000000000016.safetensors",
        "checkpoint-000000000032.safetensors",
    ]
