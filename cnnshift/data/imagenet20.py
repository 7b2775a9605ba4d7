"""Data set `imagenet20`: twenty labelled photographs of ImageNet, for models that were trained on it."""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
from jaxtyping import UInt8

from cnnshift.data.base import Dataset, DatasetOptions
from cnnshift.data.package_files import damaged_file, package_file
from cnnshift.data.split import Split

PACKAGE = "foolbox"

# In the order of the numbers in the file names.
LABELS = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)

# SHA-256 over all files in that order. Other files need another version.
DIGEST = "d625818dacf79cc40ced71ff12f1d4955c3d2655ae4b047b3c93b1819cb8f3fe"

# Mean colour of the ImageNet training set.
BACKGROUND = (0.485, 0.456, 0.406)


class Imagenet20Options(DatasetOptions):
    """Options of `Imagenet20`.

    Attributes:
        size: side of the window in pixels.
        context: pixels of the photographs around the window on each side.
    """

    size: Annotated[int, pydantic.Field(ge=32, le=384)] = 224
    context: Annotated[int, pydantic.Field(ge=0, le=64)] = 16


class Imagenet20(Dataset[Imagenet20Options]):
    """Twenty photographs, resized and centre-cropped so that real pixels surround the window.

    They show how predictions change under shifts and whether the preprocessing of a model is right; twenty images are
    too few to measure accuracy.

    - Images: the package foolbox (Rauber et al. 2017) contains them, with 512 pixels and more on the shorter side; they
      are read from there and never copied. The shorter side is resized to `size` + 2 `context` pixels (bicubic, with
      antialiasing) and the central square is kept: by default the usual 224×224 window of 256×256 pixels.
    - Classes: the 1,000 of ImageNet-1k. Splits: test 20. Size: 224×224 by default, 3 channels; background: the mean
      colour of ImageNet.
    - Fingerprint with the default options: test 73afcded118d….
    """

    name = "imagenet20"
    version = "1.0.0"
    licence = "that of the photographs' owners; foolbox (MIT) ships them, cnnshift does not"
    citation = (
        "O. Russakovsky et al., ImageNet large scale visual recognition challenge, IJCV 115, 2015; "
        "photographs chosen by J. Rauber et al., Foolbox, 2017"
    )
    options_type = Imagenet20Options
    splits = ("test",)

    def _load(self, split: str, limit: int | None) -> Split:
        side = self.options.size + 2 * self.options.context
        return Split(
            images=np.stack([_load_square(path, side) for path in _find_files()]),
            labels=np.array(LABELS, np.int32),
            classes=imagenet_classes(),
            background=BACKGROUND,
            context=self.options.context,
        )


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the distinct names of the 1,000 classes of ImageNet-1k (Russakovsky et al. 2015), in label order.

    That is the order of the synset identifiers. A name is the synset's first lemma in WordNet 3.0 (Princeton
    University), with an addition where two synsets share it, as `crane (bird)` and `crane (machine)`.
    """
    text = resources.files("cnnshift.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def _find_files() -> list[Path]:
    """Find the files and verify their digest."""
    needed_by = f"The data set '{Imagenet20.name}'"
    names = [f"imagenet_{number:02}_{label}.jpg" for number, label in enumerate(LABELS)]
    paths = [package_file(PACKAGE, "data", name, needed_by=needed_by) for name in names]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    if digest.hexdigest() != DIGEST:
        raise damaged_file(paths[0].parent)
    return paths


def _load_square(path: Path, side: int) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """Resize the shorter side to `side` pixels and crop the central square.

    Unlike `image_files.resize_and_crop`, this rounds the longer side to whole pixels before the crop. The fingerprint
    depends on it.
    """
    from PIL import Image

    with Image.open(path) as photograph:
        width, height = photograph.size
        scale = side / min(width, height)
        size = (round(width * scale), round(height * scale))
        resized = np.asarray(photograph.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    top, left = (resized.shape[0] - side) // 2, (resized.shape[1] - side) // 2
    return resized[top : top + side, left : left + side]
