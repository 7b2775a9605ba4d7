"""`cnnshift bench`: measure models under protocols, and print the comparison."""

from __future__ import annotations

import gc
import shlex
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnshift.catalog import LOADERS
from cnnshift.cli.help_text import with_default, with_range_default
from cnnshift.cli.output import SUFFIXES, check_outputs, emit
from cnnshift.cli.terminal import note, write
from cnnshift.config import DEFAULT_SUITE, ResolvedConfig, resolve_config
from cnnshift.errors import InputError, MeasurementError, SaveError
from cnnshift.spec import ModelSpec

if TYPE_CHECKING:
    from cnnshift.bench.plan import BenchCell, BenchPlan
    from cnnshift.observations import Observations
    from cnnshift.results.schema import Result

SELECTION, MOVEMENT, TRAINING, RUNNING, OUTPUT = "What", "Shifts", "Training", "Running", "Output"


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL_SPEC", help="family:key=value,… (see list models); else those of the suite"),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help=f"Named settings. (default: {DEFAULT_SUITE})", rich_help_panel=SELECTION)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help=with_default("Data set spec.", "dataset"), rich_help_panel=SELECTION)
    ] = None,
    canvas: Annotated[
        str | None,
        typer.Option(metavar="PX", help="Centre the images on a background of PX×PX.", rich_help_panel=SELECTION),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Prepared data sets, for tfds:NAME.", rich_help_panel=SELECTION),
    ] = None,
    raw_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Downloaded files to prepare them from.", rich_help_panel=SELECTION),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Test images, as val or test[:50%]; of folder: and tfds:.", rich_help_panel=SELECTION),
    ] = None,
    limit: Annotated[
        str | None, typer.Option(metavar="N", help="Number of test images, a seeded subset.", rich_help_panel=SELECTION)
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="Only this metric (repeatable).", rich_help_panel=SELECTION)
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help=with_default("Protocol (repeatable).", "protocols"), rich_help_panel=MOVEMENT),
    ] = None,
    shifts: Annotated[
        str | None,
        typer.Option(help=with_default("grid, full, axis, diagonal or random:K.", "shifts"), rich_help_panel=MOVEMENT),
    ] = None,
    max_shift: Annotated[
        str | None,
        typer.Option(
            metavar="PX", help=with_range_default("Largest shift in pixels.", "max_shift"), rich_help_panel=MOVEMENT
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(
            metavar="PX",
            help=with_range_default("Spacing in pixels, as 2, 1/3, 0.25.", "step"),
            rich_help_panel=MOVEMENT,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="N", help=with_default("Training runs per model.", "seeds"), rich_help_panel=TRAINING),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="N", help="First seed. (default: 0)", rich_help_panel=TRAINING)
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(metavar="N", help="Training epochs; 0 leaves networks untrained.", rich_help_panel=TRAINING),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Measure these weights, a folder of --save-weights or the file of a py: network; train nothing.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    save_weights: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the weights here, for --weights.", rich_help_panel=TRAINING),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Images per compiled step. (default: auto)", rich_help_panel=RUNNING),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="auto|direct|shared",
            help="Share forward passes between shifts where a network allows it. (default: auto)",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic", help="Bit-reproducible kernels.", rich_help_panel=RUNNING)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the finished cells of an interrupted run.", rich_help_panel=RUNNING)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done.", rich_help_panel=RUNNING)
    ] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.", rich_help_panel=RUNNING)] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the settings and their origins.", rich_help_panel=RUNNING)
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the result file.", rich_help_panel=OUTPUT)
    ] = None,
    format: Annotated[str, typer.Option(help="See list formats; on stdout.", rich_help_panel=OUTPUT)] = "table",
    plots: Annotated[
        bool | None,
        typer.Option(
            "--plots/--no-plots",
            help="Draw maps over the shifts and curves by radius. (default: for one model, not for several)",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    save_observations: Annotated[
        Path | None, typer.Option(help="Write what the models said (.npz).", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Measure how models' answers change when their images move.

    Example: cnnshift bench cnn 'cnn:padding=circular,head=gap,pool=aps' --protocol zero --max-shift 6
    """
    check_outputs(format, ())
    if weights and models:
        names = {ModelSpec.parse(model).name for model in models}
        if "py" in names:
            models, weights = [_with_weights(models, weights)], None
        elif given := names & set(LOADERS):
            raise InputError(
                f"--weights {weights} cannot be given to {min(given)}, which comes with its weights; allowed: "
                "families, and one py: network."
            )
    resolved = resolve_config(
        {
            "models": models or None,
            "dataset": dataset,
            "protocols": protocol,
            "shifts": shifts,
            "max_shift": max_shift,
            "step": step,
            "metrics": metric,
            "seed": seed,
            "seeds": seeds,
            "limit": limit,
            "batch_size": None if batch_size == "auto" else batch_size,
            "epochs": epochs,
            "engine": engine,
            "deterministic": deterministic,
            "canvas": canvas,
            "data_dir": data_dir,
            "raw_dir": raw_dir,
            "split": split,
        },
        suite=suite,
        config_file=config,
    )
    if show_config:
        write(_config_text(resolved))
        return
    files = _Files(output, save_observations, weights, save_weights)
    plan, result = _run(resolved, files, resume=resume, dry_run=dry_run)
    if result is None:
        write(_plan_text(plan, trains=weights is None))
        return
    from cnnshift.render.documents.bench import bench_document

    emit(bench_document(result, plots=plots), format)


def _with_weights(models: list[str], weights: Path) -> str:
    """The spec of a network of the user's own, which reads weights itself."""
    if len(models) > 1:
        raise InputError(
            f"--weights {weights} is for one py: network, but {len(models)} models are named; say weights=FILE in "
            "their specs."
        )
    spec = ModelSpec.parse(models[0])
    return str(replace(spec, options={**spec.options, "weights": str(weights)}))


@dataclass(frozen=True, slots=True)
class _Files:
    """What is read and written beside stdout."""

    output: Path | None
    observations: Path | None
    weights: Path | None
    save_weights: Path | None

    def check(self) -> None:
        """Find out before the work whether they can be written."""
        from cnnshift.files import check_writable

        if self.output and SUFFIXES.get(self.output.suffix, "json") != "json":
            wanted = SUFFIXES[self.output.suffix]
            raise InputError(
                f"-o writes the result file, which is JSON; {self.output} says otherwise. For that format: "
                f"--format {wanted} > {self.output}"
            )
        if self.save_weights:
            try:
                self.save_weights.mkdir(parents=True, exist_ok=True)
            except OSError as problem:
                raise InputError(f"Cannot make the folder {self.save_weights}: {problem.strerror}.") from None
        for path in (self.output, self.observations, self.save_weights and self.save_weights / "weights"):
            if path:
                check_writable(path)


def _say_preparation(plan: BenchPlan) -> None:
    """What networks that come with their weights are shown: much of it is said in files beside them."""
    from cnnshift.loaded_model import LoadedModel

    for network in plan.networks:
        if isinstance(network, LoadedModel) and (changed := network.preprocess.changed()):
            said = ", ".join(f"{key} {value}" for key, value in changed.items())
            note(f"{network.name} sees images prepared with {said}")


def _run(resolved: ResolvedConfig, files: _Files, *, resume: bool, dry_run: bool) -> tuple[BenchPlan, Result | None]:
    """Load the engine, make the plan and, unless it is a dry run, the measurement."""
    from cnnshift.results.files import LAST, last_path, load_result, save_result

    files.check()
    output = files.output
    from cnnshift.sweep.device import prepare_backend

    prepare_backend(deterministic=resolved.config.deterministic)
    from cnnshift.bench.plan import make_plan
    from cnnshift.bench.runner import new_result, run_plan
    from cnnshift.cli.progress import ProgressDisplay
    from cnnshift.results.observations_file import write_observations

    gc.enable()
    plan = make_plan(resolved.config)
    _say_preparation(plan)
    empty = new_result(plan, files.weights)
    if dry_run:
        return plan, None
    earlier = load_result(output or LAST) if resume else None
    latest = earlier or empty
    fresh = not resume

    def save(result: Result) -> None:
        nonlocal latest
        latest = result
        try:
            save_result(result, last_path())
        except SaveError as problem:
            note(f"cnnshift: the result is not kept as 'last': {problem}")
        if output:
            save_result(result, output)

    def save_seen(cell: BenchCell, seen: Observations) -> None:
        nonlocal fresh
        if files.observations:
            name = f"{cell.network.name} seed {cell.seed} {cell.shift_plan.record.name}"
            write_observations(files.observations, name, seen, fresh=fresh)
            fresh = False

    # A scheduler's TERM deserves the same care as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cells = sum(1 for _ in plan.cells())
    # From here on there is always something to resume; but nothing finished is replaced by nothing.
    nothing_to_lose = not any(map(_holds_runs, (output, last_path())))
    if nothing_to_lose:
        save(latest)
    try:
        with ProgressDisplay(cells, save) as callback:
            result = run_plan(
                plan,
                callback,
                earlier=earlier,
                weights=files.weights,
                save_weights_in=files.save_weights,
                save_observations=save_seen,
            )
    except (KeyboardInterrupt, InputError, MeasurementError) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        if interrupted and (latest.runs or nothing_to_lose):
            save(latest.model_copy(update={"status": "interrupted"}))
        if interrupted or latest.runs:
            _say_what_is_kept(latest, cells)
        raise
    save(result)
    _say_what_is_written(files)
    return plan, result


def _say_what_is_written(files: _Files) -> None:
    for path in (files.output, files.observations, files.save_weights):
        if path and (path.is_file() or any(path.iterdir())):
            note(f"wrote {path}")


def _say_what_is_kept(result: Result, cells: int) -> None:
    finished = f"{len(result.runs)} of {cells} cells are finished and kept; complete them with:\n  {_resume_command()}"
    note(finished if result.runs else "No cell was finished; nothing was kept.")


def _holds_runs(path: Path | None) -> bool:
    from cnnshift.results.files import load_result

    try:
        return path is not None and bool(load_result(path).runs)
    except InputError:
        return False


def _resume_command() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["cnnshift", *arguments, "--resume"])


def _config_text(resolved: ResolvedConfig) -> str:
    from cnnshift.config import as_dict

    values = as_dict(resolved.config)
    wide = max(map(len, values))
    return "".join(f"{key:<{wide}} = {value!r}  # {resolved.origins[key]}\n" for key, value in values.items())


def _plan_text(plan: BenchPlan, *, trains: bool) -> str:
    cells = list(plan.cells())
    lines = [
        f"{i}. {cell.network.name} seed {cell.seed}: {cell.shift_plan.record.name}, "
        f"{len(plan.test):,} images × {cell.shift_plan.shift_set.count:,} shifts"
        for i, cell in enumerate(cells, start=1)
    ]
    forwards = sum(len(plan.test) * (cell.shift_plan.shift_set.count + 1) for cell in cells)
    total = [f"{len(cells)} cell{'s' if len(cells) > 1 else ''}", f"{forwards:,} forward passes"]
    if trains and plan.train and any(network.epochs for network in plan.networks):
        total.append(f"{len(plan.train):,} training images")
    return "\n".join([*lines, ", ".join(total)]) + "\n"
