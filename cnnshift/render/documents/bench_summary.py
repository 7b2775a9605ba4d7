"""The answer in plain words: what the numbers of one table say about the question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cnnshift.pixel_length import format_length, format_shift
from cnnshift.render.numbers import format_interval, percent
from cnnshift.results.aggregate import ContractGroup, ModelRuns, SeedMean, seed_mean
from cnnshift.results.packing import unpack
from cnnshift.results.schema import Run

CONSISTENCY = "pairwise_consistency"


def summarize(group: ContractGroup) -> list[str]:
    """A few sentences, each made of numbers of the table.

    They say how far the first convolutional network is from invariance, what one change of it does at a time, where
    training with shifts helps, and which networks are exactly invariant on these shifts: where these are all circular
    shifts there are, as a certificate or a counter-example for every network.
    """
    parts = (_verdict, _changes, _augmentation, _certificates if _is_complete(group) else _exact)
    return [sentence for part in parts for sentence in part(group)]


def _verdict(group: ContractGroup) -> Iterator[str]:
    """How often the plain network changes its mind."""
    row = next((row for row in group.models if row.runs[0].family != "mlp"), group.models[0])
    changes = seed_mean(row.runs, "reference_consistency")
    plain, shifted = seed_mean(row.runs, "accuracy"), seed_mean(row.runs, "shifted_accuracy")
    if not (changes and plain and shifted):
        return
    protocol = row.runs[0].protocol
    steps = f" in steps of {protocol.step} px" if protocol.step % 1 else ""
    moved = f"moving an image by up to {protocol.max_shift} px{steps}"
    if changes.value == 1:
        if not _is_informed(row):
            return
        yield f"Yes, here: {moved} never changes the class that {row.model} gives ({_tested(row)})."
        return
    flipped = SeedMean(1 - changes.value, None, None, changes.n)
    if changes.ci95:
        flipped = SeedMean(flipped.value, (1 - changes.ci95[1], 1 - changes.ci95[0]), None, changes.n)
    yield (
        f"No: {moved} changes the class that {row.model} gives in {percent(flipped.value)} % of cases "
        f"{format_interval(flipped.ci95, 'fraction')}, and its accuracy goes from {percent(plain.value)} % to "
        f"{percent(shifted.value)} %."
    )


def _changes(group: ContractGroup) -> Iterator[str]:
    """What one changed option does to the consistency, row by row."""
    steps = []
    for position, row in enumerate(group.models):
        # The plainest one that differs in one option; of equals the nearest.
        earlier = group.models[:position][::-1]
        for before in sorted(earlier, key=lambda other: len(_options(other))):
            difference = _difference(_options(before), _options(row))
            a, b = seed_mean(before.runs, CONSISTENCY), seed_mean(row.runs, CONSISTENCY)
            if difference and a and b and before.runs[0].family == row.runs[0].family:
                steps.append(f"{difference} {percent(a.value)} → {percent(b.value)} %")
                break
    if steps:
        yield f"One change at a time moves the consistency: {'; '.join(steps)}."


def _augmentation(group: ContractGroup) -> Iterator[str]:
    """Accuracy inside and outside the range of shifts that were trained."""
    for row in group.models:
        augment = str(row.runs[0].training.recipe.get("augment", "none"))
        twin = next((other for other in group.models if _without_augment(other, row)), None)
        trained = augment.removeprefix("shift")
        radii = row.runs[0].by_radius.radius
        if twin is None or not trained.isdecimal() or int(trained) not in radii or int(trained) == radii[-1]:
            continue
        inside, outside = radii.index(int(trained)), len(radii) - 1
        yield (
            f"Training {twin.model} with shifts of up to {trained} px moves its accuracy inside that range "
            f"(|d| = {trained}) from {_at(twin, inside)} to {_at(row, inside)} %, and outside "
            f"(|d| = {format_length(radii[-1])}) from {_at(twin, outside)} to {_at(row, outside)} %."
        )
        return


def _exact(group: ContractGroup) -> Iterator[str]:
    """Networks that never changed their mind; as a fact about what was tested, not as a promise."""
    rows = [row for row in group.models if (value := seed_mean(row.runs, CONSISTENCY)) and value.value == 1]
    constant = [row for row in rows if (kappa := seed_mean(row.runs, "kappa")) and kappa.value == 0]
    exact = [row.model for row in rows if _is_informed(row)]
    if exact:
        verb = "is" if len(exact) == 1 else "are"
        yield f"{' and '.join(exact)} {verb} exactly invariant on every shift tested ({_tested(group.models[0])})."
    if constant:
        verb, gives = ("is", "it gives") if len(constant) == 1 else ("are", "they give")
        names = " and ".join(row.model for row in constant)
        yield f"{names} {verb} invariant only because {gives} one class to every image (kappa 0)."


def _is_complete(group: ContractGroup) -> bool:
    """Whether every circular shift there is was measured, and the predictions are there to show it."""
    protocol = group.example.protocol
    return protocol.set == "full" and all(run.predictions is not None for row in group.models for run in row.runs)


def _certificates(group: ContractGroup) -> Iterator[str]:
    """Of every network, see `certify`."""
    for row in group.models:
        for run in row.runs:
            yield certify(run, row.model if len(row.runs) == 1 else f"{row.model} seed {run.seed}")


def certify(run: Run, name: str) -> str:
    """Of a run over all circular shifts: invariant to them, image by image, or the nearest counter-example."""
    assert run.predictions is not None
    classes = unpack(run.predictions)
    changes = classes != classes[:, :1]
    stable, shifts = int((~changes.any(axis=1)).sum()), classes.shape[1]
    passes = "" if run.engine is None else f" ({run.engine.forwards / run.dataset.n:,.0f} forward passes each)"
    # Other protocols of the torus also move by fractions, which the set `full` has none of.
    by = "circular shifts" if run.protocol.name == "circular" else "shifts by whole pixels"
    all_shifts, images = f"all {shifts:,} {by}", f"{stable:,} of {run.dataset.n:,} images"
    if stable == run.dataset.n:
        return f"{name} is invariant to {all_shifts}: {images}{passes}."
    shift, image, column = _nearest_change(run, changes)
    return (
        f"{name} is not invariant: {images} keep their class at {all_shifts}{passes}; image {image} changes at "
        f"{format_shift(shift)}: class {classes[image, 0]} → {classes[image, column]}."
    )


def _nearest_change(run: Run, changes: np.ndarray) -> tuple[tuple[float | int, float | int], int, int]:
    """The smallest shift that changes an image's class: (dy, dx), the image, and the column of its predictions."""
    shifts = np.array([run.by_shift.dy, run.by_shift.dx]).T
    columns = np.flatnonzero(changes.any(axis=0))
    nearest = min(columns, key=lambda column: (np.abs(shifts[column - 1]).max(), np.abs(shifts[column - 1]).sum()))
    dy, dx = shifts[nearest - 1].tolist()
    return (dy, dx), int(np.flatnonzero(changes[:, nearest])[0]), int(nearest)


