"""`cnnshift explain`: equivariance errors by layer, their causes, and an ablation."""

from __future__ import annotations

from typing import Annotated, Any

from cnnshift.cli import options
from cnnshift.cli.backend import load_backend
from cnnshift.cli.options import DATA, TRAINING, option
from cnnshift.cli.output import check_outputs, emit
from cnnshift.config import DEFAULT_EXPLAIN_LIMIT, DEFAULTS, make_config
from cnnshift.spec import DatasetSpec


def explain(
    model: options.Model,
    dataset: options.Dataset = None,
    data_dir: options.DataDir = None,
    raw_dir: options.RawDir = None,
    split: options.TestSplit = None,
    limit: Annotated[
        str | None, option(panel=DATA, metavar="N", default=DEFAULT_EXPLAIN_LIMIT, help=options.LIMIT)
    ] = None,
    protocol: options.Protocol = None,
    shifts: options.Shifts = None,
    max_shift: options.MaxShift = None,
    step: options.Step = None,
    ablation: Annotated[
        bool,
        option(
            "--ablation/--no-ablation",
            panel=TRAINING,
            default="--ablation",
            help="Train variants with one, or all but one, component replaced.",
        ),
    ] = True,
    epochs: options.Epochs = None,
    seed: options.Seed = None,
    format: options.Format = "table",
    output: options.Outputs = None,
) -> None:
    """Find the layers that break translation equivariance, and why.

    Measures the equivariance error of every layer under circular shifts, names its cause, and replaces components one
    at a time. The shift options apply to the predictions only.

    Example: cnnshift explain cnn:padding=circular,head=gap
    """
    check_outputs(format, output)
    data = DatasetSpec.parse(dataset or DEFAULTS.dataset).extend(data_dir=data_dir, raw_dir=raw_dir, split=split)
    flags: dict[str, Any] = {
        "limit": DEFAULT_EXPLAIN_LIMIT if limit is None else limit,
        "protocols": None if protocol is None else [protocol],
        "shifts": shifts,
        "max_shift": max_shift,
        "step": step,
        "epochs": epochs,
        "seed": seed,
    }
    used = {key: value for key, value in flags.items() if value is not None}
    config = make_config(dict.fromkeys(used, "flag"), **used)
    load_backend()
    from cnnshift.explanation.explain import explain_model
    from cnnshift.render.documents.explain import explain_document

    explanation = explain_model(model, str(data), config, ablation=ablation, name=model)
    emit(explain_document(explanation), format, output)
