"""MNIST-C `translate` (Mu & Gilmer 2019): 3 pixels down and right, bilinear, zeros enter.

An independent check of the shift operator against scipy's spline interpolation of order 1, and the accuracy of networks
under this shift. Bilinear interpolation is exact at whole pixels, so that the images must be equal.
"""

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from benchmarks.reproductions.bench import bench, show
from cnnshift.data.base import create_dataset
from cnnshift.data.split import to_unit_range
from cnnshift.shifts.bilinear import Bilinear
from cnnshift.shifts.zero import Zero
from cnnshift.spec import DatasetSpec


def main() -> None:
    split = create_dataset(DatasetSpec.parse("mnist5k")).load("test")
    images = to_unit_range(split.windows)
    published = ndimage.shift(images, (0, 3, 3, 0), order=1, mode="constant", cval=0.0)
    zero = Zero(split.size, reach=3, background=split.background)
    ours = np.asarray(zero.move(zero.prepare(images), jnp.array([3, 3])))
    print(f"  whole pixels: {len(images)} images, largest difference {np.abs(ours - published).max():.1e}")
    circular = Bilinear(split.size, reach=4)
    third = np.asarray(circular.move(circular.prepare(images), jnp.array([10 / 3, 1 / 3])))
    wrapped = ndimage.shift(images, (0, 10 / 3, 1 / 3, 0), order=1, mode="grid-wrap")
    print(f"  thirds of a pixel, circular: largest difference {np.abs(third - wrapped).max():.1e}")
    show(bench("mlp", "cnn", "cnn:augment=shift4", "cnn:head=gap", "--protocol", "zero", "--shifts", "diagonal",
               "--max-shift", "3", "--step", "3"), ["accuracy", "shifted_accuracy"])  # fmt: skip


if __name__ == "__main__":
    main()
