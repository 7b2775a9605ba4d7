"""`cnnshift info`: versions, device and cache, or the options of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

import cnnshift
from cnnshift.catalog import AUGMENTATIONS, LOADERS, MODELS
from cnnshift.cli.backend import load_backend
from cnnshift.cli.options import OUTPUT, option
from cnnshift.cli.terminal import print_result
from cnnshift.spec import ModelSpec


def info(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL_SPEC", help="Show the options of this model and their defaults.")
    ] = None,
    schema: Annotated[bool, option("--schema", panel=OUTPUT, help="Print the JSON Schema of the result file.")] = False,
) -> None:
    """Show versions, device and cache, or the options of a model.

    Example: cnnshift info cnn:pool=blur
    """
    if schema:
        from cnnshift.results.schema import schema_text

        print_result(schema_text())
        return
    lines = list(_model_options(ModelSpec.parse(model)) if model else _environment())
    width = max(len(name) for name, _ in lines)
    print_result("".join(f"{name:<{width}}  {value}\n" for name, value in lines))


def _model_options(spec: ModelSpec) -> Iterable[tuple[str, str]]:
    if spec.name in LOADERS and spec.name not in MODELS:
        yield from _preprocessing(spec)
        return
    load_backend()
    from cnnshift.models.base import describe_options, parse_model
    from cnnshift.train.load_or_train import RECIPE_KEYS
    from cnnshift.train.recipe import Recipe

    architecture = {key: value for key, value in spec.options.items() if key not in RECIPE_KEYS}
    _, options = parse_model(ModelSpec(spec.name, architecture), also_allowed=RECIPE_KEYS)
    for line in describe_options(options):
        yield line.key, f"{line.allowed} (default: {line.default})"
    yield "augment", f"{'|'.join(AUGMENTATIONS)}, or several joined by + (default: {Recipe().augment})"
    yield "epochs", f"0 or more (default: {Recipe().epochs})"
    yield "seed", "0 or more (default: --seed)"


def _preprocessing(spec: ModelSpec) -> Iterable[tuple[str, str]]:
    load_backend()
    from cnnshift.loaders.loader import load_model
    from cnnshift.models.base import describe_options

    loaded = load_model(spec)
    changed = loaded.preprocess.changed()
    for line in describe_options(loaded.preprocess):
        yield line.key, changed.get(line.key, line.default) + (f" ({line.allowed})" if line.allowed else "")
    yield "classes", "those of the data set" if loaded.class_names is None else f"{len(loaded.class_names):,}"


def _environment() -> Iterable[tuple[str, str]]:
    load_backend()
    from cnnshift.cache import cache_dir
    from cnnshift.results.environment import describe_environment
    from cnnshift.sweep.device import describe_device

    facts = {"cnnshift": cnnshift.__version__, **describe_environment(describe_device()), "cache": str(cache_dir())}
    facts |= facts.pop("packages")
    return ((name, str(value)) for name, value in facts.items() if value not in (None, ""))
