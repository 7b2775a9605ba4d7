"""The explanation in plain words: every sentence is made of numbers that the tables hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from cnnshift.pixel_length import format_length
from cnnshift.render.documents.bench_summary import certify
from cnnshift.render.numbers import percent
from cnnshift.results.explanation import Explanation, LayerRecord, Loss
from cnnshift.results.schema import Run


def summarize(found: Explanation) -> list[str]:
    """What the network is equivariant to, where that ends and why, how far predictions hold, and what to change."""
    parts = (
        _equivariance,
        _samples,
        _border,
        _position,
        _fractions,
        _head,
        _predictions,
        _certificate,
        _blame,
        _advice,
    )
    return [sentence for part in parts for sentence in part(found)]


def _equivariance(found: Explanation) -> Iterator[str]:
    """How far the maps move along with the image, and that this is not invariance."""
    maps = [layer for layer in found.layers if layer.is_map]
    measured = [layer for layer in maps if layer.worst(layer.error, multiples=True) is not None]
    if not measured:
        yield "No layer that can be seen has positions: nothing is known to move along with the image."
        return
    rounding = f"errors up to {_short(found.tolerance_whole)} are rounding here"
    # Before anything is lost, a map that moves along speaks for those before it, which may choose where they start.
    last = max((index for index, layer in enumerate(measured) if _moves_along(layer, found)), default=-1)
    failing = next(
        (
            layer
            for index, layer in enumerate(measured)
            if not _moves_along(layer, found) and (index > last or _lost_up_to(layer, found))
        ),
        None,
    )
    kept = measured if failing is None else measured[: measured.index(failing)]
    if not kept:
        yield f"Not equivariant: from {_called(measured[0])} on, maps do not move along with the image."
        return
    lost = {loss for layer in kept for loss in layer.lost}
    reasons = (("samples", "the strides allow it"), ("border", "the border is far"))
    limits = [name for loss, name in reasons if loss in lost]
    where = f" where {' and '.join(limits)}" if limits else " at every whole shift"
    count = (
        f"all {len(kept)} layers with positions" if len(kept) > 1 else f"the one layer with positions, {kept[0].name},"
    )
    if len(measured) < len(maps):
        count = f"{len(kept)} of {len(maps)} layers with positions (the others could not be measured)"
    whole = count if failing is None else f"the layers up to {kept[-1].name}"
    change = _at(kept[0], 1)
    said = "equivariant" if change <= found.tolerance_whole else "equivariant, not invariant"
    yield (
        f"{_upper(said)}: {whole} {'moves its map' if len(kept) == 1 and failing is None else 'move their maps'} along "
        f"with the image{where} ({rounding})"
        + ("." if change <= found.tolerance_whole else f"; the values of {kept[0].name} change by {_share(change)} of "
           "their size under a shift by 1 px.")
    )  # fmt: skip


def _moves_along(layer: LayerRecord, found: Explanation) -> bool:
    """Whether a map follows the shifts that no stride is in the way of, apart from the border where there is an inside.

    Where the border is everywhere nothing speaks against it but a loss of positions, here or before.
    """
    inside = layer.worst(layer.inside, multiples=True)
    if inside is not None:
        return inside <= found.tolerance_whole
    before, lost = found.layers[: found.layers.index(layer) + 1], _lost_up_to(layer, found)
    if (layer.worst(layer.error, multiples=True) or 0.0) <= found.tolerance_whole:
        return True
    return "border" in lost and "position" not in lost and all(each.is_map for each in before)


def _lost_up_to(layer: LayerRecord, found: Explanation) -> set[Loss]:
    return {loss for each in found.layers[: found.layers.index(layer) + 1] for loss in each.lost}


def _samples(found: Explanation) -> Iterator[str]:
    """Which shifts the strides leave."""
    losing = [layer for layer in found.layers if layer.is_map and "samples" in layer.lost]
    strided = [layer for layer in found.layers if layer.is_map and Fraction(layer.stride or 1) > 1]
    if losing:
        last, first = max(losing, key=lambda layer: Fraction(layer.period)), losing[0]
        steps = ", ".join(f"{layer.name} ({layer.stride} px)" for layer in losing)
        missed = last.worst(last.error, multiples=False)
        yield (
            f"Stride: {steps}. At the end only shifts by multiples of {last.period} px, 1 of "
            f"{Fraction(last.period) ** 2}, can be followed"
            + (
                f"; between them the map of {last.name} is off by up to {_share(missed)} of its size."
                if missed
                else "."
            )
        )
        before = [layer for layer in found.layers[: found.layers.index(first)] if layer.is_map]
        if before and _at(first, 1) < _at(before[-1], 1):
            yield (
                f"A little is forgiven: a shift by 1 px changes {before[-1].name} by {_share(_at(before[-1], 1))} of "
                f"its size, and {_called(first)} by {_share(_at(first, 1))}."
            )
    elif strided and not any("position" in layer.lost for layer in strided):
        coarse = max(Fraction(layer.stride or 1) for layer in strided)
        yield (
            f"Stride: maps are up to {coarse} px coarse, but jump by whole positions whatever the shift: what is "
            "kept is chosen by content, not by place."
        )


def _border(found: Explanation) -> Iterator[str]:
    """Where a padding shows."""
    losing = [layer for layer in found.layers if "border" in layer.lost]
    if losing:
        worst = max(losing, key=lambda layer: layer.own_error or 0.0)
        inside = [value for layer in losing for value in layer.inside if value is not None]
        exact = bool(inside) and max(inside) <= found.tolerance_whole
        yield (
            f"Border: {_list(losing)} {'errs' if len(losing) == 1 else 'err'} along the border"
            + (f" and nowhere else (inside: {_short(max(inside))})" if exact else "")
            + ": it does not wrap around, and tells where things are."
            + _alone(worst)
        )
        if wide := [layer for layer in losing if layer.own_at_border is None and layer.own_error]:
            yield (
                f"The window of {_list(wide)} spans the whole map: weights of their own for every position would look "
                "the same."
            )


def _position(found: Explanation) -> Iterator[str]:
    """Weights or embeddings of positions."""
    losing = [layer for layer in found.layers if "position" in layer.lost]
    if losing:
        worst = max(losing, key=lambda layer: layer.own_error or 0.0)
        names = ", ".join(map(_called, losing))
        yield (
            f"Position: {names} {'depends' if len(losing) == 1 else 'depend'} on where things are, inside the map as "
            "well as at its border, as weights or an embedding of the positions do." + _alone(worst)
        )


def _alone(layer: LayerRecord) -> str:
    if layer.own_error is None:
        return ""
    return f" {layer.name} alone is off by up to {_share(layer.own_error)} of its size."


def _fractions(found: Explanation) -> Iterator[str]:
    """The first layer that fractions of a pixel do not survive."""
    losing = next((layer for layer in found.layers if "fractions" in layer.lost), None)
    if losing is not None:
        yield (
            f"Fractions of a pixel: {_called(losing)} makes frequencies finer than its grid; a shift by ⅓ px is off by "
            f"{_share(losing.error[0] or 0.0)} of its size from there on. Whole shifts are not concerned."
        )


def _head(found: Explanation) -> Iterator[str]:
    """Whether the head asks where things are."""
    layers = found.layers
    last = next((index for index in reversed(range(len(layers))) if layers[index].is_map), None)
    if last is None or last + 1 == len(layers):
        return
    vectors, logits = layers[last + 1 :], layers[-1]
    telling = next((layer for layer in layers if "place" in layer.lost), None)
    # An adaptive choice follows every whole shift.
    period = Fraction(logits.period) if any("samples" in layer.lost for layer in layers) else Fraction(1)
    size, error = _nearest_multiple(logits, period)
    if size is None or error is None:
        return
    at = f"a shift by {size:g} px"
    allowed = ", which the strides allow for," if period > 1 else ""
    if telling is not None:
        yield (
            f"Head: {_called(telling)} tells places apart: what comes after it weighs every position on its own. "
            f"{_upper(at)}{allowed} changes the logits by {_share(error)} of their size."
        )
    elif error <= found.tolerance_whole:
        yield f"Head: {_called(vectors[0])} does not ask where things are: {at}{allowed} leaves the logits as they are."
    elif any(_breaks(layer) for layer in layers):
        yield (
            f"Head: {_called(vectors[0])} does not ask where things are; {at}{allowed} still changes the logits by "
            f"{_share(error)} of their size, through what came before."
        )
    else:
        yield f"Head: {at}{allowed} changes the logits by {_share(error)} of their size."


def _predictions(found: Explanation) -> Iterator[str]:
    """How far predictions are stable."""
    run, table = found.run, found.run.by_radius
    shifts = f"[{run.protocol.movement}, {run.dataset.n:,} images]"
    if all(value == 1 for value in table.survival):
        yield f"Predictions: not one changes at any of the {run.protocol.count:,} shifts {shifts}."
        kappa = run.metric("kappa")
        if kappa is not None and kappa.value is not None and kappa.value <= 0:
            yield "That says nothing of invariance: one class is given to every image (kappa 0)."
        return
    nearest, farthest = (format_length(radius) for radius in (table.radius[0], table.radius[-1]))
    said = f"Predictions: a shift by {nearest} px changes {percent(1 - table.consistency[0])} % of them"
    if not run.protocol.set.startswith("random"):
        said += f"; {percent(table.survival[0])} % of the images keep their class at all shifts looked at up to "
        said += f"{nearest} px"
        said += f", {percent(table.survival[-1])} % up to {farthest} px" if farthest != nearest else ""
    yield f"{said} {shifts}."
    yield from _augmented(run)


def _certificate(found: Explanation) -> Iterator[str]:
    """What all circular shifts say."""
    if found.certificate is not None and found.certificate.predictions is not None:
        yield f"Certificate: {certify(found.certificate, found.run.model)}"


def _augmented(run: Run) -> Iterator[str]:
    augment = str(run.training.recipe.get("augment", "none")).removeprefix("shift")
    table = run.by_radius
    if augment.isdecimal() and int(augment) in table.radius and int(augment) < table.radius[-1]:
        inside = table.radius.index(int(augment))
        yield (
            f"Training moved its images by up to {augment} px: at that distance {percent(table.accuracy[inside])} % "
            f"are right, at {format_length(table.radius[-1])} px {percent(table.accuracy[-1])} %."
        )


def _blame(found: Explanation) -> Iterator[str]:
    """What every part is worth, with the others whole."""
    parts = [(cause, cause.left) for cause in found.causes if cause.left is not None and cause.name != "activation"]
    whole = found.all_exchanged
    if len(parts) < 2 or whole is None:
        return
    ranked = sorted(parts, key=lambda part: part[1].consistency)
    said = ", ".join(f"{cause.name} {percent(left.consistency)} %" for cause, left in ranked)
    yield (
        f"Ablation: with every part exchanged that can be, {percent(whole.consistency)} % of the shift pairs agree; "
        f"with one of them left as it is: {said}. The network as it is: {percent(found.as_it_is.consistency)} % "
        f"{_causes_seen(found)}."
    )


def _advice(found: Explanation) -> Iterator[str]:
    """One change, all changes, and what they cost."""
    usable = [cause for cause in found.causes if cause.name != "activation"]
    now = found.as_it_is
    if not usable:
        if now.consistency < 1 and any(_breaks(layer) or "place" in layer.lost for layer in found.layers):
            yield _advice_from_layers(found.layers)
        return
    tried = [(cause, cause.alone) for cause in usable if cause.alone is not None]
    best = max(tried, key=lambda part: part[1].consistency, default=None)
    if best is None or best[1].consistency < now.consistency + _WORTH_IT:
        yield f"Change first: no exchange by itself moves the consistency up by a point {_causes_seen(found)}."
    else:
        yield (
            f"Change first: {best[0].change}, which alone moves the consistency from {percent(now.consistency)} to "
            f"{percent(best[1].consistency)} %, and the accuracy from {percent(now.accuracy)} to "
            f"{percent(best[1].accuracy)} % {_causes_seen(found)}."
        )
    if found.all_exchanged is not None and len(usable) > 1:
        options = ",".join(cause.change for cause in usable)
        yield (
            f"All of them ({options}): consistency {percent(found.all_exchanged.consistency)} %, accuracy "
            f"{percent(found.all_exchanged.accuracy)} %."
        )


_WORTH_IT = 0.01
"""A smaller gain is not worth a recommendation: each network is trained once."""


def _causes_seen(found: Explanation) -> str:
    return f"[{found.causes_shifts}, {found.run.dataset.n:,} images, one seed]"


def _advice_from_layers(layers: Sequence[LayerRecord]) -> str:
    """For a network whose parts cannot be exchanged here."""
    lost = {loss for layer in layers for loss in layer.lost}
    ways = {
        "place": "pool over all positions before the last layers",
        "position": "share weights between positions, and leave out what is added or multiplied per position",
        "samples": "filter before every stride, or choose what is kept by content (adaptive polyphase sampling)",
        "border": "pad so that the border does not show (circular, or a margin of background)",
    }
    return f"To change: {'; '.join(way for loss, way in ways.items() if loss in lost)}."


def _breaks(layer: LayerRecord) -> bool:
    return not {"samples", "border", "position"}.isdisjoint(layer.lost)


def _called(layer: LayerRecord) -> str:
    where = layer.place if layer.kind == "function" else layer.kind
    return f"{layer.name} ({where})" if where else layer.name


def _list(layers: Sequence[LayerRecord]) -> str:
    names = [layer.name for layer in layers]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _at(layer: LayerRecord, size: int) -> float:
    """The change of a layer's values at a shift of that size; 0 where that was not measured."""
    return (layer.change[layer.size.index(size)] or 0.0) if size in layer.size else 0.0


def _nearest_multiple(layer: LayerRecord, period: Fraction) -> tuple[float | None, float | None]:
    """The smallest whole shift that no stride is in the way of, and the layer's error there."""
    for size, error in zip(layer.size, layer.error, strict=True):
        if size >= 1 and error is not None and (Fraction(size) / period).denominator == 1:
            return size, error
    return None, None


def _share(value: float) -> str:
    """A relative error as per cent, or as what it is where it is rounding."""
    return f"{value:.1e}" if value < 1e-4 else f"{percent(value)} %" if value < 1 else f"{value:.0%}".replace("%", " %")


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
