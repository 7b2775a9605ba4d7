"""Read and write result files."""

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
from cnnshift.results.validation import check_result

LAST = "last"


def locate(name: str) -> Path:
    """Return the path of a result file; `last` is the newest result in the cache."""
    return cache_dir("results") / "last.json" if name == LAST else Path(name)


def save_result(result: Result, path: Path) -> None:
    """Write a result as JSON; see `cnnshift.files.atomic_file`."""
    write_text(path, to_json(result))


def to_json(result: Result) -> str:
    """Return a result as a JSON document."""
    return result.model_dump_json(by_alias=True, indent=1) + "\n"


def load_result(name: str | Path) -> Result:
    """Read a result file; `last` is the newest result in the cache.

    Raises:
        InputError: The file is missing, or its content is not a valid result; see `parse_result`.
    """
    path = locate(str(name))
    if not os.path.exists(path):
        hint = " (no benchmark has finished a run yet)" if str(name) == LAST else ""
        raise InputError(f"No result file {name}{hint}.")
    return parse_result(read_bytes(path), str(name))


def parse_result(content: bytes, name: str) -> Result:
    """Parse a result file of this or an older schema version; messages contain its name.

    Raises:
        InputError: The content is not JSON, not a result, of a newer version, or its parts contradict each other.
    """
    try:
        document = pydantic_core.from_json(content)
    except ValueError as error:
        raise InputError(f"{name} is not JSON: {error}.") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{name} is not a result file: its schema is {shorten(schema)}; it must be '{SCHEMA}'.")
    version = document.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        hint = " It was written by a newer cnnshift; upgrade cnnshift." if newer else ""
        raise InputError(f"{name} has schema_version {shorten(version)}; allowed: 1 to {SCHEMA_VERSION}.{hint}")
    try:
        result = Result.model_validate(migrate(document, version))
        check_result(result)
    except ValueError as error:
        reason = str(error)
        if isinstance(error, pydantic.ValidationError):
            problem = error.errors()[0]
            path = ".".join(shorten(part).strip("'") for part in problem["loc"])
            reason = f"{path}: {validation_message(problem)}"
        # A name in the file may have 10,000 characters.
        reason = reason if len(reason) <= 240 else f"{reason[:240]}…"
        raise InputError(f"{name} is not a valid {SCHEMA} file of version {version}: {reason}.") from None
    return result


def shorten(value: object) -> str:
    """Return the repr of a value on one line of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
