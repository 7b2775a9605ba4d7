"""The data set `folder`: which files it reads, how it converts them, and what it refuses."""

import logging
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from cnnshift.data import folder, image_files, limits
from cnnshift.data.base import create_dataset
from cnnshift.errors import InputError
from cnnshift.spec import DatasetSpec
from tests.user_images import pictures, write_folder, write_image


def opened(root, **options):
    return create_dataset(DatasetSpec("folder", {key: str(value) for key, value in options.items()}, str(root)))


def test_train_and_test(tmp_path):
    source = opened(write_folder(tmp_path / "pets"))
    assert source.has_train
    assert str(source.spec) == "folder:pets"
    test = source.load("test")
    assert test.classes == ("cat", "dog")
    assert test.images.shape == (8, 16, 16, 3)
    images, labels = pictures(8, seed=1)
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert [label_of[image.tobytes()] for image in test.images] == test.labels.tolist()


def test_class_directories_without_splits_are_test_images(tmp_path):
    source = opened(write_folder(tmp_path, ("",), classes=("Ärger", "ζώο")))
    assert source.load("test").classes == ("Ärger", "ζώο")
    assert not source.has_train
    with pytest.raises(InputError, match=r"'folder' has no split 'train'; allowed: test\."):
        source.load("train")


def test_the_directory_of_test_images_can_be_named(tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "val"))
    with pytest.raises(InputError, match=r"pets has no directory 'test' of test images; allowed: split=val\."):
        opened(root)
    assert len(opened(root, split="val").load("test")) == 8


@pytest.mark.parametrize("name", ["train", "./train", "link"])
def test_test_images_are_never_training_images(tmp_path, name):
    root = write_folder(tmp_path / "pets")
    (root / "link").symlink_to("train")
    source = opened(root, split=name)
    assert len(source.load("test")) == 8
    assert not source.has_train


def test_the_order_mixes_the_classes_and_is_reproducible(tmp_path):
    write_folder(tmp_path, ("",), count=40)
    labels = opened(tmp_path).load("test").labels
    assert len(set(labels[:10])) == 2
    assert opened(tmp_path).load("test").fingerprint == opened(tmp_path).load("test").fingerprint


def test_a_limit_decodes_only_its_files(tmp_path, monkeypatch):
    write_folder(tmp_path, ("",))
    counts = []
    original = folder.decode_images
    monkeypatch.setattr(
        folder,
        "decode_images",
        lambda paths, *args, **more: counts.append(len(paths)) or original(paths, *args, **more),
    )
    part = opened(tmp_path).load("test", limit=3)
    assert counts == [3]
    assert part.fingerprint == opened(tmp_path).load("test").take(3).fingerprint


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 60), (60, 40), (10, 15)])
def test_resizing_keeps_the_centre(tmp_path, height, width):
    for name in "ab":
        write_image(tmp_path / name / "0.png", _ramp(height, width))
    split = opened(tmp_path, size=16, context=2).load("test")
    assert split.images.shape[1:] == (20, 20, 3)
    assert split.size == (16, 16)
    scale, short = 20 / min(height, width), min(height, width)
    # A linear ramp must stay linear and centred.
    columns = (np.arange(20) + 0.5) / scale + (width - short) / 2 - 0.5
    assert np.abs(split.images[0, 5:-5, 2:-2, 0] - 2.0 * columns[2:-2]).max() < 2


def _ramp(height, width):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = 2 * np.arange(width)
    return pixels


def test_an_extreme_aspect_ratio_needs_little_memory(tmp_path):
    for name in "ab":
        write_image(tmp_path / name / "0.png", np.full((1, 60_000, 3), 7, np.uint8))
    assert (opened(tmp_path, size=256).load("test").images == 7).all()


def test_one_colour_image_gives_all_images_three_channels(tmp_path):
    write_folder(tmp_path, channels=1)
    assert opened(tmp_path).load("test").channels == 1
    write_image(tmp_path / "train" / "cat" / "colour.png", pictures(1)[0][0])
    assert {opened(tmp_path).load(split).channels for split in ("train", "test")} == {3}


def test_transparent_pixels_show_the_background(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        PIL.Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / name / "0.png")
    assert (opened(tmp_path).load("test").images == 0).all()
    white = opened(tmp_path, background="white").load("test")
    assert (white.images == 255).all()
    assert white.background == (1.0, 1.0, 1.0)


