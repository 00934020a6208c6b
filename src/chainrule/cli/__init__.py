"""The `chainrule` command.

Exit codes: 0 done; 2 the call, the data or a file is wrong (one line on standard error); 130 interrupted (Ctrl-C);
143 asked to end (SIGTERM); 141 the reader of the output has gone; 1 a fault of chainrule itself (set
CHAINRULE_TRACEBACK=1 to see where).
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Sequence

from chainrule import starting

USAGE_ERROR = 2
INTERRUPTED = starting.INTERRUPTED
CLOSED_PIPE = 141
TERMINATED = 143
COMPLETING = "_CHAINRULE_COMPLETE"
"""What a shell sets that asks what a word may become."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the given words (by default the process's own); the exit code."""
    try:
        _listen()
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        starting.tell("chainrule: interrupted")
        return INTERRUPTED
    except SystemExit as end:
        if end.code != TERMINATED:
            raise
        starting.tell("chainrule: asked to end")
        return TERMINATED


def _listen() -> None:
    """SIGTERM ends the command as Ctrl-C does: with what was done so far kept, and nothing half written."""
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: _end())


def _end() -> None:
    from chainrule.train.signals import Terminated

    raise Terminated


def _run(words: list[str]) -> int:
    # What takes long to import is imported when a command needs it: `chainrule --help` answers at once.
    import typer

    from chainrule.cli.app import app
    from chainrule.errors import ChainruleError

    starting.loaded()
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    command = typer.main.get_command(app)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show Σ shows ? instead of failing.
        sys.stdout.reconfigure(errors="replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        # The name of a file need not be UTF-8.
        sys.stderr.reconfigure(errors="backslashreplace")
    try:
        code = 0
        try:
            if COMPLETING in os.environ:
                command(prog_name="chainrule")  # ends the process with what a shell may complete
            # Not `command.main`, which has its own ways with a closed pipe and Ctrl-C.
            with command.make_context("chainrule", words) as context:
                command.invoke(context)
        except typer.Exit as done:
            code = done.exit_code
        sys.stdout.flush()
        return code
    except ChainruleError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Python flushes standard output once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{(error.strerror or str(error)).lower()}")
    except MemoryError as error:
        return _fail(f"there is not enough memory ({error}).")
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # Typer's own errors of usage have no base class that all its versions share.
        if hasattr(error, "format_message"):
            message = error.format_message()
            if type(error).__name__ == "NoArgsIsHelpError":
                # The help, which some versions have printed already.
                print(message, file=sys.stderr, end="" if not message else "\n")
                return USAGE_ERROR
            from chainrule.cli.usage import explain

            return _fail(explain(error, command, words))
        if os.environ.get("CHAINRULE_TRACEBACK"):
            raise
        starting.tell(
            f"chainrule: a fault of chainrule itself: {type(error).__name__}: {_one_line(str(error))} "
            "(CHAINRULE_TRACEBACK=1 shows where)"
        )
        return 1


def _fail(message: str) -> int:
    starting.tell(f"chainrule: {_one_line(message)}")
    return USAGE_ERROR


def _one_line(message: str) -> str:
    return " ".join(line.strip() for line in message.splitlines())
