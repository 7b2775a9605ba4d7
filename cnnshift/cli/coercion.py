"""Convert parameters without pydantic, whose import takes as long as `cnnshift list`.

Typer 0.29 builds a pydantic adapter for every parameter. The parameters of cnnshift are texts, flags and paths; their
values are validated by `cnnshift.config`. The adapter is private to Typer, so other versions keep their own conversion
and only start more slowly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_origin

import typer

_KNOWN_TYPER = typer.__version__.startswith("0.29.")
"""Whether Typer has the private attribute that is replaced here."""


class _Coercion:
    """Replaces the adapter of a parameter that is declared as `str`, `bool`, `Path` or a list of these."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        annotation = param.type_descriptor.annotation
        if get_origin(annotation) is list:
            (kind,) = get_args(annotation)
            return [kind(item) for item in value or ()]
        return Path(value) if annotation is Path and value is not None else value


class CoercesParameters:
    """Mixin for Typer's commands and groups."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, prepared for parsing."""
        parameters = super().get_params(ctx)  # pyright: ignore[reportAttributeAccessIssue]
        if _KNOWN_TYPER:
            for parameter in parameters:
                parameter._runtime_param = _Coercion()
        return parameters
