"""The sampling grid and the bilinear sampler of a spatial transformer (Jaderberg et al. 2015, sections 3.2 and 3.3)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def affine_grid(theta: Float[Array, "n 2 3"], size: tuple[int, int]) -> Float[Array, "n h w 2"]:
    """Return the input position of every output pixel, equation (1): (x, y)ₛ = θ (x, y, 1)ₜ.

    θ is ((a, b, t_x), (c, d, t_y)) per image; input and output have the same size (H, W). The coordinates of the
    equation run from −1 to 1 between the centres of the first and the last column, and likewise for rows. The result is
    (row, column) in pixels. The identity gives whole pixels exactly.
    """
    middle_y, middle_x = ((side - 1) / 2 for side in size)
    # In pixels from the middle, which are exact, rather than from −1 to 1, which are not.
    y, x = (jnp.arange(side) - (side - 1) / 2 for side in size)
    y, x = y[None, :, None], x[None, None, :]
    (a, b, tx), (c, d, ty) = ([theta[:, i, j][:, None, None] for j in range(3)] for i in range(2))
    # An axis of one pixel has the coordinate 0 only, so that any unit will do.
    per_row, per_column = middle_x / (middle_y or 1), middle_y / (middle_x or 1)
    columns = middle_x + (a * x + b * per_row * y + middle_x * tx)
    rows = middle_y + (c * per_column * x + d * y + middle_y * ty)
    return jnp.stack([rows, columns], axis=-1)


def grid_sample(images: Float[Array, "n h w c"], grid: Float[Array, "n H W 2"]) -> Float[Array, "n H W c"]:
    """Return V[i, j] = Σ_{r, q} U[r, q] max(0, 1 − |y_ij − r|) max(0, 1 − |x_ij − q|), equation (5).

    U are the images, 0 outside; the grid holds (y, x) of every output pixel in input pixels. V is differentiable with
    respect to both. At whole coordinates, where V has a kink, the derivative is the right-hand one, U[m + 1] − U[m]
    along each axis (equation (7) gives U[m], which is not a one-sided derivative of V). More than a pixel outside the
    image it is 0.
    """
    height, width = images.shape[1:3]
    # Zeros, one row and column before and two after, cover all clipped coordinates.
    padded = jnp.pad(images, ((0, 0), (1, 2), (1, 2), (0, 0)))
    y, x = jnp.clip(grid[..., 0], -1, height), jnp.clip(grid[..., 1], -1, width)
    row, column = jnp.floor(y), jnp.floor(x)
    down, right = (y - row)[..., None], (x - column)[..., None]
    first = (row.astype(jnp.int32) + 1) * (width + 3) + column.astype(jnp.int32) + 1
    flat = padded.reshape(images.shape[0], -1, images.shape[3])
    pixels = jax.vmap(lambda image, index: jnp.take(image, index, axis=0))

    def corner(dy: int, dx: int) -> Array:
        return pixels(flat, first + dy * (width + 3) + dx)

    top = (1 - right) * corner(0, 0) + right * corner(0, 1)
    bottom = (1 - right) * corner(1, 0) + right * corner(1, 1)
    return (1 - down) * top + down * bottom
