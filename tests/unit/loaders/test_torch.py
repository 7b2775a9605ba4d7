"""`torch:`: modules and exported programs, and the same weights through every loader."""

import os
import pickle
import sys
import threading
import warnings
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift.errors import InputError
from tests import external_models
from tests.external_models import DATA, load, write_exported, write_onnx

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

UNIT = np.float32(DATA.images / 255)

# Raised inside torch when it exports.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def factories(tmp_path):
    return external_models.write_factories(tmp_path)


@pytest.fixture
def network(tmp_path):
    return external_models.factories(tmp_path).torch()


def logits(spec, images=UNIT):
    model = load(spec)
    return np.asarray(model.model(model.preprocess(jnp.asarray(images))))


def loaded_module(path):
    (module,) = (module for module in sys.modules.values() if getattr(module, "__file__", None) == str(path))
    return module


def test_factory_module_runs_in_evaluation_mode(factories):
    model = load(f"torch:{factories}:torch")
    assert (model.preprocess.layout, model.preprocess.size) == ("nchw", None)
    np.testing.assert_allclose(logits(f"torch:{factories}:torch"), external_models.logits(UNIT), rtol=1e-4, atol=1e-5)


def test_module_runs_in_one_thread_and_is_created_in_the_callers(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import threading\n\nimport torch\n\n\ncreated, called, threads = set(), set(), []\n\n\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        called.add(threading.current_thread())\n"
        "        return x.flatten(1)[:, :5]\n"
        "    def state_dict(self):\n        threads.append(torch.get_num_threads())\n        return {}\n"
        "\n\n"
        "def make():\n    created.add(threading.current_thread())\n    threads.append(torch.get_num_threads())\n"
        "    return Net()\n"
    )
    before = torch.get_num_threads()
    cnnshift.measure(f"torch:{path}:make", DATA, max_shift=1)
    module = loaded_module(path)
    assert len(module.called) == 1
    # An interruption reaches the thread of the caller.
    assert module.created == {threading.current_thread()}
    # There PyTorch creates no threads, which would slow down those of the host thread.
    assert module.threads == [1, 1]
    assert torch.get_num_threads() == before


def test_module_can_measure_itself_while_it_is_imported(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import numpy as np\nimport torch\n\nimport cnnshift\n\n\nclass Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        threads.add(torch.get_num_threads())\n        return x.flatten(1)[:, :5]\n"
        "\n\nthreads, make = set(), Net\n"
        "DATA = (np.random.RandomState(0).randint(0, 256, (6, 8, 8, 1)).astype(np.uint8), np.arange(6) % 5)\n"
        "if not hasattr(torch, 'measured'):\n    torch.measured = True\n"
        f"    cnnshift.measure('torch:{path}:make', DATA, max_shift=1)\n"
    )
    try:
        cnnshift.measure(f"torch:{path}:make", DATA, max_shift=1)
    finally:
        del torch.measured
    assert loaded_module(path).threads == {torch.get_num_threads()}


@pytest.mark.parametrize(
    ("images", "dynamic"),
    [
        ((2, 3, 8, 8), None),
        ((1, 3, 8, 8), None),
        ((2, 3, 8, 8), {0: {}}),
        ((2, 3, 8, 8), {0: {"min": 1, "max": 5}}),
        ((4, 3, 8, 8), {0: {"min": 3}}),
        ((2, 3, 8, 8), {0: {}, 2: {"min": 4, "max": 64}, 3: {"min": 4, "max": 64}}),
    ],
)
def test_program_accepts_any_number_of_images(tmp_path, network, images, dynamic):
    path = write_exported(tmp_path / "net.pt2", network, images=images, dynamic=dynamic)
    model = load(f"torch:{path}:trusted=true")
    assert model.preprocess.layout == "nchw"
    assert model.preprocess.size == (None if dynamic and 2 in dynamic else (8, 8))
    for n in (1, 4, 12):
        np.testing.assert_allclose(
            logits(f"torch:{path}:trusted=true", UNIT[:n]), external_models.logits(UNIT[:n]), rtol=1e-4, atol=1e-5
        )


