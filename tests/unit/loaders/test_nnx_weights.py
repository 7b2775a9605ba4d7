"""`weights=` of NNX modules: safetensors and Orbax, and files that cannot be used."""

import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.models.arrays import arrays_by_name
from tests import external_models
from tests.external_models import load

NAMES = {"conv.kernel", "conv.bias", "out.kernel"}


@pytest.fixture
def factories(tmp_path):
    return external_models.write_factories(tmp_path)


@pytest.fixture
def arrays():
    return {
        "conv.kernel": external_models.KERNEL,
        "conv.bias": external_models.BIAS,
        "out.kernel": external_models.DENSE,
    }


def load_filled(factories, weights):
    return load(f"py:{factories}:nnx:zero=true,weights={weights}").model


def assert_filled(model, arrays):
    found = arrays_by_name(model)
    assert found.keys() == NAMES
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value)


def test_safetensors(tmp_path, factories, arrays):
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    assert_filled(load_filled(factories, tmp_path / "w.safetensors"), arrays)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_orbax(tmp_path, factories, arrays):
    ocp = pytest.importorskip("orbax.checkpoint")
    _, state = nnx.split(load(f"py:{factories}:nnx").model)
    pure = nnx.to_pure_dict(state)
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "pure", pure)
    assert_filled(load_filled(factories, tmp_path / "pure"), arrays)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
    assert_filled(load_filled(factories, tmp_path / "state"), arrays)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="which does not exist"):
        load_filled(factories, tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"more": np.zeros(1)}, "only the weights have more"),
        (lambda a: {k: v for k, v in a.items() if k != "conv.bias"}, "only the network has conv.bias"),
        (lambda a: a | {"conv.bias": np.zeros(5, np.float32)}, "conv.bias has shape (5,)"),
        (lambda a: a | {"conv.bias": np.zeros(4, np.float64)}, "type float64, but the network's has (4,) and float32"),
    ],
)
def test_weights_of_another_model(tmp_path, factories, arrays, change, message):
    safetensors.numpy.save_file(change(arrays), tmp_path / "w.safetensors")
    with pytest.raises(InputError) as error:
        load_filled(factories, tmp_path / "w.safetensors")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0, 5, 60, -3])
def test_truncated_file(tmp_path, factories, arrays, keep):
    path = tmp_path / "w.safetensors"
    safetensors.numpy.save_file(arrays, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be used") as error:
        load_filled(factories, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.pkl", "w.npz", "w"])
def test_other_formats_are_refused(tmp_path, factories, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"allowed: \*\.safetensors, or the directory of an Orbax checkpoint\."):
        load_filled(factories, tmp_path / name)


def test_missing_file(tmp_path, factories):
    with pytest.raises(InputError, match="which does not exist"):
        load_filled(factories, tmp_path / "w.safetensors")


def test_factory_with_a_weights_parameter(tmp_path, factories):
    factories.write_text(
        factories.read_text() + "\ndef reads(weights: str):\n    assert weights == 'mine.pth'\n    return plain()\n"
    )
    assert callable(load(f"py:{factories}:reads:weights=mine.pth").model)
