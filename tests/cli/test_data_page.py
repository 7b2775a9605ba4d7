"""Every command of docs/data.md works as it is written, on small images of the tests' own."""

import hashlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.user_images import prepare_tfds, write_folder

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [content for kind, content in fenced if kind == language]


ARRAYS, FASHION = blocks("python")
COMMANDS = [shlex.split(line) for block in blocks("") for line in block.splitlines()]
EVERYWHERE = [command for command in COMMANDS if "tfds:fashion_mnist" not in command]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with everything that the commands name; they only read it."""
    folder = tmp_path_factory.mktemp("images")
    write_folder(folder / "photos", side=40)
    prepare_tfds(folder / "prepared")
    subprocess.run([sys.executable, "-c", ARRAYS], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("command", EVERYWHERE, ids=" ".join)
def test_the_commands_of_the_documentation_work(command, images, cnnshift, monkeypatch):
    monkeypatch.chdir(images)
    program, *arguments = command
    assert program == "cnnshift"
    code, out, err = cnnshift(*arguments)
    assert code == 0, err
    assert out


def test_there_is_a_command_for_every_source():
    for name in ("folder", "npz", "tfds"):
        assert any(f"{name}:" in word for command in EVERYWHERE for word in command)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_files_that_debian_ships_become_the_registered_ones(here):
    from cnnshift.data.tfds_builders import BUILDERS

    subprocess.run([sys.executable, "-c", FASHION], check=True)
    for info in BUILDERS["fashion_mnist"].url_infos.values():
        assert hashlib.sha256((here / "raw" / info.filename).read_bytes()).hexdigest() == info.checksum
