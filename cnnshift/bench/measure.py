"""The Python API of the benchmark: measure a model of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from cnnshift.bench.cell import measure_cell
from cnnshift.bench.images import Images, test_images
from cnnshift.bench.networks import as_seen, plan_source, prepare_pretrained, ready_as_is
from cnnshift.bench.plan import plan_shifts, warn_about_half_steps
from cnnshift.catalog import METRICS, PROTOCOLS
from cnnshift.config import DEFAULTS, checked
from cnnshift.results.schema import Run
from cnnshift.sweep.engine import Engine


def measure(
    model: str | Callable[[Any], Any],
    data: Images = DEFAULTS.dataset,
    *,
    protocol: str = DEFAULTS.protocols[0],
    shifts: str = DEFAULTS.shifts,
    max_shift: int | float | str | Fraction | None = DEFAULTS.max_shift,
    step: int | float | str | Fraction | None = DEFAULTS.step,
    metrics: Sequence[str] = DEFAULTS.metrics,
    limit: int | None = DEFAULTS.limit,
    batch_size: int | None = DEFAULTS.batch_size,
    engine: Engine = DEFAULTS.engine,
    name: str = "model",
) -> Run:
    """Measure how a model's answers change when its images move.

    Args:
        model: a Flax NNX module or any traceable function, images [n h w c] on the scale 0..1 → logits [n k]; or the
            spec of a network that comes with its weights, as for `cnnshift bench` ("onnx:net.onnx").
        data: a data set spec, whose test split is taken; or images of your own, as (images [n h w c], labels [n]) or as
            a `cnnshift.Split`, which also knows a background and context. Images are uint8, or floats from 0 to 1.
        protocol: as for `cnnshift bench`, like all that follow.
        shifts: shift set.
        max_shift: in pixels; a fraction is written "1/3", 1 / 3 or Fraction(1, 3). None for the protocol's default.
        step: in pixels, likewise.
        metrics: ids to compute; empty for all.
        limit: number of images, a seeded subset.
        batch_size: images per compiled step.
        engine: auto, direct or shared, see `cnnshift.sweep.sharing`.
        name: what the run calls the model; a spec has its own name.

    Returns:
        The run: `run.metric("pairwise_consistency").value`, its interval `ci95`, maps and curves.

    Raises:
        InputError: something that cannot be done, and what can.
        MeasurementError: the model gave values that are not finite.

    Example:
        >>> import cnnshift
        >>> from cnnshift.models.base import build
        >>> from cnnshift.spec import ModelSpec
        >>> net = build(ModelSpec.parse("cnn:padding=circular,head=gap,pool=aps"), (32, 32, 1), 10, seed=0)
        >>> run = cnnshift.measure(net, max_shift=2, limit=20)
        >>> run.metric("pairwise_consistency").value
        1.0
    """
    settings = checked(
        protocols=[protocol], shifts=shifts, max_shift=max_shift, step=step, metrics=metrics, limit=limit
    )
    test, record = test_images(data, settings.limit)
    if isinstance(model, str):
        plan = plan_source(model)
        test, record = as_seen(plan, test, record)
        ready = prepare_pretrained(plan, test)
    else:
        ready = ready_as_is(model, name, test)
    shift_plan = plan_shifts(PROTOCOLS.load(protocol), test, record, settings)
    warn_about_half_steps([shift_plan])
    ids = tuple(metrics) or tuple(METRICS)
    run, _ = measure_cell(
        ready.subject,
        ready.identity,
        test=test,
        dataset=record,
        shift_plan=shift_plan,
        metrics=ids,
        batch_size=batch_size,
        engine=engine,
    )
    return run
