"""Limits on the size and the classes of a split, whatever its source."""

from __future__ import annotations

from collections.abc import Sequence

from cnnshift.errors import InputError

MAX_BYTES = 2**30
"""Of the images of a split in memory."""

MAX_SIDE = 4096
"""Of a resized image, with its context."""

MAX_CLASSES = 100_000

MAX_IMAGES = 2**26
"""Of a split, before a limit is applied."""


def check_memory(source: str, shape: tuple[int, int, int, int], itemsize: int = 1) -> None:
    """Check the size of images [n h w c], with `itemsize` bytes per value, before memory is allocated.

    Raises:
        InputError: they need more than `MAX_BYTES`; the message names their source.
    """
    count, height, width, channels = shape
    size = count * height * width * channels * itemsize
    if size > MAX_BYTES:
        raise InputError(
            f"{source}: {count:,} images of {height}×{width}×{channels} take {size / 2**30:.1f} GiB; allowed: at most "
            f"{MAX_BYTES / 2**30:.0f} GiB. Set a limit or use smaller images."
        )


def check_classes(source: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the class names, after checking their number and that they are distinct.

    Raises:
        InputError: fewer than 2 or more than `MAX_CLASSES` names, or a duplicate.
    """
    if not 2 <= len(names) <= MAX_CLASSES:
        found = f"one class ({names[0]})" if len(names) == 1 else f"{len(names):,} classes"
        raise InputError(f"{source} has {found}; allowed: 2 to {MAX_CLASSES:,}.")
    if len(set(names)) < len(names):
        duplicate = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(f"{source} names the class '{duplicate}' twice; allowed: distinct names.")
    return tuple(names)
