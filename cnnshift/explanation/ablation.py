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

ACTIVATION = "activation"


def run_ablation(
    spec: ModelSpec, train: Callable[[ModelSpec], Callable[[Any], Any]], split: Split, shift_set: ShiftSet
) -> Ablation:
    """Replace the components of a network one at a time, and all but one at a time.

    Replacing one component measures its effect while the others still break equivariance. Replacing all others measures
    the effect of the component that is kept. The two effects differ if components interact.

    Args:
        spec: family and architecture options; `Classifier.interventions` lists the replacements.
        train: returns the trained network of a spec, or raises InputError if there is none.
        split: the images.
        shift_set: whole-pixel shifts for the consistency.
    """
    family, options = parse_model(spec)
    interventions = family.interventions(options)
    ablation = score_baseline(train(spec), split, shift_set)
    measured: dict[str, tuple[AblationScores | None, str]] = {str(spec): (ablation.baseline, "")}

    def score(changes: Mapping[str, str]) -> tuple[AblationScores | None, str]:
        """Return the scores of a variant, or None and the reason."""
        changed = _apply(changes, spec)
        if str(changed) not in measured:
            try:
                measured[str(changed)] = score_network(train(changed), split, shift_set), ""
            except InputError as problem:
                measured[str(changed)] = None, str(problem)
        return measured[str(changed)]

    records = []
    for component, changes in interventions.items():
        others = {name: each for name, each in interventions.items() if name != component}
        (replaced_alone, reason), (kept_alone, other_reason) = score(changes), score(_merge(others))
        records.append(
            Intervention(
                component=component,
                replacement=",".join(f"{key}={value}" for key, value in changes.items()),
                replaced_alone=replaced_alone,
                kept_alone=kept_alone,
                reason=reason or other_reason,
            )
        )
    everything = _merge(interventions)
    all_replaced = score(everything)[0] if everything else None
    return ablation.model_copy(update={"all_replaced": all_replaced, "interventions": records})


def score_baseline(model: Callable[[Any], Any], split: Split, shift_set: ShiftSet) -> Ablation:
    """Measure a network without variants."""
    shifts, baseline = f"circular, |d|≤{shift_set.reach}", score_network(model, split, shift_set)
    return Ablation(shifts=shifts, baseline=baseline, all_replaced=None, interventions=[])


def score_network(model: Callable[[Any], Any], split: Split, shift_set: ShiftSet) -> AblationScores:
    """Measure consistency under whole-pixel circular shifts, accuracy, and the sub-pixel error of the logits."""
    network = as_pure_model(model)
    protocol = Circular(split.size, reach=shift_set.reach, context=split.context, background=split.background)
    observations = run_sweep(network, split, protocol, shift_set).observations
    images = to_unit_range(split.windows)

    consistency, accuracy = (
        METRICS.load(id).summarize(observations).value for id in ("pairwise_consistency", "accuracy")
    )
    assert consistency is not None
    assert accuracy is not None
    apply = jax.jit(lambda state, images: network.apply(state, images)[0])
    moved = [shift_maps(images, (SUBPIXEL * dy, SUBPIXEL * dx)).astype(images.dtype) for dy, dx in DIRECTIONS]
    with jax.default_matmul_precision(PRECISION):
        logits = to_numpy(apply(network.state, images))
        subpixel = np.mean([equivariance_error(to_numpy(apply(network.state, each)), logits) for each in moved])
    return AblationScores(
        pairwise_consistency=consistency,
        accuracy=accuracy,
        subpixel_error=float(subpixel) if np.isfinite(subpixel) else None,
    )


def _merge(interventions: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Combine the changes of all interventions except the activation's, which would change the function class."""
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
