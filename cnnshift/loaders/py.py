"""Loader `py`: the model that a Python function returns."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel, Provenance
from cnnshift.loaders.base import PREPROCESS_KEYS, first_line, loader_options, unknown_option
from cnnshift.loaders.nnx_weights import read_nnx_weights
from cnnshift.models.arrays import arrays_digest
from cnnshift.spec import ModelSpec


def load_python(spec: ModelSpec, preprocessing: Mapping[str, Any]) -> LoadedModel:
    """Import a module or a file and call its factory with the options of the spec.

    The factory returns a Flax NNX module, a Flax linen pair (module, variables), or a function of jax or numpy arrays,
    images [n h w c] on the scale 0..1 → logits [n k]. The option `weights=FILE` fills an NNX module, see
    `read_nnx_weights`, unless the factory has a parameter of that name.

    Args:
        spec: its argument is `package.module:factory` or `path/to/file.py:factory`. The working directory is searched
            first.
        preprocessing: not used.

    Raises:
        InputError: The module, file or factory does not exist, the factory does not accept the options, raises, or
            returns another type.
    """
    made, weights, code = call_factory(spec)
    provenance = Provenance(recipe={"code": code[:16]})
    if isinstance(made, nnx.Module):
        if weights is not None:
            read_nnx_weights(made, Path(weights))
        made.eval()
        return LoadedModel(made, provenance=provenance)
    if weights is not None:
        raise InputError(
            f"weights is '{weights}', but {spec.argument} returned {type(made).__name__}; allowed: only for a Flax NNX "
            "module."
        )
    if isinstance(made, tuple) and len(made) == 2 and callable(getattr(made[0], "apply", None)):
        linen, variables = made
        leaves = jax.tree_util.tree_leaves_with_path(variables)
        arrays = ((jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in leaves)
        return LoadedModel(
            lambda images: linen.apply(variables, images),
            digest=arrays_digest(arrays, code),
            parameters=sum(map(np.size, jax.tree.leaves(variables.get("params", {})))),
            provenance=provenance,
        )
    if callable(made):
        # The weights of a function are unknown: its code identifies it.
        return LoadedModel(made, digest=code, provenance=provenance)
    raise InputError(
        f"{spec.argument} returned {type(made).__name__}; allowed: a Flax NNX module, a Flax linen pair (module, "
        "variables), or a function images → logits."
    )


def find_factory(spec: ModelSpec) -> tuple[ModuleType, Callable[..., Any]]:
    """Return the function that `package.module:factory` or `path/to/file.py:factory` names, and its module.

    Raises:
        InputError: The module, file or function does not exist, or importing the module raises.
    """
    place, _, name = spec.argument.rpartition(":")
    if not (place and name.isidentifier()):
        raise InputError(
            f"The argument of '{spec.name}' is '{spec.argument}'; write {spec.name}:package.module:factory or "
            f"{spec.name}:path/to/file.py:factory."
        )
    module = _import_file(spec.name, Path(place)) if place.endswith(".py") else _import_module(place)
    factory = getattr(module, name, None)
    if not callable(factory):
        known = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise InputError(f"{place} has no function '{name}'; it has: {', '.join(known) or 'none'}.")
    return module, factory


def call_factory(spec: ModelSpec) -> tuple[Any, str | None, str]:
    """Call the factory of a spec with its options, converted to the types of the factory's annotations.

    The types are int, float, bool and str. Without an annotation, text that is a number becomes a number.

    Returns:
        The result of the factory; the option `weights`, unless the factory has a parameter of that name; and the
        SHA-256 of the factory's source file, its name and the options.

    Raises:
        InputError: See `find_factory`. The factory does not accept the options, one of its parameters has the name of a
            preprocessing option of the spec, or it raises.
    """
    module, factory = find_factory(spec)
    parameters = inspect.signature(factory).parameters
    if clash := [key for key in PREPROCESS_KEYS if key in spec.options and key in parameters]:
        raise InputError(
            f"{spec.argument} has a parameter '{clash[0]}', which is also a preprocessing option; rename the "
            "parameter, or write the preprocessing to a TOML file beside the model."
        )
    options = loader_options(spec)
    weights = None if "weights" in parameters else options.pop("weights", None)
    values = _parse_options(spec, parameters, options)
    try:
        made = factory(**values)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{spec.argument} raises {first_line(error)}.") from error
    return made, weights, _code_digest(spec, module, factory)


def _code_digest(spec: ModelSpec, module: ModuleType, factory: Callable[..., Any]) -> str:
    path = getattr(module, "__file__", None)
    code = Path(path).read_bytes() if path else module.__name__.encode()
    call = repr((getattr(factory, "__qualname__", ""), sorted(loader_options(spec).items()))).encode()
    return hashlib.sha256(hashlib.sha256(code).digest() + call).hexdigest()


def _import_file(loader: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"'{loader}' got the file '{path}', which does not exist.")
    # A unique name hides no installed package; dataclasses and pickle look the module up by its name.
    name = f"_cnnshift_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    # The file can import its neighbours, as when it is run as a script.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{path} cannot be imported: {first_line(error)}.") from error
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise InputError(f"The module {name} cannot be imported: {first_line(error)}.") from error


def _parse_options(
    spec: ModelSpec, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, str]
) -> dict[str, Any]:
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = {name: parameter for name, parameter in parameters.items() if parameter.kind in keywords}
    any_name = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in options:
        if key not in named and not any_name:
            raise unknown_option(spec.argument, key, named)
    if missing := [name for name, p in named.items() if p.default is p.empty and name not in options]:
        raise InputError(
            f"{spec.argument} needs the option '{missing[0]}'; write {spec.name}:{spec.argument}:{missing[0]}=…."
        )
    return {
        key: _parse_value(spec.argument, key, text, named[key].annotation if key in named else None)
        for key, text in options.items()
    }


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
}


def _parse_value(owner: str, key: str, text: str, annotation: Any) -> Any:
    # Annotations are text under `from __future__ import annotations`.
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if name in _PARSERS:
        try:
            return _PARSERS[name](text)
        except (ValueError, KeyError):
            allowed = "true, false" if name == "bool" else name
            raise InputError(f"The option {key} of {owner} is '{text}'; allowed: {allowed}.") from None
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text
