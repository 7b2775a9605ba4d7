"""`cnnshift info`: versions, device, and where things are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnshift.cli.terminal import write


def info(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the result file.")] = False,
) -> None:
    """Show versions, the device and the cache folder."""
    import json

    from cnnshift.results.schema import Result

    if schema:
        write(json.dumps(Result.model_json_schema(by_alias=True), indent=1) + "\n")
        return
    from importlib.metadata import version

    from cnnshift.cache import cache_dir
    from cnnshift.results.environment import describe_environment
    from cnnshift.sweep.device import describe_device

    facts = {"cnnshift": version("cnnshift"), **describe_environment(describe_device()), "cache": str(cache_dir())}
    packages = facts.pop("packages")
    wide = max(map(len, (*facts, *packages)))
    for name, value in {**facts, **packages}.items():
        write(f"{name:<{wide}}  {value}\n")
