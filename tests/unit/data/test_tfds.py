"""The data set `tfds`: prepared directories, read without TensorFlow and without a network."""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnshift.data.base import create_dataset
from cnnshift.errors import InputError, SaveError
from cnnshift.spec import DatasetSpec
from tests.user_images import pictures, prepare_tfds

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    prepare_tfds(folder)
    prepare_tfds(folder, "frames", file_format="tfrecord")
    prepare_tfds(folder, "free", shape=(None, None, 3))
    return folder


def opened(argument, root, **options):
    return create_dataset(DatasetSpec("tfds", {"data_dir": str(root), **options}, argument))


@pytest.mark.parametrize("name", ["pets", "frames", "free"])
def test_both_formats_read_the_written_images(root, name):
    options = {"size": "16"} if name == "free" else {}
    source = opened(name, root, **options)
    assert str(source.spec) == f"tfds:{name}:1.2.0" + (":size=16" if options else "")
    for seed, split in enumerate(("train", "test")):
        found = source.load(split)
        images, labels = pictures(8, seed=seed)
        label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
        assert [label_of.pop(image.tobytes()) for image in found.images] == found.labels.tolist()
        assert not label_of
        assert found.classes == ("cat", "dog")
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("seed", "split", "order"),
    [(0, "train", [6, 5, 4, 10, 0, 8, 3, 1, 9, 7, 11, 2]), (1, "test", [6, 1, 4, 3, 2, 7, 5, 0])],
)
def test_directories_written_by_tensorflow(seed, split, order):
    """Read two shards per split, written by tensorflow-datasets 4.9.10 with TensorFlow 2.21.

    Image i is the i-th drawn from the split's seed, its class is i mod 4, and `order` is the order in the files.
    """
    random = np.random.RandomState(seed)
    images = np.stack([random.randint(0, 256, (8, 8, 3), dtype=np.uint8) for _ in order])
    found = opened("shapes4", Path(__file__).parents[2] / "data" / "tfrecord").load(split)
    assert np.array_equal(found.images, images[order])
    assert found.labels.tolist() == [i % 4 for i in order]
    assert found.classes == ("ä", "b", "c", "d")


@pytest.mark.parametrize("name", ["pets", "frames"])
def test_parts_of_splits(root, name):
    full = opened(name, root).load("test")
    source = opened(name, root, split="test[25%:75%]", train_split="train[:4]")
    part = source.load("test")
    assert np.array_equal(part.images, full.images[2:6])
    assert len(source.load("train")) == 4
    assert part.take(2).fingerprint == source.load("test", limit=2).fingerprint


@pytest.mark.parametrize("name", ["pets", "frames"])
@pytest.mark.parametrize(
    ("options", "train"),
    [
        ({"split": "train[50%:]"}, "train"),
        ({"split": "train"}, "train"),
        ({"split": "train[50%:]", "train_split": "train[:60%]"}, "train[:60%]"),
        ({"split": "test+train[7:]", "train_split": "train[1:2]+train[6:]"}, "train[1:2]+train[6:]"),
        ({"train_split": "all"}, "all"),
    ],
)
def test_overlapping_train_and_test_images_are_refused(root, name, options, train):
    source = opened(name, root, **options)
    assert source.load("test")
    test = options.get("split", "test")
    message = f"The training images '{train}' of 'tfds:{name}:1.2.0' overlap the test images '{test}'; set train_split"
    with pytest.raises(InputError, match=re.escape(message)):
        source.load("train")


def test_parts_of_several_shards():
    options = {"split": "train[4:8]", "train_split": "train[:4]+train[8:]"}
    source = opened("shapes4", Path(__file__).parents[2] / "data" / "tfrecord", **options)
    assert (len(source.load("test")), len(source.load("train"))) == (4, 8)
    source = opened("shapes4", Path(__file__).parents[2] / "data" / "tfrecord", **(options | {"split": "train[4:9]"}))
    with pytest.raises(InputError, match="set train_split"):
        source.load("train")


def test_a_limit_before_the_split_is_cached(root):
    part = opened("frames", root, split="test[1:]").load("test", limit=3)
    assert part.fingerprint == opened("frames", root, split="test[1:]").load("test").take(3).fingerprint


