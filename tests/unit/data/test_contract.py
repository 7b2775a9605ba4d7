"""The contract of `Dataset`, tested for every registered data set."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from cnnshift.catalog import DATASETS
from cnnshift.data.base import create_dataset
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.spec import DatasetSpec
from tests.user_images import prepare_tfds, write_folder, write_npz

NAMES = list(DATASETS)
SPLITS = ("train", "test")
NEEDS = {"imagenet20": "foolbox"}
"""Packages of the extra `pretrained`."""
INSTALLED = [name for name in NAMES if name not in NEEDS or find_spec(NEEDS[name]) is not None]


def splits_of(name):
    # The splits of a data set with an argument depend on the argument; the examples here have both.
    return SPLITS if DATASETS[name].argument else tuple(s for s in SPLITS if s in DATASETS.load(name).splits)


KEYS = [(name, split) for name in INSTALLED for split in splits_of(name)]
TRAINED_ON = [name for name in INSTALLED if splits_of(name) == SPLITS]
TRAINED_ON_KEYS = [key for key in KEYS if key[0] in TRAINED_ON]
"""A data set without a train split need not contain every class."""


@pytest.fixture(scope="session")
def spec_of(tmp_path_factory):
    """Return a function that makes the spec of a data set with options; arguments name small examples."""
    folder = tmp_path_factory.mktemp("own")
    prepare_tfds(folder / "prepared")
    arguments = {"folder": write_folder(folder / "photos"), "npz": write_npz(folder / "photos.npz"), "tfds": "pets"}
    assert arguments.keys() == {name for name in NAMES if DATASETS[name].argument}

    def make(name, **options):
        return DatasetSpec(name, options, str(arguments.get(name, "")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(folder / "prepared"))
        yield make


@pytest.fixture(scope="session")
def loaded(spec_of):
    """Return every split, read-only, and its fingerprint when loaded again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.socket.connect", _no_network)
        sets = {(name, split): create_dataset(spec_of(name)).load(split) for name, split in KEYS}
        again = {key: create_dataset(spec_of(key[0])).load(key[1]).fingerprint for key in sets}
    for split in sets.values():
        split.images.flags.writeable = False
        split.labels.flags.writeable = False
    return sets, again


def _no_network(*_):
    raise AssertionError("a data set used the network")


@pytest.fixture(params=KEYS, ids="-".join)
def split(request, loaded) -> Split:
    return loaded[0][request.param]


@pytest.mark.parametrize("name", NAMES)
def test_class_attributes(name):
    source = DATASETS.load(name)
    assert source.name == name
    assert source.version.count(".") == 2
    assert source.licence and source.citation
    assert source.options_type.keys({})[-1] == "canvas"
    assert source.options_type().changed() == {}


def test_images_and_labels(split):
    count, height, width, channels = split.images.shape
    assert split.images.dtype == np.uint8
    assert split.labels.shape == (count,) == (len(split),)
    assert np.issubdtype(split.labels.dtype, np.integer)
    assert split.channels == channels in (1, 3)
    assert split.size == (height - 2 * split.context, width - 2 * split.context)
    assert split.windows.shape == (count, *split.size, channels)
    assert len(split.background) == channels
    assert all(0 <= value <= 1 for value in split.background)
    assert split.images.min() < split.images.max() > 200


def test_class_names_are_distinct(split):
    assert len(set(split.classes)) == len(split.classes) >= 2


@pytest.mark.parametrize("split", TRAINED_ON_KEYS, ids="-".join, indirect=True)
def test_classes_are_balanced(split):
    counts = np.bincount(split.labels, minlength=len(split.classes))
    assert len(counts) == len(split.classes)
    assert counts.min() == counts.max()


@pytest.mark.parametrize("split", TRAINED_ON_KEYS, ids="-".join, indirect=True)
def test_any_two_hundred_images_contain_every_class(split):
    """A limit or an unshuffled batch must contain all classes."""
    for start in range(0, len(split), 200):
        assert set(split.labels[start : start + 200]) == set(range(len(split.classes)))


@pytest.mark.parametrize("name", TRAINED_ON)
def test_train_and_test_differ_in_images_and_labels_only(name, loaded):
    train, test = (loaded[0][name, split] for split in SPLITS)
    assert replace(train, images=test.images, labels=test.labels).fingerprint == test.fingerprint
    assert train.fingerprint != test.fingerprint


def test_fingerprint_is_stable_under_reload(loaded):
    sets, again = loaded
    assert {key: split.fingerprint for key, split in sets.items()} == again


