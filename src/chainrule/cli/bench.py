"""`chainrule bench`: chainrule beside other libraries on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chainrule.bench.contenders import Entry
    from chainrule.bench.runner import Plan

QUICK = "names,tiny,row"
EVERY = "all"


def bench(
    workloads: Annotated[str, typer.Option(help="Names, names,tiny say; 'list' shows them.", show_default=EVERY)] = "",
    peers: Annotated[str, typer.Option(help="Whom to compare with: jax,numpy say, or 'none'.")] = EVERY,
    precisions: Annotated[
        str,
        typer.Option(
            help="Which precisions besides highest: high,medium, or 'none'; with PyTorch also its own.",
            show_default=EVERY,
        ),
    ] = "",
    repeats: Annotated[int | None, typer.Option(help="Rounds.", min=1, show_default="7")] = None,
    threads: Annotated[
        str | None, typer.Option(help="Thread counts, each measured; 'all': every processor.", show_default="1,all")
    ] = None,
    clock: Annotated[
        str,
        typer.Option(help="wall; or processor: one thread by the time it really ran, for a machine with other work."),
    ] = "wall",
    startup: Annotated[bool, typer.Option(help="Also import, compile and first epoch of a new process.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke test: few samples, one round, one core.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="All measurements as JSON.", show_default=False)
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The tables as Markdown.", show_default=False)
    ] = None,
) -> None:
    """Time training and prediction beside JAX, PyTorch, scikit-learn and NumPy.

    Whatever is not installed is left out. The last line is chainrule's rate over the fastest peer's, for each workload.
    """
    from chainrule.bench import runner, table
    from chainrule.bench import startup as beginning
    from chainrule.bench.workloads import WORKLOADS

    if workloads == "list":
        for workload in WORKLOADS.values():
            print(f"{workload.name:10} {workload.title}, batches of {workload.batch_size}")
        return
    for file in (json_file, markdown):
        if file is not None:
            file.touch()  # minutes later would be late to learn that it cannot be written
    plan = _plan(workloads, peers, precisions, repeats, threads, clock, quick)
    results = runner.run(plan, _say)
    if startup:
        _say("starting new processes")
        # A smoke test needs no median.
        results.startup = beginning.measure(plan.workloads, 1 if quick else max(3, plan.rounds), plan.clock)
    _say("")
    if json_file is not None:
        json_file.write_text(json.dumps(results.as_json(), indent=1) + "\n", encoding="utf-8")
    if markdown is not None:
        markdown.write_text(table.markdown(results), encoding="utf-8")
    table.show(results, print, sys.stdout.isatty())


def _plan(
    workloads: str, peers: str, precisions: str, repeats: int | None, threads: str | None, clock: str, quick: bool
) -> Plan:
    """The options as a plan.  Raises SpecError."""
    from chainrule.bench.contenders import CONTENDERS, OWN, PRODUCT, in_full
    from chainrule.bench.runner import Plan, settings
    from chainrule.bench.workloads import WORKLOADS
    from chainrule.errors import SpecError, expected, unknown_name

    chosen = _words(workloads or (QUICK if quick else EVERY))
    if chosen == [EVERY]:
        chosen = list(WORKLOADS)
    for name in chosen:
        if name not in WORKLOADS:
            raise SpecError(unknown_name("workload", name, WORKLOADS))
    others = [name for name in CONTENDERS if name != PRODUCT and in_full(name)]
    # Compiling for PyTorch takes longer than a smoke test may.
    wanted = [n for n in others if not quick or n != "torch-compile"] if peers == EVERY else _words(peers)
    if wanted == ["none"]:
        wanted = []
    for name in wanted:
        if name not in others:
            raise SpecError(unknown_name("peer", name, others))
    own = sorted(OWN - {PRODUCT})
    narrow = _words(precisions or ("none" if quick else EVERY))
    narrow = own if narrow == [EVERY] else [] if narrow == ["none"] else narrow
    for name in narrow:
        if name not in own:
            raise SpecError(unknown_name("precision", name, own))
    if "torch" in wanted:
        narrow += [n for n, e in CONTENDERS.items() if e.library and e.precision in narrow]
    entries: list[Entry] = [entry for name, entry in CONTENDERS.items() if name in (PRODUCT, *wanted, *narrow)]
    try:
        counts = settings(_words(threads if threads is not None else "1" if quick else "1,all"))
    except ValueError:
        counts = ()
    if not counts:
        allowed = "whole numbers from 1 to the number of processors, or 'all'"
        raise SpecError(expected("--threads", allowed, threads))
    if clock not in ("wall", "processor"):
        raise SpecError(expected("--clock", "'wall' or 'processor'", clock))
    return Plan(
        tuple(WORKLOADS[name] for name in chosen),
        tuple(entries),
        counts,
        rounds=repeats or (1 if quick else 7),
        part=0.02 if quick else 1.0,
        least=0.02 if quick else 0.2,
        clock="processor" if clock == "processor" else "wall",
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _say(what: str) -> None:
    """Shows what is being done: on a terminal over what was said before, elsewhere a line when a workload begins."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)
    elif what and ("chainrule gets ready, 1" in what or ":" not in what):
        print(what.partition(":")[0], file=sys.stderr, flush=True)
