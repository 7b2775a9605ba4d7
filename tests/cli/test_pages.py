"""The commands and programs on the pages of the documentation run as they are written.

The blocks of a page run in their order, in one folder: every line of `bash`, every line after `$ ` of `console`, and
`python`. A block with a title (```python title="networks.py") is a file, which is written. A comment before a block,
`<!-- not run: REASON -->`, leaves it out.
"""

import hashlib
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cnnshift.catalog import LOADERS
from cnnshift.registry import Entry
from tests.user_images import prepare_tfds, write_folder

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
BLOCK = re.compile(
    r'(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n'
    r"(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)

# Made inside torch and Orbax.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str
    reason: str

    def commands(self):
        """The commands of a block, without the lines that only show output."""
        text = self.text.replace("\\\n", " ")
        if self.language == "console":
            return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
        return text.splitlines()


def blocks(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(**{key: value or "" for key, value in match.groupdict().items()}) for match in BLOCK.finditer(text)]


def runnable(page):
    return [block for block in blocks(page) if block.language in ("bash", "console", "python") and not block.reason]


def own_data(folder, monkeypatch):
    write_folder(folder / "photos", side=40)
    prepare_tfds(folder / "prepared")


def own_model(folder, monkeypatch):
    for package in ("onnx", "onnxruntime", "torch", "jax2onnx", "orbax.checkpoint"):
        pytest.importorskip(package)
    np.save(folder / "matrix.npy", np.random.RandomState(0).randn(1024, 10).astype(np.float32))
    entry = Entry("my_package.loaders:load_mine", "from my_package", argument="FILE.npy")
    monkeypatch.setattr(LOADERS, "_plugins", {"mine": entry})


# What a page takes for granted.
PREPARE = {"docs/how-to/own-data.md": own_data, "docs/how-to/own-model.md": own_model}


def run(command, cnnshift):
    program, *arguments = shlex.split(command, comments=True)
    if program == "cnnshift":
        code, out, err = cnnshift(*arguments)
        assert code == 0, (command, err)
        assert out or arguments[0] == "export"
    elif program == "python":
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    elif program == "pytest":
        (path,) = arguments
        tests = [value for name, value in runpy.run_path(path).items() if name.startswith("test_")]
        assert tests
        for test in tests:
            test()
    else:
        pytest.fail(f"Cannot run '{command}'; mark its block with <!-- not run: REASON -->.")


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)])
def test_a_page_runs_as_written(page, cnnshift, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    if page in PREPARE:
        PREPARE[page](tmp_path, monkeypatch)
    namespace = {}
    for block in blocks(page):
        if block.title:
            path = tmp_path / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.reason:
            continue
        elif block.language == "python":
            exec(compile(block.text, page, "exec"), namespace)
        elif block.language in ("bash", "console"):
            for command in filter(None, map(str.strip, block.commands())):
                run(command, cnnshift)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_every_block_has_a_language(page):
    assert all(block.language for block in blocks(page))


def test_the_pages_of_the_users_own_things_have_a_command_for_every_source():
    for page, names in (("own-data", ("folder", "npz", "tfds")), ("own-model", ("py", "onnx", "torch"))):
        commands = [line for block in runnable(f"docs/how-to/{page}.md") for line in block.commands()]
        for name in names:
            assert any(f"{name}:" in command for command in commands)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.skipif(find_spec("tensorflow_datasets") is None, reason="needs tensorflow-datasets")
def test_the_files_that_debian_ships_become_the_registered_ones(tmp_path):
    from cnnshift.data.tfds_builders import BUILDERS

    (program,) = (b.text for b in blocks("docs/how-to/own-data.md") if b.title == "restore_fashion_mnist.py")
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    for info in BUILDERS["fashion_mnist"].url_infos.values():
        assert hashlib.sha256((tmp_path / "raw" / info.filename).read_bytes()).hexdigest() == info.checksum
