"""What was measured, and the figures that follow: medians, rates, ratios of the same round."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from chainrule.bench.contenders import PRODUCT, in_full
from chainrule.bench.workloads import Workload

Clock = Literal["wall", "processor"]
AGREEMENT = 0.05
"""Relative difference between the costs of the first epoch from which contenders are said to disagree."""


@dataclass
class Series:
    """One contender on one workload with so many threads."""

    contender: str
    """Its name."""
    threads: int
    """How many."""
    repeats: int = 1
    """Epochs, or calls, in one measurement."""
    first: float = 0.0
    """Seconds of the first epoch, with compiling."""
    cost: float = 0.0
    """Of the first epoch, or the first number predicted."""
    wall: list[float] = field(default_factory=list)
    """Seconds of an epoch, or a call, in each round."""
    processor: list[float] = field(default_factory=list)
    """The same of the processor's time."""

    def times(self, clock: Clock) -> list[float]:
        """Seconds of each round; the processor's time says something for one thread only."""
        return self.processor if clock == "processor" and self.threads == 1 else self.wall

    def seconds(self, clock: Clock) -> float:
        """The median."""
        return statistics.median(self.times(clock))


@dataclass
class Trial:
    """One workload's measurements."""

    workload: Workload
    """What was run."""
    series: list[Series] = field(default_factory=list)
    """Every contender that could, at every number of threads."""
    ceilings: list[float] = field(default_factory=list)
    """GFLOP/s of one core in each round."""
    narrow: list[float] = field(default_factory=list)
    """The same of bfloat16 products, by what the processor has for them; empty where it has nothing."""

    def of(self, contender: str, threads: int) -> Series | None:
        """That series, if it was measured."""
        return next((s for s in self.series if (s.contender, s.threads) == (contender, threads) and s.wall), None)

    def best(self, contender: str, clock: Clock) -> Series | None:
        """The contender's series with the thread setting that is fastest for it."""
        candidates = [s for s in self.series if s.contender == contender and s.wall]
        return min(candidates, key=lambda s: s.seconds(clock), default=None)

    def fastest_peer(self, clock: Clock, threads: int | None = None) -> Series | None:
        """The fastest series of all others in float32, at any thread setting or at this one."""
        others = [s for s in self.series if s.contender != PRODUCT and in_full(s.contender)]
        candidates = [s for s in others if s.wall and threads in (None, s.threads)]
        return min(candidates, key=lambda s: s.seconds(clock), default=None)

    def rate(self, series: Series, clock: Clock) -> float:
        """Samples a second."""
        return self.workload.samples / series.seconds(clock)

    def gflops(self, series: Series, clock: Clock) -> float:
        """Operations of the products in 10⁹ a second."""
        return self.rate(series, clock) * self.workload.operations() / 1e9

    def share(self, series: Series, clock: Clock) -> float | None:
        """The part of one core's ceiling that is reached, the median over the rounds."""
        if not self.ceilings:
            return None
        work = self.workload.operations() * self.workload.samples / 1e9
        return statistics.median(
            work / t / ceiling for t, ceiling in zip(series.times(clock), self.ceilings, strict=True)
        )

    def disagreement(self) -> str | None:
        """A line about contenders whose cost differs from the product's, or None."""
        mine = next((s.cost for s in self.series if s.contender == PRODUCT and s.wall), None)
        if mine is None:
            return None
        far = {
            s.contender: s.cost
            for s in self.series
            if s.wall and not abs(s.cost - mine) <= AGREEMENT * max(abs(mine), 1e-6)
        }
        if not far:
            return None
        others = ", ".join(f"{name} with {cost:.4g}" for name, cost in far.items())
        what = "predict another number than" if self.workload.predict else "end the first epoch with another cost than"
        return f"{self.workload.name}: these {what} {PRODUCT} ({mine:.4g}): {others}"


def speedup(slower: Series, faster: Series, clock: Clock) -> float:
    """The median over the rounds of t(slower) / t(faster), both of the same round."""
    pairs = zip(slower.times(clock), faster.times(clock), strict=True)
    return statistics.median(a / b for a, b in pairs)


@dataclass
class Startup:
    """Seconds, each of a process of its own and the median of some."""

    load: float = 0.0
    """`import chainrule`."""
    compile_cold: dict[str, float] = field(default_factory=dict)
    """By workload, the first fit of one batch less the second; nothing in the cache."""
    compile_cached: dict[str, float] = field(default_factory=dict)
    """The same, the machine code in the cache."""
    digits_cold: float = 0.0
    """From the start of a process to the end of the first epoch; nothing in the cache."""
    digits_cached: float = 0.0
    """The same, the machine code in the cache."""


@dataclass
class Results:
    """All of a run."""

    machine: str
    """In words."""
    clock: Clock
    """Which time was measured."""
    threads: tuple[int, ...]
    """The numbers of threads."""
    rounds: int
    """How often everything was measured."""
    trials: list[Trial] = field(default_factory=list)
    """A workload each."""
    startup: Startup | None = None
    """None where it was not asked for."""
    skipped: list[str] = field(default_factory=list)
    """What could not be run and why, a line each."""
    warnings: list[str] = field(default_factory=list)
    """What makes the figures doubtful, a line each."""
    libraries: list[str] = field(default_factory=list)
    """Their versions, a line each."""
    load: tuple[float, float] = (0.0, 0.0)
    """The system's load average before and after."""

    @property
    def ceiling(self) -> float | None:
        """GFLOP/s of one core, the median of all rounds."""
        ceilings = [x for trial in self.trials for x in trial.ceilings]
        return statistics.median(ceilings) if ceilings else None

    @property
    def narrow_ceiling(self) -> float | None:
        """GFLOP/s of one core in bfloat16 products, the median of all rounds."""
        ceilings = [x for trial in self.trials for x in trial.narrow]
        return statistics.median(ceilings) if ceilings else None

    @property
    def busy(self) -> float:
        """The part of one-thread wall time that the processor gave to others, over all series."""
        single = [s for trial in self.trials for s in trial.series if s.threads == 1]
        wall, processor = sum(sum(s.wall) for s in single), sum(sum(s.processor) for s in single)
        return max(0.0, 1 - processor / wall) if wall else 0.0

    def trial(self, name: str) -> Trial | None:
        """The workload's trial, if it was run."""
        return next((t for t in self.trials if t.workload.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """Plain data: everything measured, and the ratios."""
        saved = asdict(self)
        for trial, plain in zip(self.trials, saved["trials"], strict=True):
            mine, peer = trial.best(PRODUCT, self.clock), trial.fastest_peer(self.clock)
            plain["operations_a_sample"] = trial.workload.operations()
            plain["product_over_fastest_peer"] = speedup(peer, mine, self.clock) if mine and peer else None
        saved["ceiling_gflops"] = self.ceiling
        saved["bfloat16_ceiling_gflops"] = self.narrow_ceiling
        saved["busy"] = self.busy
        return saved
