"""Write files atomically, and read them up to a size limit."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnnshift.errors import InputError, SaveError

MAX_FILE_BYTES = 512 * 2**20
"""Default size limit of `read_bytes`."""

_PREFIX = ".cnnshift-"


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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp creates the file with mode 0o600.
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise SaveError(f"Cannot write {path}: {error.strerror or error}.") from None


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of a file atomically; see `atomic_file`.

    Raises:
        SaveError: The file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Replace the content of a file atomically with text in UTF-8; see `atomic_file`.

    Raises:
        SaveError: The file cannot be written.
    """
    write_bytes(path, text.encode())


def check_writable(path: Path) -> None:
    """Check that a file can be written, before the work whose output it will hold.

    Raises:
        InputError: `path` is a directory or a special file, or its directory is missing or not writable.
    """
    try:
        target = path.resolve()
        if target.is_dir():
            raise InputError(f"Cannot write {path}: it is a directory.")
        if target.exists() and not target.is_file():
            raise InputError(f"Cannot write {path}: it is not a regular file.")
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=_PREFIX)
        os.close(handle)
        os.unlink(temporary)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None


def read_bytes(path: Path, *, limit: int = MAX_FILE_BYTES) -> bytes:
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
