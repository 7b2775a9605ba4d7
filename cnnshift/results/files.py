"""Reading and writing result files: atomically, and never silently damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pydantic
import pydantic_core

from cnnshift.cache import cache_dir
from cnnshift.errors import InputError, validation_message
from cnnshift.files import read_bytes, write_text
from cnnshift.results.migration import migrate
from cnnshift.results.schema import SCHEMA, SCHEMA_VERSION, Result

LAST = "last"


def locate(name: str) -> Path:
    """The path behind a RESULT argument: `last` is the newest result in the cache."""
    return last_path() if name == LAST else Path(name)


def last_path() -> Path:
    """Where the newest result is kept."""
    return cache_dir("results") / "last.json"


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
    if not os.path.exists(path):
        hint = " (no benchmark has finished a cell yet)" if str(name) == LAST else ""
        raise InputError(f"No result file {name}{hint}.")
    return parse_result(read_bytes(path), str(name))


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
    message = validation_message(problem)
    return f"{where}: {message}" if where else message