def test_decoded_images_are_cached_until_the_files_change(root, tmp_path, monkeypatch):
    directory = prepare_tfds(tmp_path, "cached")
    first = opened("cached", tmp_path).load("test").fingerprint
    with monkeypatch.context() as patch:
        patch.setattr("cnnshift.data.tfds_directory.TfdsDirectory.decode", None)
        assert opened("cached", tmp_path).load("test").fingerprint == first
    file = next(directory.glob("cached-test*"))
    file.write_bytes(file.read_bytes())
    decoded = []
    monkeypatch.setattr("cnnshift.data.tfds.write_images", lambda *args: decoded.append(args))
    assert opened("cached", tmp_path).load("test").fingerprint == first
    assert len(decoded) == 1


def test_decoded_images_of_another_version_are_not_read(tmp_path, monkeypatch):
    prepare_tfds(tmp_path, "older")
    opened("older", tmp_path).load("test")
    monkeypatch.setattr("cnnshift.data.tfds.Tfds.version", "1.0.1")
    decoded = []
    monkeypatch.setattr("cnnshift.data.tfds.write_images", lambda *args: decoded.append(args))
    opened("older", tmp_path).load("test")
    assert len(decoded) == 1


def test_a_full_disk_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    def full(*_):
        raise SaveError("Cannot write: no space left.")

    prepare_tfds(tmp_path, "full")
    monkeypatch.setattr("cnnshift.data.image_cache.atomic_file", full)
    assert len(opened("full", tmp_path).load("test")) == 8
    assert "The decoded images were not cached. Cannot write: no space left." in caplog.text


def test_a_damaged_cache_is_replaced(tmp_path, cache, caplog):
    prepare_tfds(tmp_path, "broken")
    first = opened("broken", tmp_path).load("test").fingerprint
    (path,) = (cache / "data" / "decoded" / "broken").glob("*.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert opened("broken", tmp_path).load("test").fingerprint == first
    assert "is damaged and will be replaced" in caplog.text


def test_size_and_context(root):
    split = opened("pets", root, size="8", context="2", background="mean").load("test")
    assert split.images.shape[1:] == (12, 12, 3)
    assert split.size == (8, 8)


def test_the_default_directory_is_that_of_tensorflow_datasets(root, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert len(create_dataset(DatasetSpec.parse("tfds:pets:split=test[:50%]")).load("test")) == 4


def test_the_newest_version_and_the_only_configuration_are_the_defaults(tmp_path):
    made = prepare_tfds(tmp_path)
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(made, made.with_name(version))
    assert opened("pets", tmp_path).spec.argument == "pets:1.10.0"
    assert opened("pets:1.9.0", tmp_path).spec.argument == "pets:1.9.0"
    for version in ("1.2.0", "1.9.0"):
        shutil.rmtree(made.with_name(version))
    (tmp_path / "pets" / "small").mkdir()
    made.with_name("1.10.0").rename(tmp_path / "pets" / "small" / "1.10.0")
    assert opened("pets", tmp_path).spec.argument == "pets:small:1.10.0"
    assert opened("pets:small:1.10.0", tmp_path).spec.argument == "pets:small:1.10.0"


REFUSED = {
    "syntax": ("../pets", {}, r"The data set is 'tfds:\.\./pets'; allowed: tfds:NAME\[:CONFIG\]\[:VERSION\]"),
    "not prepared": (
        "cats",
        {},
        "'tfds:cats' is not prepared in .*; set data_dir=DIR.*mnist, fashion_mnist",
    ),
    "version": ("pets:9.9.9", {}, "'tfds:pets:9.9.9' is not prepared in"),
    "version of a builder": ("mnist:9.9.9", {}, "cnnshift can prepare version 3.0.1"),
    "split": ("pets", {"split": "val"}, r"split is 'val', which .* allowed: .*test.*, or a part such as"),
    "slice": ("pets", {"split": "test[:0]"}, "which is empty or not in"),
    "sizes": ("free", {}, "vary in size; set the option size=N"),
    "context": ("pets", {"context": "8"}, "context is 8; allowed: less than half of 16"),
    "no directory": ("mnist", {"raw_dir": "none"}, "raw_dir is 'none', which is not a directory"),
    "no network": (
        "mnist",
        {},
        r"'tfds:mnist' is not prepared in .* cannot be downloaded \(ConnectionError\).*raw_dir=DIR",
    ),
}


@pytest.mark.parametrize(("argument", "options", "message"), REFUSED.values(), ids=REFUSED)
def test_specs_that_are_refused(root, argument, options, message):
    with pytest.raises(InputError, match=message):
        opened(argument, root, **options).load("test")


def test_examples_without_a_class_label_are_refused(tmp_path):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=(16, 16, 3)), "label": tfds.features.Scalar(np.int64)}
    prepare_tfds(tmp_path, features=features)
    with pytest.raises(InputError, match="the supervised keys None; allowed: an image and one class label"):
        opened("pets", tmp_path)


