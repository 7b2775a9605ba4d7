"""The layer probe against numpy, algebra and central differences."""

from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.errors import MeasurementError
from cnnshift.explanation.capture import capture
from cnnshift.explanation.dependence import find_dependence
from cnnshift.explanation.equivariance import eq_t, equivariance_error
from cnnshift.explanation.floor import measure_floor
from cnnshift.explanation.isolated import DIRECTIONS
from cnnshift.explanation.layout import Layout, find_layout
from cnnshift.explanation.periodic import align, derivative, shift_maps
from cnnshift.explanation.probe import probe_layers
from cnnshift.models.base import build
from cnnshift.models.layers.convolution import Convolution
from cnnshift.shifts.fourier import fourier_shift
from cnnshift.spec import ModelSpec
from tests.networks import Patches, Strided, made

IMAGES = np.random.RandomState(0).rand(4, 16, 16, 1).astype(np.float32)


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
    images = jnp.asarray(IMAGES)
    found = capture(zoo(spec), images)
    layouts = [find_layout(step.shape, (16, 16)) for step in found.steps]
    sources = [section.source for section in found.sections]
    depends = find_dependence(found.outputs, layouts, sources, found.state, images)
    kept = [d.stride for d, step in zip(depends, found.steps, strict=True) if step.name.endswith(("weights", "pool"))]
    assert kept == [Fraction(stride) for stride in strides]


def test_a_finer_map_has_a_stride_below_one():
    def upsampled(x):
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)

    images = jnp.asarray(IMAGES)
    found = capture(upsampled, images)
    layouts = [find_layout(step.shape, (16, 16)) for step in found.steps]
    sources = [section.source for section in found.sections]
    assert find_dependence(found.outputs, layouts, sources, found.state, images)[-1].stride == Fraction(1, 2)


def test_inside_is_what_the_border_cannot_reach():
    images = jnp.asarray(IMAGES)
    found = capture(One("zero"), images)
    sources = [section.source for section in found.sections]
    layouts = [Layout((16, 16))] * len(found.steps)
    depend = find_dependence(found.outputs, layouts, sources, found.state, images)[-1]
    inside = depend.inside((3, -2))
    assert inside is not None
    # A 3×3 window must see neither the zeros nor the rows 0 to 2 that came in, nor the columns 14 and 15.
    expected = np.zeros((16, 16), bool)
    expected[4:15, 1:13] = True
    np.testing.assert_array_equal(inside, expected)


