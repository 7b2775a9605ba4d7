"""Layer errors against numpy, algebra and central differences."""

from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.errors import MeasurementError
from cnnshift.explanation.capture import capture
from cnnshift.explanation.equivariance import eq_t, equivariance_error
from cnnshift.explanation.floor import measure_floor
from cnnshift.explanation.isolated import DIRECTIONS
from cnnshift.explanation.layout import Layout, find_layout
from cnnshift.explanation.periodic import align, derivative, shift_maps
from cnnshift.explanation.probe import probe_layers
from cnnshift.explanation.receptive_field import measure_receptive_fields
from cnnshift.models.base import build
from cnnshift.models.layers.convolution import Convolution
from cnnshift.shifts.fourier import fourier_shift
from cnnshift.spec import ModelSpec
from tests.networks import Patches, Strided, made

IMAGES = np.random.RandomState(0).rand(4, 16, 16, 1).astype(np.float32)


def values(errors):
    """Return a column of `ErrorsByRadius` with NaN for null."""
    return np.array(errors, float)


def measure_fields(network, images):
    captured = capture(network, images)
    layouts = [find_layout(step.shape, (16, 16)) for step in captured.steps]
    sources = [section.source for section in captured.sections]
    return captured.steps, measure_receptive_fields(captured.outputs, layouts, sources, captured.state, images)


def zoo(spec):
    return build(ModelSpec.parse(spec), (16, 16, 1), 5, seed=0)


class One(nnx.Module):
    """A single convolution."""

    def __init__(self, padding, stride=1):
        self.conv = Convolution((16, 16, 1), 4, 3, padding=padding, stride=stride, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.conv(x)


@pytest.mark.parametrize(
    ("spec", "strides"),
    [
        ("cnn:padding=circular,width=2,depth=2", ["1", "2", "2", "4"]),
        ("cnn:padding=valid,width=2,depth=2", ["1", "2", "2", "4"]),
        ("cnn:padding=full,width=2,depth=2", ["1", "2", "2", "4"]),
        ("cnn:padding=circular,pool=aps,width=2,depth=2", ["1", "2", "2", "4"]),
        ("cnn:pool=stride,width=2,depth=2", ["2", "4"]),
    ],
)
def test_cumulative_strides_are_measured(spec, strides):
    pairs = zip(*measure_fields(zoo(spec), jnp.asarray(IMAGES)), strict=True)
    measured = [field.stride for step, field in pairs if step.name.endswith(("weights", "pool"))]
    assert measured == [Fraction(stride) for stride in strides]


def test_an_upsampled_map_has_a_stride_below_one():
    def upsampled(x):
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)

    _, fields = measure_fields(upsampled, jnp.asarray(IMAGES))
    assert fields[-1].stride == Fraction(1, 2)


def test_the_interior_excludes_positions_affected_by_the_border():
    _, fields = measure_fields(One("zero"), jnp.asarray(IMAGES))
    interior = fields[-1].interior((3, -2))
    assert interior is not None
    # A 3×3 window must contain neither padding nor the wrapped rows 0 to 2 and columns 14 and 15.
    expected = np.zeros((16, 16), bool)
    expected[4:15, 1:13] = True
    np.testing.assert_array_equal(interior, expected)


