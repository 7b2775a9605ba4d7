"""What the images of a split must not exceed, and their classes must fulfil, whatever source they come from."""

from __future__ import annotations

from collections.abc import Sequence

from cnnshift.data.base import MAX_BYTES
from cnnshift.errors import InputError

MAX_SIDE = 4096
"""Of an image that is resized, with its context."""

MAX_CLASSES = 100_000

MAX_IMAGES = 2**26
"""Of a split, whatever a limit then takes of them."""


def check_bytes(where: str, shape: tuple[int, int, int, int], itemsize: int = 1) -> None:
    """Refuse images that do not fit, before memory is asked for.

    Args:
        where: whose images they are, for the message.
        shape: (n, height, width, channels).
        itemsize: bytes of a number.

    Raises:
        InputError: they take more than `MAX_BYTES`.
    """
    count, height, width, channels = shape
    size = count * height * width * channels * itemsize
    if size > MAX_BYTES:
        raise InputError(
            f"{where}: {count:,} images of {height}×{width}×{channels} take {size / 2**30:.1f} GiB; allowed: at most "
            f"{MAX_BYTES / 2**30:.0f} GiB, so take fewer of them (a limit), or smaller ones."
        )


def check_classes(where: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names of classes, of which there must be two at least.

    Raises:
        InputError: fewer, more than anybody has, or one name twice.
    """
    if not 2 <= len(names) <= MAX_CLASSES:
        found = f"one class ({names[0]})" if len(names) == 1 else f"{len(names):,} classes"
        raise InputError(f"{where} has {found}; allowed: 2 to {MAX_CLASSES:,}.")
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(f"{where} names the class '{twice}' twice; allowed: distinct names.")
    return tuple(names)
