"""The interface of a shift protocol: translate images by a traced shift inside a compiled sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Inexact, Int, Real

from cnnshift.errors import InputError


@dataclass(frozen=True)
class ShiftProtocol(ABC):
    """Translates images: (T_d x)[i, j] = x[i - dy, j - dx]; positive shifts move the content down and right.

    `prepare` does once per batch what does not depend on the shift; `move` runs for every shift.

    Attributes:
        size: (H, W) of the window, the part of the image that a model receives.
        reach: largest |d|∞ of the shifts, rounded up to whole pixels.
        context: pixels of the source images around the window on each side.
        background: value of an empty pixel, one per channel.

    Class attributes:
        name: name on the command line.
        version: changes when the protocol gives other pixels, which makes older results incomparable.
        wraps: whether the boundary is periodic.
        fractional: whether it supports shifts by fractions of a pixel.

    Raises:
        InputError: `reach` exceeds `limit()`.
    """

    size: tuple[int, int]
    reach: int
    context: int = 0
    background: tuple[float, ...] = (0.0,)

    name: ClassVar[str]
    version: ClassVar[int] = 1
    wraps: ClassVar[bool] = False
    fractional: ClassVar[bool] = False

    def __post_init__(self) -> None:
        limit = self.limit()
        if self.reach > limit:
            raise InputError(
                f"max-shift is {self.reach} for the protocol '{self.name}' on {self.size[0]}×{self.size[1]} images; "
                f"allowed: at most {limit}."
            )

    def limit(self) -> int:
        """Return the largest supported |d|∞: one pixel less than the shorter side.

        With a periodic boundary, shifts are reduced modulo each side, and the limit is one less than the longer side.
        """
        return (max if self.wraps else min)(self.size) - 1

    @abstractmethod
    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Inexact[Array, "n H W c"]:
        """Compute what does not depend on the shift: windows padded by `reach` pixels on each side, or a spectrum.

        Args:
            sources: the windows with `context` pixels on each side.
        """

    def move(self, prepared: Inexact[Array, "n H W c"], d: Real[Array, 2]) -> Float[Array, "n h w c"]:
        """Translate every image of a prepared batch by one shift, |d|∞ ≤ reach, which may be traced."""
        return slice_window(prepared, (self.reach - d[0], self.reach - d[1]), self.size)

    def move_each(self, prepared: Inexact[Array, "n H W c"], d: Real[Array, "n 2"]) -> Float[Array, "n h w c"]:
        """Translate every image of a prepared batch by a different shift."""
        return jax.vmap(lambda image, shift: self.move(image[None], shift)[0])(prepared, d)

    def shift(self, sources: Float[Array, "n Hs Ws c"], d: Real[Array, 2]) -> Float[Array, "n h w c"]:
        """Prepare and translate source images by one shift."""
        return self.move(self.prepare(sources), d)

    def window(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n h w c"]:
        """Return the unshifted windows: the source images without their context."""
        height, width = self.size
        return sources[:, self.context : self.context + height, self.context : self.context + width, :]

    def energy_loss(
        self, windows: Float[np.ndarray, "n h w c"], shifts: Real[np.ndarray, "s 2"]
    ) -> Float[np.ndarray, "n s"]:
        """Return the fraction of the foreground energy Σ (x - background)² that leaves the window.

        It is 0 for a periodic protocol and for an image that is all background.
        """
        count = len(windows)
        if self.wraps:
            return np.zeros((count, len(shifts)))
        height, width = self.size
        energy = ((windows.astype(np.float64) - np.asarray(self.background)) ** 2).sum(axis=-1)
        # Summed-area table: the energy of any rectangle is a sum of four entries.
        table = np.zeros((count, height + 1, width + 1))
        table[:, 1:, 1:] = energy.cumsum(axis=1).cumsum(axis=2)
        top, left = np.maximum(0, -shifts).T
        bottom, right = (np.array([height, width]) - np.maximum(0, shifts)).T
        remaining = table[:, bottom, right] - table[:, top, right] - table[:, bottom, left] + table[:, top, left]
        total = table[:, -1, -1][:, None]
        return np.where(total > 0, 1 - remaining / np.where(total > 0, total, 1), 0.0).clip(0, 1)


def slice_window(
    images: Inexact[Array, "n H W c"], corner: tuple[Int[Array, ""], Int[Array, ""]], size: tuple[int, int]
) -> Inexact[Array, "n h w c"]:
    """Return the window of a given size at an upper left corner, which may be traced."""
    zero = jnp.zeros((), corner[0].dtype)
    return lax.dynamic_slice(images, (zero, *corner, zero), (images.shape[0], *size, images.shape[3]))


def pad_borders(
    images: Float[Array, "n h w c"], width: int, mode: Literal["wrap", "reflect", "edge"]
) -> Float[Array, "n H W c"]:
    """Pad the two image axes by `width` pixels on each side."""
    return jnp.pad(images, ((0, 0), (width, width), (width, width), (0, 0)), mode=mode)
