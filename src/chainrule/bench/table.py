"""The results as tables, for the terminal and in Markdown, and as one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chainrule.bench.contenders import CONTENDERS, OWN, PRODUCT, Entry, in_full
from chainrule.bench.results import Results, Series, Startup, Trial, speedup

NONE = "-"
BUSY = 0.05
"""Part of one-thread time lost to other work from which the tables say so."""


@dataclass
class Table:
    """A table of texts: the first column is text, the others numbers."""

    title: str
    """Above it."""
    heads: list[str]
    """Of the columns."""
    rows: list[list[str]] = field(default_factory=list)
    """As many cells each."""

    def rich(self) -> Any:
        """For a console of rich."""
        from rich import box
        from rich.table import Table as RichTable

        table = RichTable(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for number, head in enumerate(self.heads):
            table.add_column(head, justify="right" if number else "left", no_wrap=number > 0)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """With the numbers to the right."""
        lines = [self.heads, ["---", *["---:"] * (len(self.heads) - 1)], *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])


def tables(results: Results) -> list[Table]:
    """All that there is something to say in."""
    candidates = [_rates(results, threads) for threads in results.threads]
    candidates += [_ratios(results), *(_precisions(results, threads) for threads in results.threads), *_calls(results)]
    if results.startup:
        candidates.append(_startup(results, results.startup))
    return [table for table in candidates if table.rows]


def peers(results: Results, trials: Sequence[Trial]) -> list[Entry]:
    """The contenders besides the product that were measured in any of these, in their order."""
    seen = {s.contender for trial in trials for s in trial.series if s.wall and in_full(s.contender)}
    order = list(CONTENDERS)
    names = sorted(seen - {PRODUCT}, key=lambda name: order.index(name) if name in order else len(order))
    return [CONTENDERS.get(name, Entry(name, name, name, "")) for name in names]


def _training(results: Results) -> list[Trial]:
    return [trial for trial in results.trials if not trial.workload.predict]


def _rates(results: Results, threads: int) -> Table:
    """Thousand samples a second at one thread setting."""
    clock, trials = results.clock, _training(results)
    others = peers(results, trials)
    where = "One core" if threads == 1 else f"{threads} threads"
    share = ["of ceiling"] if threads == 1 else []
    several = len(results.threads) > 1 and threads > 1
    gain = [f"{threads} over {results.threads[0]}"] if several else []
    heads = ["", "chainrule", "GFLOP/s", *share, *gain, *(e.head for e in others), "× fastest"]
    table = Table(f"{where}: thousand samples a second", heads)
    for trial in trials:
        mine = trial.of(PRODUCT, threads)
        if mine is None:
            continue

        def rate(series: Series | None, trial: Trial = trial) -> str:
            return _number(trial.rate(series, clock) / 1e3) if series else NONE

        row = [_name(trial), rate(mine), _number(trial.gflops(mine, clock))]
        if share:
            row.append(_percent(trial.share(mine, clock)))
        if several:
            slow = trial.of(PRODUCT, results.threads[0])
            row.append(_number(speedup(slow, mine, "wall")) if slow else NONE)
        row += [rate(trial.of(e.name, threads)) for e in others]
        row.append(_ratio(trial.fastest_peer(clock, threads), mine, results))
        table.rows.append(row)
    return table


def _ratios(results: Results) -> Table:
    """The product's speed over each peer's, the best thread setting of each."""
    trials = _training(results)
    others = peers(results, trials)
    heads = ["", *(e.head for e in others), "fastest peer", "× fastest"]
    table = Table("chainrule's rate over each peer's, each with the thread setting that is best for it", heads)
    for trial in trials:
        mine, peer = trial.best(PRODUCT, results.clock), trial.fastest_peer(results.clock)
        if mine is None or peer is None:
            continue
        row = [f"{_name(trial)} ({mine.threads})"]
        row += [_ratio(trial.best(e.name, results.clock), mine, results) for e in others]
        head = CONTENDERS[peer.contender].head if peer.contender in CONTENDERS else peer.contender
        row += [f"{head} ({peer.threads})", _ratio(peer, mine, results)]
        table.rows.append(row)
    return table


def _precisions(results: Results, threads: int) -> Table:
    """The product's precisions over float32, and peers that take products in bfloat16 as well."""
    clock, trials = results.clock, _training(results)
    seen = {s.contender for trial in trials for s in trial.series if s.wall and not in_full(s.contender)}
    entries = [entry for name, entry in CONTENDERS.items() if name in seen]
    where = "One core" if threads == 1 else f"{threads} threads"
    heads = ["", "highest", *(e.head for e in entries)]
    own = [e for e in entries if e.name in OWN]
    table = Table(
        f"{where}: thousand samples a second by the precision of products",
        [*heads, *(f"{e.head} × highest" for e in own)],
    )
    for trial in trials if entries else ():
        mine = trial.of(PRODUCT, threads)
        if mine is None:
            continue
        found = [trial.of(e.name, threads) for e in entries]
        row = [_name(trial), *(_number(trial.rate(s, clock) / 1e3) if s else NONE for s in (mine, *found))]
        gains = [trial.of(e.name, threads) for e in own]
        table.rows.append([*row, *(_number(speedup(mine, s, clock)) if s else NONE for s in gains)])
    return table


