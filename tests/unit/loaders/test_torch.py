"""`torch:`: modules and exported programs; and the same weights through every source."""

import sys
import threading
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import cnnshift
from cnnshift.errors import InputError
from cnnshift.loaders.exported import load_exported
from tests import external_models
from tests.external_models import DATA, load, write_exported, write_onnx

torch = pytest.importorskip("torch")

UNIT = np.float32(DATA.images / 255)

# Made inside torch when it exports.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture
def own(tmp_path):
    return external_models.write_factories(tmp_path)


@pytest.fixture
def network(tmp_path):
    return external_models.factories(tmp_path).torch()


def seen(spec, images=UNIT):
    network = load(spec)
    return np.asarray(network.model(network.preprocess(jnp.asarray(images))))


def test_a_factory_is_used_in_evaluation_mode(own):
    found = load(f"torch:{own}:torch")
    assert (found.preprocess.layout, found.preprocess.size) == ("nchw", None)
    np.testing.assert_allclose(seen(f"torch:{own}:torch"), external_models.logits(UNIT), rtol=1e-4, atol=1e-5)


def test_torch_runs_in_one_thread_and_is_made_in_the_callers(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import threading\n\nimport torch\n\n\nmade, seen, threads = set(), set(), []\n\n\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        seen.add(threading.current_thread())\n        return x.flatten(1)[:, :5]\n"
        "    def state_dict(self):\n        threads.append(torch.get_num_threads())\n        return {}\n"
        "\n\n"
        "def make():\n    made.add(threading.current_thread())\n    threads.append(torch.get_num_threads())\n"
        "    return Net()\n"
    )
    before = torch.get_num_threads()
    cnnshift.measure(f"torch:{path}:make", DATA, max_shift=1)
    (module,) = (module for module in sys.modules.values() if getattr(module, "__file__", None) == str(path))
    assert len(module.seen) == 1
    # Which an interruption reaches.
    assert module.made == {threading.current_thread()}
    # There PyTorch makes no threads, which would keep those that run the network from waiting awake.
    assert module.threads == [1, 1]
    assert torch.get_num_threads() == before


def test_a_torch_module_may_measure_itself_while_it_is_imported(tmp_path):
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
    (module,) = (module for module in sys.modules.values() if getattr(module, "__file__", None) == str(path))
    assert module.threads == {torch.get_num_threads()}


@pytest.mark.parametrize(
    ("images", "dynamic"),
    [
        ((2, 3, 8, 8), None),
        ((1, 3, 8, 8), None),
        ((2, 3, 8, 8), {0: {}}),
        ((2, 3, 8, 8), {0: {"min": 1, "max": 5}}),
        ((2, 3, 8, 8), {0: {}, 2: {"min": 4, "max": 64}, 3: {"min": 4, "max": 64}}),
    ],
)
def test_a_program_takes_any_number_of_images(tmp_path, network, images, dynamic):
    path = write_exported(tmp_path / "net.pt2", network, images=images, dynamic=dynamic)
    found = load(f"torch:{path}")
    assert found.preprocess.layout == "nchw"
    assert found.preprocess.size == (None if dynamic and 2 in dynamic else (8, 8))
    for n in (1, 4, 12):
        np.testing.assert_allclose(
            seen(f"torch:{path}", UNIT[:n]), external_models.logits(UNIT[:n]), rtol=1e-4, atol=1e-5
        )


class Wide(torch.nn.Module):
    """Much of what networks for images consist of."""

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


def test_programs_give_what_torch_gives(tmp_path):
    torch.manual_seed(0)
    network = Wide().eval()
    path = write_exported(tmp_path / "net.pt2", network, images=(3, 3, 16, 16))
    images = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        np.testing.assert_allclose(load_exported(path).function(images), network(images), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            load_exported(path).function(images), torch.export.load(path).module()(images), rtol=1e-5, atol=1e-6
        )


def test_decomposed_programs(tmp_path, network):
    program = torch.export.export(network.eval(), (torch.zeros(2, 3, 8, 8),)).run_decompositions()
    torch.export.save(program, tmp_path / "net.pt2")
    np.testing.assert_allclose(
        seen(f"torch:{tmp_path / 'net.pt2'}"), external_models.logits(UNIT), rtol=1e-4, atol=1e-5
    )


