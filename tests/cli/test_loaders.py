"""Pretrained models on the command line: a result, or one sentence on stderr and exit code 2."""

import json

import pytest

from cnnshift.results.files import load_result
from tests import external_models

SMALL = ("--limit", "10", "--max-shift", "1", "--metric", "reference_consistency")


def pixels(folder):
    path = folder / "pixels.py"
    path.write_text(
        "import numpy as np\n\n\ndef make(step: int = 3):\n"
        "    return lambda images: np.asarray(images).reshape(len(images), -1)[:, : 10 * step : step]\n\n\n"
        "def nothing():\n    return None\n\n\ndef exits():\n    raise SystemExit(0)\n"
    )
    return path


def test_result(cnnshift, tmp_path):
    path = pixels(tmp_path)
    code, out, _ = cnnshift("bench", f"py:{path}:make:step=2", *SMALL, "--format", "json")
    (run,) = json.loads(out)["runs"]
    assert (code, run["family"], run["options"], run["params"]) == (0, "py", {"step": "2"}, None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("py:{folder}/pixels.py:nothing", "returned NoneType"),
        ("py:{folder}/pixels.py:exits", "raises SystemExit: 0."),
        ("py:{folder}/pixels.py:make:step=x", "allowed: int"),
        ("py:{folder}/pixels.py:make:size=0", "option size is '0'"),
        ("py:{folder}/missing.py:make", "which does not exist"),
        ("py", "write py:package.module:factory"),
        ("onnx:{folder}/net.onnx", "which does not exist"),
        ("torch:{folder}/net.pth", "does not read pickles"),
        ("torch:{folder}/empty.pt2", "can execute code from the file; add trusted=true"),
        ("torch:{folder}/empty.pt2:trusted=true", "cannot be read as an exported program"),
        ("onnx:{folder}/empty.onnx", "cannot be read as ONNX"),
    ],
)
def test_invalid_specs(cnnshift, tmp_path, spec, message):
    pytest.importorskip({"onnx": "onnxruntime", "torc": "torch"}.get(spec[:4], "json"))
    pixels(tmp_path)
    for name in ("empty.pt2", "empty.onnx"):
        (tmp_path / name).touch()
    code, out, err = cnnshift("bench", spec.replace("{folder}", str(tmp_path)), *SMALL)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_explain_refuses_models_on_the_host(cnnshift, tmp_path):
    code, out, err = cnnshift("explain", f"py:{pixels(tmp_path)}:make", "--limit", "10")
    assert (code, out) == (2, "")
    assert "its layers and derivatives cannot be computed" in " ".join(err.split())
    # Refused before anything is measured.
    assert "measuring" not in err.lower()


@pytest.mark.parametrize("options", [{"inputs": 2}, {"shape": ("n", 3, 8)}, {"shape": ("n", 3, 8, 3)}])
def test_onnx_file_without_images_or_logits(cnnshift, tmp_path, options):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = external_models.write_onnx(tmp_path / "net.onnx", **options)
    code, out, err = cnnshift("explain", f"onnx:{path}")
    assert (code, out) == (2, "")
    assert "net.onnx" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("onnx:net.onnx", "--weights", "none.safetensors"),
            "--weights is none.safetensors; allowed with families and with one py: or torch: model",
        ),
        (("efficientnet-lite0", "--weights", "w.pt"), "not with the pretrained model efficientnet-lite0."),
        (("torch:net.py:make", "cnn", "--weights", "w.pt"), "with one py: or torch: model, not with 2 models."),
        (("pyy:net.py:make",), "Unknown model 'pyy'; allowed:"),
        (("net.py:make",), "starts with a file; write py:net.py:FACTORY."),
        (("./net.onnx",), "starts with a file; write onnx:./net.onnx."),
        (("cnn", "--dataset", "folders:photos"), "Unknown data set 'folders'; allowed:"),
    ],
)
def test_misspelled_specs_and_weights_that_do_not_apply(cnnshift, arguments, message):
    code, out, err = cnnshift("bench", *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())


def test_preprocessing_is_printed(cnnshift, tmp_path):
    path = pixels(tmp_path)
    path.with_suffix(".toml").write_text("mean = 0.25\n")
    _, _, err = cnnshift("bench", f"py:{path}:make", *SMALL)
    assert "Preprocessing for py:pixels.py:make: mean 0.25" in " ".join(err.split())


def test_resume_keeps_pretrained_models(cnnshift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = pixels(tmp_path)
    command = ("bench", f"py:{path}:make", *SMALL, "-o", "r.json")
    assert cnnshift(*command)[0] == 0
    assert "(from the earlier run)" in cnnshift(*command, "--resume")[2]
    path.write_text(path.read_text() + "# changed\n")
    code, _, err = cnnshift(*command, "--resume")
    assert code == 0
    assert "(from the earlier run)" not in err


def test_resume_measures_a_module_again_after_its_code_changed(cnnshift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(
        "from flax import nnx\n\n\nclass Net(nnx.Module):\n"
        "    def __init__(self):\n        self.out = nnx.Linear(32, 10, rngs=nnx.Rngs(0))\n\n"
        "    def __call__(self, images):\n        return self.out(images.mean(axis=(1, 3)))\n"
    )
    command = ("bench", f"py:{path}:Net", *SMALL, "-o", "r.json")
    assert cnnshift(*command)[0] == 0
    before = load_result(tmp_path / "r.json").runs[0]
    assert "(from the earlier run)" in cnnshift(*command, "--resume")[2]
    path.write_text(path.read_text().replace("mean", "max"))
    assert "(from the earlier run)" not in cnnshift(*command, "--resume")[2]
    after = load_result(tmp_path / "r.json").runs[0]
    assert before.weights_digest == after.weights_digest
    assert before.training.recipe["code"] != after.training.recipe["code"]


def test_failing_model_is_named_and_the_others_are_kept(cnnshift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exits.py").write_text("import sys\n\n\ndef make():\n    return lambda images: sys.exit(0)\n")
    path = pixels(tmp_path)
    code, out, err = cnnshift("bench", f"py:{path}:make", "py:exits.py:make", *SMALL, "-o", "r.json")
    assert (code, out) == (2, "")
    assert "1 of 2 runs are finished and saved. Continue with:" in err
    assert "error: py:exits.py:make: The model cannot be applied" in err
    assert "SystemExit: 0" in err
    assert len(load_result(tmp_path / "r.json").runs) == 1


def test_weights_fill_a_torch_module(cnnshift, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "import torch\n\n\ndef make():\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10, bias=False))\n"
    )
    torch.save({"1.weight": torch.eye(10, 1024)}, "w.pt")
    command = ("bench", "torch:net.py:make", *SMALL, "--format", "json")
    ((filled,), (other,)) = (
        json.loads(cnnshift(*command, *weights)[1])["runs"] for weights in (("--weights", "w.pt"), ())
    )
    assert (filled["options"], filled["params"]) == ({"weights": "w.pt"}, 10240)
    assert filled["weights_digest"] != other["weights_digest"]
