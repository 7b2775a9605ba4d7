"""docs/models.md: every file on the page is written, and every command run, as they stand."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnshift.catalog import LOADERS
from cnnshift.registry import Entry

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")

# Made inside torch and Orbax.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [content for name, content in found if name == language]


def test_the_page_works_as_written(cnnshift, tmp_path, monkeypatch):
    for package in ("onnx", "onnxruntime", "torch", "jax2onnx", "orbax.checkpoint"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    networks, write, measure, plugin = blocks("python")
    (tmp_path / "networks.py").write_text(networks)
    (tmp_path / "write.py").write_text(write)
    subprocess.run([sys.executable, "write.py"], check=True, capture_output=True)
    notes, _ = blocks("toml")
    commands = 0
    for block in blocks(""):
        if "torch:net.pt2 --limit" in block:
            (tmp_path / "net.toml").write_text(notes)
        for line in block.splitlines():
            command, *arguments = shlex.split(line)
            assert command == "cnnshift"
            code, out, err = cnnshift(*arguments)
            assert code == 0, (line, err)
            assert out or arguments[0] == "export"
            commands += 1
    assert commands == 12
    exec(compile(measure, "page", "exec"), {})

    np.save("matrix.npy", np.random.RandomState(0).randn(1024, 10).astype(np.float32))
    (tmp_path / "mine.py").write_text(plugin)
    monkeypatch.setattr(LOADERS, "_plugins", {"mine": Entry("mine:open_mine", "from mine", argument="FILE.npy")})
    code, _, err = cnnshift("bench", "mine:matrix.npy", "--limit", "20", "--max-shift", "1")
    assert code == 0, err
