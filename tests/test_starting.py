"""Ctrl-C while Python still loads the command, or it reads: one line and the exit code 130, wherever it strikes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import chainrule

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to one process is POSIX's")

COMMANDS = {
    "python -m chainrule": ["-m", "chainrule"],
    "chainrule": ["{script}"],
}
SLOW = """
import time

print("loading", flush=True)
try:
    time.sleep(30)
except BaseException:
    raise ImportError
"""
"""A module that takes long to load, and makes another error of an interrupt, as modules in C do."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("module", ["numpy", "typer"])
def test_interrupt_while_loading(command: str, module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text(SLOW)
    script = tmp_path / "bin" / "chainrule"
    script.parent.mkdir()
    script.write_text("import sys\nfrom chainrule.cli import main\nsys.exit(main())\n")
    source = Path(chainrule.__file__).parents[1]
    words = [word.replace("{script}", str(script)) for word in COMMANDS[command]]
    with subprocess.Popen(
        [sys.executable, *words, "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{source}", "PATH": ""},
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        try:
            assert child.stdout.readline() == "loading\n", child.stderr.read()
            child.send_signal(signal.SIGINT)
            said, errors = child.communicate(timeout=20)
        finally:
            child.kill()
    assert (child.returncode, said, errors) == (130, "", "chainrule: interrupted\n")


def test_whoever_imports_chainrule_keeps_his_handlers() -> None:
    program = "import signal, chainrule; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "interrupted"),
        pytest.param(signal.SIGTERM, 143, "asked to end", marks=pytest.mark.long),
    ],
)
def test_interrupt_while_a_large_table_is_read(number: int, code: int, line: str, tmp_path: Path) -> None:
    row = ",".join(f"{k * 0.37:.4f}" for k in range(20))
    with open(tmp_path / "large.csv", "w") as file:
        file.write(",".join(f"x{k}" for k in range(20)) + ",y\n")
        for _ in range(20):
            file.write("".join(f"{row},{label}\n" for label in "abcde") * 3000)
    source = Path(chainrule.__file__).parents[1]
    program = f"""
import sys
sys.path.insert(0, {str(source)!r})
from chainrule.cli import main
from chainrule.tabular import files

read = files.read_table

def told(*arguments):
    print("reading", flush=True)
    read(*arguments)
    print("done", flush=True)

files.read_table = told
sys.exit(main(["train", "large.csv"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        try:
            assert child.stdout.readline() == "reading\n", child.stderr.read()
            time.sleep(0.3)
            child.send_signal(number)
            said, errors = child.communicate(timeout=20)
        finally:
            child.kill()
    assert (child.returncode, said, errors) == (code, "", f"chainrule: {line}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["large.csv"]
