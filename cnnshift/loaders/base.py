"""The interface of a loader, and the checks and digests that loaders share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.preprocess import Preprocess
from cnnshift.spec import ModelSpec

Loader = Callable[[ModelSpec, Mapping[str, Any]], LoadedModel]
"""A function (spec, preprocessing) → model.

`loader_options(spec)` are the options of the loader itself. `preprocessing` holds the preprocessing options of the spec
and of the TOML file beside the model. `cnnshift.loaders.loader.load_model` applies them to the returned model; a loader
needs them only where its file leaves something open. A loader raises InputError if the model or an option does not
exist.
"""

PREPROCESS_KEYS = (*Preprocess.model_fields, "classes")
"""Options of every loader: preprocessing and class names."""

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")
"""Suffixes of files that `torch.save` and `pickle` write."""


def loader_options(spec: ModelSpec) -> dict[str, str]:
    """Return the options of a spec that belong to the loader itself."""
    return {key: value for key, value in spec.options.items() if key not in PREPROCESS_KEYS}


def unknown_option(owner: str, key: str, allowed: Iterable[str]) -> InputError:
    """Return the error for an option that does not exist, with its new name if it was renamed."""
    if key in Preprocess.renamed:
        return InputError(f"{owner} has no option '{key}'; it was renamed to '{Preprocess.renamed[key]}'.")
    return InputError(f"{owner} has no option '{key}'; allowed: {', '.join(allowed) or 'none'}.")


def check_options(spec: ModelSpec, *allowed: str) -> None:
    """Check that a spec has only the options of every loader, and those of `allowed`.

    Raises:
        InputError: It has another option.
    """
    for key in loader_options(spec):
        if key not in allowed:
            raise unknown_option(f"'{spec.name}'", key, [*allowed, *PREPROCESS_KEYS])


def existing_file(spec: ModelSpec, *, suffixes: tuple[str, ...]) -> Path:
    """Return the file that a spec names.

    Raises:
        InputError: The spec names no file, a missing file, or one with another suffix.
    """
    path = Path(spec.argument)
    if path.suffix in PICKLES:
        raise InputError(
            f"'{spec.name}' does not read pickles such as '{spec.argument}', because reading one executes code from "
            "the file; export the model to ONNX with torch.onnx.export(model.eval(), (images,), 'model.onnx')."
        )
    if not spec.argument or path.suffix not in suffixes:
        raise InputError(f"'{spec.name}' got the file '{spec.argument}'; allowed: *{' or *'.join(suffixes)}.")
    if not path.is_file():
        raise InputError(f"'{spec.name}' got the file '{spec.argument}', which does not exist.")
    return path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: BaseException) -> str:
    """Return type and first line of an exception without its full stop, as part of a sentence."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(". ")
