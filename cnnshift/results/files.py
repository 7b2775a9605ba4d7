"""Reading and writing result files: atomically, and never silently damaged."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pydantic
import pydantic_core

from cnnshift.cache import cache_dir
from cnnshift.errors import InputError, SaveError
from cnnshift.results.migration import migrate
from cnnshift.results.schema import SCHEMA, SCHEMA_VERSION, Result

LAST = "last"
MAX_FILE_BYTES = 512 * 2**20


def locate(name: str) -> Path:
    """The path behind a RESULT argument: `last` is the newest result in the cache."""
    return last_path() if name == LAST else Path(name)


def last_path() -> Path:
    """Where the newest result is kept."""
    return cache_dir("results") / "last.json"


def write_text(path: Path, text: str) -> None:
    """Replace a file's content in one step, in UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content in one step: a reader sees the old content or the new.

    Raises:
        SaveError: the folder is missing or not writable, or the disk is full.
    """
    try:
        # A link is followed: what it points to is replaced, not the link.
        path = path.resolve()
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".cnnshift-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes private files; these have the usual permissions.
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


def check_writable(path: Path) -> None:
    """Find out now, not after the measurement, whether a file can be written.

    Raises:
        InputError: it is a folder or a device, or its folder is missing or not writable.
    """
    try:
        target = path.resolve()
        if target.is_dir():
            raise InputError(f"Cannot write {path}: it is a folder.")
        if target.exists() and not target.is_file():
            raise InputError(f"Cannot write {path}: it is not a regular file.")
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".cnnshift-")
        os.close(handle)
        os.unlink(temporary)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}.") from None


def save_result(result: Result, path: Path) -> None:
    """Write a result as JSON, atomically."""
    write_text(path, to_json(result))


def to_json(result: Result) -> str:
    """The result as a JSON document."""
    return result.model_dump_json(by_alias=True, indent=1) + "\n"


def load_result(name: str | Path) -> Result:
    """Read a result file, or `last`.

    Raises:
        InputError: no such file, not JSON, not a result, of a newer version, or damaged.
    """
    path = locate(str(name))
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} has {path.stat().st_size:,} bytes; allowed: at most {MAX_FILE_BYTES:,}.")
        content = path.read_bytes()
    except FileNotFoundError:
        hint = " (no benchmark has finished a cell yet)" if str(name) == LAST else ""
        raise InputError(f"No result file {name}{hint}.") from None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    return parse_result(content, str(name))


def parse_result(content: bytes, name: str) -> Result:
    """A result from the bytes of its file, brought to the present version of the schema.

    Args:
        content: a JSON document.
        name: of the file, for messages.

    Raises:
        InputError: not JSON, not a result, of a newer version, or damaged.
    """
    try:
        document = pydantic_core.from_json(content)
    except ValueError as error:
        raise InputError(f"{name} is not JSON: {error}.") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{name} is not a result file: its schema is {shorten(schema)}; '{SCHEMA}' is needed.")
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{name} has schema_version {shorten(version)}; allowed: 1 to {SCHEMA_VERSION}.")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{name} has schema_version {shorten(version)}, which a newer cnnshift wrote; this one reads 1 to "
            f"{SCHEMA_VERSION}: upgrade it."
        )
    try:
        return Result.model_validate(migrate(document, version))
    except pydantic.ValidationError as error:
        raise InputError(f"{name} is not a {SCHEMA} file of version {version}: {_first(error)}.") from None


def shorten(value: object) -> str:
    """A value from a file as it may stand in a message: on one line, and not long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _first(error: pydantic.ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(shorten(part).strip("'") for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    message = message if len(message) <= 300 else f"{message[:300]}…"
    return f"{where}: {message}" if where else message