def test_damaged_directories(tmp_path):
    directory = prepare_tfds(tmp_path)
    record = next(directory.glob("pets-test*"))
    record.write_bytes(record.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot be read \(.*\); prepare it again"):
        opened("pets", tmp_path).load("test")
    (directory / "dataset_info.json").write_text("{")
    with pytest.raises(InputError, match="is not a prepared data set of tensorflow-datasets"):
        opened("pets", tmp_path)


def test_images_of_another_size_than_declared(tmp_path):
    path = prepare_tfds(tmp_path) / "features.json"
    path.write_text(path.read_text().replace('"16"', '"1"', 1))
    with pytest.raises(
        InputError, match=r"declares images of shape \(1, 16, 3\), but image 0 of 'test' has \(16, 16, 3\)"
    ):
        opened("pets", tmp_path).load("test")
    assert opened("pets", tmp_path, size=8).load("test").size == (8, 8)


FOREIGN = {
    "nested": ("features.json", {"featuresDict": {"features": {"a": {"pythonClassName": "canary.A", "text": {}}}}}),
    "other spelling": ("features.json", {"python_class_name": "canary.A"}),
    "similar name": ("features.json", {"pythonClassName": "tensorflow_datasets.core.features.canary.A"}),
    "old format": ("features.json", {"type": "canary.A", "content": {}}),
    "nested text": ("features.json", {"jsonFeature": {"json": json.dumps({"a": {"type": "canary.A", "content": {}}})}}),
    "other file": ("dataset_info.json", {"features": {"pythonClassName": "canary.A"}}),
}


@pytest.mark.parametrize(("file", "changes"), FOREIGN.values(), ids=FOREIGN)
def test_classes_named_in_a_directory_are_never_imported(tmp_path, monkeypatch, file, changes):
    (tmp_path / "canary.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    path = prepare_tfds(tmp_path) / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=rf"{file} names the class '.*canary\.A', which is never imported; allowed"):
        opened("pets", tmp_path).load("test")
    assert "canary" not in sys.modules


def test_the_module_that_prepared_a_directory_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "canary.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    path = prepare_tfds(tmp_path) / "dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"moduleName": "canary"}))
    assert len(opened("pets", tmp_path).load("test")) == 8
    assert "canary" not in sys.modules


@pytest.mark.parametrize("limit", [None, 5])
def test_an_impossible_number_of_images_is_refused(tmp_path, limit):
    claim(prepare_tfds(tmp_path), 10**15)
    with pytest.raises(InputError, match="has 1,000,000,000,000,000 images in 'test'; allowed: at most"):
        opened("pets", tmp_path).load("test", limit=limit)


def test_too_much_memory_is_refused_before_the_indices_are_computed(tmp_path, monkeypatch):
    claim(prepare_tfds(tmp_path), 10**7)
    monkeypatch.setattr("cnnshift.data.tfds.subset_indices", None)
    with pytest.raises(InputError, match=r"10,000,000 images of 16×16×3 take 7\.2 GiB; allowed: at most 1 GiB"):
        opened("pets", tmp_path).load("test")


def claim(directory, count):
    path = directory / "dataset_info.json"
    card = json.loads(path.read_text())
    for split in card["splits"]:
        split["shardLengths"] = [str(count)]
    path.write_text(json.dumps(card))