def test_sixteen_bits_and_orientation(tmp_path):
    (tmp_path / "a").mkdir()
    PIL.Image.fromarray(np.full((6, 4), 257 * 100, np.uint16)).save(tmp_path / "a" / "0.png")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    write_image(tmp_path / "b" / "1.png", np.full((6, 4, 1), 7, np.uint8))
    PIL.Image.fromarray(np.full((4, 6), 7, np.uint8)).save(tmp_path / "b" / "0.jpg", exif=exif, quality=100)
    split = opened(tmp_path).load("test")
    assert split.images.shape == (3, 6, 4, 1)
    assert set(np.unique(split.images)) == {7, 100}


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_every_format(tmp_path, suffix, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    for name in "ab":
        (tmp_path / name).mkdir()
        PIL.Image.new("RGB", (40, 20)).save(tmp_path / name / f"0.{suffix}", exif=exif)
    size = (20, 40) if orientation < 5 else (40, 20)
    assert image_files.read_header(tmp_path / "a" / f"0.{suffix}").size == size
    assert opened(tmp_path).load("test").images.shape == (2, *size, 3)


def test_mean_background_is_the_mean_of_the_training_images(tmp_path):
    write_folder(tmp_path)
    source = opened(tmp_path, background="mean")
    mean = source.load("train").images.mean(axis=(0, 1, 2)) / 255
    for split in (source.load("train"), source.load("test"), source.load("test", limit=2)):
        assert np.allclose(split.background, mean, atol=0.5 / 255)


@pytest.mark.parametrize(("text", "value"), [("0.2", (0.2, 0.2, 0.2)), ("0/0.4/1", (0.0, 0.4, 1.0))])
def test_background_in_numbers(tmp_path, text, value):
    assert opened(write_folder(tmp_path), background=text).load("test").background == value


def test_other_and_hidden_files_are_ignored(tmp_path, caplog):
    write_folder(tmp_path, ("",))
    for name in ("notes.txt", ".hidden.png", ".cache/x.png"):
        path = tmp_path / "cat" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("not an image")
    (tmp_path / ".git").mkdir()
    with caplog.at_level(logging.DEBUG, "cnnshift"):
        assert len(opened(tmp_path).load("test")) == 8
    assert "such as .hidden.png" in caplog.text


def _truncated(path):
    path.write_bytes(path.read_bytes()[:-200])


def _bomb(path):
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0),
        b"IDAT": zlib.compress(b""),
        b"IEND": b"",
    }
    packed = (struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks.items())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


DAMAGE = {
    "empty file": (lambda path: path.write_bytes(b""), r"000\.png is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("not an image"), r"000\.png is not an image; allowed: PNG, JPEG"),
    "truncated": (_truncated, r"000\.png cannot be decoded"),
    "bomb": (_bomb, r"000\.png has too many pixels; allowed: at most 67,108,864"),
    "another size": (
        lambda path: write_image(path, np.zeros((8, 9, 3), np.uint8)),
        r"\.png has (16×16|8×9) pixels and .*\.png has (8×9|16×16); allowed: one size, or the option size=N",
    ),
    "floats": (
        lambda path: PIL.Image.new("F", (16, 16)).save(path, format="TIFF"),
        r"000\.png cannot be decoded \(its pixels have the mode 'F'; allowed: 8 or 16 bits\)",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_files_that_are_refused(tmp_path, damage, message):
    write_folder(tmp_path, ("",))
    damage(tmp_path / "cat" / "000.png")
    with pytest.raises(InputError, match=message):
        opened(tmp_path).load("test")


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"folder:.*none: not a directory"):
        opened(tmp_path / "none")
    with pytest.raises(InputError, match=r"has no class directories; allowed: .*CLASS/IMAGE"):
        opened(tmp_path).load("test")
    write_image(tmp_path / "cat" / "0.png", pictures(1)[0][0])
    with pytest.raises(InputError, match=r"has one class \(cat\); allowed: 2 to"):
        opened(tmp_path).load("test")
    (tmp_path / "dog").mkdir()
    with pytest.raises(InputError, match=r"The class directory .*dog has no images; allowed suffixes: \.png"):
        opened(tmp_path).load("test")


def test_both_splits_must_have_the_same_classes(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / "train" / "newt" / "0.png", pictures(1)[0][0])
    with pytest.raises(InputError, match=r"train/newt has no counterpart 'newt' in .*test"):
        opened(tmp_path).load("test")


def test_too_much_memory_is_refused_before_decoding(tmp_path, monkeypatch):
    write_folder(tmp_path, ("",))
    monkeypatch.setattr(folder, "decode_images", None)
    assert limits.MAX_BYTES == 2**30
    monkeypatch.setattr("cnnshift.data.limits.MAX_BYTES", 8 * 16 * 16 * 3 - 1)
    with pytest.raises(InputError, match=r"8 images of 16×16×3 take .* GiB; allowed: at most"):
        opened(tmp_path).load("test")


def test_formats_that_execute_programs_are_not_supported():
    assert not {"EPS", "PDF", "WMF"} & image_files.FORMATS.keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is '0'; it must be greater than or equal to 1"),
        ({"size": 5000}, "size is '5000'; it must be less than or equal to 4096"),
        ({"context": -1}, "context is '-1'"),
        ({"background": "grey"}, "background is 'grey'; allowed: black, white, mean, or one value from 0 to 1"),
        ({"background": "0/2/0"}, "background is '0/2/0'; allowed: black"),
        ({"background": "nan"}, "background is 'nan'; allowed: black"),
        ({"background": "0/1"}, r"background has 2 values \('0/1'\); allowed: 1, or 3"),
        ({"context": 8}, "context is 8; allowed: less than half of 16"),
    ],
)
def test_options_that_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        opened(write_folder(tmp_path), **options).load("test")


def test_two_unicode_forms_of_a_class_name_are_refused(tmp_path, monkeypatch):
    spellings = ("caf\u00e9", "cafe\u0301")
    root = write_folder(tmp_path / "pets", ("",), classes=spellings)
    # Listed here, because some file systems treat both forms as one name.
    monkeypatch.setattr(folder, "_list_visible", lambda parent: [parent / name for name in spellings])
    with pytest.raises(InputError, match="two directories for the class 'caf\u00e9', in different Unicode forms"):
        opened(root).load("test")


def test_linked_directories_are_visited_once(tmp_path):
    root, more = write_folder(tmp_path / "pets", ("",)), write_folder(tmp_path / "more", ("",), classes=("a", "b"))
    (root / "cat" / "more").symlink_to(more / "a")
    (root / "cat" / "loop").symlink_to(root / "cat")
    assert np.bincount(opened(root).load("test").labels).tolist() == [8, 4]
