"""From a spec to a network with its weights, prepared as the spec, the file beside it, or the network itself says."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnshift.catalog import LOADERS
from cnnshift.errors import InputError
from cnnshift.loaders.base import Network, Preprocess
from cnnshift.models.base import parse_options
from cnnshift.spec import ModelSpec

KEYS = (*Preprocess.model_fields, "classes")
"""Keys of a spec, and of the file beside a network, that say how its images are prepared and what its classes are."""


def load_model(spec: ModelSpec) -> Network:
    """Open the network of a spec whose name is a source.

    How images are prepared is said by the spec (`onnx:net.onnx:size=224,mean=0.485/0.456/0.406`); what it leaves open,
    by a file of the same name that ends in .toml beside the network's; the rest, by the network.

    Raises:
        InputError: it cannot be opened, or there is no such option or value.
    """
    own = {key: value for key, value in spec.options.items() if key not in KEYS}
    beside = _beside(spec.argument)
    said = beside | {key: value for key, value in spec.options.items() if key in KEYS}
    preparation = {key: value for key, value in said.items() if key != "classes"}
    # Before the network is opened, which costs more than a mistake in an option should.
    parse_options(Preprocess, spec.name, preparation)
    network = LOADERS.load(spec.name)(spec.argument, own, preparation)
    if clash := [key for key in KEYS if key in spec.options and key in network.options]:
        raise InputError(
            f"The option {clash[0]} of {spec.argument} is also one of how images are prepared; give the factory's "
            f"parameter another name, or say the preparation in a TOML file beside it."
        )
    classes = said.get("classes")
    if classes is not None:
        network = replace(network, classes=_names(classes))
    if preparation:
        whole = network.preprocess.model_dump(exclude_defaults=True) | preparation
        prepared = parse_options(Preprocess, spec.name, whole)
        network = replace(network, preprocess=prepared)
    return network


def _beside(argument: str) -> dict[str, Any]:
    """What the file beside a network's says."""
    place, _, name = argument.rpartition(":")
    path = Path(place if name.isidentifier() and place else argument)
    if not path.is_file() or not (notes := path.with_suffix(".toml")).is_file() or notes == path:
        return {}
    try:
        said = tomllib.loads(notes.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise InputError(f"{notes} cannot be read: {problem}.") from None
    if unknown := [key for key in said if key not in KEYS]:
        raise InputError(f"{notes} has the key '{unknown[0]}'; allowed: {', '.join(KEYS)}.")
    if isinstance(said.get("classes"), str):
        said["classes"] = str(notes.parent / said["classes"])
    return said


def _names(classes: Any) -> tuple[str, ...]:
    """Names of classes: a list, or the path of a text file with one a line."""
    if isinstance(classes, str):
        path = Path(classes)
        try:
            classes = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            raise InputError(
                f"classes is '{path}', which cannot be read ({problem}); allowed: a text file, one a line."
            ) from None
    if not (isinstance(classes, list) and classes and all(isinstance(name, str) and name.strip() for name in classes)):
        raise InputError("classes holds something else than names; allowed: one name of a class per line.")
    names = tuple(name.strip() for name in classes)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"classes holds '{twice}' twice; allowed: names that differ.")
    return names


def columns(network: tuple[str, ...], data: tuple[str, ...]) -> tuple[int, ...]:
    """Where the logit of each class of the data is among the network's classes.

    Args:
        network: names of the network's classes.
        data: names of the data's.

    Raises:
        InputError: the network does not know a class.
    """
    place: Mapping[str, int] = {name: index for index, name in enumerate(network)}
    if missing := [name for name in data if name not in place]:
        import difflib

        near = difflib.get_close_matches(missing[0], network, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"The data have the class '{missing[0]}', which is none of the network's {len(network):,} "
            f"({len(missing)} of {len(data)} are not); allowed: data whose classes the network has.{hint}"
        )
    return tuple(place[name] for name in data)