def test_fingerprint_depends_on_every_attribute(split):
    images, labels = split.images.copy(), split.labels.copy()
    images[-1, -1, -1, -1] ^= 1
    labels[-1] = (labels[-1] + 1) % len(split.classes)
    changed = [
        replace(split, images=images),
        replace(split, labels=labels),
        replace(split, classes=tuple(reversed(split.classes))),
        replace(split, background=tuple(value + 0.5 for value in split.background)),
    ]
    assert len({split.fingerprint, *(other.fingerprint for other in changed)}) == 1 + len(changed)


def test_fingerprint_does_not_depend_on_the_type_of_labels(split):
    assert replace(split, labels=split.labels.astype(np.int64)).fingerprint == split.fingerprint


def test_on_canvas_surrounds_the_window_with_background(split):
    height, width = split.size
    canvas = split.on_canvas(height + 16)
    assert canvas.size == (height + 16, width + 16)
    assert canvas.context == 8
    images = canvas.images.copy()
    window = images[:, 16 : 16 + height, 16 : 16 + width]
    assert np.array_equal(window, split.windows)
    window[:] = np.round(np.array(split.background) * 255)
    assert (images == np.round(np.array(split.background) * 255)).all()


def test_a_canvas_of_the_window_size_drops_only_the_context(split):
    canvas = split.on_canvas(split.size[0])
    assert canvas.context == 0
    assert np.array_equal(canvas.images, split.windows)


@pytest.mark.parametrize("name", INSTALLED)
def test_canvas_is_an_option_of_every_data_set(name, loaded, monkeypatch, spec_of):
    split = loaded[0][name, "test"]
    canvas = split.size[0] + 16
    opened = create_dataset(spec_of(name, canvas=str(canvas)))
    monkeypatch.setattr(type(opened), "_load", lambda *_: split)
    assert opened.load("test").fingerprint == split.on_canvas(canvas).fingerprint


@pytest.mark.parametrize(
    ("difference", "message"),
    [(1, "even number of pixels"), (-2, "allowed: at least"), (-1, "allowed: at least")],
)
def test_canvas_of_an_invalid_size_is_refused(split, difference, message):
    canvas = split.size[0] + difference
    with pytest.raises(InputError, match=f"canvas is {canvas}.*{message}"):
        split.on_canvas(canvas)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("canvas", ["wide", "-4", "48.5", "4 8", ""])
def test_canvas_that_is_not_a_number_is_refused(name, canvas, spec_of):
    with pytest.raises(InputError, match=f"canvas is '{canvas}'; it must be"):
        create_dataset(spec_of(name, canvas=canvas))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_option_lists_the_allowed_ones(name, spec_of):
    with pytest.raises(InputError, match=f"'{name}' has no option 'colour'; allowed: .*canvas"):
        create_dataset(spec_of(name, colour="red"))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_split_lists_the_allowed_ones(name, spec_of):
    with pytest.raises(InputError, match=f"'{name}' has no split 'holdout'; allowed: .*test"):
        create_dataset(spec_of(name)).load("holdout")


@pytest.mark.parametrize("name", INSTALLED)
def test_load_with_a_limit_equals_take(name, loaded, spec_of):
    part = create_dataset(spec_of(name)).load("test", limit=5)
    assert part.fingerprint == loaded[0][name, "test"].take(5).fingerprint


@pytest.mark.parametrize("name", [name for name in NAMES if DATASETS[name].argument])
def test_a_missing_argument_is_refused(name):
    with pytest.raises(InputError, match=f"has no argument; allowed: {name}:"):
        create_dataset(DatasetSpec(name))


def test_unknown_data_set_suggests_the_closest_name():
    with pytest.raises(InputError, match=r"Unknown data set 'mnist'.*Did you mean 'mnist5k'"):
        create_dataset(DatasetSpec("mnist"))


IMAGES = np.zeros((2, 4, 4, 1), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": IMAGES[:0], "labels": np.zeros(0, np.int32)}, "none of them 0"),
        ({"images": IMAGES.astype(np.float32) + 2}, "floats from 0 to 1"),
        ({"labels": np.array([0, 2], np.int32)}, "from 0 to 1"),
        ({"background": (0.0, 0.0)}, "1 values from 0 to 1"),
        ({"background": (2.0,)}, "1 values from 0 to 1"),
        ({"context": 2}, "less than half of 4"),
    ],
)
def test_inconsistent_attributes_are_refused(changes, message):
    attributes = {"images": IMAGES, "labels": np.array([0, 1], np.int32), "classes": ("a", "b"), "background": (0.0,)}
    with pytest.raises(InputError, match=message):
        Split(**(attributes | changes))


def test_specs_are_canonical():
    assert str(create_dataset(DatasetSpec.parse("redgreen:sets=fresh")).spec) == "redgreen"
    assert str(create_dataset(DatasetSpec.parse("mnist5k:canvas=048")).spec) == "mnist5k:canvas=48"
