"""Source `py`: the network that a function of the user's own code returns."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from flax import nnx

from cnnshift.errors import InputError
from cnnshift.loaders.base import Network, digest_of, first_line
from cnnshift.loaders.weights import read_weights


def open_python(argument: str, options: Mapping[str, str], said: Mapping[str, Any]) -> Network:
    """Import a module or a file, call its factory with the options, and take what it returns.

    A factory returns a Flax NNX module, a Flax linen pair (module, variables), or any function images [n h w c] on the
    scale 0..1 → logits [n k], of jax or of numpy arrays. A value of an option becomes what the factory's annotation
    says (int, float, bool, str); without one, a number where it reads as a number.

    Args:
        argument: `package.module:factory`, or `path/to/file.py:factory`. The present folder is searched first.
        options: of the factory; `weights=FILE` is taken out where the factory does not ask for it itself, see
            `read_weights`.
        said: not needed.

    Raises:
        InputError: there is no such module, file or factory, it does not take these options, raises, or returns
            something else.
    """
    module, factory = find_factory("py", argument)
    arguments = dict(options)
    weights = None if "weights" in inspect.signature(factory).parameters else arguments.pop("weights", None)
    made = call_factory("py", argument, factory, arguments)
    if weights is not None:
        if not isinstance(made, nnx.Module):
            raise InputError(f"weights={weights} are for a Flax NNX module; {argument} returned {type(made).__name__}.")
        read_weights(made, Path(weights))
    code = code_digest(module, factory, options)
    if isinstance(made, nnx.Module):
        made.eval()
        network = Network(made)
    else:
        network = _as_network(argument, made, code)
    return replace(network, code=code, options=tuple(inspect.signature(factory).parameters))


def find_factory(source: str, argument: str) -> tuple[ModuleType, Callable[..., Any]]:
    """The function that `package.module:factory` or `path/to/file.py:factory` names, and its module.

    Raises:
        InputError: there is no such module, file or function, or importing it raises.
    """
    place, _, name = argument.rpartition(":")
    if not (place and name.isidentifier()):
        raise InputError(
            f"'{source}' names '{argument}'; write {source}:package.module:factory or {source}:path/to/file.py:factory."
        )
    module = _import_file(source, Path(place)) if place.endswith(".py") else _import_module(place)
    factory = getattr(module, name, None)
    if not callable(factory):
        known = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
        raise InputError(f"{place} has no function '{name}'; it has: {', '.join(known) or 'none'}.")
    return module, factory


def call_factory(source: str, argument: str, factory: Callable[..., Any], options: Mapping[str, str]) -> Any:
    """What a factory returns for these options.

    Raises:
        InputError: it does not take them, or raises.
    """
    values = _values(source, argument, inspect.signature(factory).parameters, options)
    try:
        return factory(**values)
    except InputError:
        raise
    except (Exception, SystemExit) as problem:
        raise InputError(f"{argument} raises {first_line(problem)}.") from problem


def _import_file(source: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"'{source}' names {path}, which is no file.")
    # A name of its own, so that it hides no installed package; known under it, as dataclasses and pickles expect.
    name = f"_cnnshift_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    # What lies beside it can be imported, as if it were run as a script.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        raise InputError(f"{path} cannot be imported: {first_line(problem)}.") from problem
    return module


def _import_module(name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as problem:
        raise InputError(f"The module {name} cannot be imported: {first_line(problem)}.") from problem


def _values(
    source: str, argument: str, parameters: Mapping[str, inspect.Parameter], options: Mapping[str, str]
) -> dict[str, Any]:
    """The options as values.

    Raises:
        InputError: an option that the factory does not have, one that it lacks, or text that is no such value.
    """
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = {name: parameter for name, parameter in parameters.items() if parameter.kind in keywords}
    any_name = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in options:
        if key not in named and not any_name:
            raise InputError(f"{argument} has no option '{key}'; allowed: {', '.join(named) or 'none'}.")
    if missing := [name for name, p in named.items() if p.default is p.empty and name not in options]:
        raise InputError(f"{argument} needs the option '{missing[0]}'; write {source}:{argument}:{missing[0]}=….")
    return {
        key: _value(argument, key, text, named[key].annotation if key in named else inspect.Parameter.empty)
        for key, text in options.items()
    }


_TYPES: Mapping[Any, Callable[[str], Any]] = {
    kind: read
    for name, read in {
        "int": int,
        "float": float,
        "str": str,
        "bool": lambda text: {"true": True, "false": False}[text.lower()],
    }.items()
    for kind in (name, {"int": int, "float": float, "str": str, "bool": bool}[name])
}
"""By annotation, which is text where annotations are not evaluated."""


def _value(argument: str, key: str, text: str, annotation: Any) -> Any:
    if annotation in _TYPES:
        try:
            return _TYPES[annotation](text)
        except (ValueError, KeyError):
            name = annotation if isinstance(annotation, str) else annotation.__name__
            kind = "true, false" if name == "bool" else name
            raise InputError(f"The option {key} of {argument} is '{text}'; allowed: {kind}.") from None
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _as_network(argument: str, made: Any, code: str) -> Network:
    if isinstance(made, tuple) and len(made) == 2 and callable(getattr(made[0], "apply", None)):
        module, variables = made
        leaves = jax.tree_util.tree_leaves_with_path(variables)
        arrays = ((jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in leaves)
        return Network(
            lambda images: module.apply(variables, images),
            digest=digest_of(code, arrays),
            parameters=sum(map(np.size, jax.tree.leaves(variables.get("params", {})))),
        )
    if callable(made):
        # Of a function nothing but its code is known.
        return Network(made, digest=code)
    raise InputError(
        f"{argument} returns {type(made).__name__}; allowed: a Flax NNX module, a Flax linen pair (module, variables), "
        "or a function images → logits."
    )


def code_digest(module: ModuleType, factory: Callable[..., Any], options: Mapping[str, str]) -> str:
    """Of the code and of how it was called, all that is known of a function: another file is another network."""
    path = getattr(module, "__file__", None)
    code = Path(path).read_bytes() if path else module.__name__.encode()
    called = repr((getattr(factory, "__qualname__", ""), sorted(options.items()))).encode()
    return hashlib.sha256(hashlib.sha256(code).digest() + called).hexdigest()
