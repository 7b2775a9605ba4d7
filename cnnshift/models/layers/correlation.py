"""Cross-correlation, in the formulation that is fastest for the device and the shapes.

    y[n, i, j, o] = Σ_{a, b, c} x[n, s·i + a − top, s·j + b − left, c] · k[a, b, c, o]

with zeros or circular borders outside the map. On an accelerator it is `lax.conv_general_dilated`. On a CPU the choice
depends on static shapes only, and the results agree up to the rounding of a sum:

- few channels: a sum of shifted maps. XLA's convolution packs patches, which then takes longer than the arithmetic
  (1 → 8 channels, 32×32, one core: 52 µs per image against 2 µs).
- up to 16 channels: neighbouring pixels of a row become one pixel with more channels, because the fast kernels of XLA
  need more than 16; the kernel then contains zeros (8 → 16 channels, 16×16: 15 µs against 9 µs).
- otherwise XLA's convolution.

All output pixels are summed in the same order, so that a circular convolution commutes bitwise with circular shifts.
The derivative uses the fastest formulation for each of its parts, in forward mode too.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from cnnshift.models.layers.padding import NO_MARGINS, Margins, pad_margins, pad_zeros
from cnnshift.models.layers.xla import jit_noinline, runs_on_cpu

FAST_CHANNELS = 16
"""XLA's convolution is fast on a CPU above this number of input or output channels."""

Formulation = Callable[[Array, Array, Margins, int], Array]


def correlate(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "a b c o"],
    *,
    margins: Margins,
    wrap: bool = False,
    stride: int = 1,
) -> Float[Array, "n H W o"]:
    """Compute the cross-correlation y of the module; with `wrap`, the padding is circular instead of zero."""
    return _correlate(x, kernel, margins, wrap, stride)


