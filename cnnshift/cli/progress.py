"""Progress on stderr: bars with the remaining time on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typing_extensions import override

from cnnshift.bench.runner import BenchCallback
from cnnshift.cli.terminal import print_line, style_of
from cnnshift.render.numbers import percent

if TYPE_CHECKING:
    from cnnshift.bench.plan import BenchCell
    from cnnshift.results.schema import Result, Run


class ProgressDisplay(BenchCallback):
    """Shows the progress of a benchmark, and saves the result after every cell.

    Args:
        cells: number of cells.
        save: called with the result so far.
    """

    def __init__(self, cells: int, save: Callable[[Result], None]) -> None:
        self._is_terminal = sys.stderr.isatty()
        color = style_of(sys.stderr).color
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, no_color=not color, force_terminal=self._is_terminal),
            transient=True,
            disable=not self._is_terminal,
        )
        self._save = save
        self._total = self._bars.add_task("Cells", total=cells)
        self._cells, self._done = cells, 0

    def __enter__(self) -> ProgressDisplay:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    @override
    def on_train_start(self, cell: BenchCell, steps: int) -> Callable[[int], None]:
        return self._task(f"Training {cell.model.name} seed {cell.seed}", steps)

    @override
    def on_sweep_start(self, cell: BenchCell, image_shifts: int) -> Callable[[int], None]:
        description = f"Compiling and evaluating {cell}"
        if not self._is_terminal:
            print_line(description)
        return self._task(description, image_shifts)

    @override
    def on_cell_end(self, cell: BenchCell, run: Run, result: Result) -> None:
        self._save(result)
        timing = run.timing
        steps = [f"compiled in {timing.compile_seconds:.1f} s", f"evaluated in {timing.sweep_seconds:.1f} s"]
        if run.training.cached:
            steps.insert(0, "weights read from a file")
        elif run.training.final_loss is not None:
            steps.insert(0, f"trained in {timing.train_seconds:.1f} s")
        self._print_cell(cell, f"{_headline(run)} ({', '.join(steps)})")

    @override
    def on_cell_reused(self, cell: BenchCell, run: Run) -> None:
        self._print_cell(cell, f"{_headline(run)} (from the earlier run)")

    def _task(self, description: str, total: int) -> Callable[[int], None]:
        for finished in self._bars.task_ids[1:]:
            self._bars.remove_task(finished)
        if total == 0:
            return lambda done: None
        task = self._bars.add_task(description, total=total)
        return lambda done: self._bars.advance(task, done)

    def _print_cell(self, cell: BenchCell, text: str) -> None:
        self._done += 1
        self._bars.update(self._total, completed=self._done)
        # A stderr that cannot be written must not cost the result.
        with contextlib.suppress(OSError):
            self._bars.console.print(
                f"[{self._done}/{self._cells}] {cell}: {text}", markup=False, highlight=False, soft_wrap=True
            )


def _headline(run: Run) -> str:
    metric = next((metric for metric in run.metrics if metric.id == "pairwise_consistency"), run.metrics[0])
    if metric.value is None:
        return f"{metric.title} unavailable"
    value = f"{percent(metric.value)} %" if metric.unit == "fraction" else f"{metric.value:.3g} {metric.unit}".rstrip()
    return f"{metric.title} {value}"