def test_errors_against_numpy():
    layer = probe_layers(One("zero", stride=2), IMAGES)[-1]
    conv = One("zero", stride=2).conv
    rest = np.asarray(conv(jnp.asarray(IMAGES)))

    def error(size):
        found = []
        for direction in DIRECTIONS:
            d = (size * direction[0], size * direction[1])
            moved = np.asarray(conv(jnp.asarray(np.roll(IMAGES, d, (1, 2)))))
            expected = np.roll(rest, (d[0] // 2, d[1] // 2), (1, 2))
            wrong = np.sqrt(((moved - expected) ** 2).sum(axis=(1, 2, 3)) / (expected**2).sum(axis=(1, 2, 3)))
            found.append((wrong.mean(), ((moved - expected) ** 2).mean()))
        return np.mean(found, axis=0)

    for size in (2, 6):
        index = layer.profile.size.tolist().index(size)
        wrong, square = error(size)
        np.testing.assert_allclose(layer.profile.error[index], wrong, rtol=1e-5)
        decibels = 10 * np.log10(np.ptp(rest) ** 2 / square)
        np.testing.assert_allclose(layer.profile.decibels[index], decibels, rtol=1e-4)
    assert layer.stride == 2


def test_normalized_variance_against_numpy():
    layer = probe_layers(One("zero"), IMAGES)[-1]
    conv = One("zero").conv
    whole = [size for size in layer.profile.size if size >= 1]
    shifts = [(0, 0), *((int(s * dy), int(s * dx)) for s in whole for dy, dx in DIRECTIONS)]
    values = np.stack([np.asarray(conv(jnp.asarray(np.roll(IMAGES, d, (1, 2)))), np.float64) for d in shifts])
    over_shifts = values.var(axis=0).mean(axis=0).sum()
    over_images = values.var(axis=1).mean(axis=0).sum()
    np.testing.assert_allclose(layer.normalized_variance, over_shifts / over_images, rtol=1e-4)


def test_circular_layers_are_exact_at_multiples_and_zeros_err_at_the_border_only():
    floor = measure_floor(IMAGES)
    for spec, exact in (("cnn:padding=circular,width=2,depth=2", True), ("cnn:width=2,depth=2", False)):
        for layer in probe_layers(zoo(spec), IMAGES):
            if not layer.is_map or layer.stride is None:
                continue
            multiples = (layer.profile.size >= 1) & (layer.profile.size % float(layer.stride) == 0)
            inside = layer.profile.inside[multiples]
            assert np.nanmax(inside, initial=0) <= floor.whole_tolerance, layer.step
            assert (layer.profile.error[multiples].max() <= floor.whole_tolerance) == exact, layer.step


def test_own_errors_name_the_culprits():
    own = {layer.step.name: layer.own for layer in probe_layers(zoo("cnn:width=2,depth=2"), IMAGES)}
    for name in ("blocks.0.weights", "blocks.1.weights"):
        assert own[name].error > 0.1
        assert own[name].at_border
        assert own[name].between == 0
    for name in ("blocks.0.pool", "blocks.1.pool"):
        assert own[name].error == 0
        assert own[name].between > 0.1
    assert own["blocks.1.activation"].error == 0
    assert own["embed"].error > 0.5
    assert own["classifier"] is None


def test_an_adaptive_choice_jumps_by_whole_positions():
    layers = probe_layers(zoo("cnn:padding=circular,pool=aps,head=gap,width=2,depth=2"), IMAGES)
    pool = next(layer for layer in layers if layer.step.name == "blocks.1.pool")
    assert pool.stride == 4
    whole = pool.profile.size >= 1
    assert pool.profile.aligned[whole].max() == 0
    assert pool.profile.error[whole].max() > 0.1
    assert layers[-1].profile.error[whole].max() < 1e-6


def test_tokens_are_a_map():
    layers = {layer.step.name: layer for layer in probe_layers(made(Patches, embedded=True), IMAGES)}
    assert all(layers[name].stride == 4 for name in ("embed", "add", "attention.query", "attention.out"))
    assert layers["add"].own.error > 0.5
    assert not layers["add"].own.at_border
    assert layers["attention.out"].own.error < 1e-6


def test_values_that_are_not_finite_are_told():
    with pytest.raises(MeasurementError, match=r"mean.*not finite"):
        probe_layers(lambda x: jnp.log(x - 2).mean(axis=(1, 2)), IMAGES)
    # A masked logarithm is nobody's defect.
    layers = probe_layers(lambda x: jnp.where(x > 0.5, jnp.log(x - 0.5), 0).mean(axis=(1, 2)), IMAGES)
    assert layers[-1].profile.error[-1] < 1e-6


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


def test_eq_t_of_the_paper():
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
        found = capture(wide, jnp.asarray(images))
        layouts = [find_layout(step.shape, (16, 16)) for step in found.steps]
        run = jax.jit(found.outputs)

        def moved_back(t, direction):
            outputs = run(found.state, fourier_shift(jnp.asarray(images), t * direction))
            folded = [layout.fold(output) for layout, output in zip(layouts, outputs, strict=True)]
            return [
                fourier_shift(value, -t * direction / float(layer.stride)) if layer.is_map else value
                for value, layer in zip(folded, layers, strict=True)
            ]

        h = 1e-5
        slopes = [
            [(after - before) / (2 * h) for after, before in zip(moved_back(h, d), moved_back(-h, d), strict=True)]
            for d in (jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]))
        ]
        for layer, *both in zip(layers, *slopes, strict=True):
            square = np.mean([float((derivative**2).mean()) for derivative in both])
            size = np.mean([float(jnp.abs(derivative).mean()) for derivative in both])
            np.testing.assert_allclose(layer.lie_derivative, square, rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(layer.lie_derivative_abs, size, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (8, 5)])
@pytest.mark.parametrize("d", [(2.0, -3.0), (1 / 3, 0.5), (-0.25, 2.75)])
def test_maps_move_on_the_host_as_images_do_on_the_device(size, d):
    maps = np.random.RandomState(1).rand(2, *size, 3).astype(np.float32)
    np.testing.assert_allclose(shift_maps(maps, d), fourier_shift(jnp.asarray(maps), jnp.array(d)), atol=1e-6)


def test_the_slope_is_that_of_the_shift():
    maps, direction, h = np.random.RandomState(1).rand(2, 8, 7, 3), (0.5, -1.0), 1e-5
    after, before = (shift_maps(maps, (t * direction[0], t * direction[1])) for t in (h, -h))
    np.testing.assert_allclose(derivative(maps, direction), (after - before) / (2 * h), atol=1e-8)


def test_alignment_finds_the_roll_of_every_map():
    maps = np.random.RandomState(1).rand(3, 6, 5, 2)
    rolled = np.stack([np.roll(one, q, (0, 1)) for one, q in zip(maps, [(1, 2), (0, 0), (5, 4)], strict=True)])
    np.testing.assert_array_equal(align(maps, rolled), rolled)
