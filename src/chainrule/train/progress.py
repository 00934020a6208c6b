"""The progress of a fit on the terminal, or in a notebook."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal, TextIO

from chainrule.display import in_notebook
from chainrule.errors import SpecError, expected
from chainrule.train.callbacks import Callback
from chainrule.train.history import EpochRecord, describe_record
from chainrule.train.state import FitState

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from chainrule.train.live import LiveBar

_ROOM_FOR_BAR = 100

Verbose = bool | Literal["auto"]


class Progress(Callback):
    """Shows epoch, cost, metric, validation, samples a second and the time left; to standard error.

    A bar goes on within an epoch as well, from the first step.

    verbose: "auto" shows a bar on a terminal and in a notebook, and nothing elsewhere; True also elsewhere (there, a
    line an epoch); False never.  stream: where to, instead of standard error.
    Raises SpecError for another `verbose`.
    """

    looks = writes = False

    def __init__(self, verbose: Verbose = "auto", stream: TextIO | None = None) -> None:
        if not isinstance(verbose, bool) and verbose != "auto":
            raise SpecError(expected("'verbose'", "True, False or 'auto'", verbose))
        self.verbose = verbose
        self.stream = stream
        self._bar: RichProgress | None = None
        self._lines: TextIO | None = None
        self._live: LiveBar | None = None
        self._began = 0.0
        self._pace = Pace()
        self._first = 0

    def on_fit_begin(self, fit: FitState) -> None:
        self._stop()
        self._pace, self._first = Pace(), fit.step - fit.step % fit.steps_per_epoch
        if self.verbose and self.stream is None and in_notebook():
            from chainrule.train.live import LiveBar  # loaded when it is shown

            self._began = time.perf_counter()
            self._live = LiveBar(fit.epochs)
            return
        stream = self.stream or sys.stderr
        terminal = stream is not None and stream.isatty()
        if stream is None or self.verbose is False or (self.verbose == "auto" and not terminal):
            return
        self._began = time.perf_counter()
        if not terminal:
            self._lines = stream
            return
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        console = Console(file=stream)
        # Where there is little room it belongs to the numbers.
        bar: list[ProgressColumn] = [BarColumn(bar_width=12)] if console.width >= _ROOM_FOR_BAR else []
        width = len(f"epoch {fit.epochs}/{fit.epochs}")
        self._bar = RichProgress(
            TextColumn(
                f"epoch {{task.fields[epoch]}}/{fit.epochs}", table_column=Column(min_width=width, no_wrap=True)
            ),
            *bar,
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=console,
        )
        self._bar.add_task("begins", total=fit.epochs, epoch=0)
        self._bar.start()

    @property
    def idle(self) -> bool:  # type: ignore[override]
        """Whether nothing is shown; a subclass may have hooks of its own."""
        return type(self) is Progress and self._bar is None and self._lines is None and self._live is None

    def on_epoch_begin(self, fit: FitState) -> None:
        """Steps are counted from here."""
        self._first = fit.step

    def next_stop(self, step: int) -> int | None:
        """A look at the bar about every half second, however long the epochs are."""
        return None if self._bar is None and self._live is None else step + self._pace.steps

    def on_batches_end(self, fit: FitState) -> None:
        """Shows how much of the epoch is done."""
        self._pace.stopped()
        within = fit.step - self._first
        if not 0 < within < fit.steps_per_epoch or (self._bar is None and self._live is None):
            return
        text = f"{min(within * fit.batch_size, fit.samples):,} of {fit.samples:,} samples"
        taken = time.perf_counter() - self._began
        done = fit.epoch - 1 + within / fit.steps_per_epoch
        text += f"  {_clock((fit.epochs - done) * taken / done)} left"
        if self._live is not None:
            self._live.update(fit.epoch - 1, f"epoch {fit.epoch}: {text}", done)
        try:
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=done, description=text, epoch=fit.epoch)
        except OSError:
            self._stop()

    def on_epoch_end(self, fit: FitState, record: EpochRecord) -> None:
        if self._bar is None and self._lines is None and self._live is None:
            return
        text = self._describe(fit, record)
        if self._live is not None:
            self._live.update(record.epoch, text)
        try:
            if self._bar is not None:
                short = (
                    text.replace("validation cost", "val.").replace("validation", "val.").replace(" samples/s", "/s")
                )
                self._bar.update(self._bar.task_ids[0], completed=record.epoch, description=short, epoch=record.epoch)
            elif self._lines is not None:
                print(f"epoch {record.epoch}/{fit.epochs}  {text}", file=self._lines, flush=True)
        except OSError:
            # The reader has gone away (a closed pipe): training goes on unseen.
            self._stop()

    def on_fit_end(self, fit: FitState) -> None:
        self._stop()

    def _describe(self, fit: FitState, record: EpochRecord) -> str:
        parts = describe_record(record)
        if record.samples_per_second > 0:
            parts.append(f"{record.samples_per_second:,.0f} samples/s")
        left = fit.epochs - record.epoch
        if left > 0:
            parts.append(f"{_clock(left * (time.perf_counter() - self._began) / record.epoch)} left")
        return "  ".join(parts)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        bar, self._bar, self._lines = self._bar, None, None
        if bar is not None:
            try:
                bar.stop()
            except OSError:
                # Nothing is left to show it on.
                return


class Pace:
    """Steps between two looks at the bar: more where they are quick, so that nobody waits for the bar."""

    SECONDS = 0.5

    def __init__(self) -> None:
        self.steps = 1
        self._last = time.perf_counter()

    def stopped(self) -> None:
        """So many steps have been taken."""
        now = time.perf_counter()
        taken, self._last = now - self._last, now
        if taken < self.SECONDS / 2:
            self.steps *= 2
        elif taken > 2 * self.SECONDS:
            self.steps = max(1, self.steps // 2)


def _clock(seconds: float) -> str:
    """The time as 0:05, 12:34 or 1:02:03."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