def test_errors_against_numpy():
    layer = probe_layers(One("zero", stride=2), IMAGES)[-1]
    conv = One("zero", stride=2).conv
    unshifted = np.asarray(conv(jnp.asarray(IMAGES)))

    def error(radius):
        errors = []
        for direction in DIRECTIONS:
            d = (radius * direction[0], radius * direction[1])
            moved = np.asarray(conv(jnp.asarray(np.roll(IMAGES, d, (1, 2)))))
            expected = np.roll(unshifted, (d[0] // 2, d[1] // 2), (1, 2))
            relative = np.sqrt(((moved - expected) ** 2).sum(axis=(1, 2, 3)) / (expected**2).sum(axis=(1, 2, 3)))
            errors.append((relative.mean(), ((moved - expected) ** 2).mean()))
        return np.mean(errors, axis=0)

    for radius in (2, 6):
        index = layer.by_radius.radius.index(radius)
        relative, square = error(radius)
        np.testing.assert_allclose(layer.by_radius.equivariance_error[index], relative, rtol=1e-5)
        decibels = 10 * np.log10(np.ptp(unshifted) ** 2 / square)
        np.testing.assert_allclose(layer.by_radius.eq_t[index], decibels, rtol=1e-4)
    assert layer.stride == "2"


def test_normalized_variance_against_numpy():
    layer = probe_layers(One("zero"), IMAGES)[-1]
    conv = One("zero").conv
    whole = [radius for radius in layer.by_radius.radius if radius >= 1]
    shifts = [(0, 0), *((int(s * dy), int(s * dx)) for s in whole for dy, dx in DIRECTIONS)]
    outputs = np.stack([np.asarray(conv(jnp.asarray(np.roll(IMAGES, d, (1, 2)))), np.float64) for d in shifts])
    over_shifts = outputs.var(axis=0).mean(axis=0).sum()
    over_images = outputs.var(axis=1).mean(axis=0).sum()
    np.testing.assert_allclose(layer.normalized_variance, over_shifts / over_images, rtol=1e-4)


def test_circular_layers_are_exact_on_the_grid_and_zero_padding_errs_at_the_border_only():
    floor = measure_floor(IMAGES)
    for spec, exact in (("cnn:padding=circular,width=2,depth=2", True), ("cnn:width=2,depth=2", False)):
        for layer in probe_layers(zoo(spec), IMAGES):
            if not layer.is_map or layer.stride is None:
                continue
            radius = values(layer.by_radius.radius)
            on_grid = (radius >= 1) & (radius % float(layer.stride) == 0)
            interior = values(layer.by_radius.interior_error)[on_grid]
            assert np.nanmax(interior, initial=0) <= floor.whole_tolerance, layer.name
            error = values(layer.by_radius.equivariance_error)[on_grid]
            assert (error.max() <= floor.whole_tolerance) == exact, layer.name


def test_isolated_errors_belong_to_single_layers():
    layers = {layer.name: layer for layer in probe_layers(zoo("cnn:width=2,depth=2"), IMAGES)}
    for name in ("blocks.0.weights", "blocks.1.weights"):
        assert layers[name].isolated_error > 0.1
        assert layers[name].isolated_at_border
        assert layers[name].isolated_off_grid_error == 0
    for name in ("blocks.0.pool", "blocks.1.pool"):
        assert layers[name].isolated_error == 0
        assert layers[name].isolated_off_grid_error > 0.1
    assert layers["blocks.1.activation"].isolated_error == 0
    assert layers["embed"].isolated_error > 0.5
    assert layers["classifier"].isolated_error is None
    assert layers["classifier"].isolated_off_grid_error is None


def test_the_columns_are_the_largest_errors_on_and_off_the_grid():
    pool = next(layer for layer in probe_layers(zoo("cnn:width=2,depth=2"), IMAGES) if layer.name == "blocks.1.pool")
    radius, error = values(pool.by_radius.radius), values(pool.by_radius.equivariance_error)
    on_grid = (radius >= 1) & (radius % 4 == 0)
    assert pool.period == "4"
    assert pool.on_grid_error == error[on_grid].max()
    assert pool.off_grid_error == error[(radius >= 1) & ~on_grid].max()
    assert pool.interior_error == np.nanmax(values(pool.by_radius.interior_error)[on_grid])
    assert pool.subpixel_error == error[0]
    assert radius[0] == 1 / 3


def test_adaptive_sampling_moves_maps_by_whole_positions():
    layers = probe_layers(zoo("cnn:padding=circular,pool=aps,head=gap,width=2,depth=2"), IMAGES)
    pool = next(layer for layer in layers if layer.name == "blocks.1.pool")
    assert pool.stride == "4"
    whole = values(pool.by_radius.radius) >= 1
    assert values(pool.by_radius.aligned_error)[whole].max() == 0
    assert values(pool.by_radius.equivariance_error)[whole].max() > 0.1
    assert values(layers[-1].by_radius.equivariance_error)[whole].max() < 1e-6


def test_tokens_are_a_map():
    layers = {layer.name: layer for layer in probe_layers(made(Patches, embedded=True), IMAGES)}
    assert all(layers[name].stride == "4" for name in ("embed", "add", "attention.query", "attention.out"))
    assert layers["add"].isolated_error > 0.5
    assert layers["add"].isolated_at_border is False
    assert layers["attention.out"].isolated_error < 1e-6


def test_outputs_that_are_not_finite_are_refused():
    with pytest.raises(
        MeasurementError, match=r"The last layer, mean \(function\), returned values that are not finite"
    ):
        probe_layers(lambda x: jnp.log(x - 2).mean(axis=(1, 2)), IMAGES)
    # Values of inner layers may be infinite if they are masked later.
    layers = probe_layers(lambda x: jnp.where(x > 0.5, jnp.log(x - 0.5), 0).mean(axis=(1, 2)), IMAGES)
    assert layers[-1].by_radius.equivariance_error[-1] < 1e-6


def test_a_constant_has_no_layers():
    assert probe_layers(lambda x: jnp.ones((len(x), 5)), IMAGES) == []


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((8, 8, 3), Layout((8, 8))),
        ((14, 14, 3), Layout((14, 14))),
        ((1, 1, 7), Layout(None)),
        ((16, 8), Layout((4, 4))),
        ((17, 8), Layout((4, 4), skip=1)),
        ((16, 2, 4), Layout((4, 4))),
        ((15, 8), Layout(None, known=False)),
        ((15, 8, 3), Layout(None, known=False)),
        ((10,), Layout(None)),
    ],
)
def test_layouts(shape, layout):
    assert find_layout(shape, (16, 16)) == layout


