"""Summarize an explanation in sentences; every number in them is also in its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from cnnshift.explanation.ablation import ACTIVATION
from cnnshift.pixel_length import format_length
from cnnshift.render.documents.bench_summary import describe_all_shifts
from cnnshift.render.numbers import percent
from cnnshift.results.explanation import Cause, Explanation, LayerRecord
from cnnshift.results.schema import Run

_RECOMMENDATIONS: dict[Cause, str] = {
    "spatial readout": "pool over all positions before the first fully connected layer",
    "positional weights": "share weights between positions and remove position embeddings",
    "aliasing": "low-pass filter before every stride, or choose the sampling grid adaptively (polyphase sampling)",
    "padding": "use circular padding or a background margin",
}
"""Recommendations for networks whose components cannot be replaced, most effective first."""


def summarize(explanation: Explanation) -> list[str]:
    """Return one paragraph per finding: layers first, then predictions, ablation and recommendations."""
    parts = (
        _equivariance,
        _aliasing,
        _padding,
        _positional_weights,
        _subpixel_aliasing,
        _readout,
        _predictions,
        _certificate,
        _ablation,
        _recommendation,
    )
    return [sentence for part in parts for sentence in part(explanation)]


def _equivariance(explanation: Explanation) -> Iterator[str]:
    maps = [layer for layer in explanation.layers if layer.is_map]
    measured = [layer for layer in maps if layer.on_grid_error is not None]
    if not measured:
        yield "Equivariance: not measured; the network has no feature map whose positions are known."
        return
    # Until a cause is found, an equivariant map shows that the maps before it are equivariant too: an adaptive choice
    # of the sampling grid moves them by whole positions.
    last = max((index for index, layer in enumerate(measured) if _is_equivariant(layer, explanation)), default=-1)
    failing = next(
        (
            index
            for index, layer in enumerate(measured)
            if not _is_equivariant(layer, explanation) and (index > last or _causes(_up_to(layer, explanation)))
        ),
        len(measured),
    )
    equivariant, context = measured[:failing], _layer_context(explanation)
    if not equivariant:
        yield f"Equivariance: none; {_described(measured[0])} and all later feature maps are not equivariant {context}."
        return
    causes = _causes(equivariant)
    if failing < len(measured):
        subject = f"the feature maps up to {equivariant[-1].name} are"
    elif len(measured) < len(maps):
        subject = f"{len(measured)} of {len(maps)} feature maps are (the others could not be measured)"
    elif len(maps) == 1:
        subject = f"the only feature map, {maps[0].name}, is"
    else:
        subject = f"all {len(maps)} feature maps are"
    shifts = "shifts by multiples of the stride" if "aliasing" in causes else "all whole-pixel shifts"
    where = "away from the border, " if "padding" in causes else ""
    change = _invariance_error(equivariant[0], 1)
    invariance = ""
    if change > explanation.tolerance_whole:
        invariance = (
            f", but not invariant: a 1-px shift changes {equivariant[0].name} by {_relative(change)} of its norm"
        )
    yield (
        f"Equivariance: {where}{subject} equivariant to {shifts} (errors up to "
        f"{explanation.tolerance_whole:.0e} are rounding){invariance} {context}."
    )


def _is_equivariant(layer: LayerRecord, explanation: Explanation) -> bool:
    """Return whether a map is equivariant to on-grid shifts, in its interior if it has one.

    If every window reaches the border, a map counts as equivariant unless positions matter in it or before it.
    """
    if layer.interior_error is not None:
        return layer.interior_error <= explanation.tolerance_whole
    if (layer.on_grid_error or 0.0) <= explanation.tolerance_whole:
        return True
    before = _up_to(layer, explanation)
    causes = _causes(before)
    return "padding" in causes and "positional weights" not in causes and all(each.is_map for each in before)


def _up_to(layer: LayerRecord, explanation: Explanation) -> list[LayerRecord]:
    return explanation.layers[: explanation.layers.index(layer) + 1]


def _causes(layers: Sequence[LayerRecord]) -> set[Cause]:
    return {cause for layer in layers for cause in layer.causes}


def _layers_with(cause: Cause, explanation: Explanation) -> list[LayerRecord]:
    return [layer for layer in explanation.layers if cause in layer.causes]


def _aliasing(explanation: Explanation) -> Iterator[str]:
    layers, context = explanation.layers, _layer_context(explanation)
    aliasing = [layer for layer in _layers_with("aliasing", explanation) if layer.is_map]
    strided = [layer for layer in layers if layer.is_map and Fraction(layer.stride or 1) > 1]
    if aliasing:
        coarsest, first = max(aliasing, key=lambda layer: Fraction(layer.period)), aliasing[0]
        names = _join([f"{layer.name} (stride {layer.stride} px)" for layer in aliasing])
        error = coarsest.off_grid_error
        yield (
            f"Aliasing: {names} {'aliases' if len(aliasing) == 1 else 'alias'}. At {coarsest.name} only shifts by "
            f"multiples of {coarsest.period} px (1 of {Fraction(coarsest.period) ** 2}) are on-grid"
            + (f"; at other shifts its error is up to {_relative(error)} of its norm" if error else "")
            + f" {context}."
        )
        before = [layer for layer in layers[: layers.index(first)] if layer.is_map]
        if before and _invariance_error(first, 1) < _invariance_error(before[-1], 1):
            yield (
                f"Local invariance: {_described(first)} reduces the change by a 1-px shift from "
                f"{_relative(_invariance_error(before[-1], 1))} to {_relative(_invariance_error(first, 1))} of the "
                f"norm {context}."
            )
    elif strided and "positional weights" not in _causes(strided):
        stride = max(Fraction(layer.stride or 1) for layer in strided)
        yield (
            f"Aliasing: none. The cumulative stride is {stride} px, but the sampling grid adapts to the content: every "
            f"whole-pixel shift moves the feature maps by whole positions {context}."
        )


def _padding(explanation: Explanation) -> Iterator[str]:
    layers = _layers_with("padding", explanation)
    if not layers:
        return
    errors = [error for layer in layers for error in layer.by_radius.interior_error if error is not None]
    names = _join([layer.name for layer in layers])
    where = f"{names} {'has' if len(layers) == 1 else 'have'} errors at the border"
    if errors and max(errors) <= explanation.tolerance_whole:
        interior = f"{max(errors):.0e}" if max(errors) else "0"
        where = f"the errors of {names} are confined to the border (interior error {interior})"
    yield f"Padding: {where}, because the padding is not circular.{_isolated_error(layers, explanation)}"
    if wide := [layer.name for layer in layers if layer.isolated_at_border is None and layer.isolated_error]:
        yield f"Every window of {_join(wide)} reaches the border; unshared weights would cause the same errors."


def _positional_weights(explanation: Explanation) -> Iterator[str]:
    if layers := _layers_with("positional weights", explanation):
        yield (
            f"Positional weights: {_join([_described(layer) for layer in layers])} "
            f"{'depends' if len(layers) == 1 else 'depend'} on the absolute position, in the interior as well as at "
            "the border, as unshared weights and position embeddings "
            f"do.{_isolated_error(layers, explanation)}"
        )


def _subpixel_aliasing(explanation: Explanation) -> Iterator[str]:
    if layers := _layers_with("sub-pixel aliasing", explanation):
        error = _relative(layers[0].subpixel_error or 0.0)
        yield (
            f"Sub-pixel aliasing: {_described(layers[0])} creates frequencies above the Nyquist limit; a ⅓-px shift "
            f"has an error of {error} of its norm. Whole-pixel shifts are not affected "
            f"{_layer_context(explanation)}."
        )


def _readout(explanation: Explanation) -> Iterator[str]:
    layers, causes = explanation.layers, _causes(explanation.layers)
    last = max((index for index, layer in enumerate(layers) if layer.is_map), default=len(layers))
    if last + 1 >= len(layers):
        return
    vector, logits = layers[last + 1], layers[-1]
    # With an adaptive sampling grid every whole-pixel shift is on-grid.
    period = Fraction(logits.period if "aliasing" in causes else 1)
    pairs = zip(logits.by_radius.radius, logits.by_radius.equivariance_error, strict=True)
    on_grid = [(r, e) for r, e in pairs if r >= 1 and e is not None and (Fraction(r) / period).denominator == 1]
    if not on_grid:
        return
    radius, error = on_grid[0]
    shift = f"a shift by {radius:g} px" + (", a multiple of all strides," if period > 1 else "")
    effect, context = f"changes the logits by {_relative(error)} of their norm", _layer_context(explanation)
    if spatial := _layers_with("spatial readout", explanation):
        yield (
            f"Spatial readout: {_described(spatial[0])} and the layers after it depend on absolute positions; {shift} "
            f"{effect} {context}."
        )
    elif error <= explanation.tolerance_whole:
        yield f"Readout: {_described(vector)} discards positions; {shift} does not change the logits {context}."
    elif causes & {"aliasing", "padding", "positional weights"}:
        yield (
            f"Readout: {_described(vector)} discards positions; {shift} still {effect}, because of earlier layers "
            f"{context}."
        )
    else:
        yield f"Readout: {shift} {effect} {context}."


def _predictions(explanation: Explanation) -> Iterator[str]:
    run, table = explanation.run, explanation.run.by_radius
    context = f"[{run.protocol.label}, {run.dataset.n:,} images, {_networks(run)}]"
    if all(value == 1 for value in table.survival):
        yield f"Prediction stability: no prediction changes at any of the {run.protocol.count:,} shifts {context}."
        kappa = run.metric("kappa")
        if kappa is not None and kappa.value is not None and kappa.value <= 0:
            yield "This does not show invariance: every image gets the same class (kappa 0)."
        return
    nearest, farthest = (format_length(radius) for radius in (table.radius[0], table.radius[-1]))
    sentence = (
        f"Prediction stability: a shift by {nearest} px changes {percent(1 - table.consistency[0])} % of predictions"
    )
    if not run.protocol.set.startswith("random"):
        sentence += f"; {percent(table.survival[0])} % of images keep their class at all shifts up to {nearest} px"
        sentence += f", {percent(table.survival[-1])} % up to {farthest} px" if farthest != nearest else ""
    yield f"{sentence} {context}."
    augment = str(run.training.recipe.get("augment", "none")).removeprefix("shift")
    if augment.isdecimal() and int(augment) in table.radius and int(augment) < table.radius[-1]:
        trained = table.radius.index(int(augment))
        yield (
            f"Shift augmentation: trained with shifts up to {augment} px, the accuracy is "
            f"{percent(table.accuracy[trained])} % at |d| = {augment} px and {percent(table.accuracy[-1])} % at "
            f"|d| = {farthest} px {context}."
        )


def _certificate(explanation: Explanation) -> Iterator[str]:
    if explanation.certificate is not None and explanation.certificate.predictions is not None:
        yield f"Certificate: {describe_all_shifts(explanation.certificate, explanation.run.model)}"


def _ablation(explanation: Explanation) -> Iterator[str]:
    ablation = explanation.ablation
    kept = [
        (each.component, each.kept_alone.pairwise_consistency)
        for each in ablation.interventions
        if each.kept_alone is not None and each.component != ACTIVATION
    ]
    if len(kept) < 2 or ablation.all_replaced is None:
        return
    scores = _join([f"{percent(score)} % ({component})" for component, score in sorted(kept, key=lambda each: each[1])])
    yield (
        f"Ablation: the pairwise consistency is {percent(ablation.baseline.pairwise_consistency)} %, and "
        f"{percent(ablation.all_replaced.pairwise_consistency)} % with all components except the activation replaced. "
        f"With one component kept and the others replaced it is {scores} {_ablation_context(explanation)}."
    )


def _recommendation(explanation: Explanation) -> Iterator[str]:
    ablation, context = explanation.ablation, _ablation_context(explanation)
    usable = [each for each in ablation.interventions if each.component != ACTIVATION]
    baseline = ablation.baseline
    if not usable:
        causes = _causes(explanation.layers)
        recommendations = [text for cause, text in _RECOMMENDATIONS.items() if cause in causes]
        if baseline.pairwise_consistency < 1 and recommendations:
            yield f"Recommendation: {'; '.join(recommendations)}."
        return
    scored = [(each.replacement, each.replaced_alone) for each in usable if each.replaced_alone is not None]
    best = max(scored, key=lambda item: item[1].pairwise_consistency, default=None)
    # A gain below 1 pp is no reason for a change: every network is trained once.
    if best is None or best[1].pairwise_consistency < baseline.pairwise_consistency + 0.01:
        yield f"Recommendation: none; no single replacement raises the consistency by 1 pp {context}."
    else:
        yield (
            f"Recommendation: {best[0]}. Alone it raises the consistency from "
            f"{percent(baseline.pairwise_consistency)} to {percent(best[1].pairwise_consistency)} %, with an accuracy "
            f"of {percent(best[1].accuracy)} % instead of {percent(baseline.accuracy)} % {context}."
        )
    if ablation.all_replaced is not None and len(usable) > 1:
        yield (
            f"All replacements ({','.join(each.replacement for each in usable)}): consistency "
            f"{percent(ablation.all_replaced.pairwise_consistency)} %, accuracy "
            f"{percent(ablation.all_replaced.accuracy)} % {context}."
        )


def _layer_context(explanation: Explanation) -> str:
    return f"[circular, {explanation.images} images]"


def _ablation_context(explanation: Explanation) -> str:
    run = explanation.run
    return f"[{explanation.ablation.shifts}, {run.dataset.n:,} images, {_networks(run)} each]"


def _networks(run: Run) -> str:
    if run.training.recipe.get("epochs") == 0:
        return "1 untrained network"
    return "1 network" if run.family_version is None else "1 training run"


def _described(layer: LayerRecord) -> str:
    return f"{layer.name} ({layer.description})" if layer.description != "function" else layer.name


def _isolated_error(layers: Sequence[LayerRecord], explanation: Explanation) -> str:
    worst = max(layers, key=lambda layer: layer.isolated_error or 0.0)
    if worst.isolated_error is None:
        return ""
    return (
        f" The isolated error of {worst.name} is up to {_relative(worst.isolated_error)} {_layer_context(explanation)}."
    )


def _invariance_error(layer: LayerRecord, radius: int) -> float:
    """Return the invariance error at a radius; 0 if it was not measured."""
    errors = layer.by_radius
    return (errors.invariance_error[errors.radius.index(radius)] or 0.0) if radius in errors.radius else 0.0


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _relative(value: float) -> str:
    """Format a relative error in per cent, or in scientific notation if it is as small as rounding."""
    return f"{value:.1e}" if value < 1e-4 else f"{percent(value)} %" if value < 1 else f"{value:.0%}".replace("%", " %")
