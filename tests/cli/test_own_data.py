"""User images on the command line: successful runs, and errors in one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.user_images import pictures, prepare_tfds, write_folder, write_image, write_npz


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


UNTRAINED = ("mlp:width=2", "--epochs", "0", "--max-shift", "1", "--metric", "accuracy")


def test_folder(cnnshift, here):
    write_folder("photos", ("val",))
    data = ("--dataset", "folder:photos:size=12,context=2", "--split", "val", "--limit", "6")
    code, out, err = cnnshift("bench", *UNTRAINED, *data, "--protocol", "crop", "--format", "json")
    assert code == 0, err
    record = json.loads(out)["runs"][0]["dataset"]
    assert record["name"] == "folder:photos:split=val,size=12,context=2"
    assert (record["n"], record["size"]) == (6, [12, 12])


def test_tfds(cnnshift, here):
    prepare_tfds("prepared")
    data = ("--dataset", "tfds:pets", "--data-dir", "prepared", "--split", "test[:50%]")
    code, out, err = cnnshift("bench", *UNTRAINED, *data, "--format", "json")
    assert code == 0, err
    record = json.loads(out)["runs"][0]["dataset"]
    assert (record["name"], record["n"]) == ("tfds:pets:1.2.0:split=test[:50%]", 4)


def test_data_set_settings_come_from_flags_and_the_environment(cnnshift, here, monkeypatch):
    monkeypatch.setenv("CNNSHIFT_DATA_DIR", "prepared")
    code, out, _ = cnnshift("bench", "--raw-dir", "raw", "--split", "val", "--show-config")
    lines = {line.split(" ")[0]: " ".join(line.split()[2:]) for line in out.splitlines()}
    assert code == 0
    assert lines["data_dir"] == "'prepared' # environment"
    assert lines["raw_dir"] == "'raw' # flag"
    assert lines["split"] == "'val' # flag"


def test_saved_weights_need_no_training_images(cnnshift, here):
    write_folder("photos")
    network = ("bench", "mlp:width=2", "--max-shift", "1", "--metric", "accuracy")
    code, _, err = cnnshift(*network, "--epochs", "1", "--dataset", "folder:photos", "--save-weights", "weights")
    assert code == 0, err
    only_test = ("--dataset", "folder:photos/test")
    code, _, err = cnnshift(*network, "--weights", "weights", "--epochs", "1", *only_test)
    assert code == 0, err
    code, _, err = cnnshift(*network, *only_test)
    assert code == 2
    assert "'folder:test' has no images to train 'mlp:width=2' on; add a split 'train'" in " ".join(err.split())
    code, _, err = cnnshift("explain", "mlp:width=2", *only_test)
    assert code == 2
    assert "has no images to train 'mlp:width=2' on" in " ".join(err.split())


def _npz(**changes):
    return lambda: write_npz("pets.npz", **changes)


def _folder(damage=lambda: None):
    def make():
        write_folder("photos", ("",))
        damage()

    return make


def _truncate():
    path = Path("photos/cat/000.png")
    path.write_bytes(path.read_bytes()[:300])


BAD = {
    "no folder": (lambda: None, "folder:photos", "folder:photos: not a directory"),
    "no argument": (lambda: None, "folder", "The data set 'folder' has no argument; allowed: folder:DIR"),
    "truncated image": (_folder(_truncate), "folder:photos", "photos/cat/000.png cannot be decoded"),
    "two sizes": (
        _folder(lambda: write_image(Path("photos/cat/9.png"), pictures(1, side=9)[0][0])),
        "folder:photos",
        "allowed: one size, or the option size=N",
    ),
    "unknown option": (_folder(), "folder:photos:sise=9", "'folder' has no option 'sise'; allowed: split, size"),
    "no file": (lambda: None, "npz:pets.npz", "npz:pets.npz: not a file"),
    "pickle": (_npz(images=np.array([{}])), "npz:pets.npz", "Pickled objects are never read"),
    "wrong type": (_npz(images=pictures(8)[0].astype(int)), "npz:pets.npz", "'images' is int64"),
    "not prepared": (lambda: None, "tfds:cats", "'tfds:cats' is not prepared in"),
    "no raw files": (lambda: None, "tfds:mnist:raw_dir=.", "raw_dir is ., which lacks train-images-idx3-ubyte.gz"),
}


@pytest.mark.parametrize(("make", "dataset", "message"), BAD.values(), ids=BAD)
def test_bad_input(make, dataset, message, cnnshift, here, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(here / "prepared"))
    make()
    code, out, err = cnnshift("bench", *UNTRAINED, "--dataset", dataset)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_list_shows_arguments(cnnshift):
    _, out, _ = cnnshift("list", "datasets")
    assert "folder:DIR" in out
    assert "tfds:NAME[:CONFIG][:VERSION]" in out
