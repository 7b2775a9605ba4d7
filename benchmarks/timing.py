"""Time contestants alternately, and compare them pair by pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Median seconds of each contestant, and its speed relative to the first: quartiles over the rounds."""

    seconds: dict[str, float]
    ratios: dict[str, tuple[float, float, float]]


def compare(
    contestants: Mapping[str, Callable[[], object]], rounds: int = 11, clock: Callable[[], float] = time.perf_counter
) -> Comparison:
    """Run the contestants A B A B … after one warm-up each.

    A ratio above 1 means that a contestant is faster than the first. Ratios are formed within a round, so that changes
    of the machine's load affect both. The clock `time.process_time` does not count other processes.
    """
    for run in contestants.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = clock()
            run()
            taken[name].append(clock() - started)
    first = next(iter(contestants))
    ratios = {
        name: statistics.quantiles([a / b for a, b in zip(taken[first], times, strict=True)], n=4)
        for name, times in taken.items()
    }
    return Comparison(
        {name: statistics.median(times) for name, times in taken.items()},
        {name: (low, middle, high) for name, (low, middle, high) in ratios.items()},
    )


def show(title: str, comparison: Comparison, work: int, unit: str) -> None:
    """Print work per second and ratios."""
    print(f"\n{title}")
    for name, seconds in comparison.seconds.items():
        low, middle, high = comparison.ratios[name]
        print(f"  {name:<42} {work / seconds:>10,.0f} {unit}   ratio {middle:5.2f}  [{low:.2f}, {high:.2f}]")
