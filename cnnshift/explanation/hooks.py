"""Record the outputs of a network's modules while it is traced, by hooks on their methods."""

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


@dataclass(slots=True, eq=False)
class Call:
    """A traced call of a module's method.

    Attributes:
        label: name scope of the operations of this call.
        path: path of the module in the network; empty for the network itself.
        method: name of the method.
        type: class of the module.
        one_layer: whether the class sets `one_layer`; calls inside such a module are not recorded.
        output: the traced output, if it is one array.
        inner: the calls made by this call.
    """

    label: str
    path: str
    method: str
    type: str
    one_layer: bool = False
    output: Array | None = None
    inner: list[Call] = field(default_factory=list)


@contextmanager
def record_calls(root: nnx.Module, calls: list[Call]) -> Iterator[None]:
    """Append every call of a method of `root` or its submodules to `calls`, in order of completion.

    The classes are patched inside the context and restored on exit.
    """
    paths = {id(module): ".".join(map(str, path)) for path, module in nnx.iter_modules(root)}
    open_calls: list[Call] = []
    outermost = core.get_opaque_trace_state()
    originals: list[tuple[type, str, Any]] = []

    def hook(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
            path = paths.get(id(self))
            overridden = any((call.path, call.method) == (path, name) for call in open_calls)
            within = any(call.one_layer for call in open_calls)
            # Skip modules created inside a call, super() calls, calls inside a `one_layer` module, and nested traces.
            if path is None or overridden or within or core.get_opaque_trace_state() != outermost:
                return method(self, *args, **kwargs)
            label, kind = f"cnnshift#{len(calls) + len(open_calls)}", type(self)
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

        return hooked

    try:
        for kind in {type(module) for _, module in nnx.iter_modules(root)}:
            for name, method in _methods(kind):
                originals.append((kind, name, vars(kind).get(name)))
                setattr(kind, name, hook(name, method))
        yield
    finally:
        for kind, name, original in reversed(originals):
            if original is None:
                delattr(kind, name)
            else:
                setattr(kind, name, original)


def _methods(kind: type) -> list[tuple[str, Callable[..., Any]]]:
    """Return the public methods and `__call__` of a module class that `nnx.Module` does not define."""
    ancestors = [ancestor for ancestor in kind.__mro__ if ancestor not in nnx.Module.__mro__]
    names = dict.fromkeys(
        name for ancestor in ancestors for name, value in vars(ancestor).items() if inspect.isfunction(value)
    )
    return [(name, getattr(kind, name)) for name in names if name == "__call__" or not name.startswith("_")]
