"""Augmentations compared with their formulas or scipy, and the names that combine them."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from cnnshift.catalog import AUGMENTATIONS
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.registry import Entry
from cnnshift.train.augment import parse_augment
from cnnshift.train.augmentations import affine, elastic
from cnnshift.train.augmentations.warp import bilinear

rng = np.random.default_rng(0)
SIZE = (12, 10)
BACKGROUND = (0, 102, 255)
IMAGES = rng.integers(0, 256, (20, *SIZE, 3), dtype=np.uint8)
MOVING = ("shift3", "crop3", "affine", "elastic")
EMPTY = np.array(BACKGROUND, np.uint8)


def split_of(images, background=BACKGROUND, context=0):
    scale = 255 if images.dtype == np.uint8 else 1
    labels = np.zeros(len(images), np.int32)
    return Split(images, labels, ("one",), tuple(value / scale for value in background), context)


def apply(text, images: np.ndarray = IMAGES, *, seed=0, context=0, background=BACKGROUND):
    return parse_augment(text, split_of(images, background, context))(np.random.default_rng(seed), images)


def positions(count=1, size=SIZE):
    y, x = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    return np.broadcast_to(y, (count, *size)).astype(np.float32), np.broadcast_to(x, (count, *size)).astype(np.float32)


def shifted(image, dy, dx):
    """Return T_d of one image, filled with the background."""
    found = np.empty_like(image)
    found[:] = EMPTY.astype(image.dtype)
    height, width = image.shape[:2]
    for i in range(height):
        for j in range(width):
            if 0 <= i - dy < height and 0 <= j - dx < width:
                found[i, j] = image[i - dy, j - dx]
    return found


def test_every_augmentation_of_the_registry_is_tested():
    assert {name.replace("K", "3") for name in AUGMENTATIONS} == {"none", *MOVING}


@pytest.mark.parametrize("text", ["none", *MOVING, "shift3+elastic"])
def test_shape_type_and_seed(text):
    before = IMAGES.copy()
    found = apply(text)
    assert found.shape == IMAGES.shape
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, apply(text))
    np.testing.assert_array_equal(IMAGES, before)
    assert (text == "none") == np.array_equal(found, IMAGES)
    assert (text == "none") == np.array_equal(found, apply(text, seed=1))


@pytest.mark.parametrize("text", MOVING)
def test_images_change_independently(text):
    one = np.repeat(IMAGES[:1], 30, axis=0)
    assert len(np.unique(apply(text, one).reshape(30, -1), axis=0)) > 15


@pytest.mark.parametrize("text", MOVING)
def test_floats_stay_floats(text):
    floats = (IMAGES / 255).astype(np.float32)
    found = apply(text, floats, background=(0, 0.4, 1))
    assert found.dtype == np.float32
    # Bytes are the same up to their rounding.
    np.testing.assert_allclose(found * 255, apply(text), atol=0.501)


@pytest.mark.parametrize("text", [*MOVING, "shift3+elastic"])
def test_a_background_image_does_not_change(text):
    images = np.broadcast_to(EMPTY, IMAGES.shape).copy()
    np.testing.assert_array_equal(apply(text, images), images)


@pytest.mark.parametrize("text", ["shift3", "crop3", "affine", "elastic"])
def test_the_background_of_each_channel_enters(text):
    # Content is 60 in all channels; other values are background, or a mean of both.
    images = np.full((40, *SIZE, 3), 60, np.uint8)
    found = apply(text, images)
    entered = found != 60
    assert entered.any(axis=(0, 1, 2)).all()
    for channel, empty in enumerate(BACKGROUND):
        values = found[..., channel]
        assert values.min() == min(empty, 60)
        assert values.max() == max(empty, 60)


def test_shifts_equal_the_random_draws():
    found = apply("shift3")
    # Cached weights depend on the order of the draws.
    top, left = np.random.default_rng(0).integers(0, 7, size=(2, len(IMAGES), 1))
    for image, result, i, j in zip(IMAGES, found, top[:, 0], left[:, 0], strict=True):
        np.testing.assert_array_equal(result, shifted(image, 3 - i, 3 - j))


def test_shifts_are_uniform():
    images = np.broadcast_to(EMPTY, (400, 8, 8, 3)).copy()
    images[:, 4, 4] = 77
    where = np.argwhere((apply("shift2", images) == 77).all(axis=-1))
    offsets, counts = np.unique(where[:, 1:] - 4, axis=0, return_counts=True)
    assert set(map(tuple, offsets.tolist())) == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}
    # χ² with 24 degrees of freedom stays below its 99.99 % quantile.
    assert ((counts - 16) ** 2 / 16).sum() < 60


def test_without_context_crops_equal_shifts():
    np.testing.assert_array_equal(apply("crop3"), apply("shift3"))


@pytest.mark.parametrize("amount", [1, 2, 3])
def test_crops_contain_real_pixels_of_the_context(amount):
    context = 2
    found = apply(f"crop{amount}", context=context)
    top, left = np.random.default_rng(0).integers(0, 2 * amount + 1, size=(2, len(IMAGES), 1))
    for image, result, i, j in zip(IMAGES, found, top[:, 0], left[:, 0], strict=True):
        full = shifted(image, amount - i, amount - j)
        np.testing.assert_array_equal(result, full[context:-context, context:-context])


def test_only_crops_use_the_context():
    window = IMAGES[:, 2:-2, 2:-2]
    for text in ("none", "shift2", "affine", "elastic"):
        np.testing.assert_array_equal(apply(text, context=2), apply(text, window))
    assert not np.array_equal(apply("crop2", context=2), apply("crop2", window))
    # Only the first augmentation receives the source image.
    np.testing.assert_array_equal(apply("shift1+crop2", context=2), apply("shift1+crop2", window))


def test_sampling_at_the_pixels_is_exact():
    np.testing.assert_array_equal(bilinear(IMAGES, *positions(len(IMAGES)), EMPTY), IMAGES)


@pytest.mark.parametrize(("dy", "dx"), [(2, -3), (-1, 0), (20, 1)])
def test_sampling_at_whole_positions_is_a_shift(dy, dx):
    y, x = positions()
    found = bilinear(IMAGES[:1], y - dy, x - dx, EMPTY)
    np.testing.assert_array_equal(found[0], shifted(IMAGES[0].astype(np.float32), dy, dx))


def test_sampling_agrees_with_scipy():
    drawn = np.random.default_rng(3)
    y, x = (position + 4 * drawn.standard_normal((5, *SIZE)).astype(np.float32) for position in positions(5))
    assert (y < -1).any() and (y > SIZE[0]).any() and ((y > -1) & (y < 0)).any()
    found = bilinear(IMAGES[:5], y, x, EMPTY)
    for n in range(5):
        for channel, empty in enumerate(BACKGROUND):
            expected = ndimage.map_coordinates(
                IMAGES[n, ..., channel].astype(float), [y[n], x[n]], order=1, mode="grid-constant", cval=empty
            )
            # 32 bits: positions of about 10 pixels have an error of 1e-6, slopes reach 255.
            np.testing.assert_allclose(found[n, ..., channel], expected, atol=1e-3)


def test_smoothing_agrees_with_scipy():
    noise = np.random.default_rng(4).uniform(-1, 1, (2, 44, 42)).astype(np.float32)
    found = elastic.smooth(noise, elastic.gaussian(4.0))
    for maps, result in zip(noise, found, strict=True):
        expected = ndimage.gaussian_filter(maps.astype(float), 4.0, truncate=4.0)[16:-16, 16:-16]
        np.testing.assert_allclose(result, expected, atol=1e-6)


def test_displacements_have_the_moments_of_the_formula():
    fields = elastic.displacements(np.random.default_rng(5), 3000, (4, 6)).astype(float)
    kernel = elastic.gaussian(elastic.SIGMA)
    variance = elastic.ALPHA**2 / 3 * (kernel**2).sum() ** 2
    assert variance == pytest.approx(1.38**2, rel=0.01)
    # Means of 3,000 independent fields: 5 standard errors, at every pixel including the border.
    assert np.abs(fields.mean(axis=0)).max() < 5 * np.sqrt(variance / 3000)
    np.testing.assert_allclose(fields.var(axis=0), variance, rtol=5 * np.sqrt(2 / 3000))
    # The correlation of pixels at distance r is (g ∗ g)(r) / (g ∗ g)(0); both components are independent.
    correlation = np.correlate(kernel, kernel, "full") / (kernel**2).sum()
    measured = (fields[:, 0, 0, 0] * fields[:, 0, 0, 5]).mean() / variance
    assert measured == pytest.approx(correlation[len(kernel) - 1 + 5], abs=5 / np.sqrt(3000))
    assert abs((fields[:, 0] * fields[:, 1]).mean(axis=0)).max() / variance < 5 / np.sqrt(3000)


def test_elastic_reads_at_the_displaced_positions(monkeypatch):
    field = np.random.default_rng(6).standard_normal((20, 2, *SIZE)).astype(np.float32)
    monkeypatch.setattr(elastic, "displacements", lambda *_: field)
    found = apply("elastic")
    y, x = positions()
    position = [y[0] + field[7, 0], x[0] + field[7, 1]]
    expected = ndimage.map_coordinates(
        IMAGES[7, ..., 1].astype(float), position, order=1, mode="grid-constant", cval=102
    )
    assert np.abs(found[7, ..., 1] - expected).max() < 0.501
    field[:] = 0
    np.testing.assert_array_equal(apply("elastic"), IMAGES)


@pytest.mark.parametrize("quarters", range(4))
def test_quarter_turns_of_a_square_are_exact(quarters):
    square = IMAGES[:, :10]
    # rot90 moves the content at +x to −y.
    turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarters)
    maps = np.broadcast_to(turn, (len(square), 2, 2))
    found = bilinear(square, *affine.affine_positions(maps, (10, 10)), EMPTY)
    # The inverse of the matrix is not exact.
    np.testing.assert_allclose(found, np.rot90(square, quarters, axes=(1, 2)), atol=1e-3)


def test_affine_positions_agree_with_scipy():
    maps = affine.draw_maps(np.random.default_rng(7), 4)
    found = bilinear(IMAGES[:4], *affine.affine_positions(maps, SIZE), EMPTY)
    centre = (np.array(SIZE) - 1) / 2
    for n, matrix in enumerate(maps):
        back = np.linalg.inv(matrix)
        expected = ndimage.affine_transform(
            IMAGES[n, ..., 1].astype(float), back, centre - back @ centre, order=1, mode="grid-constant", cval=102
        )
        np.testing.assert_allclose(found[n, ..., 1], expected, atol=1e-3)


def test_affine_maps_are_uniform_in_their_ranges():
    maps = affine.draw_maps(np.random.default_rng(8), 4000)
    # A = R(θ) [[1, 0], [−t, 1]] diag(a, b): the second column is b (−sin θ, cos θ).
    b = np.linalg.norm(maps[:, :, 1], axis=1)
    angle = np.arctan2(-maps[:, 0, 1], maps[:, 1, 1])
    a = np.linalg.det(maps) / b
    shear = np.arctan(-(maps[:, :, 0] * maps[:, :, 1]).sum(axis=1) / (a * b))
    for values, limit in ((np.rad2deg(angle), 15), (np.rad2deg(shear), 15), (a - 1, 0.15), (b - 1, 0.15)):
        assert np.abs(values).max() <= limit * (1 + 1e-9)
        # Uniform: variance limit²/3, with values near both ends.
        assert values.var() == pytest.approx(limit**2 / 3, rel=0.1)
        assert values.min() < -0.99 * limit and values.max() > 0.99 * limit
    table = np.corrcoef([angle, shear, a, b]) - np.eye(4)
    assert np.abs(table).max() < 5 / np.sqrt(4000)


@pytest.mark.parametrize("names", [("shift3", "elastic"), ("elastic", "shift3"), ("affine", "crop2", "elastic")])
def test_combinations_apply_augmentations_in_order(names):
    stream, expected = np.random.default_rng(0), IMAGES
    for name in names:
        expected = parse_augment(name, split_of(IMAGES))(stream, expected)
    np.testing.assert_array_equal(apply("+".join(names)), expected)
    if len(names) == 2:
        assert not np.array_equal(expected, apply("+".join(reversed(names))))


@pytest.mark.parametrize(
    "text",
    ["spin", "shift", "shiftK", "crop", "affine15", "elastic4", "none+shift2", "shift2+", "+", "", "shift-1", "none0"],
)
def test_unknown_names(text):
    with pytest.raises(InputError) as caught:
        apply(text)
    message = str(caught.value)
    assert f"augment is '{text}'" in message
    assert all(name in message for name in AUGMENTATIONS)


class Named:
    """An augmentation of another package that sets every pixel to its K."""

    def __init__(self, size, background, context, amount):
        self.amount = amount

    def __call__(self, rng, images):
        return np.full_like(images, self.amount)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("cut-out", 0),
        ("mix-2", 0),
        ("mix-3", 3),
        ("mix-25", 25),
        ("blur2d7", 7),
        ("blur2d", 0),
        ("v2-13", 3),
        ("v213", 3),
    ],
)
def test_names_of_other_packages_with_digits_and_dashes(text, amount, monkeypatch):
    names = ("cut-out", "mix-2", "mix-K", "blur2dK", "blur2d", "v2-1K", "v21K")
    plugins = {name: Entry(f"{__name__}:Named", "from a test") for name in names}
    monkeypatch.setattr(AUGMENTATIONS, "_plugins", plugins)
    monkeypatch.setattr(AUGMENTATIONS, "load", lambda name: Named if name in plugins else None)
    assert (apply(text) == amount).all()
    for wrong in ("mix-K", "v2-1K", "cut-out3", "mix-", "shift"):
        with pytest.raises(InputError, match=f"augment is '{wrong}'"):
            apply(wrong)


@pytest.mark.parametrize("text", ["shift0", "shift10", "crop10", "affine+crop99"])
def test_amounts_out_of_range(text):
    name = "crop" if "crop" in text else "shift"
    with pytest.raises(InputError, match=rf"{name}\d+; allowed: {name}1 to {name}9\."):
        apply(text)


def test_no_augmentation_needs_scipy():
    program = (
        "import sys, numpy as np\n"
        "from cnnshift.data.split import Split\n"
        "from cnnshift.train.augment import parse_augment\n"
        "images = np.zeros((2, 8, 8, 1), np.uint8)\n"
        "split = Split(images, np.zeros(2, np.int32), ('one',), (0.0,))\n"
        "parse_augment('shift2+affine+elastic+crop2', split)(np.random.default_rng(0), images)\n"
        "assert 'scipy' not in sys.modules and 'jax' not in sys.modules, 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
