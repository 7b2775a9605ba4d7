"""Which part of a network is to blame for how much: one part exchanged at a time, by the same recipe and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from cnnshift.catalog import METRICS, MODELS
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError
from cnnshift.explanation.equivariance import equivariance_error
from cnnshift.explanation.isolated import DIRECTIONS
from cnnshift.explanation.periodic import host, shift_maps
from cnnshift.explanation.probe import SUBPIXEL
from cnnshift.models.base import parse_model
from cnnshift.results.explanation import Behaviour, Intervention
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.sets import ShiftSet
from cnnshift.spec import ModelSpec
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model

ACTIVATION = "activation"

SUBPIXEL_IMAGES = 128
"""Images, at most, that are moved by a third of a pixel: one batch."""

Obtain = Callable[[ModelSpec], Callable[[Any], Any]]
"""A spec → the trained network."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """Behaviour of the network as it is, with all parts exchanged, and with each alone exchanged or left."""

    as_it_is: Behaviour
    all_exchanged: Behaviour | None
    causes: list[Intervention]


def run_ablation(spec: ModelSpec, obtain: Obtain, split: Split, shift_set: ShiftSet) -> Ablation:
    """Exchange the parts that the family knows interventions for, one at a time, and all but one at a time.

    One at a time says what mending this part is worth while the others are broken; all but one what this part breaks
    while the others are whole. Where parts hide behind each other, the two differ.

    Args:
        spec: family and architecture options.
        obtain: trains a network.
        split: the images.
        shift_set: whole shifts, under which the consistency is measured on the torus.
    """
    family, options = parse_model(spec)
    interventions = family.interventions(options)
    measured: dict[str, Behaviour | str] = {}

    def behave(changes: Mapping[str, str]) -> Behaviour | str:
        changed = _changed(spec, changes)
        if str(changed) not in measured:
            try:
                measured[str(changed)] = measure_behaviour(obtain(changed), split, shift_set)
            except InputError as problem:
                measured[str(changed)] = str(problem)
        return measured[str(changed)]

    as_it_is = measure_behaviour(obtain(spec), split, shift_set)
    everything = _together(interventions)
    complete = behave(everything) if everything else ""
    causes = []
    for cause, changes in interventions.items():
        alone = behave(changes)
        others = _together({name: exchanges for name, exchanges in interventions.items() if name != cause})
        left = behave(others) if others else as_it_is
        causes.append(
            Intervention(
                name=cause,
                change=",".join(f"{key}={value}" for key, value in changes.items()),
                alone=None if isinstance(alone, str) else alone,
                left=None if isinstance(left, str) else left,
                reason=next((found for found in (alone, left) if isinstance(found, str)), ""),
            )
        )
    return Ablation(as_it_is, None if isinstance(complete, str) else complete, causes)


def measure_behaviour(model: Callable[[Any], Any], split: Split, shift_set: ShiftSet) -> Behaviour:
    """How a network behaves on the torus: under whole shifts, at rest, and under a third of a pixel."""
    subject = as_pure_model(model)
    protocol = Circular(split.size, reach=shift_set.reach, context=split.context, background=split.background)
    seen = run_sweep(subject, split, protocol, shift_set).observations
    images = to_unit_range(split.windows)

    apply = jax.jit(lambda state, images: subject.apply(state, images)[0])
    consistency, accuracy = (METRICS.load(id).summarize(seen).value for id in ("pairwise_consistency", "accuracy"))
    assert consistency is not None
    assert accuracy is not None
    moved = [shift_maps(images, (SUBPIXEL * dy, SUBPIXEL * dx)).astype(images.dtype) for dy, dx in DIRECTIONS]
    with jax.default_matmul_precision(PRECISION):
        logits = host(apply(subject.state, images))
        subpixel = np.mean([equivariance_error(host(apply(subject.state, each)), logits) for each in moved])
    finite = float(subpixel) if np.isfinite(subpixel) else None
    return Behaviour(consistency=consistency, accuracy=accuracy, subpixel=finite)


def _together(interventions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {
        key: value for cause, changes in interventions.items() if cause != ACTIVATION for key, value in changes.items()
    }


def _changed(spec: ModelSpec, changes: Mapping[str, str]) -> ModelSpec:
    """A spec with other options; what belongs to a layer that is no longer there goes with it."""
    wanted = {**spec.options, **changes}
    allowed = MODELS.load(spec.name).options_type.keys(wanted)
    return ModelSpec(spec.name, {key: value for key, value in wanted.items() if key in allowed})
