"""Pretrained models in a benchmark: image size, batch size, and the recorded preprocessing."""

import logging
import sys
from unittest.mock import Mock

import numpy as np
import pytest

import cnnshift
from cnnshift.bench.models import adapt_model, load_pretrained, window_size
from cnnshift.bench.plan import make_plan
from cnnshift.bench.runner import run_plan
from cnnshift.config import make_config
from cnnshift.data.split import Split
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel, Provenance
from cnnshift.sweep import batching

RANDOM = np.random.RandomState(0)
TEST = Split(RANDOM.randint(0, 256, (6, 12, 12, 1)).astype(np.uint8), np.arange(6) % 3, tuple("abc"), (0.0,))


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import numpy as np\n\n\ndef make(factor: float = 1.0):\n"
        "    weights = np.random.RandomState(1).randn(64, 3).astype(np.float32)\n"
        "    def call(images):\n"
        "        sizes.append(len(images))\n"
        "        return factor * np.asarray(images).reshape(len(images), 64) @ weights\n"
        "    return call\n\n\nsizes = []\n"
    )
    return f"py:{path}:make"


def test_images_are_cropped_and_the_rest_is_context(network):
    run = cnnshift.measure(f"{network}:size=8", TEST, protocol="crop", max_shift=2)
    assert run.dataset.size == (8, 8)
    inside = TEST.images[:, 2:10, 2:10]
    alone = cnnshift.measure(network, (inside, TEST.labels), max_shift=1)
    assert run.metric("accuracy").value == alone.metric("accuracy").value


def test_preprocessing_is_in_the_recipe(network):
    run = cnnshift.measure(f"{network}:size=8,mean=0.25,std=2,factor=2", TEST, protocol="crop", max_shift=1)
    assert run.training.recipe.keys() == {"preprocess", "code"}
    assert run.training.recipe["preprocess"] == {"size": "8x8", "mean": "0.25", "std": "2"}
    assert (run.family, run.options["factor"], run.params) == ("py", "2", None)


def test_images_smaller_than_the_model_accepts(network):
    with pytest.raises(InputError, match="The window is 14×14; allowed: 1×1 to 12×12"):
        cnnshift.measure(f"{network}:size=14", TEST)


def test_only_logits_are_measured():
    model = LoadedModel(lambda images: images, output="boxes", provenance=Provenance(name="detector"))
    with pytest.raises(InputError, match=r"detector returns boxes; allowed: logits\."):
        adapt_model(model, TEST)


def test_models_of_two_sizes_are_not_measured_together(network):
    models = [load_pretrained(f"{network}:size={size}") for size in (8, 10)]
    with pytest.raises(InputError, match=r"images of different sizes .*8×8.*10×10"):
        window_size(models, TEST)
    assert window_size(models[:1], TEST) == (8, 8)
    assert window_size([load_pretrained(network)], TEST) == (12, 12)


def test_family_is_not_pretrained():
    with pytest.raises(InputError, match="'cnn' must be trained"):
        load_pretrained("cnn")
    with pytest.raises(InputError, match=r"Unknown model 'onx'.*onnx"):
        load_pretrained("onx")


def test_fastest_batch_gives_the_same_metrics(network, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, "cnnshift")
    spec = f"{network}:size=8"
    chosen = cnnshift.measure(spec, TEST, protocol="crop", max_shift=2)
    assert any(message.startswith("sweep: images/s by images per call: {1:") for message in caplog.messages)
    monkeypatch.setattr(batching, "_fastest_size", lambda inputs, sizes: pytest.fail("a trial with a given batch size"))
    fixed = cnnshift.measure(spec, TEST, protocol="crop", max_shift=2, batch_size=4)
    for one, other in zip(fixed.metrics, chosen.metrics, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-6) or one.value is other.value is None


def sizes_of(network):
    """Return the number of images of each call of the factory's model."""
    path = network.removeprefix("py:").removesuffix(":make")
    (sizes,) = (module.sizes for module in sys.modules.values() if getattr(module, "__file__", None) == path)
    return sizes


def test_calls_of_the_fastest_size_in_a_larger_batch(network, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, "cnnshift")
    monkeypatch.setattr(batching, "_fastest_size", lambda inputs, sizes: (2, 1e6))
    chosen = cnnshift.measure(f"{network}:size=8", TEST, protocol="crop", max_shift=1)
    assert any(message.startswith("sweep: 6 images × ") for message in caplog.messages)
    # The call with one image determines the number of classes.
    assert set(sizes_of(network)) == {1, 2}
    fixed = cnnshift.measure(f"{network}:size=8", TEST, protocol="crop", max_shift=1, batch_size=6)
    assert [metric.value for metric in fixed.metrics] == pytest.approx([m.value for m in chosen.metrics], rel=1e-6)


def test_digest_depends_on_the_code(network, tmp_path):
    before = cnnshift.measure(f"{network}:size=8", TEST, max_shift=1).weights_digest
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text() + "# changed\n")
    assert cnnshift.measure(f"{network}:size=8", TEST, max_shift=1).weights_digest != before


def test_trials_use_a_tenth_of_the_images(network):
    def count_images(**shifts):
        cnnshift.measure(f"{network}:size=8", TEST, protocol="crop", **shifts)
        return sum(sizes_of(network))

    # A black image determines the number of classes, and the programs are compiled with the first batch.
    fixed = 1 + 2 * len(TEST)
    for most in (1, 2):
        passes = len(TEST) * (2 * most + 1) ** 2
        assert passes <= count_images(max_shift=most) <= 1.1 * passes + fixed


def test_result_does_not_contain_absolute_paths(network, tmp_path):
    np.savez(tmp_path / "images.npz", images=TEST.images, labels=TEST.labels)
    settings = make_config(
        models=[f"{network}:size=8"], dataset=f"npz:{tmp_path / 'images.npz'}", protocols=["crop"], max_shift=1
    )
    result = run_plan(make_plan(settings), Mock())
    assert result.config["models"] == ["py:net.py:make:size=8"]
    assert str(tmp_path) not in result.model_dump_json()
