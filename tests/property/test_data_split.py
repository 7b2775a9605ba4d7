"""Properties of `Split` for random images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnshift.data.split import Split
from cnnshift.errors import InputError

FIXED = settings(deadline=None, derandomize=True, max_examples=50)
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 3))


def make(shape: tuple[int, int, int, int, int]) -> Split:
    """Return random images of (count, height, width, channels, context), labelled 0, 1, ….

    Not a strategy, because the shape checks of the tests draw random numbers, which strategies must not.
    """
    count, height, width, channels, context = shape
    rng = np.random.default_rng(shape)
    return Split(
        images=rng.integers(0, 256, (count, height + 2 * context, width + 2 * context, channels), dtype=np.uint8),
        labels=np.arange(count),
        classes=tuple(map(str, range(count))),
        background=tuple((rng.integers(0, 256, channels) / 255).tolist()),
        context=context,
    )


@FIXED
@given(SHAPES, st.integers(1, 50), st.integers(0, 2**32))
def test_take_is_a_seeded_subset_in_order(shape, limit, seed):
    split = make(shape)
    part = split.take(limit, seed=seed)
    assert len(part) == min(limit, len(split))
    assert (np.diff(part.labels) > 0).all()
    assert np.array_equal(part.images, split.images[part.labels])
    assert part.fingerprint == split.take(limit, seed=seed).fingerprint
    assert part.context == split.context


@FIXED
@given(SHAPES, st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_smaller_limits_take_subsets_of_larger_ones(shape, one, other, seed):
    split = make(shape)
    small, large = (set(split.take(limit, seed=seed).labels) for limit in sorted((one, other)))
    assert small <= large


def test_take_depends_on_the_seed():
    split = Split(np.zeros((100, 1, 1, 1), np.uint8), np.arange(100), tuple(map(str, range(100))), (0.0,))
    assert set(split.take(50, seed=0).labels) != set(split.take(50, seed=1).labels)


@pytest.mark.parametrize("limit", [0, -1])
def test_take_refuses_limits_below_one(limit):
    split = Split(np.zeros((3, 1, 1, 1), np.uint8), np.arange(3), ("a", "b", "c"), (0.0,))
    with pytest.raises(InputError, match=f"limit is {limit}; it must be at least 1"):
        split.take(limit)


@FIXED
@given(SHAPES, st.integers(0, 12))
def test_canvas_centres_the_window_or_is_refused(shape, margin):
    split = make(shape)
    height, width = split.size
    side = max(height, width) + margin
    if (side - height) % 2 or (side - width) % 2:
        with pytest.raises(InputError, match="even number of pixels"):
            split.on_canvas(side)
        return
    canvas = split.on_canvas(side)
    top, left = (side - height) // 2, (side - width) // 2
    empty = np.round(np.array(split.background) * 255).astype(np.uint8)
    expected = np.empty((len(split), side, side, split.channels), np.uint8)
    expected[:] = empty
    expected[:, top : top + height, left : left + width] = split.windows
    assert np.array_equal(canvas.windows, expected)
    assert canvas.context == min(top, left)
    # K13: within the margin, sliding the window over the source image equals rolling the window.
    for dy, dx in ((canvas.context, -canvas.context), (0, canvas.context), (-canvas.context, 0)):
        at_y, at_x = canvas.context - dy, canvas.context - dx
        slid = canvas.images[:, at_y : at_y + side, at_x : at_x + side]
        assert np.array_equal(slid, np.roll(canvas.windows, (dy, dx), axis=(1, 2)))
    assert canvas.on_canvas(side).windows.tobytes() == canvas.windows.tobytes()


@FIXED
@given(SHAPES, st.integers(-2, 12), st.integers(-2, 12))
def test_with_window_keeps_the_images(shape, height, width):
    split = make(shape)
    rows, columns = split.images.shape[1:3]
    if 1 <= height <= rows and rows - height == columns - width and (rows - height) % 2 == 0 and width >= 1:
        other = split.with_window((height, width))
        assert other.size == (height, width)
        assert np.array_equal(other.images, split.images)
        assert other.with_window(split.size).fingerprint == split.fingerprint
    else:
        with pytest.raises(InputError, match=f"The window is {height}×{width}.*allowed"):
            split.with_window((height, width))
