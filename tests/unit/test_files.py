"""Files: atomic writes with the usual permissions, and bounded reads."""

import os
from pathlib import Path

import pytest

from cnnshift.errors import InputError, SaveError
from cnnshift.files import atomic_file, check_writable, read_bytes, write_text


def test_a_failed_write_keeps_the_old_file_and_removes_the_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    path.write_text("old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(SaveError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["r.json"]


def test_an_exception_in_the_block_keeps_the_old_file(tmp_path):
    path = tmp_path / "r.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_file(path) as file:
        file.write("text")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["r.bin"]


@pytest.mark.parametrize("path", ["missing/r.json", "."])
def test_unwritable_paths_are_rejected_in_advance(tmp_path, path):
    with pytest.raises(InputError, match="Cannot write"):
        check_writable(tmp_path / path)


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputError, match="not a regular file"):
            check_writable(path)
    with pytest.raises(InputError, match="Cannot write"):
        check_writable(tmp_path / ("x" * 300))


def test_new_files_have_the_usual_permissions(tmp_path):
    path, other = tmp_path / "r.json", tmp_path / "other"
    write_text(path, "x")
    other.write_text("x")
    assert path.stat().st_mode == other.stat().st_mode


def test_the_target_of_a_link_is_replaced(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_reads_are_bounded(tmp_path):
    path = tmp_path / "r.bin"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(InputError, match="has 5 bytes; it must have at most 4"):
        read_bytes(path, limit=4)
    with pytest.raises(InputError, match="at most 4"):
        read_bytes(Path("/dev/zero"), limit=4)


@pytest.mark.parametrize("name", ["missing", ".", "x" * 300])
def test_files_that_cannot_be_read_are_one_sentence(tmp_path, name):
    with pytest.raises(InputError, match="Cannot read"):
        read_bytes(tmp_path / name)
