"""Operators that an exported program may call: arithmetic on tensors, and nothing else.

PyTorch's own namespace holds more than arithmetic: `aten.save` and `aten.from_file` write files. So what may run is
listed, and a program that needs another operator comes as a factory or as ONNX. An operator that works in place is
called as the one that does not, with an underscore.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

_ARITHMETIC = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution im2col col2im unfold
    linear addmm mm bmm matmul baddbmm einsum dot mv outer bilinear
    batch_norm _native_batch_norm_legit_no_training instance_norm layer_norm native_layer_norm
    group_norm native_group_norm rms_norm _fused_rms_norm
    max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    scaled_dot_product_attention softmax _softmax log_softmax _log_softmax
    relu relu6 leaky_relu rrelu prelu elu selu celu gelu silu mish glu hardswish hardsigmoid hardtanh hardshrink
    softshrink sigmoid log_sigmoid tanh softplus threshold dropout feature_dropout alpha_dropout native_dropout
    add sub mul div rsub subtract multiply divide true_divide floor_divide fmod remainder neg negative abs absolute
    sign
    sgn pow float_power square sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p logit sin cos tan asin acos
    atan atan2 sinh cosh asinh acosh atanh erf erfc floor ceil round trunc frac clamp clamp_min clamp_max clip maximum
    minimum fmax fmin hypot addcmul addcdiv lerp where nan_to_num
    eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not
    __and__ __or__ __xor__ isnan isinf isfinite isclose masked_fill
    mean sum prod var std var_mean std_mean norm linalg_norm linalg_vector_norm linalg_matrix_norm logsumexp amax amin
    aminmax max min median argmax argmin any all count_nonzero cumsum cumprod sort argsort topk cosine_similarity
    view _unsafe_view view_as reshape reshape_as flatten unflatten permute transpose t swapaxes swapdims movedim
    moveaxis
    squeeze unsqueeze expand expand_as broadcast_to repeat repeat_interleave tile cat concat concatenate stack hstack
    vstack chunk split split_with_sizes unbind unsafe_split unsafe_split_with_sizes unsafe_chunk tensor_split select
    slice narrow index index_select gather take_along_dim scatter scatter_add index_put index_add diagonal
    select_scatter slice_scatter roll flip fliplr flipud rot90 tril triu
    pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d
    replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle
    as_strided contiguous clone detach alias lift_fresh lift_fresh_copy to _to_copy type_as copy fill zero
    arange linspace full full_like zeros zeros_like ones ones_like new_zeros new_ones new_full eye scalar_tensor
    meshgrid
    upsample_nearest1d upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_nearest_exact2d
    _upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler grid_sampler_2d affine_grid_generator
    fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_rfftn
    fft_irfftn
    _fft_r2c _fft_c2r _fft_c2c fft_fftshift fft_ifftshift real imag complex polar angle conj _conj resolve_conj
    view_as_real view_as_complex
    one_hot embedding sym_size sym_numel
"""

TENSOR_OPERATORS = frozenset(_ARITHMETIC.split())
"""Of the namespace torch.ops.aten."""

CHECKS = frozenset({"_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"})
"""Of the same namespace, what only checks, and is left out: the sizes of the images are checked before."""


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*numbers: Any) -> Any:
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError("a size is no number")
        return function(*numbers)

    return call


SIZE_OPERATORS: Mapping[str, Callable[..., Any]] = {
    name: _of_numbers(function)
    for name, function in {
        **{
            f"_operator.{each.__name__}": each
            for each in (
                *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod),
                *(operator.neg, operator.pos, operator.and_, operator.or_),
                *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
            )
        },
        "math.trunc": math.trunc,
        "torch.sym_int": int,
        "torch.sym_float": float,
        "torch.sym_max": max,
        "torch.sym_min": min,
        "torch.sym_not": operator.not_,
        "torch.sym_ite": lambda condition, yes, no: yes if condition else no,
    }.items()
}
"""On numbers, which sizes are."""
