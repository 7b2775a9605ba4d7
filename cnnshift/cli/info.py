"""`cnnshift info`: versions, device, and where things are kept; or what a model's spec can say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from cnnshift.catalog import AUGMENTATIONS, LOADERS, MODELS
from cnnshift.cli.terminal import write
from cnnshift.spec import ModelSpec


def info(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL_SPEC", help="Show the options of this model instead.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of the result file.")] = False,
) -> None:
    """Show versions, the device and the cache folder, or the options of a model.

    Example: cnnshift info cnn:pool=blur
    """
    if schema:
        from cnnshift.results.schema import schema_text

        write(schema_text())
    elif model is not None:
        _write_aligned(_options(model))
    else:
        _write_aligned(_facts())


def _options(model: str) -> Iterable[tuple[str, str]]:
    from cnnshift.models.base import describe_options, parse_model
    from cnnshift.train.obtain import RECIPE_KEYS
    from cnnshift.train.recipe import Recipe

    spec = ModelSpec.parse(model)
    if spec.name in LOADERS and spec.name not in MODELS:
        yield from _preparation(spec)
        return
    own = {key: value for key, value in spec.options.items() if key not in RECIPE_KEYS}
    _, options = parse_model(ModelSpec(spec.name, own), also_allowed=RECIPE_KEYS)
    for line in describe_options(options):
        yield line.key, f"{line.allowed} (default: {line.default})"
    yield "augment", f"{'|'.join(AUGMENTATIONS)}, or several joined by + (default: {Recipe().augment})"
    yield "epochs", f"from 0 (default: {Recipe().epochs})"
    yield "seed", "from 0 (default: --seed)"


def _preparation(spec: ModelSpec) -> Iterable[tuple[str, str]]:
    """How the images of a network that comes with its weights are prepared, and its classes."""
    from cnnshift.loaders.loader import load_model
    from cnnshift.models.base import describe_options

    network = load_model(spec)
    for line in describe_options(network.preprocess):
        said = network.preprocess.changed().get(line.key, line.default)
        yield line.key, f"{said}{f' ({line.allowed})' if line.allowed else ''}"
    yield "classes", "those of the data" if network.class_names is None else f"{len(network.class_names):,} of its own"


def _facts() -> Iterable[tuple[str, str]]:
    from importlib.metadata import version

    from cnnshift.cache import cache_dir
    from cnnshift.results.environment import describe_environment
    from cnnshift.sweep.device import describe_device

    facts = {"cnnshift": version("cnnshift"), **describe_environment(describe_device()), "cache": str(cache_dir())}
    facts |= facts.pop("packages")
    # An absent fact (no repository, no XLA flags) is nothing to tell.
    return ((name, str(value)) for name, value in facts.items() if value not in (None, ""))


def _write_aligned(pairs: Iterable[tuple[str, str]]) -> None:
    lines = list(pairs)
    wide = max(len(name) for name, _ in lines)
    write("".join(f"{name:<{wide}}  {value}\n" for name, value in lines))