def test_the_same_weights_through_every_source(tmp_path, own, network):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    specs = [
        *(f"py:{own}:{name}" for name in ("nnx", "linen", "plain")),
        f"onnx:{write_onnx(tmp_path / 'any.onnx')}",
        f"onnx:{write_onnx(tmp_path / 'fixed.onnx', shape=(5, 3, 8, 8))}",
        f"torch:{own}:torch",
        f"torch:{write_exported(tmp_path / 'any.pt2', network, dynamic={0: {}})}",
        f"torch:{write_exported(tmp_path / 'fixed.pt2', network, images=(5, 3, 8, 8))}",
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
    # A function and a runtime hide their weights.
    hides = [spec.startswith("onnx") or spec.endswith("plain") for spec in specs]
    assert [run.params for run in (first, *others)] == [None if each else 132 for each in hides]


def test_written_by_torch_as_onnx(tmp_path, network):
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
    np.testing.assert_allclose(seen(f"onnx:{path}"), external_models.logits(UNIT), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("net.pt", "does not read pickles"),
        ("net.pth", "torch.onnx.export"),
        ("net.zip", "allowed: *.pt2"),
        ("net.pt2", "which does not exist"),
        ("", "allowed: *.pt2"),
        ("net.pt2:width=3", "has no option 'width'"),
        ("{own}:plain", "returned function; allowed: a torch.nn.Module"),
        ("{own}:nothing", "returned NoneType"),
        ("{own}:torch:a=1", "has no option 'a'"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(own, monkeypatch, tmp_path, spec, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as problem:
        load("torch:" + spec.replace("{own}", str(own)))
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_other_images_than_a_program_takes(tmp_path, network):
    path = write_exported(tmp_path / "net.pt2", network)
    grey = cnnshift.Split(DATA.images[..., :1], DATA.labels, DATA.classes, background=(0.0,))
    with pytest.raises(InputError, match=r"the program takes \[n, 3, 8, 8\]"):
        cnnshift.measure(f"torch:{path}", grey, max_shift=1)


def test_training_mode_is_refused(tmp_path, network):
    torch.export.save(torch.export.export(network.train(), (torch.zeros(2, 3, 8, 8),)), tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"exported in training mode; call eval\(\)"):
        load(f"torch:{tmp_path / 'net.pt2'}")


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
    ("module", "shapes", "said"),
    [
        (Two, [(2, 3, 8, 8)] * 2, "takes 2 inputs; allowed: one"),
        (Flat, [(2, 8)], "four axes"),
        (Pair, [(2, 3, 8, 8)], "other outputs than logits"),
    ],
)
def test_another_program_is_one_sentence(tmp_path, module, shapes, said):
    program = torch.export.export(module(), tuple(torch.zeros(shape) for shape in shapes))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(InputError, match=said):
        load(f"torch:{tmp_path / 'net.pt2'}")


def test_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'cnnshift\[torch\]'"):
        load("torch:net.pt2")


class Counting(torch.nn.Module):
    """Changes a buffer of its own, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.view(1, 1).add_(1)
        return x.mean((2, 3)) + self.calls


def test_a_program_that_changes_itself_is_refused(tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Counting().eval(), (torch.zeros(2, 5, 8, 8),)), path)
    images = np.zeros((10, 8, 8, 5), np.uint8)
    data = cnnshift.Split(images, np.arange(10) % 5, DATA.classes, background=(0.0,) * 5)
    with pytest.raises(InputError, match="changes its own"):
        cnnshift.measure(f"torch:{path}", data, max_shift=1)


def test_the_digest_is_that_of_all_weights(tmp_path):
    (tmp_path / "half.py").write_text(
        "import torch\n\n\ndef make(seed: int):\n    torch.manual_seed(seed)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5).to(torch.bfloat16))\n\n\n"
        "def fixed():\n    return make(int(open('seed').read()))\n"
    )
    (tmp_path / "seed").write_text("0")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        before = load("torch:half.py:fixed").digest
        assert load("torch:half.py:fixed").digest == before
        (tmp_path / "seed").write_text("1")
        assert load("torch:half.py:fixed").digest != before


def test_a_module_is_measured_by_its_spec(network):
    with pytest.raises(InputError, match=r"is a PyTorch module \(Sequential\); allowed: its spec"):
        cnnshift.measure(network, DATA, max_shift=1)