def _tangent(margins: Margins, wrap: bool, stride: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    y = _correlate(x, kernel, margins, wrap, stride)
    change = jnp.zeros_like(y)
    # Skip symbolic zeros, such as the tangent of the images in a training step.
    if not isinstance(x_tangent, SymbolicZero):
        change = change + _linear_in_x(x_tangent, kernel, margins, wrap, stride, y)
    if not isinstance(kernel_tangent, SymbolicZero):
        # Inlined: XLA rewrites the gradient of a kernel into a fast convolution in the main program only.
        formulation = _lax_convolution_for_kernel if runs_on_cpu() else lax_convolution
        change = change + _run(formulation, x, kernel_tangent, margins, wrap, stride)
    return y, change


def _linear_in_x(x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int, y: Array) -> Array:
    """Compute the correlation as the transpose of its gradient, which then runs in the fastest formulation."""
    if stride != 1:
        return _run(lax_convolution, x, kernel, margins, wrap, stride)
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    reach = kernel.shape[0] - 1, kernel.shape[1] - 1
    (top, bottom), (left, right) = margins
    back = ((reach[0] - top, reach[0] - bottom), (reach[1] - left, reach[1] - right))
    (transposed,) = jax.linear_transpose(lambda gradient: _fastest(gradient, flipped, back, wrap, 1), y)(x)
    return transposed


def _fastest(x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int) -> Array:
    return _run_noinline(_formulation(kernel.shape, stride), x, kernel, margins, wrap, stride)


_correlate = jax.custom_jvp(_fastest, nondiff_argnums=(2, 3, 4))
_correlate.defjvp(_tangent, symbolic_zeros=True)


def _formulation(kernel: tuple[int, ...], stride: int) -> Formulation:
    height, width, inputs, outputs = kernel
    if not runs_on_cpu():
        return lax_convolution
    if height * width * inputs <= 36 and height * width * inputs * outputs <= 320:
        return shifted_sum
    pixels = 1 if stride > 1 else _pixels_per_block(inputs, outputs)
    return _blocked_rows(pixels) if pixels > 1 else lax_convolution_on_cpu


def lax_convolution(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """Compute the correlation with XLA's convolution."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), margins, dimension_numbers=layout)


def lax_convolution_on_cpu(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """Compute the correlation with XLA's convolution and its padding, which is up to twice as fast on a CPU."""
    if stride == 1 and margins == NO_MARGINS and kernel.shape[2] >= FAST_CHANNELS:
        return _with_extra_row(x, kernel)
    return lax_convolution(x, kernel, margins, stride)


def _lax_convolution_for_kernel(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    height, width, inputs, _ = kernel.shape
    if stride == 1 and inputs == 1 and height * width <= 9:
        return im2col(x, kernel, margins, stride)
    keeps_size = (sum(margins[0]), sum(margins[1])) == (height - 1, width - 1)
    if stride == 1 and not keeps_size:
        return _with_extra_row(pad_zeros(x, margins), kernel)
    return lax_convolution(x, kernel, margins, stride)


def _with_extra_row(x: Array, kernel: Array) -> Array:
    return lax_convolution(x, kernel, ((1, 0), (0, 0)), 1)[:, 1:]


def shifted_sum(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """Sum, over the kernel's entries, a shifted view of the maps times the output weights of the entry."""
    x = pad_zeros(x, margins)
    height, width = ((x.shape[i + 1] - kernel.shape[i]) // stride + 1 for i in (0, 1))
    count, inputs = x.shape[0], kernel.shape[2]

    def view(a: int, b: int, c: int) -> Array:
        end = (count, a + (height - 1) * stride + 1, b + (width - 1) * stride + 1, c + 1)
        return lax.slice(x, (0, a, b, c), end, (1, stride, stride, 1))

    entries = [(a, b, c) for a in range(kernel.shape[0]) for b in range(kernel.shape[1]) for c in range(inputs)]
    return functools.reduce(operator.add, (view(*entry) * kernel[entry][None, None, None] for entry in entries))


def blocked_rows(x: Array, kernel: Array, margins: Margins, stride: int, *, pixels: int) -> Array:
    """Compute the correlation (stride 1) with `pixels` neighbours of a row as one pixel with more channels."""
    height, width, inputs, outputs = kernel.shape
    (top, bottom), (left, right) = margins
    count, rows, columns, _ = x.shape
    out = columns + left + right - width + 1
    out_blocks, span = -(-out // pixels), -(-(pixels + width - 1) // pixels)
    x = pad_zeros(x, ((0, 0), (left, (out_blocks + span - 1) * pixels - columns - left)))
    x = x.reshape(count, rows, out_blocks + span - 1, pixels * inputs)
    blocked = _banded_kernel(kernel, pixels, span * pixels).reshape(height, span, pixels * inputs, pixels * outputs)
    y = lax_convolution_on_cpu(x, blocked, ((top, bottom), (0, 0)), stride)
    return y.reshape(count, y.shape[1], out_blocks * pixels, outputs)[:, :, :out]


def im2col(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """Compute the correlation (stride 1) of one-channel maps: a matrix of shifted views times the kernel.

    The gradient of the kernel is then a matrix product without a transposition of the maps.
    """
    height, width, _, outputs = kernel.shape
    x = pad_zeros(x, margins)[..., 0]
    count, rows, columns = x.shape[0], x.shape[1] - height + 1, x.shape[2] - width + 1
    pixels = next(pixels for pixels in ((4, 2, 1) if outputs <= 8 else (2, 1)) if columns % pixels == 0)
    span = pixels + width - 1
    views = [
        lax.slice(x, (0, a, b), (count, a + rows, b + columns - pixels + 1), (1, 1, pixels))
        for a in range(height)
        for b in range(span)
    ]
    matrix = _banded_kernel(kernel, pixels, span).reshape(height * span, pixels * outputs)
    product = lax.dot_general(jnp.stack(views).reshape(height * span, -1), matrix, (((0,), (0,)), ((), ())))
    return product.reshape(count, rows, columns, outputs)


def _banded_kernel(kernel: Array, pixels: int, span: int) -> Array:
    """Return the kernel of `pixels` neighbouring output pixels on `span` input pixels.

    [a, q, c, p, o] = k[a, q − p, c, o], zero outside the kernel.
    """
    free = span - kernel.shape[1]
    shifted = [
        lax.pad(kernel, jnp.zeros((), kernel.dtype), ((0, 0, 0), (p, free - p, 0), (0, 0, 0), (0, 0, 0)))
        for p in range(pixels)
    ]
    return jnp.stack(shifted, axis=3)


# Cached, because `jit` compiles again for another static argument.
@functools.cache
def _blocked_rows(pixels: int) -> Formulation:
    return functools.partial(blocked_rows, pixels=pixels)


def _pixels_per_block(inputs: int, outputs: int) -> int:
    """Return how many pixels to combine for more than `FAST_CHANNELS` channels; odd input channels are slow too."""
    odd = inputs < FAST_CHANNELS and inputs % 2 == 1 and outputs % 8 == 0
    pixels = 1
    while pixels * max(inputs, outputs) <= FAST_CHANNELS or (odd and pixels == 1):
        pixels *= 2
    return pixels


def _run(formulation: Formulation, x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int) -> Array:
    if wrap:
        # Without the barrier, XLA fuses the padded rows into the sum with different instructions and rounding, and the
        # layer no longer commutes bitwise with circular shifts.
        x, margins = lax.optimization_barrier(pad_margins(x, margins, "circular")), NO_MARGINS
    return formulation(x, kernel, margins, stride)


_run_noinline = jit_noinline(_run, static_argnums=(0, 3, 4, 5))
