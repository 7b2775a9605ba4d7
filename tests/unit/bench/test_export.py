"""Networks written as ONNX say what the originals say."""

import sys

import numpy as np
import pytest

from cnnshift.bench import export
from cnnshift.errors import InputError, MeasurementError
from tests import external_models


@pytest.fixture
def needs_packages():
    for package in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(package)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("needs_packages")
def test_a_network_is_the_same_in_onnx(tmp_path):
    import onnxruntime

    from cnnshift.data.base import create_dataset
    from cnnshift.data.split import to_unit_range
    from cnnshift.spec import DatasetSpec

    path = tmp_path / "cnn.onnx"
    made = export.export_onnx(
        "cnn:padding=circular,head=gap,width=2,depth=1,epochs=0", path, dataset="mnist5k", epochs=None, seed=3
    )
    assert made.shape == ("n", 32, 32, 1)
    assert made.agreeing == made.images == 64
    assert made.difference < 1e-5
    images = to_unit_range(create_dataset(DatasetSpec("mnist5k")).load("test").windows[:5])
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    logits = session.run(None, {"images": images})[0]
    assert logits.shape == (5, 10)
    assert not np.allclose(logits[0], logits[1])
    # The network is what it was: circular and global, it does not see a roll by its stride of 2.
    rolled = session.run(None, {"images": np.roll(images, (2, -4), axis=(1, 2))})[0]
    np.testing.assert_allclose(rolled, logits, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("needs_packages")
def test_a_network_that_became_another_is_not_written(tmp_path, monkeypatch):
    run = export._run
    monkeypatch.setattr(export, "_run", lambda *arguments: 1.01 * run(*arguments))
    with pytest.raises(MeasurementError, match=r"differs from mlp:width=2,epochs=0 by .*Nothing was written"):
        export.export_onnx("mlp:width=2,epochs=0", tmp_path / "mlp.onnx", dataset="mnist5k", epochs=None, seed=0)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(InputError, match=r"The package jax2onnx is not installed.*cnnshift\[export\]"):
        export.export_onnx("mlp", tmp_path / "mlp.onnx", dataset="mnist5k", epochs=0, seed=0)


@pytest.mark.parametrize(
    ("factory", "arguments", "said"),
    [("plain", {"epochs": None, "seed": 0}, "does not run as arrays of jax"),
     ("nnx", {"epochs": 3, "seed": 0}, "comes with its weights; allowed without --epochs and --seed"),
     ("nnx", {"epochs": None, "seed": 1}, "comes with its weights")],
)  # fmt: skip
def test_networks_that_come_with_their_weights(tmp_path, factory, arguments, said):
    images, labels = external_models.IMAGES, external_models.DATA.labels
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    with pytest.raises(InputError, match=said):
        export.export_onnx(
            f"py:{external_models.write_factories(tmp_path)}:{factory}",
            tmp_path / "net.onnx",
            dataset=f"npz:{tmp_path / 'test.npz'}",
            **arguments,
        )
