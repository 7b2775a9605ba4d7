"""The data set `shapes`: golden content, and the properties that a data set for `crop` needs."""

import time

import numpy as np
import pytest

from cnnshift.data.shapes import CONTEXT, PATCH, RADII, SHAPES, Shapes

GOLDEN = {
    "train": "46db0c629794d31e8a38e716fe63b9e8e075d564b97edb5ca06eaa6f2d494057",
    "test": "318c0462742f4c69b5008d82b475132f01c50349df222e928ad4b5e91d5c0a35",
}


@pytest.fixture(scope="module")
def shapes():
    return {name: Shapes().load(name) for name in GOLDEN}


def test_golden_content(shapes):
    assert {name: split.fingerprint for name, split in shapes.items()} == GOLDEN


@pytest.mark.parametrize(("name", "count"), [("train", 2000), ("test", 500)])
def test_sizes(shapes, name, count):
    assert shapes[name].images.shape == (count, 64, 64, 3)
    assert shapes[name].size == (48, 48)
    assert shapes[name].classes == tuple(SHAPES)


def test_drawing_is_fast():
    start = time.process_time()
    Shapes().load("test")
    assert time.process_time() - start < 2


def test_all_images_are_distinct(shapes):
    images = [image.tobytes() for split in shapes.values() for image in split.images]
    assert len(set(images)) == len(images)


def test_real_pixels_surround_every_window(shapes):
    """The texture continues into the context with the same variation."""
    images = shapes["test"].images.astype(float)
    margin = np.concatenate([images[:, :CONTEXT].reshape(500, -1, 3), images[:, -CONTEXT:].reshape(500, -1, 3)], 1)
    assert (margin.std(axis=1).max(axis=1) > 4).all()
    # No discontinuity at the border of the window.
    steps = np.abs(np.diff(images, axis=1)).mean(axis=(0, 2, 3))
    assert steps[CONTEXT - 1] < 1.2 * steps[:CONTEXT].mean()


def test_shapes_stay_inside_the_window_and_reach_its_border(shapes):
    """A shape has pixels above 0.59·255 in all three channels; the texture has almost none."""
    split = shapes["train"]
    light = (split.images > 0.59 * 255).all(axis=-1)
    margin = light.copy()
    margin[:, CONTEXT:-CONTEXT, CONTEXT:-CONTEXT] = False
    assert margin.mean() < 1e-3
    assert (light.sum(axis=(1, 2)) > 30).all()
    for axis in (1, 2):
        profile = light.any(axis=axis).mean(axis=0)[CONTEXT:-CONTEXT]
        assert profile[2] > 0
        assert profile[-3] > 0


def test_position_and_texture_are_independent_of_the_class(shapes):
    split = shapes["train"]
    light = (split.images > 0.59 * 255).all(axis=-1)
    weights = light / light.sum(axis=(1, 2), keepdims=True)
    at = np.arange(64)
    centre = np.stack([(weights.sum(axis=2) @ at), (weights.sum(axis=1) @ at)], axis=1)
    background = split.images[:, :CONTEXT].mean(axis=(1, 2))
    for values in (centre, background):
        spread = values.std(axis=0) / np.sqrt(200)
        for label in range(10):
            assert (np.abs(values[split.labels == label].mean(axis=0) - values.mean(axis=0)) < 4 * spread).all()


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_fits_the_unit_circle_and_fills_much_of_it(name):
    """A shape outside the unit circle could leave the window or its patch."""
    at = np.linspace(-2, 2, 801)
    u, v = np.meshgrid(at, at)
    inside = SHAPES[name](u[None], v[None])[0] < 0
    assert np.hypot(u, v)[inside].max() <= 1.0
    assert 0.2 < inside.sum() / (np.hypot(u, v) < 1).sum() < 0.9


def test_the_patch_contains_the_largest_shape_and_its_soft_edge():
    assert RADII[1] + 0.5 <= PATCH // 2 - 1
