"""The command while Python still loads it: Ctrl-C ends it with one line, and how it says one.

Loading is left at once, not by an exception: modules that are half loaded turn one into errors of their own.
"""

import os
import sys

INTERRUPTED = 130
"""The exit code of a command that was interrupted."""


def begin() -> None:
    """Where this process is the command, Ctrl-C leaves it from now on."""
    if not _is_command():
        return
    import signal  # here, so that nobody else who imports chainrule pays for it

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def loaded() -> None:
    """From now on Ctrl-C is an exception, as everywhere in Python."""
    import signal

    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def tell(line: str) -> None:
    """A line on standard error, in one piece: several processes that were started together may write at once."""
    if sys.stderr is not None:
        sys.stderr.write(f"{line}\n")


def _is_command() -> bool:
    """Whether this process is `chainrule` or `python -m chainrule`."""
    script = getattr(sys, "argv", [""])[:1]
    if script == ["-m"]:  # while Python looks for the module that it is to run
        words = sys.orig_argv
        return "-m" in words and words[words.index("-m") + 1 :][:1] == ["chainrule"]
    return bool(script) and os.path.basename(script[0]).removesuffix(".exe") == "chainrule"


def _leave(number: int, frame: object) -> None:
    os.write(2, b"chainrule: interrupted\n")
    os._exit(INTERRUPTED)


begin()  # the package imports this before anything that takes time
