"""The data set `imagenet20`: its files, its preprocessing, and the class names."""

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from cnnshift.data import imagenet20
from cnnshift.data.base import create_dataset
from cnnshift.data.imagenet20 import LABELS, Imagenet20, Imagenet20Options, imagenet_classes
from cnnshift.errors import InputError
from cnnshift.spec import DatasetSpec

installed = pytest.mark.skipif(find_spec("foolbox") is None, reason="needs foolbox")


def test_the_thousand_class_names():
    names = imagenet_classes()
    assert len(names) == len({name.lower() for name in names}) == 1000
    assert all(name == name.strip() and name for name in names)
    known = {0: "tench", 22: "bald eagle", 134: "crane (bird)", 251: "dalmatian", 517: "crane (machine)", 609: "jeep"}
    assert {label: names[label] for label in known} == known
    assert names[-1] == "toilet tissue"


def test_there_is_no_train_split():
    with pytest.raises(InputError, match="'imagenet20' has no split 'train'; allowed: test"):
        Imagenet20().load("train")


@pytest.mark.parametrize(("key", "value"), [("size", "31"), ("context", "-1"), ("size", "large")])
def test_other_sizes_are_refused(key, value):
    with pytest.raises(InputError, match=f"option {key} is '{value}'; it must be "):
        create_dataset(DatasetSpec("imagenet20", {key: value}))


def test_a_missing_package_is_reported(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"^The data set 'imagenet20' needs the package foolbox: .*cnnshift\[pretrained\]"
    ):
        Imagenet20().load("test")


def test_other_photographs_are_refused(monkeypatch, tmp_path):
    write_photographs(tmp_path)
    monkeypatch.setattr(imagenet20, "package_file", lambda package, *parts, needed_by: tmp_path.joinpath(*parts))
    with pytest.raises(InputError, match=r"data is missing, damaged or of another version.*--force-reinstall"):
        Imagenet20().load("test")


def test_photographs_are_resized_and_centre_cropped(tmp_path):
    rows, columns = np.mgrid[:300, :500]
    pixels = np.stack([rows * 0.5, columns * 0.5, np.full_like(rows, 100)], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    square = imagenet20._load_square(tmp_path / "a.png", 150)
    assert square.shape == (150, 150, 3)
    # Half the size, with 50 of 250 columns cropped on each side.
    assert square[75, 0].tolist() == pytest.approx([75, 50, 100], abs=1)
    assert square[0, -1].tolist() == pytest.approx([0, 199, 100], abs=1)


def write_photographs(folder):
    (folder / "data").mkdir()
    for number, label in enumerate(LABELS):
        Image.new("RGB", (8, 8)).save(folder / "data" / f"imagenet_{number:02}_{label}.jpg")


@installed
@pytest.mark.parametrize(("options", "side", "context"), [({}, 256, 16), ({"size": 240, "context": 8}, 256, 8)])
def test_windows_of_photographs(options, side, context):
    split = Imagenet20(Imagenet20Options(**options)).load("test")
    assert split.images.shape == (20, side, side, 3) and split.images.dtype == np.uint8
    assert split.context == context and split.size == (side - 2 * context,) * 2
    assert split.labels.tolist() == list(LABELS)
    assert split.images.mean() == pytest.approx(111.85, abs=0.05)


@installed
def test_without_context_the_window_is_the_whole_image():
    assert Imagenet20(Imagenet20Options(context=0)).load("test").images.shape == (20, 224, 224, 3)
