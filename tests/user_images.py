"""Small user data sets for tests: directories of images, .npz files, and directories of tensorflow-datasets."""

import struct
from pathlib import Path

import numpy as np
import PIL.Image

SIDE = 16
CLASSES = ("cat", "dog")


def pictures(count, *, seed=0, side=SIDE, channels=3):
    """Return noise images and alternating labels; channel 0 is dark for class 0 and bright for class 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    images[..., 0] = np.where(labels[:, None, None] == 1, images[..., 0] // 2 + 128, images[..., 0] // 2)
    return images, labels


def write_image(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


def write_folder(root, splits=("train", "test"), *, count=8, classes=CLASSES, **kind):
    for seed, split in enumerate(splits):
        for index, (image, label) in enumerate(zip(*pictures(count, seed=seed, **kind), strict=True)):
            write_image(Path(root, split, classes[label], f"{index:03d}.png"), image)
    return root


def write_npz(path, *, count=8, **more):
    images, labels = pictures(count)
    train_images, train_labels = pictures(count, seed=1)
    arrays = {"images": images, "labels": labels, "train_images": train_images, "train_labels": train_labels}
    arrays |= {"classes": np.array(CLASSES)}
    np.savez(path, **{key: value for key, value in (arrays | more).items() if value is not None})
    return path


def prepare_tfds(root, name="pets", *, count=8, file_format="array_record", shape=(SIDE, SIDE, 3), features=None):
    """Prepare a data set of tensorflow-datasets and return its directory."""
    import tensorflow_datasets as tfds

    from cnnshift.data.silence import silence

    class Pets(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.2.0")

        def _info(self):
            known = {
                "image": tfds.features.Image(shape=shape, encoding_format="png"),
                "label": tfds.features.ClassLabel(names=list(CLASSES)),
            }
            keys = ("image", "label") if features is None else None
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features or known), supervised_keys=keys
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(seed) for seed, split in enumerate(("train", "test"))}

        def _generate_examples(self, seed):
            for index, (image, label) in enumerate(zip(*pictures(count, seed=seed), strict=True)):
                yield index, {"image": PIL.Image.fromarray(image), "label": int(label)}

    Pets.name = name
    with silence():
        builder = Pets(data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    directory = Path(builder.data_dir)
    if file_format == "tfrecord":
        _as_tfrecord(directory, builder)
    return directory


def _as_tfrecord(directory, builder):
    """Convert a prepared directory to tfrecord: the records stay the same, their framing differs."""
    from array_record.python.array_record_module import ArrayRecordReader

    for path in directory.glob("*.array_record*"):
        reader = ArrayRecordReader(str(path))
        records = [reader.read([index])[0] for index in range(reader.num_records())]
        reader.close()
        frames = (struct.pack("<Q4x", len(record)) + record + bytes(4) for record in records)
        path.with_name(path.name.replace("array_record", "tfrecord")).write_bytes(b"".join(frames))
        path.unlink()
    card = directory / "dataset_info.json"
    card.write_text(card.read_text().replace("array_record", "tfrecord"))
