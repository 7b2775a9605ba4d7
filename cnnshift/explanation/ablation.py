"""Ablation: replace components of a network by equivariant ones and train every variant by the same recipe and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from cnnshift.catalog import METRICS, MODELS
from cnnshift.data.split import Split, to_unit_range
from cnnshift.errors import InputError
from cnnshift.explanation.equivariance import equivariance_error
from cnnshift.explanation.isolated import DIRECTIONS
from cnnshift.explanation.periodic import shift_maps, to_numpy
from cnnshift.explanation.probe import SUBPIXEL
from cnnshift.models.base import parse_model
from cnnshift.results.explanation import Ablation, AblationScores, Intervention
from cnnshift.shifts.circular import Circular
from cnnshift.shifts.sets import ShiftSet
from cnnshift.spec import ModelSpec
from cnnshift.sweep.device import PRECISION
from cnnshift.sweep.engine import run_sweep
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.unavailable import Unavailable

ACTIVATION = "activation"

Train = Callable[[ModelSpec], Callable[[Any], Any]]
"""A model spec → the trained network."""


def run_ablation(spec: ModelSpec, train: Train, split: Split, shift_set: ShiftSet) -> Ablation:
    """Replace the components of a network one at a time, and all but one at a time.

    Replacing one measures its effect while the other components still break equivariance. Keeping one and replacing
    all others measures what this component breaks by itself. The two differ where components interact.

    Args:
        spec: family and architecture options; `Family.interventions` lists the replacements.
        train: returns the trained network of a spec, or raises InputError if there is none.
        split: the images.
        shift_set: whole-pixel shifts for the consistency.
    """
    family, options = parse_model(spec)
    interventions = family.interventions(options)
    measured: dict[str, AblationScores | Unavailable] = {}

    def score(changes: Mapping[str, str]) -> AblationScores | Unavailable:
        changed = _apply(changes, spec)
        if str(changed) not in measured:
            try:
                measured[str(changed)] = score_network(train(changed), split, shift_set)
            except InputError as problem:
                measured[str(changed)] = Unavailable(str(problem))
        return measured[str(changed)]

    baseline = score_network(train(spec), split, shift_set)
    everything = _merge(interventions)
    records = []
    for component, changes in interventions.items():
        others = _merge({name: each for name, each in interventions.items() if name != component})
        only, all_but = score(changes), score(others) if others else baseline
        records.append(
            Intervention(
                component=component,
                replacement=",".join(f"{key}={value}" for key, value in changes.items()),
                replaced_alone=_available(only),
                kept_alone=_available(all_but),
                reason=next((each.reason for each in (only, all_but) if isinstance(each, Unavailable)), ""),
            )
        )
    return Ablation(
        shifts=describe_shifts(shift_set),
        baseline=baseline,
        all_replaced=_available(score(everything)) if everything else None,
        interventions=records,
    )


def score_network(model: Callable[[Any], Any], split: Split, shift_set: ShiftSet) -> AblationScores:
    """Measure consistency under whole-pixel circular shifts, accuracy, and the sub-pixel error of the logits."""
    network = as_pure_model(model)
    protocol = Circular(split.size, reach=shift_set.reach, context=split.context, background=split.background)
    observations = run_sweep(network, split, protocol, shift_set).observations
    images = to_unit_range(split.windows)

    apply = jax.jit(lambda state, images: network.apply(state, images)[0])
    consistency, accuracy = (
        METRICS.load(id).summarize(observations).value for id in ("pairwise_consistency", "accuracy")
    )
    assert consistency is not None
    assert accuracy is not None
    moved = [shift_maps(images, (SUBPIXEL * dy, SUBPIXEL * dx)).astype(images.dtype) for dy, dx in DIRECTIONS]
    with jax.default_matmul_precision(PRECISION):
        logits = to_numpy(apply(network.state, images))
        subpixel = np.mean([equivariance_error(to_numpy(apply(network.state, each)), logits) for each in moved])
    return AblationScores(
        pairwise_consistency=consistency,
        accuracy=accuracy,
        subpixel_error=float(subpixel) if np.isfinite(subpixel) else None,
    )


def describe_shifts(shift_set: ShiftSet) -> str:
    """Return protocol and shifts as they follow a metric's name."""
    return f"circular, |d|≤{shift_set.reach}"


def _available(scores: AblationScores | Unavailable) -> AblationScores | None:
    return None if isinstance(scores, Unavailable) else scores


def _merge(interventions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Combine the changes of all interventions but that of the activation, which would change the function class."""
    return {
        key: value
        for component, changes in interventions.items()
        if component != ACTIVATION
        for key, value in changes.items()
    }


def _apply(changes: Mapping[str, str], spec: ModelSpec) -> ModelSpec:
    """Change options of a spec, and drop the options of layers that are no longer part of it."""
    options = {**spec.options, **changes}
    allowed = MODELS.load(spec.name).options_type.keys(options)
    return ModelSpec(spec.name, {key: value for key, value in options.items() if key in allowed})
