"""`onnx:`: logits equal to those in numpy, and files that cannot be used."""

import hashlib
import logging

import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift.errors import InputError
from tests import external_models
from tests.external_models import DATA, load, write_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

UNIT = np.float32(DATA.images / 255)


@pytest.mark.parametrize("shape", [("n", 3, 8, 8), ("n", 3, "h", "w"), (1, 3, 8, 8), (5, 3, 8, 8), (None, 3, None, 8)])
def test_accepts_any_number_of_images(tmp_path, shape):
    network = load(f"onnx:{write_onnx(tmp_path / 'net.onnx', shape=shape)}")
    assert network.preprocess.layout == "nchw"
    assert network.preprocess.size == ((8, 8) if shape[2:] == (8, 8) else None)
    assert network.model.concurrent
    for n in (1, 4, 12):
        found = network.model(network.preprocess(jnp.asarray(UNIT[:n])))
        np.testing.assert_allclose(found, external_models.logits(UNIT[:n]), rtol=1e-4, atol=1e-5)


def test_channels_last(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", shape=("n", 8, 8, 3), last=True)
    network = load(f"onnx:{path}")
    assert (network.preprocess.layout, network.preprocess.size) == ("nhwc", (8, 8))
    np.testing.assert_allclose(network.model(jnp.asarray(UNIT)), external_models.logits(UNIT), rtol=1e-4, atol=1e-5)


def test_ambiguous_layout_must_be_given(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", shape=("n", 3, 8, 3))
    with pytest.raises(
        InputError, match=r"channels may be the second or the last axis; give layout=nchw or layout=nhwc\."
    ):
        load(f"onnx:{path}")
    assert load(f"onnx:{path}:layout=nchw").preprocess.size == (8, 3)
    (tmp_path / "net.toml").write_text('layout = "nchw"')
    assert load(f"onnx:{path}").preprocess.layout == "nchw"
    with pytest.raises(InputError, match="layout is 'chwn'"):
        load(f"onnx:{path}:layout=chwn")


def test_images_are_cropped_to_the_size_of_the_model(tmp_path):
    path = write_onnx(tmp_path / "net.onnx", shape=("n", 3, 6, 6))
    run = cnnshift.measure(f"onnx:{path}", DATA, protocol="crop", max_shift=1)
    assert run.metric("accuracy").value == np.mean(external_models.logits(UNIT[:, 1:7, 1:7]).argmax(1) == DATA.labels)
    larger = write_onnx(tmp_path / "larger.onnx", shape=("n", 3, 16, 16))
    with pytest.raises(InputError, match="16"):
        cnnshift.measure(f"onnx:{larger}", DATA, max_shift=1)


INVALID = {
    "several inputs": ({"inputs": 2}, "has 2 inputs (x0, x1); allowed: one."),
    "several outputs": ({"outputs": 2}, "has 2 outputs (y0, y1); allowed: one."),
    "wrong rank": ({"shape": ("n", 3, 8)}, "of shape ['n', 3, 8]; allowed: tensor(float) with four axes"),
    "wrong type": ({"dtype": 11}, "an input tensor(double)"),
    "no channels": ({"shape": ("n", 5, 8, 8)}, "give layout=nchw or layout=nhwc"),
}


@pytest.mark.parametrize(("options", "message"), INVALID.values(), ids=INVALID)
def test_file_without_images_or_logits_is_refused(tmp_path, options, message):
    path = write_onnx(tmp_path / "net.onnx", **options)
    with pytest.raises(InputError) as error:
        load(f"onnx:{path}")
    assert message in str(error.value), error.value
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spec", ["", "net.h5", "net.onnx", "net.onnx:width=3", "net.pt", "net.pth"])
def test_invalid_specs(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        load(f"onnx:{spec}")
    assert "\n" not in str(error.value)
    if spec.endswith((".pt", ".pth")):
        assert "does not read pickles" in str(error.value) and "torch.onnx.export" in str(error.value)


@pytest.mark.parametrize("keep", [0, 1, 50, 200])
def test_truncated_file(tmp_path, keep):
    path = write_onnx(tmp_path / "net.onnx")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"net\.onnx (cannot be read as ONNX|has 0 inputs)"):
        load(f"onnx:{path}")


def test_images_that_the_model_does_not_accept(tmp_path):
    path = write_onnx(tmp_path / "net.onnx")
    grey = cnnshift.Split(DATA.images[..., :1], DATA.labels, DATA.classes, background=(0.0,))
    with pytest.raises(InputError, match=r"cannot be applied to images of shape \(1, 1, 8, 8\)") as error:
        cnnshift.measure(f"onnx:{path}", grey, max_shift=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("layout=nhwc", r"layout is nhwc, but .*net\.onnx has an input of shape .*; allowed: nchw\."),
        ("size=16", r"size is 16x16, but .*net\.onnx accepts images of 8x8 pixels only\."),
    ],
)
def test_options_that_contradict_the_file(tmp_path, options, message):
    path = write_onnx(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=message):
        load(f"onnx:{path}:{options}")


def test_onnxruntime_is_not_installed(tmp_path, monkeypatch):
    path = write_onnx(tmp_path / "net.onnx")
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'cnnshift\[onnx\]'"):
        load(f"onnx:{path}")


def test_digest_depends_on_external_weights(tmp_path):
    path = write_onnx(tmp_path / "net.onnx")
    inside = load(f"onnx:{path}").digest
    model = onnx.load(path)
    onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    network = load(f"onnx:{path}")
    np.testing.assert_allclose(
        network.model(network.preprocess(jnp.asarray(UNIT))), external_models.logits(UNIT), rtol=1e-4, atol=1e-5
    )
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    assert len({inside, network.digest, load(f"onnx:{path}").digest}) == 3


def test_fixed_batch_is_filled(tmp_path, caplog):
    caplog.set_level(logging.DEBUG, "cnnshift")
    path = write_onnx(tmp_path / "net.onnx", shape=(6, 3, 8, 8))
    assert load(f"onnx:{path}").model.fixed_batch == 6
    cnnshift.measure(f"onnx:{path}", DATA, max_shift=1)
    assert any(message.startswith("sweep: 6 images × ") for message in caplog.messages)


@pytest.mark.parametrize("location", ["Paris office", "../secret.bin", "zero\0byte"])
def test_locations_outside_of_the_folder_are_not_opened(tmp_path, location):
    (tmp_path / "secret.bin").write_text("not of this model")
    (tmp_path / "folder").mkdir()
    path = write_onnx(tmp_path / "folder" / "net.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"location": location})
    onnx.save_model(model, path)
    assert load(f"onnx:{path}").digest == hashlib.sha256(path.read_bytes()).hexdigest()
