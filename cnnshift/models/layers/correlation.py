"""The arithmetic of a convolution: one definition, and the formulation that is fastest where it runs.

    y[n, i, j, o] = Σ_{a, b, c} x[n, s·i + a − top, s·j + b − left, c] · k[a, b, c, o]

with zeros (or the map again, if it wraps around) outside the map: a cross-correlation, as in every deep-learning
library. On an accelerator it is `lax.conv_general_dilated`. On a CPU the choice depends on static shapes alone, and
results agree up to the rounding of a sum:

- few channels: a sum of shifted multiples. The convolution library packs patches, which then costs more than the
  arithmetic (1 → 8 channels, 32×32, one core: 52 µs an image against 2 µs).
- up to 16 channels: neighbouring pixels of a row are taken together as one pixel with more channels, until the fast
  kernels (which want more than 16 channels) apply; the price is a kernel with zeros (8 → 16 channels, 16×16: 15 µs
  against 9 µs).
- otherwise the library.

Every output pixel is summed in the same order, so that a circular convolution commutes with a roll to the last bit
(tested). The derivative is that of the definition (tested against automatic differentiation of the library's
convolution), each of its parts in the formulation that was measured to be fastest; forward mode works too.
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

from cnnshift.models.layers.export_mode import runs_on_cpu
from cnnshift.models.layers.padding import NO_MARGINS, Margins, pad_margins, pad_zeros
from cnnshift.models.layers.xla import jit_noinline

FAST_CHANNELS = 16
"""The convolution library is fast above this number of input or output channels."""

_LAYOUT = ("NHWC", "HWIO", "NHWC")

Formulation = Callable[[Array, Array, Margins, int], Array]


def correlate(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "a b c o"],
    *,
    margins: Margins,
    wrap: bool = False,
    stride: int = 1,
) -> Float[Array, "n H W o"]:
    """See the module.

    Args:
        x: maps.
        kernel: k.
        margins: pixels around the maps, ((top, bottom), (left, right)).
        wrap: the maps wrap around; the margins then keep their size.
        stride: s, on both axes.
    """
    return _correlate(x, kernel, margins, wrap, stride)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _correlate(x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int) -> Array:
    return _fastest(x, kernel, margins, wrap, stride)


def _tangent(margins: Margins, wrap: bool, stride: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x, kernel), (along_x, along_kernel) = primals, tangents
    y = _correlate(x, kernel, margins, wrap, stride)
    change = jnp.zeros_like(y)
    # A tangent that is zero for certain (the images of a training step) must not cost a convolution.
    if not isinstance(along_x, SymbolicZero):
        change = change + _linear_in_x(along_x, kernel, margins, wrap, stride, y)
    if not isinstance(along_kernel, SymbolicZero):
        # Not apart: XLA rewrites the gradient of a kernel into a fast convolution in the main program only.
        change = change + _run(_linear_in_kernel(), x, along_kernel, margins, wrap, stride)
    return y, change


_correlate.defjvp(_tangent, symbolic_zeros=True)


def _linear_in_x(x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int, y: Array) -> Array:
    """The correlation again, written such that its transpose, the gradient, runs in the fastest formulation."""
    if stride != 1:
        return _run(lax_convolution, x, kernel, margins, wrap, stride)
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    reach = kernel.shape[0] - 1, kernel.shape[1] - 1
    (top, bottom), (left, right) = margins
    back = ((reach[0] - top, reach[0] - bottom), (reach[1] - left, reach[1] - right))
    (transposed,) = jax.linear_transpose(lambda gradient: _fastest(gradient, turned, back, wrap, 1), y)(x)
    return transposed


def _fastest(x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int) -> Array:
    return _run_noinline(_formulation(kernel.shape, stride), x, kernel, margins, wrap, stride)


def _formulation(kernel: tuple[int, ...], stride: int) -> Formulation:
    height, width, inputs, outputs = kernel
    if not runs_on_cpu():
        return lax_convolution
    if height * width * inputs <= 36 and height * width * inputs * outputs <= 320:
        return shifted_sum
    pixels = 1 if stride > 1 else _pixels_per_block(inputs, outputs)
    return _pixels(pixels) if pixels > 1 else lax_convolution_on_cpu


def _linear_in_kernel() -> Formulation:
    return lax_convolution if jax.default_backend() != "cpu" else _lax_convolution_for_kernel


def lax_convolution(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """The convolution library's."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), margins, dimension_numbers=_LAYOUT)


