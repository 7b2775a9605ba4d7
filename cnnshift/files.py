"""Write files atomically, and read them up to a size limit."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnshift.errors import InputError, SaveError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary binary file that replaces `path` when the block ends without an exception.

    A reader of `path` gets the complete old content or the complete new content. If `path` is a symbolic link, its
    target is replaced. The new file has the usual permissions (0o666 minus the umask).

    Raises:
        SaveError: The directory is missing or not writable, or the disk is full.
    """
    try:
        path = path.resolve()
        temporary = path.parent / f".cnnshift-{os.urandom(8).hex()}"
        try:
            with temporary.open("x+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise SaveError(f"Cannot write {path}: {error.strerror or error}.") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of a file; see `atomic_file`."""
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Replace the content of a file with text in UTF-8; see `atomic_file`."""
    write_bytes(path, text.encode())


def check_writable(path: Path) -> None:
    """Check that a file can be written, before its content is computed.

    Raises:
        InputError: `path` is a directory or a special file, or its directory is missing or not writable.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            kind = "a directory" if target.is_dir() else "not a regular file"
            raise InputError(f"Cannot write {path}: it is {kind}.")
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None


def read_bytes(path: Path, *, limit: int = 512 * 2**20) -> bytes:
    """Return the content of a file of at most `limit` bytes.

    Raises:
        InputError: The file is missing, unreadable or larger than `limit`.
    """
    try:
        with path.open("rb") as file:
            # The size of a device or a pipe is unknown: at most one byte more than allowed is read.
            size = os.fstat(file.fileno()).st_size
            content = file.read(limit + 1) if size <= limit else b""
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from None
    if size > limit or len(content) > limit:
        raise InputError(f"{path} has {max(size, len(content)):,} bytes; it must have at most {limit:,}.")
    return content
