"""Sentences that state the results of one table of `cnnshift bench`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from cnnshift.pixel_length import format_length, format_shift
from cnnshift.render.numbers import format_interval, percent
from cnnshift.results.aggregate import ContractGroup, ModelRuns, seed_mean
from cnnshift.results.packing import unpack
from cnnshift.results.schema import Run


def summarize(group: ContractGroup) -> list[str]:
    """Return sentences about the models of one table; every number in them is in the table.

    They state how many predictions of the first model with spatial features change, the effect of single options on
    the pairwise consistency, the effect of training with shifted images inside and outside the trained range, and the
    models whose predictions never change, or, if all circular shifts were measured, what `describe_all_shifts` returns.
    """
    exhaustive = group.example.protocol.set == "full" and all(
        run.predictions is not None for model in group.models for run in model.runs
    )
    parts = (_changed_predictions, _option_effects, _augmentation, _all_shifts if exhaustive else _never_changing)
    return [sentence for part in parts for sentence in part(group)]


def _changed_predictions(group: ContractGroup) -> Iterator[str]:
    model = next((model for model in group.models if _may_be_spatial(model.runs[0])), group.models[0])
    consistency = seed_mean(model.runs, "reference_consistency")
    unshifted, shifted = seed_mean(model.runs, "accuracy"), seed_mean(model.runs, "shifted_accuracy")
    if not (consistency and unshifted and shifted):
        return
    protocol = model.runs[0].protocol
    steps = f" in steps of {protocol.step} px" if protocol.step % 1 else ""
    shifts = f"under shifts of up to {protocol.max_shift} px{steps}"
    if consistency.value == 1:
        if _kappa(model) > 0:
            yield f"{model.model}: no prediction changes {shifts} ({_scope(model)})."
        return
    ci95 = (1 - consistency.ci95[1], 1 - consistency.ci95[0]) if consistency.ci95 else None
    interval = f" {format_interval(ci95, 'fraction')}" if ci95 else ""
    yield (
        f"{model.model}: {percent(1 - consistency.value)} %{interval} of the predictions change {shifts}; accuracy is "
        f"{percent(unshifted.value)} % without shifts and {percent(shifted.value)} % with shifts ({_scope(model)})."
    )


def _may_be_spatial(run: Run) -> bool:
    """Return False for a family of cnnshift whose features have no spatial axes, such as a multilayer perceptron."""
    return run.by_phase.stride is not None or run.family_version is None


def _architecture(model: ModelRuns) -> str:
    """Return the family of a model, or the loader and the file of a model without a family."""
    run = model.runs[0]
    head, _, tail = run.model.rpartition(":")
    return run.family if run.family_version is not None else head if "=" in tail else run.model


def _option_effects(group: ContractGroup) -> Iterator[str]:
    effects = []
    for position, model in enumerate(group.models):
        # Among earlier models that differ in one option, the one with the fewest options; of equals the nearest.
        earlier = group.models[:position][::-1]
        for base in sorted(earlier, key=lambda other: len(_options(other))):
            option = _single_difference(_options(base), _options(model))
            before, after = (seed_mean(one.runs, "pairwise_consistency") for one in (base, model))
            same = _architecture(base) == _architecture(model)
            if option and before and after and same:
                effects.append(f"{option} {percent(before.value)} → {percent(after.value)} %")
                break
    if effects:
        yield f"Pairwise consistency after changing one option: {'; '.join(effects)}."


def _augmentation(group: ContractGroup) -> Iterator[str]:
    for model in group.models:
        trained = str(model.runs[0].training.recipe.get("augment", "none")).removeprefix("shift")
        plain = next((other for other in group.models if _differs_in_augmentation(other, model)), None)
        radii = model.runs[0].by_radius.radius
        if plain is None or not trained.isdecimal() or int(trained) not in radii or int(trained) == radii[-1]:
            continue
        inside, outside = radii.index(int(trained)), len(radii) - 1
        yield (
            f"Training {plain.model} with shifts of up to {trained} px changes its accuracy at |d| = {trained}, inside "
            f"the trained range, from {_accuracy_at(plain, inside)} to {_accuracy_at(model, inside)} %, and at "
            f"|d| = {format_length(radii[-1])}, outside it, from {_accuracy_at(plain, outside)} to "
            f"{_accuracy_at(model, outside)} %."
        )
        return


def _never_changing(group: ContractGroup) -> Iterator[str]:
    means = [seed_mean(model.runs, "pairwise_consistency") for model in group.models]
    models = [model for model, mean in zip(group.models, means, strict=True) if mean and mean.value == 1]
    if stable := [model.model for model in models if _kappa(model) > 0]:
        verb = "predicts" if len(stable) == 1 else "predict"
        yield f"{' and '.join(stable)} {verb} the same class at every tested shift ({_scope(group.models[0])})."
    if constant := [model.model for model in models if _kappa(model) == 0]:
        verb = "predicts" if len(constant) == 1 else "predict"
        yield f"{' and '.join(constant)} {verb} one class for all images (kappa 0), so that consistency is trivial."


def _all_shifts(group: ContractGroup) -> Iterator[str]:
    for model in group.models:
        for run in model.runs:
            yield describe_all_shifts(run, model.model if len(model.runs) == 1 else f"{model.model} seed {run.seed}")


def describe_all_shifts(run: Run, name: str) -> str:
    """Describe a run with predictions over the shift set `full`.

    The sentence states the number of images whose predicted class is the same at all shifts and, unless these are all
    images, the smallest shift that changes a prediction.
    """
    assert run.predictions is not None
    classes = unpack(run.predictions)
    changes = classes != classes[:, :1]
    stable = int((~changes.any(axis=1)).sum())
    images = f"{stable:,} of {run.dataset.n:,} images"
    kind = "circular shifts by whole pixels"
    sentence = f"{name}: the predicted class of {images} is the same at all {classes.shape[1]:,} {kind}"
    if run.engine is not None:
        sentence += f" ({run.engine.forward_passes / run.dataset.n:,.0f} forward passes per image)"
    if stable == run.dataset.n:
        return f"{sentence}."
    # The first column of the predictions is (0, 0).
    shifts = [(0, 0), *zip(run.by_shift.dy, run.by_shift.dx, strict=True)]
    sizes = [(max(abs(dy), abs(dx)), abs(dy) + abs(dx)) for dy, dx in shifts]
    column = min(np.flatnonzero(changes.any(axis=0)), key=lambda column: sizes[column])
    image = np.flatnonzero(changes[:, column])[0]
    return (
        f"{sentence}; the smallest shift that changes a prediction is {format_shift(shifts[column])}: image {image}, "
        f"class {classes[image, 0]} → {classes[image, column]}."
    )


def _kappa(model: ModelRuns) -> float:
    """Return kappa, which is 0 for a model that predicts one class for all images; NaN if it was not measured."""
    kappa = seed_mean(model.runs, "kappa")
    return math.nan if kappa is None else kappa.value


def _scope(model: ModelRuns) -> str:
    """Return what a statement about a model refers to: protocol, images, shifts and training runs."""
    run, runs = model.runs[0], len(model.runs)
    scope = f"{run.protocol.name}, {run.dataset.n:,} images × {run.protocol.count:,} shifts"
    if run.training.recipe.get("epochs"):
        scope += ", 1 training run" if runs == 1 else f", {runs} training runs"
    return scope


def _options(model: ModelRuns) -> dict[str, str]:
    run = model.runs[0]
    augment = str(run.training.recipe.get("augment", "none"))
    return run.options | ({} if augment == "none" else {"augment": augment})


def _single_difference(before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """Return `key=value` if exactly one option was set; an option of the pooling layer (blur of pool=blur) is free."""
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    of_layer = {key for key in changed if key == after.get("pool")}
    changed -= of_layer
    if len(changed) != 1 or not changed <= after.keys():
        return None
    return ",".join(f"{key}={after[key]}" for key in (*changed, *of_layer))


def _differs_in_augmentation(other: ModelRuns, model: ModelRuns) -> bool:
    options = {key: value for key, value in _options(model).items() if key != "augment"}
    return other is not model and options == _options(other) and other.runs[0].family == model.runs[0].family


def _accuracy_at(model: ModelRuns, index: int) -> str:
    return percent(float(np.mean([run.by_radius.accuracy[index] for run in model.runs])))