def _is_informed(row: ModelRuns) -> bool:
    """Whether agreement says something: kappa is 0 for a network that gives one class to every image."""
    kappa = seed_mean(row.runs, "kappa")
    return kappa is not None and kappa.value > 0


def _tested(row: ModelRuns) -> str:
    run = row.runs[0]
    return f"{run.dataset.n:,} images × {run.protocol.count:,} shifts"


def _options(row: ModelRuns) -> dict[str, str]:
    run = row.runs[0]
    augment = str(run.training.recipe.get("augment", "none"))
    return run.options | ({} if augment == "none" else {"augment": augment})


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """`key=value` where exactly one option was set; a pooling layer's own (blur=5 of pool=blur) rides along."""
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    riders = {key for key in changed if key == after.get("pool")}
    changed -= riders
    if len(changed) != 1 or not changed <= after.keys():
        return None
    return ",".join(f"{key}={after[key]}" for key in (*changed, *riders))


def _without_augment(other: ModelRuns, row: ModelRuns) -> bool:
    mine, theirs = _options(row), _options(other)
    mine.pop("augment", None)
    return other is not row and mine == theirs and other.runs[0].family == row.runs[0].family


def _at(row: ModelRuns, index: int) -> str:
    return percent(float(np.mean([run.by_radius.accuracy[index] for run in row.runs])))
