"""Run a benchmark from the command line: save every finished cell, and keep it when the run is interrupted."""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnshift.cli.backend import load_backend
from cnnshift.cli.output import SUFFIXES
from cnnshift.cli.terminal import print_line
from cnnshift.config import MeasureConfig
from cnnshift.errors import InputError, MeasurementError, ResumeError, SaveError
from cnnshift.files import check_writable
from cnnshift.results.files import LAST, load_result, locate, save_result
from cnnshift.results.schema import Result

if TYPE_CHECKING:
    from cnnshift.bench.plan import BenchCell, BenchPlan
    from cnnshift.observations import Observations


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a benchmark reads and writes."""

    output: Path | None
    observations: Path | None
    weights: Path | None
    save_weights: Path | None

    def check(self) -> None:
        """Check that the files can be written, before the benchmark starts.

        Raises:
            InputError: a file cannot be written, or the result file has the suffix of another format.
        """
        if self.output and (format := SUFFIXES.get(self.output.suffix, "json")) != "json":
            raise InputError(
                f"--output is {self.output}; the result file is JSON. Write '--format {format} > {self.output}' for "
                "that format."
            )
        if self.save_weights:
            try:
                self.save_weights.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"Cannot create the directory {self.save_weights}: {error.strerror}.") from None
        for path in (self.output, self.observations, self.save_weights and self.save_weights / "weights"):
            if path:
                check_writable(path)

    def print_written(self) -> None:
        """Print the names of the written files."""
        for path in (self.output, self.observations, self.save_weights):
            if path and (path.is_file() or any(path.iterdir())):
                print_line(f"Wrote {path}")


def prepare(config: MeasureConfig, files: Files) -> BenchPlan:
    """Check the files, load JAX and the data, and plan the benchmark.

    Raises:
        InputError: a file or a setting cannot be used.
    """
    files.check()
    load_backend(deterministic=config.deterministic)
    from cnnshift.bench.plan import make_plan
    from cnnshift.bench.runner import new_result
    from cnnshift.loaded_model import LoadedModel

    plan = make_plan(config)
    for model in plan.models:
        if isinstance(model, LoadedModel) and (changed := model.preprocess.changed()):
            print_line(f"Preprocessing for {model.name}: {', '.join(f'{key} {changed[key]}' for key in changed)}")
    # Check the saved weights before the first cell.
    new_result(plan, files.weights)
    return plan


class _Checkpoint:
    """The result so far, saved as `last` and to the output file after every cell."""

    def __init__(self, result: Result, output: Path | None) -> None:
        self.result = result
        self._output = output

    def save(self, result: Result) -> None:
        self.result = result
        try:
            save_result(result, locate(LAST))
        except SaveError as error:
            print_line(f"warning: The result is not saved as 'last': {error}")
        if self._output:
            save_result(result, self._output)


def run(plan: BenchPlan, files: Files, *, resume: bool) -> Result:
    """Measure every cell of a plan.

    Args:
        plan: the benchmark.
        files: where results, observations and weights are read and written.
        resume: whether to keep the finished cells of the output file, or of `last`.

    Raises:
        InputError: there is no result to resume, or it has other settings.
        MeasurementError: a measurement failed; finished cells are saved.
        KeyboardInterrupt: the run was interrupted; finished cells are saved.
    """
    from cnnshift.bench.runner import new_result, run_plan
    from cnnshift.cli.progress import ProgressDisplay
    from cnnshift.results.observations_file import write_observations

    earlier = load_result(files.output or LAST) if resume else None
    checkpoint = _Checkpoint(earlier or new_result(plan, files.weights), files.output)
    fresh = not resume

    def save_observations(cell: BenchCell, observations: Observations) -> None:
        nonlocal fresh
        if files.observations:
            write_observations(files.observations, str(cell), observations, fresh=fresh)
            fresh = False

    # Handle the signal of a job scheduler like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cells = sum(1 for _ in plan.cells())
    # Save an empty result, so that a run can be resumed from here on, unless it would replace finished cells.
    replaces_nothing = not any(map(_has_runs, (files.output, locate(LAST))))
    if replaces_nothing:
        checkpoint.save(checkpoint.result)
    try:
        with ProgressDisplay(cells, checkpoint.save) as display:
            result = run_plan(
                plan,
                display,
                earlier=earlier,
                weights=files.weights,
                save_weights_in=files.save_weights,
                save_observations=save_observations,
            )
    except (KeyboardInterrupt, InputError, MeasurementError) as error:
        interrupted, finished = isinstance(error, KeyboardInterrupt), len(checkpoint.result.runs)
        if interrupted and (finished or replaces_nothing):
            checkpoint.save(checkpoint.result.model_copy(update={"status": "interrupted"}))
        if finished and not isinstance(error, ResumeError):
            print_line(f"{finished} of {cells} runs are finished and saved. Continue with:\n  {_resume_command()}")
        elif interrupted:
            print_line("No run is finished.")
        raise
    checkpoint.save(result)
    files.print_written()
    return result


def _has_runs(path: Path | None) -> bool:
    try:
        return path is not None and bool(load_result(path).runs)
    except InputError:
        return False


def _resume_command() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["cnnshift", *arguments, "--resume"])