def lax_convolution_on_cpu(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """The convolution library's, helped: on maps that it has to pad it is up to twice as fast."""
    if stride == 1 and margins == NO_MARGINS and kernel.shape[2] >= FAST_CHANNELS:
        return _with_extra_row(x, kernel)
    return lax_convolution(x, kernel, margins, stride)


def _lax_convolution_for_kernel(x: Array, kernel: Array, margins: Margins, stride: int) -> Array:
    """The same, for the gradient of the kernel."""
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
    """Σ over the kernel's entries of a shifted view of the maps, times the entry's output weights."""
    x = pad_zeros(x, margins)
    height, width = ((x.shape[i + 1] - kernel.shape[i]) // stride + 1 for i in (0, 1))
    count, inputs = x.shape[0], kernel.shape[2]

    def view(a: int, b: int, c: int) -> Array:
        end = (count, a + (height - 1) * stride + 1, b + (width - 1) * stride + 1, c + 1)
        return lax.slice(x, (0, a, b, c), end, (1, stride, stride, 1))

    entries = [(a, b, c) for a in range(kernel.shape[0]) for b in range(kernel.shape[1]) for c in range(inputs)]
    return functools.reduce(operator.add, (view(*entry) * kernel[entry][None, None, None] for entry in entries))


def blocked_rows(x: Array, kernel: Array, margins: Margins, stride: int, *, pixels: int) -> Array:
    """The correlation (stride 1) with `pixels` neighbours of a row as one pixel of `pixels` times the channels."""
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
    """The correlation (stride 1) of one-channel maps: shifted views of them, as rows of a matrix, times the kernel.

    Its transpose, the gradient of the kernel, is a product of two matrices, and needs no other order of the axes.
    """
    height, width, _, outputs = kernel.shape
    x = pad_zeros(x, margins)[..., 0]
    count, rows, columns = x.shape[0], x.shape[1] - height + 1, x.shape[2] - width + 1
    pixels = next(pixels for pixels in ((4, 2, 1) if outputs <= 8 else (2, 1)) if columns % pixels == 0)
    seen = pixels + width - 1
    views = [
        lax.slice(x, (0, a, b), (count, a + rows, b + columns - pixels + 1), (1, 1, pixels))
        for a in range(height)
        for b in range(seen)
    ]
    matrix = _banded_kernel(kernel, pixels, seen).reshape(height * seen, pixels * outputs)
    product = lax.dot_general(jnp.stack(views).reshape(height * seen, -1), matrix, (((0,), (0,)), ((), ())))
    return product.reshape(count, rows, columns, outputs)


def _banded_kernel(kernel: Array, pixels: int, seen: int) -> Array:
    """The kernel [a b c o] of `pixels` neighbouring output pixels over the `seen` input pixels from the first one's on.

    [a, q, c, p, o] = k[a, q − p, c, o], zero where that leaves the kernel.
    """
    free = seen - kernel.shape[1]
    shifted = [
        lax.pad(kernel, jnp.zeros((), kernel.dtype), ((0, 0, 0), (p, free - p, 0), (0, 0, 0), (0, 0, 0)))
        for p in range(pixels)
    ]
    return jnp.stack(shifted, axis=3)


@functools.cache
def _pixels(pixels: int) -> Formulation:
    return functools.partial(blocked_rows, pixels=pixels)


def _pixels_per_block(inputs: int, outputs: int) -> int:
    """Pixels that bring the channels above `FAST_CHANNELS`; the library is slow on an odd number of inputs, too."""
    odd = inputs < FAST_CHANNELS and inputs % 2 == 1 and outputs % 8 == 0
    pixels = 1
    while pixels * max(inputs, outputs) <= FAST_CHANNELS or (odd and pixels == 1):
        pixels *= 2
    return pixels


def _run(formulation: Formulation, x: Array, kernel: Array, margins: Margins, wrap: bool, stride: int) -> Array:
    if wrap:
        # Fused into the sum, the wrapped rows would be computed by other instructions than the rest, and rounded
        # otherwise: the layer would no longer commute with a roll bit by bit.
        x, margins = lax.optimization_barrier(pad_margins(x, margins, "circular")), NO_MARGINS
    return formulation(x, kernel, margins, stride)


_run_noinline = jit_noinline(_run, static_argnums=(0, 3, 4, 5))
