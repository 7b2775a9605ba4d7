"""What the modules of a network return while it is traced: their methods are patched to note it, under a scope."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import nnx
from jax.extend import core
from jaxtyping import Array

_SCOPE = "cnnshift#"


@dataclass(slots=True, eq=False)
class Call:
    """A call of a module's method while it was traced; `inner` are the calls it made.

    A class whose attribute `one_layer` is true is listed as a whole, whatever it is made of.
    """

    label: str
    path: str
    method: str
    kind: str
    one_layer: bool = False
    output: Array | None = None
    inner: list[Call] = field(default_factory=list)


@contextmanager
def record_calls(root: nnx.Module, calls: list[Call]) -> Iterator[None]:
    """Let the methods of a module and of those in it append what they return to `calls`, in order of completion."""
    paths = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(root)}
    open_calls: list[Call] = []
    outermost = core.get_opaque_trace_state()
    patched: list[tuple[type, str, Any]] = []

    def note(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            path = paths.get(id(self))
            overrides = any((call.path, call.method) == (path, name) for call in open_calls)
            within = any(call.one_layer for call in open_calls)
            if path is None or overrides or within or core.get_opaque_trace_state() != outermost:
                # A module made on the way, a method that calls the one it overrides, what a module that is one layer
                # is made of, or a trace within the trace.
                return method(self, *args, **kwargs)
            label, kind = f"{_SCOPE}{len(calls) + len(open_calls)}", type(self)
            call = Call(label, path, name, kind.__name__, getattr(kind, "one_layer", False))
            if open_calls:
                open_calls[-1].inner.append(call)
            open_calls.append(call)
            try:
                with jax.named_scope(call.label):
                    result = method(self, *args, **kwargs)
            finally:
                open_calls.pop()
            if isinstance(result, jax.Array):
                call.output = result
            calls.append(call)
            return result

        return noted

    try:
        for kind in {type(module) for _, module in nnx.iter_modules(root)}:
            for name, method in _methods(kind):
                patched.append((kind, name, vars(kind).get(name)))
                setattr(kind, name, note(name, method))
        yield
    finally:
        for kind, name, own in reversed(patched):
            if own is None:
                delattr(kind, name)
            else:
                setattr(kind, name, own)


def _methods(kind: type) -> list[tuple[str, Callable[..., Any]]]:
    """Methods that a module class or its ancestors define, but for those that every module has."""
    own = [ancestor for ancestor in kind.__mro__ if ancestor not in nnx.Module.__mro__]
    names = dict.fromkeys(
        name for ancestor in own for name, value in vars(ancestor).items() if inspect.isfunction(value)
    )
    return [(name, getattr(kind, name)) for name in names if name == "__call__" or not name.startswith("_")]
