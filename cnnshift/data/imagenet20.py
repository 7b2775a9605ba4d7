"""Data set `imagenet20`: twenty labelled photographs of ImageNet, to try networks on that were trained on it.

The package foolbox (Rauber et al. 2017) ships them as examples, 512 pixels and more on the shorter side. They are read
where that package keeps them, and never copied. Twenty images tell whether a network is prepared as it should be and
how its answers move with the image; they do not tell its accuracy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pydantic
from jaxtyping import UInt8

from cnnshift.data.base import DatasetOptions, check_split
from cnnshift.data.imagenet_classes import imagenet_classes
from cnnshift.data.package_files import damaged, package_file
from cnnshift.data.split import Split

PACKAGE = "foolbox"

# Their labels, in the order of the files' numbers.
LABELS = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)

# SHA-256 over all files in that order: they are part of the version.
DIGEST = "d625818dacf79cc40ced71ff12f1d4955c3d2655ae4b047b3c93b1819cb8f3fe"

# The mean colour of the training set, which networks for it are centred on.
BACKGROUND = (0.485, 0.456, 0.406)


class PhotographOptions(DatasetOptions):
    """Side of what a network sees, and the pixels around it, on each side."""

    size: Annotated[int, pydantic.Field(ge=32, le=384)] = 224
    context: Annotated[int, pydantic.Field(ge=0, le=64)] = 16


AS_USUAL = PhotographOptions()


class Imagenet20:
    """The photographs, shrunk and cut so that real pixels lie around what a network sees.

    The shorter side becomes `size` + 2 `context` pixels (bicubic, over all pixels that a new one covers), and the
    square in the middle is kept: a window of `size`, with `context` pixels around it for the protocol `crop`. With the
    default that is 224 of 256 pixels, what networks at that resolution are usually evaluated on.

    The background value, which enters under the protocol `zero`, is the mean colour of ImageNet.
    """

    name: ClassVar[str] = "imagenet20"
    version: ClassVar[str] = "1.0.0"
    licence: ClassVar[str] = "that of the photographs' owners; foolbox (MIT) ships them, cnnshift does not"
    citation: ClassVar[str] = (
        "O. Russakovsky et al., ImageNet large scale visual recognition challenge, IJCV 115, 2015; "
        "photographs chosen by J. Rauber et al., Foolbox, 2017"
    )
    options_type: ClassVar[type[DatasetOptions]] = PhotographOptions
    splits: ClassVar[tuple[str, ...]] = ("test",)

    def __init__(self, options: PhotographOptions = AS_USUAL) -> None:
        self.size, self.context = options.size, options.context

    def load(self, split: str) -> Split:
        """The photographs, which are the split `test`; there is no other.

        Raises:
            InputError: another split, or the package foolbox is missing or ships other files.
        """
        check_split(self.name, split, self.splits)
        side = self.size + 2 * self.context
        return Split(
            images=np.stack([_square(path, side) for path in _files()]),
            labels=np.array(LABELS, np.int32),
            classes=imagenet_classes(),
            background=BACKGROUND,
            context=self.context,
        )


def _files() -> list[Path]:
    """The files, checked."""
    needed_by = f"The data set '{Imagenet20.name}'"
    names = [f"imagenet_{number:02}_{label}.jpg" for number, label in enumerate(LABELS)]
    paths = [package_file(PACKAGE, "data", name, needed_by=needed_by) for name in names]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    if digest.hexdigest() != DIGEST:
        raise damaged(paths[0].parent)
    return paths


def _square(path: Path, side: int) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """The middle of a photograph whose shorter side becomes `side` pixels.

    Not `photographs.square`: here the longer side is rounded to whole pixels before it is cut, which pixels depend on.
    """
    # Imported here: listing the data sets needs no pictures.
    from PIL import Image

    with Image.open(path) as photograph:
        width, height = photograph.size
        scale = side / min(width, height)
        size = (round(width * scale), round(height * scale))
        small = np.asarray(photograph.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    top, left = (small.shape[0] - side) // 2, (small.shape[1] - side) // 2
    return small[top : top + side, left : left + side]
