"""Load a pretrained model, with the preprocessing and class names of its spec and of the TOML file beside it."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnshift.catalog import LOADERS, MODELS
from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel, Provenance
from cnnshift.loaders.base import PREPROCESS_KEYS
from cnnshift.options import parse_options
from cnnshift.preprocess import Preprocess
from cnnshift.registry import unknown
from cnnshift.spec import ModelSpec


def is_pretrained(spec: ModelSpec) -> bool:
    """Return whether a spec names a loader rather than a family to train.

    Raises:
        InputError: It names neither.
    """
    if spec.name in MODELS:
        return False
    if spec.name not in LOADERS:
        raise InputError(unknown("model", spec.name, [*MODELS, *LOADERS]))
    return True


def load_model(spec: ModelSpec) -> LoadedModel:
    """Load the model of a spec whose name is a loader.

    Preprocessing options of the spec (`onnx:net.onnx:size=224,mean=0.485/0.456/0.406`) override those of a file with
    the model's name and the suffix .toml; these override what the loader finds in the model. The recorded name has no
    absolute paths, only their last part.

    Raises:
        InputError: The model cannot be loaded, or an option or value does not exist.
    """
    options = _sidecar_options(spec.argument) | {k: v for k, v in spec.options.items() if k in PREPROCESS_KEYS}
    classes = options.pop("classes", None)
    # Check the options first: loading can take long.
    parse_options(Preprocess, spec.name, options)
    model = LOADERS.load(spec.name)(spec, options)
    if classes is not None:
        model = replace(model, class_names=_class_names(classes))
    if options:
        merged = model.preprocess.model_dump(exclude_defaults=True) | options
        model = replace(model, preprocess=parse_options(Preprocess, spec.name, merged))
    shown = {key: _without_folders(value) for key, value in spec.options.items()}
    provenance = Provenance(
        name=str(ModelSpec(spec.name, shown, _without_folders(spec.argument))),
        family=spec.name,
        options=shown,
        recipe={"preprocess": model.preprocess.changed(), **model.provenance.recipe},
    )
    return replace(model, provenance=provenance)


def _without_folders(text: str) -> str:
    return Path(text).name if Path(text).is_absolute() else text


def _sidecar_options(argument: str) -> dict[str, Any]:
    """Return the content of the TOML file beside a model; empty if there is none."""
    place, _, name = argument.rpartition(":")
    path = Path(place if name.isidentifier() and place else argument)
    if not path.is_file() or not (sidecar := path.with_suffix(".toml")).is_file() or sidecar == path:
        return {}
    try:
        options = tomllib.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{sidecar} cannot be read: {error}.") from None
    # `parse_options` refuses renamed keys with their new names.
    if unknown_keys := options.keys() - {*PREPROCESS_KEYS, *Preprocess.renamed}:
        raise InputError(f"{sidecar} has the key '{min(unknown_keys)}'; allowed: {', '.join(PREPROCESS_KEYS)}.")
    if isinstance(options.get("classes"), str):
        options["classes"] = str(sidecar.parent / options["classes"])
    return options


def _class_names(classes: Any) -> tuple[str, ...]:
    """Return class names from a list, or from a text file with one name per line."""
    if isinstance(classes, str):
        path = Path(classes)
        try:
            classes = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"classes is '{path}', which cannot be read ({error}); allowed: a text file with one name per line."
            ) from None
    if not (isinstance(classes, list) and classes and all(isinstance(name, str) and name.strip() for name in classes)):
        raise InputError("classes has entries that are not names; allowed: one class name per line.")
    names = tuple(name.strip() for name in classes)
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError(f"classes has the name '{repeated}' twice; allowed: distinct names.")
    return names


def find_columns(model_classes: Sequence[str], data_classes: Sequence[str]) -> tuple[int, ...]:
    """Return the index of each class of the data among the classes of a model.

    Raises:
        InputError: The model lacks a class of the data.
    """
    index = {name: i for i, name in enumerate(model_classes)}
    if missing := [name for name in data_classes if name not in index]:
        near = difflib.get_close_matches(missing[0], model_classes, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise InputError(
            f"The data have the class '{missing[0]}', which is not one of the model's {len(model_classes):,} classes "
            f"({len(missing)} of {len(data_classes)} are missing); allowed: data whose classes the model has.{hint}"
        )
    return tuple(index[name] for name in data_classes)
