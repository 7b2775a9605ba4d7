"""What a protocol is: a way to move images by a traced shift, inside a compiled sweep."""

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
    """Moves images: (T_d x)[i, j] = x[i − dy, j − dx], positive = down and right.

    Work that does not depend on the shift is done once per batch by `prepare`; `move` is what a sweep repeats.

    Attributes:
        size: (H, W) that the model sees.
        reach: largest |d|∞ that will be asked for, in pixels; rounded up where it is a fraction.
        context: real pixels around the window on each side of the source images.
        background: value of an empty pixel, one per channel.

    Class attributes:
        name: as on the command line.
        version: bump it when the protocol moves images differently: old numbers are then no longer comparable.
        wraps: whether the image is a torus.
        fractional: whether it moves by fractions of a pixel.
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
        """Largest |d|∞ that this protocol can serve: by default one pixel less than the smaller side.

        On the torus it is one less than the longer side: there shifts are taken modulo each side anyway.
        """
        return (max if self.wraps else min)(self.size) - 1

    @abstractmethod
    def extend(self, windows: Float[Array, "n h w c"]) -> Float[Array, "n H W c"]:
        """Surround the windows with `reach` pixels on each side: what will enter when they move."""

    def prepare(self, sources: Float[Array, "n Hs Ws c"]) -> Inexact[Array, "n H W c"]:
        """Everything that does not depend on the shift: pixels, or a spectrum.

        Args:
            sources: the windows with `context` pixels on each side.
        """
        return self.extend(self.window(sources))

    def move(self, prepared: Inexact[Array, "n H W c"], d: Real[Array, 2]) -> Float[Array, "n h w c"]:
        """T_d of every image of a prepared batch; `d` may be traced, |d|∞ ≤ reach."""
        return cut(prepared, (self.reach - d[0], self.reach - d[1]), self.size)

    def move_each(self, prepared: Inexact[Array, "n H W c"], d: Real[Array, "n 2"]) -> Float[Array, "n h w c"]:
        """T_d with a shift of its own for every image."""
        return jax.vmap(lambda image, shift: self.move(image[None], shift)[0])(prepared, d)

    def shift(self, sources: Float[Array, "n Hs Ws c"], d: Real[Array, 2]) -> Float[Array, "n h w c"]:
        """`prepare` and `move` in one."""
        return self.move(self.prepare(sources), d)

    def window(self, sources: Float[Array, "n Hs Ws c"]) -> Float[Array, "n h w c"]:
        """What the model sees at d = 0: the source images without their context."""
        height, width = self.size
        return sources[:, self.context : self.context + height, self.context : self.context + width, :]

    def loss(self, windows: Float[np.ndarray, "n h w c"], shifts: Real[np.ndarray, "s 2"]) -> Float[np.ndarray, "n s"]:
        """Fraction of the foreground energy Σ (x − background)² that leaves the window.

        0 for a protocol that wraps, and for an image that is all background.
        """
        count = len(windows)
        if self.wraps:
            return np.zeros((count, len(shifts)))
        height, width = self.size
        energy = ((windows.astype(np.float64) - np.asarray(self.background)) ** 2).sum(axis=-1)
        table = np.zeros((count, height + 1, width + 1))
        table[:, 1:, 1:] = energy.cumsum(axis=1).cumsum(axis=2)
        top, left = np.maximum(0, -shifts).T
        bottom, right = (np.array([height, width]) - np.maximum(0, shifts)).T
        kept = table[:, bottom, right] - table[:, top, right] - table[:, bottom, left] + table[:, top, left]
        total = table[:, -1, -1][:, None]
        return np.where(total > 0, 1 - kept / np.where(total > 0, total, 1), 0.0).clip(0, 1)


def cut(
    images: Inexact[Array, "n H W c"], corner: tuple[Int[Array, ""], Int[Array, ""]], size: tuple[int, int]
) -> Inexact[Array, "n h w c"]:
    """A window of the images; where its upper left corner lies may be traced."""
    zero = jnp.zeros((), corner[0].dtype)
    return lax.dynamic_slice(images, (zero, *corner, zero), (images.shape[0], *size, images.shape[3]))


def pad(
    images: Float[Array, "n h w c"], width: int, mode: Literal["wrap", "reflect", "edge"]
) -> Float[Array, "n H W c"]:
    """Pad the two image axes by `width` pixels on each side."""
    return jnp.pad(images, ((0, 0), (width, width), (width, width), (0, 0)), mode=mode)
