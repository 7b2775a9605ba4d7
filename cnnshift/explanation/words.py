"""The explanation in plain words: every sentence is made of numbers that the tables hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from cnnshift.pixels import show_pixels
from cnnshift.render.documents.answer import certify
from cnnshift.render.numbers import percent
from cnnshift.results.explanation import Behaviour, Cause, Explanation, LayerRecord
from cnnshift.results.schema import Run


def explain_in_words(found: Explanation) -> list[str]:
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
    if not maps:
        yield "No layer has positions: nothing moves along with the image, and every shift makes another input of it."
        return
    rounding = f"errors up to {_short(found.tolerance_whole)} are rounding here"
    dependent = next((layer for layer in maps if "position" in layer.lost), None)
    kept = maps if dependent is None else maps[: maps.index(dependent)]
    if not kept:
        yield f"Not equivariant: from {_called(maps[0])} on, nothing moves along with the image."
        return
    lost = {loss for layer in kept for loss in layer.lost}
    limits = [
        name for loss, name in (("samples", "the strides allow it"), ("border", "the border is far")) if loss in lost
    ]
    where = f" where {' and '.join(limits)}" if limits else " at every whole shift"
    whole = f"the layers up to {kept[-1].name}" if dependent is not None else f"all {len(kept)} layers with positions"
    yield (
        f"Equivariant, not invariant: {whole} move their maps along with the image{where} ({rounding}); the values of "
        f"{kept[0].name} change by {_share(_at(kept[0], 1))} of their size under a shift by 1 px."
    )


def _samples(found: Explanation) -> Iterator[str]:
    """Which shifts the strides leave."""
    losing = [layer for layer in found.layers if layer.is_map and "samples" in layer.lost]
    strided = [layer for layer in found.layers if layer.is_map and _stride(layer) > 1]
    if losing:
        last = losing[-1]
        stride, missed = _stride(last), _mean(last, multiples=False)
        steps = ", ".join(f"{layer.name} ({layer.stride} px)" for layer in losing)
        yield (
            f"Stride: {steps}. At the end only shifts by multiples of {stride} px, 1 of {stride**2}, can be followed; "
            f"between them the map of {last.name} is off by {_share(missed)} of its size."
        )
        first = losing[0]
        index = found.layers.index(first)
        before = found.layers[index - 1] if index else None
        if before is not None and before.is_map and _at(first, 1) < _at(before, 1):
            yield (
                f"Pooling forgives a little: a shift by 1 px changes {before.name} by {_share(_at(before, 1))} of its "
                f"size, and {first.name} by {_share(_at(first, 1))}."
            )
    elif strided and not any("position" in layer.lost for layer in strided):
        yield (
            f"Stride: maps are up to {max(_stride(layer) for layer in strided)} px coarse, but jump by whole positions "
            "whatever the shift: what is kept is chosen by content, not by place."
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
            + f": it does not wrap around, and tells where things are. {worst.name} alone is off by "
            f"{_share(worst.own_error or 0.0)} of its size when half of the map has come in over it."
        )


def _position(found: Explanation) -> Iterator[str]:
    """Weights or embeddings of positions."""
    losing = [layer for layer in found.layers if "position" in layer.lost]
    if losing:
        worst = max(losing, key=lambda layer: layer.own_error or 0.0)
        names = ", ".join(map(_called, losing))
        yield (
            f"Position: {names} {'depends' if len(losing) == 1 else 'depend'} on where things are, inside the map as "
            "well as at its border: weights or an embedding of the positions themselves. "
            f"{worst.name} alone is off by {_share(worst.own_error or 0.0)} of its size."
        )


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
    last = next((layer for layer in reversed(layers) if layer.is_map), None)
    first = next((layer for layer in layers[layers.index(last) + 1 :] if not layer.is_map), None) if last else None
    if last is None or first is None:
        return
    logits = layers[-1]
    # An adaptive choice follows every whole shift.
    stride = _stride(last) if any("samples" in layer.lost for layer in layers) else Fraction(1)
    size, error = _nearest_multiple(logits, stride)
    at = f"a shift by {size:g} px" if size else "a shift"
    allowed = ", which the strides allow for," if stride > 1 else ""
    if "place" in first.lost:
        yield (
            f"Head: {_called(first)} tells places apart: every position has weights of its own behind it. {_upper(at)}"
            f"{allowed} changes the logits by {_share(error)} of their size."
        )
    elif error <= found.tolerance_whole:
        yield f"Head: {_called(first)} does not ask where things are: {at}{allowed} leaves the logits as they are."
    else:
        yield (
            f"Head: {_called(first)} does not ask where things are; {at}{allowed} still changes the logits by "
            f"{_share(error)} of their size, through what came before."
        )


def _predictions(found: Explanation) -> Iterator[str]:
    """How far predictions are stable."""
    run, table = found.run, found.run.by_radius
    shifts = f"[{run.protocol.movement}, {run.dataset.n:,} images]"
    if all(value == 1 for value in table.survival):
        yield f"Predictions: not one changes at any of the {run.protocol.count:,} shifts {shifts}."
        return
    nearest, farthest = table.radius[0], table.radius[-1]
    yield (
        f"Predictions: a shift by {show_pixels(nearest)} px changes {percent(1 - table.consistency[0])} % of them; "
        f"{percent(table.survival[0])} % of the images keep their class at all shifts up to {show_pixels(nearest)} px, "
        f"{percent(table.survival[-1])} % up to {show_pixels(farthest)} px {shifts}."
    )
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
            f"are right, at {show_pixels(table.radius[-1])} px {percent(table.accuracy[-1])} %."
        )


def _blame(found: Explanation) -> Iterator[str]:
    """What every part is worth, with the others whole."""
    parts = [(cause, cause.left) for cause in found.causes if cause.left is not None and cause.name != "activation"]
    whole = found.all_exchanged
    if not parts or whole is None:
        return
    ranked = sorted(parts, key=lambda part: part[1].consistency)
    said = ", ".join(f"{cause.name} {percent(left.consistency)} %" for cause, left in ranked)
    yield (
        f"Blame: with every part mended {percent(whole.consistency)} % of the pairs of shifts agree; with one of them "
        f"left as it is: {said}. The network as it is: {percent(found.as_it_is.consistency)} %."
    )


def _advice(found: Explanation) -> Iterator[str]:
    """One change, all changes, and the command that measures them."""
    usable = [cause for cause in found.causes if cause.name != "activation"]
    if not usable:
        if found.as_it_is.consistency < 1 and any(_breaks(layer) or "place" in layer.lost for layer in found.layers):
            yield _advice_from_layers(found.layers)
        return
    best = _best_single(usable)
    if best is not None:
        cause, alone = best
        yield (
            f"Change first: {cause.change}, which alone moves the consistency from "
            f"{percent(found.as_it_is.consistency)} to {percent(alone.consistency)} %, and the accuracy from "
            f"{percent(found.as_it_is.accuracy)} to {percent(alone.accuracy)} %."
        )
    if found.all_exchanged is not None and len(usable) > 1:
        options = ",".join(cause.change for cause in usable)
        yield (
            f"All of them ({options}): consistency {percent(found.all_exchanged.consistency)} %, accuracy "
            f"{percent(found.all_exchanged.accuracy)} %."
        )


def _best_single(causes: Sequence[Cause]) -> tuple[Cause, Behaviour] | None:
    tried = [(cause, cause.alone) for cause in causes if cause.alone is not None]
    return max(tried, key=lambda part: part[1].consistency, default=None)


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


def _stride(layer: LayerRecord) -> Fraction:
    return Fraction(layer.stride or 1)


def _at(layer: LayerRecord, size: int) -> float:
    """The change of a layer's values at a shift of that size."""
    return layer.change[layer.size.index(size)] or 0.0


def _mean(layer: LayerRecord, *, multiples: bool) -> float:
    stride = _stride(layer)
    values = [
        error
        for size, error in zip(layer.size, layer.error, strict=True)
        if size >= 1 and error is not None and ((Fraction(size) / stride).denominator == 1) == multiples
    ]
    return sum(values) / len(values) if values else 0.0


def _nearest_multiple(layer: LayerRecord, stride: Fraction) -> tuple[float | None, float]:
    """The smallest whole shift that the stride allows for, and the layer's error there."""
    for size, error in zip(layer.size, layer.error, strict=True):
        if size >= 1 and error is not None and (Fraction(size) / stride).denominator == 1:
            return size, error
    return None, 0.0


def _share(value: float) -> str:
    """A relative error as per cent, or as what it is where it is rounding."""
    return f"{value:.1e}" if value < 1e-4 else f"{percent(value)} %" if value < 1 else f"{value:.0%}".replace("%", " %")


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


_PARTS = (_equivariance, _samples, _border, _position, _fractions, _head, _predictions, _certificate, _blame, _advice)
