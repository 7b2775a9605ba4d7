"""Progress on stderr: bars with the remaining time on a terminal, one line per finished cell elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnnshift.cli.terminal import style
from cnnshift.render.numbers import percent

if TYPE_CHECKING:
    from cnnshift.bench.plan import BenchCell
    from cnnshift.results.schema import Result, Run


class ProgressDisplay:
    """Shows a benchmark's progress; `save` is called with the result after every cell.

    Args:
        cells: number of cells.
        save: keeps the result so far.
    """

    def __init__(self, cells: int, save: Callable[[Result], None]) -> None:
        looks = style(sys.stderr)
        self._terminal = sys.stderr.isatty()
        console = Console(stderr=True, no_color=not looks.color, force_terminal=self._terminal)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._terminal,
        )
        self._save = save
        self._total = self._bars.add_task("cells", total=cells)
        self._cells, self._done = cells, 0

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def on_train_start(self, cell: BenchCell, steps: int) -> Callable[[int], None]:
        """See `cnnshift.bench.runner.BenchCallback`."""
        return self._task(f"training {cell.network.name}", steps)

    def on_sweep_start(self, cell: BenchCell, image_shifts: int) -> Callable[[int], None]:
        """See `cnnshift.bench.runner.BenchCallback`."""
        return self._task(f"sweeping {cell.network.name}", image_shifts)

    def on_cell_end(self, cell: BenchCell, run: Run, result: Result) -> None:
        """See `cnnshift.bench.runner.BenchCallback`."""
        self._save(result)
        seconds = run.timing
        swept = f"swept in {seconds.sweep_seconds:.1f} s after {seconds.compile_seconds:.1f} s of compilation"
        if run.training.cached:
            swept = f"weights read, {swept}"
        elif seconds.train_seconds:
            swept = f"trained in {seconds.train_seconds:.1f} s, {swept}"
        self._line(cell, f"{_headline(run)} ({swept})")

    def on_cell_reused(self, cell: BenchCell, run: Run) -> None:
        """See `cnnshift.bench.runner.BenchCallback`."""
        self._line(cell, f"{_headline(run)} (kept)")

    def _task(self, description: str, total: int) -> Callable[[int], None]:
        for task in self._bars.task_ids[1:]:
            self._bars.remove_task(task)
        if total == 0:
            return lambda done: None
        task = self._bars.add_task(description, total=total)
        return lambda done: self._bars.advance(task, done)

    def _line(self, cell: BenchCell, text: str) -> None:
        self._done += 1
        self._bars.update(self._total, completed=self._done)
        where = f"[{self._done}/{self._cells}] {cell.network.name} seed {cell.seed} {cell.shift_plan.record.name}"
        # A stderr that cannot be written must not cost the result.
        with contextlib.suppress(OSError):
            self._bars.console.print(f"{where}: {text}", markup=False, highlight=False, soft_wrap=True)


def _headline(run: Run) -> str:
    found = next((metric for metric in run.metrics if metric.id == "pairwise_consistency"), run.metrics[0])
    if found.value is None:
        return f"no {found.title}"
    value = f"{percent(found.value)} %" if found.unit == "fraction" else f"{found.value:.3g} {found.unit}".rstrip()
    return f"{found.title} {value}"
