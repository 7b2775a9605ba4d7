"""The data set `redgreen`: its images, and the leak of the published sets that the fresh sets do not have."""

import numpy as np
import pytest

from cnnshift.data.base import create_dataset
from cnnshift.data.redgreen import RedGreen, RedGreenOptions
from cnnshift.errors import InputError
from cnnshift.spec import DatasetSpec

# Fingerprint of the training images of the authors' program, compared pixel by pixel.
TRAIN = "5f2e15b7"


def load(split, **options):
    return RedGreen(RedGreenOptions(**options)).load(split)


def corners(split):
    """Return (row, column) of the upper left pixel of each box: [n, red or green, 2]."""
    drawn = split.images[..., :2] > 0
    rows, columns = (drawn.any(axis=axis).argmax(axis=1) for axis in (2, 1))
    return np.stack([rows, columns], axis=-1)


def overlap(split, other):
    """Return the fraction of images that also occur in the other split."""
    known = {image.tobytes() for image in other.images}
    return np.mean([image.tobytes() in known for image in split.images])


@pytest.mark.parametrize("sets", ["fresh", "published"])
@pytest.mark.parametrize(("split", "count"), [("train", 2000), ("validation", 1000), ("test", 1000)])
def test_the_boxes_match_the_paper(sets, split, count):
    data = load(split, sets=sets)
    assert data.images.shape == (count, 32, 32, 3)
    assert data.size == (32, 32)
    assert data.classes == ("red-green", "green-red")
    assert set(np.unique(data.images)) == {0, 255}
    # Two boxes of 16 pixels, in one channel each.
    assert (data.images > 0).sum(axis=(1, 2)).tolist() == [[16, 16, 0]] * count
    at = corners(data)
    for axis in (1, 2):
        extent = (data.images[..., :2] > 0).any(axis=axis).sum(axis=1)
        assert (extent == 4).all()
    # The class is the order of the boxes, at the published distances.
    left = np.take_along_axis(at[..., 1], data.labels[:, None], axis=1)[:, 0]
    right = np.take_along_axis(at[..., 1], 1 - data.labels[:, None], axis=1)[:, 0]
    assert set(left) == set(range(10))
    assert ((right - left) >= 5).all()
    assert right.max() == 27
    for label, home in ((0, 7), (1, 23)):
        for box in (0, 1):
            assert set(at[data.labels == label, box, 0]) == set(range(home - 4, home + 4))


@pytest.mark.parametrize("sets", ["fresh", "published"])
def test_dissimilar_swaps_the_rows_of_the_classes(sets):
    data = load("test", sets=sets, test="dissimilar")
    rows = corners(data)[..., 0]
    assert set(rows[data.labels == 0].ravel()) == set(range(19, 27))
    assert set(rows[data.labels == 1].ravel()) == set(range(3, 11))


def test_published_sets_leak():
    train, similar = load("train", sets="published"), load("test", sets="published")
    dissimilar = load("test", sets="published", test="dissimilar")
    assert np.array_equal(similar.images, train.images[:1000])
    assert np.array_equal(similar.labels, train.labels[:1000])
    assert similar.fingerprint == load("validation", sets="published").fingerprint
    # On 32 rows, shifts by 16 rows up and down are the same circular shift.
    assert np.array_equal(dissimilar.images, np.roll(similar.images, 16, axis=1))
    assert np.array_equal(dissimilar.labels, similar.labels)


def test_training_images_are_those_of_the_original_in_both_sets():
    assert load("train", sets="fresh").fingerprint == load("train", sets="published").fingerprint
    assert load("train").fingerprint.startswith(TRAIN)


def test_fresh_sets_are_independent():
    train = load("train")
    held_out = [load("validation"), load("test", test="similar"), load("test", test="dissimilar")]
    moved = np.roll(held_out[1].images, 16, axis=1)
    for other in held_out:
        # Fewer than 1 % of the images equal by chance the image that the leak would put there.
        for leaked in (train.images[:1000], train.images[1000:], moved):
            assert (other.images == leaked).all(axis=(1, 2, 3)).mean() < 0.01
    validation, similar, dissimilar = held_out
    # Independent draws from the 11,840 images of a class coincide by chance, but never with swapped rows.
    assert 0.05 < overlap(similar, train) < 0.15
    assert 0.05 < overlap(validation, train) < 0.15
    assert overlap(dissimilar, train) == 0
    assert overlap(dissimilar, similar) == 0
    assert len({split.fingerprint for split in (train, *held_out)}) == 4


def test_defaults_are_fresh_and_similar():
    assert load("test").fingerprint == load("test", sets="fresh", test="similar").fingerprint


def test_options_of_the_spec_are_used():
    opened = create_dataset(DatasetSpec.parse("redgreen:sets=published,test=dissimilar,canvas=48"))
    assert opened.load("test").size == (48, 48)
    expected = load("test", sets="published", test="dissimilar").on_canvas(48)
    assert opened.load("test").fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": "leaked"}, "sets is 'leaked'; it must be 'fresh' or 'published'"),
        ({"test": "same"}, "test is 'same'; it must be 'similar' or 'dissimilar'"),
        ({"sest": "fresh"}, "'redgreen' has no option 'sest'; allowed: sets, test, canvas"),
    ],
)
def test_unknown_options_and_values(options, message):
    with pytest.raises(InputError, match=message):
        create_dataset(DatasetSpec("redgreen", options))
