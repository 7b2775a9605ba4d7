"""Models exported as ONNX."""

import sys

import numpy as np
import pytest

from cnnshift.bench import export
from cnnshift.config import make_config
from cnnshift.errors import InputError, MeasurementError
from tests import external_models


@pytest.fixture
def needs_packages():
    for package in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(package)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("needs_packages")
def test_exported_model_equals_the_original(tmp_path):
    import onnxruntime

    from cnnshift.data.base import create_dataset
    from cnnshift.data.split import to_unit_range
    from cnnshift.spec import DatasetSpec

    path = tmp_path / "cnn.onnx"
    config = make_config(models=["cnn:padding=circular,head=gap,width=2,depth=1,epochs=0"], seed=3)
    exported = export.export_onnx(path, config)
    assert exported.shape == ("n", 32, 32, 1)
    assert exported.equal_predictions == exported.images == 64
    assert exported.difference < 1e-5
    images = to_unit_range(create_dataset(DatasetSpec("mnist5k")).load("test").windows[:5])
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    logits = session.run(None, {"images": images})[0]
    assert logits.shape == (5, 10)
    assert not np.allclose(logits[0], logits[1])
    # Circular padding and global pooling: invariant to a roll by the stride of 2.
    rolled = session.run(None, {"images": np.roll(images, (2, -4), axis=(1, 2))})[0]
    np.testing.assert_allclose(rolled, logits, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("needs_packages")
def test_model_that_differs_is_not_written(tmp_path, monkeypatch):
    run = export._run
    monkeypatch.setattr(export, "_run", lambda *arguments: 1.01 * run(*arguments))
    with pytest.raises(MeasurementError, match=r"differ from those of mlp:width=2,epochs=0 by .*No file was written"):
        export.export_onnx(tmp_path / "mlp.onnx", make_config(models=["mlp:width=2,epochs=0"]))
    assert not list(tmp_path.iterdir())


def test_missing_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(InputError, match=r"The package jax2onnx is not installed.*cnnshift\[export\]"):
        export.export_onnx(tmp_path / "mlp.onnx", make_config(models=["mlp"], epochs=0))


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [("plain", {"epochs": None, "seed": 0}, "runs outside of JAX"),
     ("nnx", {"epochs": 3, "seed": 0}, "is pretrained; --epochs and --seed are not allowed"),
     ("nnx", {"epochs": None, "seed": 1}, "is pretrained")],
)  # fmt: skip
def test_pretrained_models_that_cannot_be_exported(tmp_path, factory, arguments, message):
    images, labels = external_models.IMAGES, external_models.DATA.labels
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    model = f"py:{external_models.write_factories(tmp_path)}:{factory}"
    config = make_config(models=[model], dataset=f"npz:{tmp_path / 'test.npz'}", **arguments)
    with pytest.raises(InputError, match=message):
        export.export_onnx(tmp_path / "net.onnx", config)