def _calls(results: Results) -> list[Table]:
    """Microseconds of a prediction of one sample; millions of samples a second where a call has many."""
    trials = [trial for trial in results.trials if trial.workload.predict]
    others = peers(results, trials)
    heads = ["", "chainrule", *(e.head for e in others), "× fastest"]
    single = Table("One sample from Python: microseconds a call", heads)
    many = Table("Predicting from Python: million samples a second", list(heads))
    for trial in trials:
        mine = trial.best(PRODUCT, results.clock)
        if mine is None:
            continue
        one = trial.workload.batch_size == 1

        def call(series: Series | None, trial: Trial = trial, one: bool = one) -> str:
            if series is None:
                return NONE
            return _number(series.seconds(results.clock) * 1e6 if one else trial.rate(series, results.clock) / 1e6)

        row = [_name(trial), call(mine), *(call(trial.best(e.name, results.clock)) for e in others)]
        (single if one else many).rows.append([*row, _ratio(trial.fastest_peer(results.clock), mine, results)])
    return [single, many]


def _startup(results: Results, startup: Startup) -> Table:
    """Seconds until the work begins."""
    table = Table("Starting: seconds", ["", "cold", "from the cache"])
    table.rows.append(["import chainrule", f"{startup.load:.3f}", NONE])
    table.rows.append(
        ["process start to the first epoch of the digits", *_pair(startup.digits_cold, startup.digits_cached)]
    )
    for name, cold in startup.compile_cold.items():
        table.rows.append([f"compile {name}", *_pair(cold, startup.compile_cached[name])])
    return table


def _pair(cold: float, cached: float) -> tuple[str, str]:
    return f"{cold:.3f}", f"{cached:.3f}"


def _name(trial: Trial) -> str:
    w = trial.workload
    return f"{w.name}: {w.title}" + ("" if w.predict else f", b {w.batch_size}")


def _ratio(slower: Series | None, faster: Series, results: Results) -> str:
    return f"{speedup(slower, faster, results.clock):.2f}" if slower else NONE


def _percent(part: float | None) -> str:
    return NONE if part is None else f"{part:.0%}"


def _number(value: float) -> str:
    """Three figures, no exponent."""
    for bound, places in ((10, 2), (100, 1)):
        if value < bound:
            return f"{value:.{places}f}"
    return f"{value:.0f}"


def notes(results: Results) -> list[str]:
    """What has to be known to read the tables."""
    lines = [f"Machine: {results.machine}."]
    ceiling = results.ceiling
    if ceiling:
        lines.append(f"Ceiling: {ceiling:.0f} GFLOP/s of float32 multiply-adds on one core, measured in every round.")
    narrow = results.narrow_ceiling
    if narrow:
        lines.append(f"Ceiling of bfloat16 products on one core: {narrow:.0f} GFLOP/s.")
    clock = "wall time" if results.clock == "wall" else "the processor's time for one thread, wall time for more"
    lines.append(
        f"Medians of {results.rounds} interleaved rounds in {clock}; load average {results.load[0]:.1f} before and "
        f"{results.load[1]:.1f} after; {results.busy:.0%} of one-thread time went to other work."
    )
    sgd, adam = results.trial("mnist32"), results.trial("adam32")
    if sgd and adam:
        pair = [(t, t.of(PRODUCT, 1)) for t in (sgd, adam)]
        shares = [t.share(s, results.clock) for t, s in pair if s]
        if len(shares) == 2 and shares[0] and shares[1]:
            lines.append(f"Adam trains at {shares[1] / shares[0]:.2f} of SGD's rate (adam32, mnist32; one core).")
    lines.append(f"Libraries: {'; '.join(results.libraries)}. OPENBLAS_CORETYPE is not passed on to them.")
    lines += [f"Skipped: {line}." for line in results.skipped]
    return lines


def warnings(results: Results) -> list[str]:
    """What casts doubt on the tables."""
    lines = list(results.warnings)
    if results.busy > BUSY and results.clock == "wall":
        lines.append("the machine was busy with other work: the ratios are rough (--clock processor reads through it)")
    return lines


def summary(results: Results) -> str:
    """One line: the product over the fastest peer, best thread setting of each."""
    ratios = []
    for trial in results.trials:
        mine, peer = trial.best(PRODUCT, results.clock), trial.fastest_peer(results.clock)
        if mine and peer:
            ratios.append(f"{trial.workload.name} {speedup(peer, mine, results.clock):.2f}")
    what = f"chainrule over the fastest peer: {', '.join(ratios)}" if ratios else "no peer to compare with"
    return f"{what}; load {max(results.load):.1f}"


def markdown(results: Results) -> str:
    """Everything, as a document's part."""
    parts = [table.markdown() for table in tables(results)]
    parts.append("\n".join(f"- {line}" for line in notes(results)))
    doubts = warnings(results)
    if doubts:
        parts.append("\n".join(f"- Warning: {line}." for line in doubts))
    return "\n\n".join(parts) + "\n"


def show(results: Results, write: Callable[[str], None], terminal: bool) -> None:
    """Tables, notes, warnings and the line, through `write`; in colour on a terminal."""
    from rich.console import Console

    console = Console(width=None if terminal else 160, highlight=False)
    for table in tables(results):
        console.print(table.rich())
    for line in notes(results):
        write(line)
    for line in warnings(results):
        write(f"warning: {line}")
    write(summary(results))
