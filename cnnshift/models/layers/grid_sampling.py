"""The grid and the bilinear sampler of a spatial transformer (Jaderberg et al. 2015, sections 3.2 and 3.3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def affine_grid(theta: Float[Array, "n 2 3"], size: tuple[int, int]) -> Float[Array, "n h w 2"]:
    """Where every pixel of the output looks in the input, equation (1): (x, y)ₛ = θ (x, y, 1)ₜ.

    The equation's coordinates go from −1 to 1, x from the centre of the first column to that of the last and y likewise
    over the rows; what is returned is (row, column) in pixels. The identity gives whole pixels exactly.

    Args:
        theta: per image ((a, b, t_x), (c, d, t_y)).
        size: (H, W) of both input and output.
    """
    middle_y, middle_x = ((side - 1) / 2 for side in size)
    # In pixels from the middle, which are exact, rather than from −1 to 1, which are not.
    y, x = (jnp.arange(side) - (side - 1) / 2 for side in size)
    y, x = y[None, :, None], x[None, None, :]
    (a, b, tx), (c, d, ty) = ([theta[:, i, j][:, None, None] for j in range(3)] for i in range(2))
    # Of an axis with one pixel the only coordinate is its middle, and no unit is needed.
    per_row, per_column = middle_x / (middle_y or 1), middle_y / (middle_x or 1)
    columns = middle_x + (a * x + b * per_row * y + middle_x * tx)
    rows = middle_y + (c * per_column * x + d * y + middle_y * ty)
    return jnp.stack([rows, columns], axis=-1)


def grid_sample(images: Float[Array, "n h w c"], grid: Float[Array, "n H W 2"]) -> Float[Array, "n H W c"]:
    """V[i, j] = Σ_{r, q} U[r, q] max(0, 1 − |y_ij − r|) max(0, 1 − |x_ij − q|): equation (5).

    Outside the image U is 0. Differentiable in the images and in the grid; at whole coordinates, where V has a kink,
    the derivative is that towards larger ones, U[m + 1] − U[m] along each axis (equation (7) as it stands would be U[m]
    there, which is no derivative of V on either side). More than a pixel outside of the image it is 0.

    Args:
        images: U.
        grid: (y, x) of every output pixel, in pixels of the input.
    """
    height, width = images.shape[1:3]
    # One row and column of zeros before and two behind hold whatever a clipped coordinate asks for.
    padded = jnp.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    y, x = jnp.clip(grid[..., 0], -1, height), jnp.clip(grid[..., 1], -1, width)
    row, column = jnp.floor(y), jnp.floor(x)
    down, right = (y - row)[..., None], (x - column)[..., None]
    first = (row.astype(jnp.int32) + 1) * (width + 3) + column.astype(jnp.int32) + 1
    flat = padded.reshape(images.shape[0], -1, images.shape[3])
    pixels = jax.vmap(lambda image, index: jnp.take(image, index, axis=0))

    def corner(below: int, beside: int) -> Array:
        return pixels(flat, first + below * (width + 3) + beside)

    above = (1 - right) * corner(0, 0) + right * corner(0, 1)
    beneath = (1 - right) * corner(1, 0) + right * corner(1, 1)
    return (1 - down) * above + down * beneath
