"""The data set `cluttered`: golden content, and the positions of digits and fragments."""

import numpy as np
import pytest

from cnnshift.data import cluttered
from cnnshift.data.cluttered import DIGIT, FRAGMENT, FRAGMENTS, SIDE, Cluttered
from cnnshift.data.mnist5k import Mnist5k

GOLDEN = {
    "train": "963baff286bd09a1898a5513ddcf67a7b1ee867ba8ae1d2139b6f97bf507346f",
    "test": "efb64c8c46bc6d9f3361236e02e6395a7ec954b9730d54e93777a91d250123d5",
}


@pytest.fixture(scope="module")
def splits():
    return {name: Cluttered().load(name) for name in GOLDEN}


def test_golden_content(splits):
    assert {name: split.fingerprint for name, split in splits.items()} == GOLDEN


def test_the_digits_are_those_of_mnist5k_in_its_order(splits):
    for name, split in splits.items():
        plain = Mnist5k().load(name)
        assert split.images.shape == (len(plain), SIDE, SIDE, 1)
        np.testing.assert_array_equal(split.labels, plain.labels)
        # At some position the canvas contains the digit or lighter pixels.
        for image, digit in zip(split.images[:20, :, :, 0], plain.images[:20, 2:30, 2:30, 0], strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(image, (DIGIT, DIGIT))
            assert (windows >= digit).all(axis=(2, 3)).any()


def test_digits_have_every_position_and_fragments_add_few_pixels(monkeypatch):
    rng = np.random.RandomState(0)
    digits = np.full((2000, DIGIT, DIGIT), 100, np.uint8)
    monkeypatch.setattr(cluttered, "FRAGMENTS", 0)
    alone = cluttered._draw(digits, rng)
    assert (alone.astype(bool).sum(axis=(1, 2)) == DIGIT**2).all()
    tops, lefts = (alone.any(axis=axis).argmax(axis=1) for axis in (2, 1))
    places = np.bincount(tops * (SIDE - DIGIT + 1) + lefts)
    assert set(tops) == set(lefts) == set(range(SIDE - DIGIT + 1))
    assert places.max() < 20
    monkeypatch.setattr(cluttered, "FRAGMENTS", FRAGMENTS)
    among = cluttered._draw(digits, rng)
    extra = among.astype(bool).sum(axis=(1, 2)) - DIGIT**2
    assert 0 <= extra.min() < extra.max() <= FRAGMENTS * FRAGMENT**2


def test_fragments_come_from_other_images():
    """Every digit has a distinct grey value, which must not occur outside its own square."""
    digits = np.arange(1, 41, dtype=np.uint8)[:, None, None] * np.ones((1, DIGIT, DIGIT), np.uint8)
    images = cluttered._draw(digits, np.random.RandomState(1))
    for value, image in enumerate(images, start=1):
        rows, columns = np.nonzero(image == value)
        assert max(np.ptp(rows), np.ptp(columns)) < DIGIT