def test_rolling_tokens_keeps_the_class_token():
    layout = Layout((2, 3), skip=1)
    tokens = jnp.arange(2 * 7 * 4.0).reshape(2, 7, 2, 2)
    rolled = layout.roll(tokens, jnp.array([1, 2]))
    np.testing.assert_array_equal(rolled[:, 0], tokens[:, 0])
    np.testing.assert_array_equal(layout.fold(rolled), np.roll(layout.fold(tokens), (1, 2), (1, 2)))


def test_eq_t_in_decibels():
    # K12: an error of 0.01 on images from −1 to 1.
    np.testing.assert_allclose(eq_t(np.array([0.01]), 2.0), 26.0206, atol=1e-4)


def test_equivariance_error_of_zeros():
    zero, one = np.zeros((1, 2)), np.ones((1, 2))
    assert equivariance_error(zero, zero)[0] == 0
    assert equivariance_error(one, zero)[0] == np.inf


@pytest.mark.parametrize(
    "make",
    [partial(made, Strided), partial(zoo, "cnn:activation=tanh,pool=avg,width=2,depth=1")],
    ids=["strided", "cnn"],
)
def test_the_lie_derivative_against_central_differences(make):
    model = make()
    with jax.enable_x64(True):
        graph, state = nnx.split(model)
        wide = nnx.merge(graph, jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), state))
        images = IMAGES[:2].astype(np.float64)
        layers = probe_layers(wide, images)
        captured = capture(wide, jnp.asarray(images))
        layouts = [find_layout(step.shape, (16, 16)) for step in captured.steps]
        run = jax.jit(captured.outputs)

        def moved_back(t, direction):
            outputs = run(captured.state, fourier_shift(jnp.asarray(images), t * direction))
            folded = [layout.fold(output) for layout, output in zip(layouts, outputs, strict=True)]
            return [
                fourier_shift(value, -t * direction / float(layer.stride)) if layer.is_map else value
                for value, layer in zip(folded, layers, strict=True)
            ]

        h = 1e-5
        differences = [
            [(after - before) / (2 * h) for after, before in zip(moved_back(h, d), moved_back(-h, d), strict=True)]
            for d in (jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
        ]
        for layer, *both in zip(layers, *differences, strict=True):
            square = np.mean([float((derivative**2).mean()) for derivative in both])
            size = np.mean([float(jnp.abs(derivative).mean()) for derivative in both])
            np.testing.assert_allclose(layer.lie_derivative, square, rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(layer.lie_derivative_abs, size, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (8, 5)])
@pytest.mark.parametrize("d", [(2.0, -3.0), (1 / 3, 0.5), (-0.25, 2.75)])
def test_host_and_device_shift_maps_alike(size, d):
    maps = np.random.RandomState(1).rand(2, *size, 3).astype(np.float32)
    np.testing.assert_allclose(shift_maps(maps, d), fourier_shift(jnp.asarray(maps), jnp.array(d)), atol=1e-6)


def test_the_derivative_of_a_shift_against_central_differences():
    maps, direction, h = np.random.RandomState(1).rand(2, 8, 7, 3), (0.5, -1.0), 1e-5
    after, before = (shift_maps(maps, (t * direction[0], t * direction[1])) for t in (h, -h))
    np.testing.assert_allclose(derivative(maps, direction), (after - before) / (2 * h), atol=1e-8)


def test_maps_are_aligned_one_by_one():
    maps = np.random.RandomState(1).rand(3, 6, 5, 2)
    rolled = np.stack([np.roll(one, q, (0, 1)) for one, q in zip(maps, [(1, 2), (0, 0), (5, 4)], strict=True)])
    np.testing.assert_array_equal(align(maps, rolled), rolled)