class Wide(torch.nn.Module):
    """Many kinds of layers of image classifiers."""

    def __init__(self):
        super().__init__()
        self.circular = torch.nn.Conv2d(3, 8, 3, padding="same", padding_mode="circular")
        self.groups, self.batch = torch.nn.GroupNorm(2, 8), torch.nn.BatchNorm2d(8)
        self.strided = torch.nn.Conv2d(8, 8, 3, stride=2, groups=8, bias=False).to(memory_format=torch.channels_last)
        self.register_buffer("blur", torch.ones(8, 1, 3, 3) / 9, persistent=False)
        self.token, self.constant = torch.nn.Parameter(torch.randn(1, 1, 8)), torch.arange(8.0)
        self.block = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.out = torch.nn.Linear(8, 5)

    def forward(self, x):
        y = torch.nn.functional.hardswish(self.batch(self.groups(self.circular(x))), inplace=True)
        f = torch.fft.rfft2(y)
        f[..., 3:] = 0
        y = torch.fft.irfft2(f, s=y.shape[-2:])
        y = torch.nn.functional.conv2d(torch.nn.functional.pad(y, (1, 1, 1, 1), mode="reflect"), self.blur, groups=8)
        y = torch.nn.functional.max_pool2d(torch.nn.functional.interpolate(y, scale_factor=2, mode="bilinear"), 2)
        y = self.strided(y.to(torch.float64).to(torch.float32)) * self.constant[:, None, None]
        high, _ = torch.max(y.flatten(2), dim=2)
        first, second = y.chunk(2, 1)
        y = torch.cat([second, first], 1).flatten(2).transpose(1, 2) + high[:, None] * (x.shape[2] // 2 + 1)
        y = torch.cat([self.token.expand(len(y), -1, -1), y], 1)
        return self.out(self.block(y)[:, 0])


def test_program_equals_its_module(tmp_path):
    torch.manual_seed(0)
    network = Wide().eval()
    path = write_exported(tmp_path / "net.pt2", network, images=(3, 3, 16, 16))
    images = np.random.RandomState(0).rand(3, 16, 16, 3).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(logits(f"torch:{path}:trusted=true", images), expected, rtol=1e-5, atol=1e-6)


def test_decomposed_program(tmp_path, network):
    program = torch.export.export(network.eval(), (torch.zeros(2, 3, 8, 8),)).run_decompositions()
    torch.export.save(program, tmp_path / "net.pt2")
    found = logits(f"torch:{tmp_path / 'net.pt2'}:trusted=true")
    np.testing.assert_allclose(found, external_models.logits(UNIT), rtol=1e-4, atol=1e-5)


def test_same_weights_through_every_loader(tmp_path, factories, network):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    specs = [
        *(f"py:{factories}:{name}" for name in ("nnx", "linen", "plain")),
        f"onnx:{write_onnx(tmp_path / 'any.onnx')}",
        f"onnx:{write_onnx(tmp_path / 'fixed.onnx', shape=(5, 3, 8, 8))}",
        f"torch:{factories}:torch",
        f"torch:{write_exported(tmp_path / 'any.pt2', network, dynamic={0: {}})}:trusted=true",
        f"torch:{write_exported(tmp_path / 'fixed.pt2', network, images=(5, 3, 8, 8))}:trusted=true",
    ]
    first, *others = [cnnshift.measure(spec, DATA, max_shift=1, batch_size=4) for spec in specs]
    for run in others:
        assert run.contract == first.contract
        for ours, theirs in zip(first.metrics, run.metrics, strict=True):
            assert ours.id == theirs.id
            if ours.value is not None and theirs.value is not None:
                assert abs(ours.value - theirs.value) < 1e-4, (run.model, ours.id)
        assert run.metric("reference_consistency").value == first.metric("reference_consistency").value
        assert run.metric("accuracy").per_image == first.metric("accuracy").per_image
    assert len({run.weights_digest for run in (first, *others)}) == len(specs)
    # The weights of a function and of an ONNX file are not visible.
    hidden = [spec.startswith("onnx") or spec.endswith("plain") for spec in specs]
    assert [run.params for run in (first, *others)] == [None if each else 132 for each in hidden]


def test_onnx_file_of_torch(tmp_path, network):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, 8, 8),),
            path,
            dynamo=False,
            dynamic_axes={"x": {0: "n"}},
            input_names=["x"],
        )
    np.testing.assert_allclose(logits(f"onnx:{path}"), external_models.logits(UNIT), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("net.pt", "does not read pickles"),
        ("net.pth", "torch.onnx.export"),
        ("net.zip", "allowed: *.pt2"),
        ("net.pt2", "which does not exist"),
        ("", "allowed: *.pt2"),
        ("{folder}/empty.pt2:width=3", "has no option 'width'; allowed: trusted, size"),
        ("{folder}/empty.pt2:order=bgr", "has no option 'order'; it was renamed to 'channel_order'."),
        ("{folder}/empty.pt2:trusted=true", "empty.pt2 cannot be read as an exported program"),
        ("{folder}/networks.py:plain", "returned function; allowed: a torch.nn.Module"),
        ("{folder}/networks.py:nothing", "returned NoneType"),
        ("{folder}/networks.py:torch:a=1", "has no option 'a'"),
    ],
)
def test_invalid_specs(factories, monkeypatch, tmp_path, spec, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pt2").touch()
    with pytest.raises(InputError) as error:
        load("torch:" + spec.replace("{folder}", str(tmp_path)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


class Malicious:
    """An object whose pickle creates a file when it is read."""

    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("options", ["", ":trusted=false", ":trusted=yes", ":size=8"])
def test_program_that_is_not_trusted_is_not_read(tmp_path, monkeypatch, network, options):
    monkeypatch.chdir(tmp_path)
    path = write_exported(tmp_path / "net.pt2", network)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, pickle.dumps(Malicious()) if name.endswith("model.pt") else part)
    monkeypatch.setattr(torch.export, "load", lambda *arguments, **options: pytest.fail("read"))
    with pytest.raises(InputError) as error:
        load(f"torch:{path}{options}")
    assert "can execute code from the file; add trusted=true" in str(error.value)
    assert "torch.onnx.export(" in str(error.value) and "onnx:model.onnx" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("keep", [0, 4, 100, 3000, -1])
def test_truncated_program(tmp_path, network, keep):
    path = write_exported(tmp_path / "net.pt2", network)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="cannot be read as an exported program") as error:
        load(f"torch:{path}:trusted=true")
    assert "\n" not in str(error.value)


def test_images_that_a_program_does_not_accept(tmp_path, network):
    path = write_exported(tmp_path / "net.pt2", network)
    grey = cnnshift.Split(DATA.images[..., :1], DATA.labels, DATA.classes, background=(0.0,))
    with pytest.raises(InputError, match=r"net\.pt2 cannot be applied to images of shape \(2, 1, 8, 8\)"):
        cnnshift.measure(f"torch:{path}:trusted=true", grey, max_shift=1)


def test_program_in_training_mode_is_refused(tmp_path, network):
    torch.export.save(torch.export.export(network.train(), (torch.zeros(2, 3, 8, 8),)), tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"exported in training mode; call model\.eval\(\)"):
        load(f"torch:{tmp_path / 'net.pt2'}:trusted=true")


class Two(torch.nn.Module):
    def forward(self, x, y):
        return (x + y).mean((2, 3))


class Flat(torch.nn.Module):
    def forward(self, x):
        return x * 2


class Pair(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x


@pytest.mark.parametrize(
    ("module", "shapes", "message"),
    [
        (Two, [(2, 3, 8, 8)] * 2, "has 2 inputs; allowed: one"),
        (Flat, [(2, 8)], "has an input with 2 axes; allowed: four axes"),
        (Pair, [(2, 3, 8, 8)], "has 2 outputs; allowed: one"),
    ],
)
def test_program_without_images_or_logits_is_refused(tmp_path, module, shapes, message):
    program = torch.export.export(module(), tuple(torch.zeros(shape) for shape in shapes))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(InputError, match=message):
        load(f"torch:{tmp_path / 'net.pt2'}:trusted=true")


def test_torch_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'cnnshift\[torch\]'"):
        load("torch:net.pt2")


class Counting(torch.nn.Module):
    """A module that changes its buffer, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.view(1, 1).add_(1)
        return x.mean((2, 3)) + self.calls


def test_program_that_changes_its_state_is_refused(tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Counting().eval(), (torch.zeros(2, 5, 8, 8),)), path)
    images = np.zeros((10, 8, 8, 5), np.uint8)
    data = cnnshift.Split(images, np.arange(10) % 5, DATA.classes, background=(0.0,) * 5)
    with pytest.raises(InputError, match="it changes its tensor 'calls'"):
        cnnshift.measure(f"torch:{path}:trusted=true", data, max_shift=1)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.bin"])
def test_weights_of_a_factory_module(tmp_path, factories, network, name):
    state = {key: 2 * value for key, value in network.state_dict().items()}
    save = safetensors.save_file if name.endswith("safetensors") else torch.save
    save(state, tmp_path / name)
    spec = f"torch:{factories}:torch:weights={tmp_path / name}"
    network.load_state_dict(state)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(UNIT.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(logits(spec), expected, rtol=1e-4, atol=1e-5)
    assert load(spec).digest != load(f"torch:{factories}:torch").digest


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pth", Malicious(), "w.pth cannot be used"),
        ("w.pth", {"0.weight": torch.zeros(1)}, "w.pth cannot be used: RuntimeError"),
        ("w.pth", None, "w.pth', which does not exist"),
        ("w.safetensors", {}, "w.safetensors cannot be used"),
        ("w.npz", {}, "w.npz'; allowed: *.safetensors, *.pt, *.pth or *.bin"),
    ],
)
def test_weights_that_cannot_be_used(tmp_path, monkeypatch, factories, name, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        torch.save(content, tmp_path / name)
    with pytest.raises(InputError) as error:
        load(f"torch:{factories}:torch:weights={name}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_digest_depends_on_all_weights(tmp_path, monkeypatch):
    (tmp_path / "half.py").write_text(
        "import torch\n\n\ndef make(seed: int):\n    torch.manual_seed(seed)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5).to(torch.bfloat16))\n\n\n"
        "def fixed():\n    return make(int(open('seed').read()))\n"
    )
    (tmp_path / "seed").write_text("0")
    monkeypatch.chdir(tmp_path)
    before = load("torch:half.py:fixed").digest
    assert load("torch:half.py:fixed").digest == before
    (tmp_path / "seed").write_text("1")
    assert load("torch:half.py:fixed").digest != before


def test_module_object_is_refused_with_its_spec(network):
    with pytest.raises(InputError, match=r"is a PyTorch module \(Sequential\); allowed: its spec, 'torch:FILE\.py"):
        cnnshift.measure(network, DATA, max_shift=1)
