"""`cnnshift bench`: measure models under shift protocols."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnshift.catalog import LOADERS
from cnnshift.cli import options
from cnnshift.cli.options import DATA, EXECUTION, OUTPUT, SHIFTS, TRAINING, option
from cnnshift.cli.output import check_outputs, emit
from cnnshift.cli.terminal import print_result
from cnnshift.config import DEFAULT_SUITE, DEFAULTS, SETTINGS, ResolvedConfig, as_dict, resolve_config
from cnnshift.errors import InputError
from cnnshift.spec import ModelSpec

if TYPE_CHECKING:
    from cnnshift.bench.plan import BenchPlan


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL_SPEC",
            help="Models, as FAMILY:KEY=VALUE,… (see 'cnnshift list models'). (default: those of the suite)",
        ),
    ] = None,
    suite: Annotated[
        str | None,
        option(
            panel=DATA,
            metavar="NAME",
            default=DEFAULT_SUITE + " if no model is named",
            help="Use the settings of a suite (see 'cnnshift list suites').",
        ),
    ] = None,
    dataset: options.Dataset = None,
    canvas: Annotated[
        str | None, option(panel=DATA, metavar="PX", help="Centre the images on a background of PX×PX pixels.")
    ] = None,
    data_dir: options.DataDir = None,
    raw_dir: options.RawDir = None,
    split: options.TestSplit = None,
    limit: options.Limit = None,
    metrics: Annotated[
        list[str] | None,
        option("--metric", panel=DATA, metavar="ID", default="all", help="Compute only this metric (repeatable)."),
    ] = None,
    protocols: Annotated[
        list[str] | None,
        option(
            "--protocol",
            panel=SHIFTS,
            metavar="NAME",
            default=" ".join(DEFAULTS.protocols),
            help="Shift images by this protocol (repeatable; see 'cnnshift list protocols').",
        ),
    ] = None,
    shifts: options.Shifts = None,
    max_shift: options.MaxShift = None,
    step: options.Step = None,
    seeds: Annotated[
        str | None,
        option(panel=TRAINING, metavar="N", default=DEFAULTS.seeds, help="Perform N training runs per model."),
    ] = None,
    seed: options.Seed = None,
    epochs: options.Epochs = None,
    weights: Annotated[
        Path | None,
        option(
            panel=TRAINING,
            metavar="DIR|FILE",
            help="Train nothing; read weights from DIR (see --save-weights), or from FILE for one py: or torch: model.",
        ),
    ] = None,
    save_weights: Annotated[
        Path | None, option(panel=TRAINING, metavar="DIR", help="Write the trained weights to DIR.")
    ] = None,
    batch_size: Annotated[
        str | None, option(panel=EXECUTION, metavar="N", default="auto", help="Evaluate N images per compiled call.")
    ] = None,
    engine: Annotated[
        str | None,
        option(
            panel=EXECUTION,
            metavar="NAME",
            default=DEFAULTS.engine,
            help="Run every forward pass (direct), share them between shifts (shared), or choose (auto).",
        ),
    ] = None,
    deterministic: Annotated[
        bool | None, option("--deterministic", panel=EXECUTION, help="Use bit-reproducible kernels.")
    ] = None,
    resume: Annotated[bool, option("--resume", panel=EXECUTION, help="Continue an interrupted run.")] = False,
    dry_run: Annotated[
        bool, option("--dry-run", panel=EXECUTION, help="Print the planned measurements and exit.")
    ] = False,
    config: Annotated[
        Path | None, option(panel=EXECUTION, metavar="FILE", help="Read settings from a TOML file.")
    ] = None,
    show_config: Annotated[
        bool, option("--show-config", panel=EXECUTION, help="Print the settings with their sources and exit.")
    ] = False,
    output: Annotated[
        Path | None, option("-o", "--output", panel=OUTPUT, metavar="FILE", help="Write the result file (JSON).")
    ] = None,
    format: options.Format = "table",
    plots: Annotated[
        bool | None,
        option(
            "--plots/--no-plots",
            panel=OUTPUT,
            default="for a single model",
            help="Draw maps over the shifts and curves by radius.",
        ),
    ] = None,
    save_observations: Annotated[
        Path | None,
        option(panel=OUTPUT, metavar="FILE", help="Write the predictions of every image at every shift (.npz)."),
    ] = None,
) -> None:
    """Measure how the predictions of models change when images are shifted.

    Trains the models or reads their cached weights, evaluates the test images at all shifts, and prints the metrics
    with 95 % intervals.

    Example: cnnshift bench cnn 'cnn:padding=circular,head=gap,pool=aps' --protocol zero --max-shift 6
    """
    check_outputs(format)
    if models and weights:
        models, weights = _move_weights_into_spec(models, weights)
    # Parameters have the names of the settings.
    flags = {name: value for name, value in locals().items() if name in SETTINGS}
    resolved = resolve_config(flags, suite=suite, config_file=config)
    if show_config:
        print_result(_config_text(resolved))
        return
    from cnnshift.cli.bench_run import Files, prepare, run

    files = Files(output, save_observations, weights, save_weights)
    plan = prepare(resolved.config, files)
    if dry_run:
        print_result(_plan_text(plan, trains=weights is None))
        return
    result = run(plan, files, resume=resume)
    from cnnshift.render.documents.bench import bench_document

    emit(bench_document(result, plots=plots), format)


def _move_weights_into_spec(models: list[str], weights: Path) -> tuple[list[str], Path | None]:
    """Turn `--weights FILE` into an option of the spec of a py: or torch: model, which reads the file itself."""
    specs = [ModelSpec.parse(model) for model in models]
    loaders = {spec.name for spec in specs} & set(LOADERS)
    if loaders & {"py", "torch"}:
        if len(models) > 1:
            raise InputError(
                f"--weights is {weights}; a file is allowed with one py: or torch: model, not with {len(models)} "
                "models. Write weights=FILE in their specs."
            )
        return [str(replace(specs[0], options={**specs[0].options, "weights": str(weights)}))], None
    if loaders:
        raise InputError(
            f"--weights is {weights}; allowed with families and with one py: or torch: model, not with the pretrained "
            f"model {min(loaders)}."
        )
    return models, weights


def _config_text(resolved: ResolvedConfig) -> str:
    values = as_dict(resolved.config)
    width = max(map(len, values))
    return "".join(f"{key:<{width}} = {value!r}  # {resolved.origins[key]}\n" for key, value in values.items())


def _plan_text(plan: BenchPlan, *, trains: bool) -> str:
    cells = list(plan.cells())
    lines = [
        f"{i}. {cell}: {len(plan.test):,} images × {cell.shift_plan.shift_set.count:,} shifts"
        for i, cell in enumerate(cells, start=1)
    ]
    forward_passes = sum(len(plan.test) * (cell.shift_plan.shift_set.count + 1) for cell in cells)
    total = [f"{len(cells)} cell{'s' if len(cells) > 1 else ''}", f"{forward_passes:,} forward passes"]
    if trains and plan.train and plan.trained_models:
        total.append(f"{len(plan.train):,} training images")
    return "\n".join([*lines, ", ".join(total)]) + "\n"
