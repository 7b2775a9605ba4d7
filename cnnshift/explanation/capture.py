"""What every layer of a network computes, in the order in which it is computed.

A network is traced once. While it is, the methods of its modules note what they return, under a scope of their own;
what happens between modules (`nnx.max_pool`, `jax.nn.relu`, adding a position embedding, a reshape: in NNX these are
functions) is then found in the trace, where it carries the scope of the module that called it and its line of code.

`nnx.capture` finds modules' outputs too; it loses their order, misses inherited methods, and sees no function.
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
from flax import nnx
from jax.extend import core
from jaxtyping import Array, Float

from cnnshift.errors import InputError
from cnnshift.explanation.hooks import Call, record_calls
from cnnshift.explanation.source_location import source_location

Outputs = Callable[[Any, Float[Array, "n h w c"]], list[Array]]
"""(state, images) → what every step gives, in order."""

_PATCHING = threading.Lock()
"""Classes are patched while a network is traced: one at a time."""

_LOOK_BACK = 64
"""How many steps back the source of a section is looked for: the length of the longest branch."""

_SMALL = frozenset({"broadcast_in_dim", "convert_element_type", "copy", "stop_gradient", "transpose", "squeeze"})
"""Operations that move nothing and compute nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a network computes.

    Attributes:
        name: the module's path in the network, with the method where it is not `__call__`; of a function its name.
        kind: the module's class; `function` where no module of its own computes it.
        place: file and line of a function, as `net.py:12`, or an empty string.
        shape: of one image's output.
    """

    name: str
    kind: str
    place: str
    shape: tuple[int, ...]

    @property
    def is_function(self) -> bool:
        """Whether it was computed between modules."""
        return self.kind == "function"


@dataclass(frozen=True, slots=True)
class Section:
    """A step as a function of an earlier one, through which everything that it sees of the image passes.

    Attributes:
        source: index of that step; -1 for the image.
        through: indices of the steps in between.
        run: (state, what the source gives) → what the step gives.
    """

    source: int
    through: tuple[int, ...]
    run: Callable[[Any, Array], Array]


@dataclass(frozen=True, slots=True)
class Capture:
    """A traced network, for batches of one size.

    Attributes:
        steps: in the order of computation.
        outputs: all of them, as a pure function.
        sections: each step on its own, after the nearest earlier one that it can be computed from.
        state: the network's weights.
    """

    steps: list[Step]
    outputs: Outputs
    sections: list[Section]
    state: Any


def capture(model: Callable[[Any], Any], images: Float[Array, "n h w c"]) -> Capture:
    """Trace a network and list what it computes.

    Listed is what has one array of numbers per image. A value that is handed on unchanged is listed once, under the
    innermost module.

    Args:
        model: an NNX module (taken in evaluation mode, and left as it is), or any function that JAX can trace.
        images: a batch of the shape that will be used.

    Raises:
        InputError: the network cannot be traced on these images.
    """
    if not isinstance(model, nnx.Module):
        # What is compiled would be one opaque operation.
        model = inspect.unwrap(model)
    graph, state = None, {}
    if isinstance(model, nnx.Module):
        model = nnx.clone(model)
        model.eval()
        graph, state = nnx.split(model)
    calls: list[Call] = []

    def run(state: Any, images: Array) -> tuple[Array, list[Array]]:
        calls.clear()
        if graph is None:
            return model(images), []
        module = nnx.merge(graph, state)
        with record_calls(module, calls):
            logits = module(images)
        return logits, [call.output for call in calls if call.output is not None]

    try:
        with _PATCHING:
            traced = jax.make_jaxpr(run)(state, images)
    except Exception as problem:
        # Whatever a stranger's model raises, the first line says what it was.
        reason = str(problem).strip().partition("\n")[0]
        raise InputError(
            f"The model cannot be traced on images of shape {images.shape}: {type(problem).__name__}: {reason}"
        ) from problem
    noted = [call for call in calls if call.output is not None]
    of_image = _reached(traced.jaxpr, traced.jaxpr.invars[len(jax.tree.leaves(state)) :])
    found = [each for each in _ordered(traced.jaxpr, calls, noted, len(images)) if each[0] in of_image]
    variables, weights = [variable for variable, _ in found], len(jax.tree.leaves(state))
    program = core.jaxpr_as_fun(core.ClosedJaxpr(traced.jaxpr.replace(outvars=variables), traced.consts))

    def outputs(state: Any, images: Array) -> list[Array]:
        return program(*jax.tree.leaves((state, images)))

    sections = [_section(traced, variables, target, weights) for target in range(len(variables))]
    return Capture([step for _, step in found], outputs, sections, state)


def _reached(jaxpr: Any, start: Sequence[Any]) -> set[Any]:
    """Everything that is computed from some variables."""
    reached = set(start)
    for eqn in jaxpr.eqns:
        if any(variable in reached for variable in eqn.invars if not isinstance(variable, core.Literal)):
            reached.update(eqn.outvars)
    return reached


def _section(traced: Any, variables: Sequence[Any], target: int, weights: int) -> Section:
    """The part of a trace from the nearest earlier step to a step."""
    (images,) = traced.jaxpr.invars[weights:]
    for source in range(target - 1, max(-1, target - 1 - _LOOK_BACK), -1):
        needed, chosen = {variables[target]}, []
        for eqn in reversed(traced.jaxpr.eqns):
            if variables[source] not in eqn.outvars and needed.intersection(eqn.outvars):
                chosen.append(eqn)
                needed.update(variable for variable in eqn.invars if not isinstance(variable, core.Literal))
        if images in needed:
            continue
        invars = [*traced.jaxpr.invars[:weights], variables[source]]
        part = traced.jaxpr.replace(invars=invars, outvars=[variables[target]], eqns=chosen[::-1])
        computed = {out for eqn in chosen for out in eqn.outvars}
        through = tuple(step for step in range(source + 1, target) if variables[step] in computed)
        return Section(source, through, _as_function(core.ClosedJaxpr(part, traced.consts)))
    whole = traced.jaxpr.replace(outvars=[variables[target]])
    return Section(-1, tuple(range(target)), _as_function(core.ClosedJaxpr(whole, traced.consts)))


def _as_function(part: core.ClosedJaxpr) -> Callable[[Any, Array], Array]:
    program = core.jaxpr_as_fun(part)
    return lambda state, value: program(*jax.tree.leaves(state), value)[0]


def _ordered(jaxpr: Any, calls: Sequence[Call], noted: Sequence[Call], count: int) -> list[tuple[Any, Step]]:
    """Variables of a trace that are worth looking at, and what they are, in the order of computation."""
    defined = {out: position for position, eqn in enumerate(jaxpr.eqns) for out in eqn.outvars}
    found = dict(_functions(jaxpr, calls))
    seen: set[str] = set()
    for call, variable in zip(noted, jaxpr.outvars[1:], strict=True):
        known, whole = found.get(variable), not call.path and call.method == "__call__"
        if variable not in defined or (known is not None and (call.inner or whole or not known.is_function)):
            continue
        # A module goes by its path, until another of its methods has been seen under that name.
        plain = call.path and (call.method == "__call__" or call.path not in seen)
        name = call.path if plain else f"{call.path}.{call.method}".strip(".")
        found[variable] = Step(name, call.kind, "", tuple(variable.aval.shape[1:]))
        seen.add(call.path)
    kept = [
        (variable, step)
        for variable, step in found.items()
        if 2 <= len(variable.aval.shape) <= 4
        and variable.aval.shape[0] == count
        and jax.numpy.issubdtype(variable.aval.dtype, jax.numpy.floating)
    ]
    return _numbered(sorted(kept, key=lambda item: defined[item[0]]))


def _numbered(found: Sequence[tuple[Any, Step]]) -> list[tuple[Any, Step]]:
    """Steps with names of their own: a module that is called again gets a number."""
    times: Counter[str] = Counter()
    numbered = []
    for variable, step in found:
        times[step.name] += 1
        again = times[step.name]
        numbered.append((variable, step if again == 1 else replace(step, name=f"{step.name} ({again})")))
    return numbered


def _functions(jaxpr: Any, calls: Sequence[Call]) -> Iterator[tuple[Any, Step]]:
    """What is computed outside of the innermost modules: the last value of every call in the caller's code."""
    by_label = {call.label: call for call in calls}
    before, found = None, []
    for eqn in jaxpr.eqns:
        scope = next((part for part in reversed(str(eqn.source_info.name_stack).split("/")) if part in by_label), None)
        call = by_label[scope] if scope else None
        path = call.path if call else ""
        if call is not None and not call.inner and path:
            before = None
            continue
        if eqn.primitive.name in _SMALL or len(eqn.outvars) != 1:
            continue
        place, position, name = source_location(eqn)
        step = Step(f"{path}: {name}" if path else name, "function", place, tuple(eqn.outvars[0].aval.shape[1:]))
        if found and before == (scope, position):
            # What goes on within one call.
            found.pop()
        found.append((eqn.outvars[0], step))
        before = (scope, position)
    yield from found
