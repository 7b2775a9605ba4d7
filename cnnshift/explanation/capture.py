"""Trace a network once and list its layers with their outputs, in order of computation.

Hooks record the outputs of modules, each call under its own name scope. Operations between modules (`nnx.max_pool`,
`jax.nn.relu`, adding a position embedding and reshapes are functions in NNX) are found in the trace by the name scope
and the source line that JAX stores with each operation.

`nnx.capture` also records module outputs, but loses their order and misses inherited methods and functions.
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
"""(state, images) → the outputs of all steps, in order."""

_PATCHING = threading.Lock()

_TRIVIAL = frozenset({"broadcast_in_dim", "convert_element_type", "copy", "stop_gradient", "transpose", "squeeze"})
"""Operations that are not listed as steps."""


@dataclass(frozen=True, slots=True)
class Step:
    """A layer: a call of a module or of a function between modules.

    Attributes:
        name: path of the module, with the method unless it is `__call__`; or the name of the function.
        type: class of the module, or `function`.
        location: source location of a function, such as `net.py:12`; empty for a module.
        shape: shape of one image's output.
    """

    name: str
    type: str
    location: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A step as a function of the nearest earlier step that determines it.

    Attributes:
        source: index of that step; -1 for the image.
        through: indices of the steps between the two.
        run: (state, output of the source) → output of the step.
    """

    source: int
    through: tuple[int, ...]
    run: Callable[[Any, Array], Array]


@dataclass(frozen=True, slots=True)
class Capture:
    """A traced network, for batches of one size.

    Attributes:
        steps: the layers in order of computation.
        outputs: pure function that returns the outputs of all steps.
        sections: every step as a function of an earlier one.
        state: the network's weights.
    """

    steps: list[Step]
    outputs: Outputs
    sections: list[Section]
    state: Any


def capture(model: Callable[[Any], Any], images: Float[Array, "n h w c"]) -> Capture:
    """Trace a network and list its layers.

    A step is listed if its output is one floating-point array with a row per image. A value that an outer module
    returns unchanged is listed once, under the innermost module.

    Args:
        model: an NNX module (a copy is traced in evaluation mode), or a function that JAX can trace.
        images: a batch of the shape to measure.

    Raises:
        InputError: the network cannot be traced on these images.
    """
    graph, state = None, {}
    if isinstance(model, nnx.Module):
        model = nnx.clone(model)
        model.eval()
        graph, state = nnx.split(model)
    else:
        # A compiled function would be one opaque operation.
        model = inspect.unwrap(model)
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
        # The model may raise anything.
        reason = str(problem).strip().partition("\n")[0]
        raise InputError(
            f"The model cannot be traced on images of shape {images.shape}: {type(problem).__name__}: {reason}"
        ) from problem
    weights = len(jax.tree.leaves(state))
    dependent = _dependents(traced.jaxpr, traced.jaxpr.invars[weights:])
    listed = [item for item in _list_steps(traced.jaxpr, calls, len(images)) if item[0] in dependent]
    variables = [variable for variable, _ in listed]
    program = core.jaxpr_as_fun(core.ClosedJaxpr(traced.jaxpr.replace(outvars=variables), traced.consts))

    def outputs(state: Any, images: Array) -> list[Array]:
        return program(*jax.tree.leaves((state, images)))

    sections = [_section(traced, variables, target, weights) for target in range(len(variables))]
    return Capture([step for _, step in listed], outputs, sections, state)


def _dependents(jaxpr: Any, variables: Sequence[Any]) -> set[Any]:
    """Return `variables` and all variables that depend on them."""
    dependent = set(variables)
    for eqn in jaxpr.eqns:
        if any(variable in dependent for variable in eqn.invars if not isinstance(variable, core.Literal)):
            dependent.update(eqn.outvars)
    return dependent


def _section(traced: Any, variables: Sequence[Any], target: int, weights: int) -> Section:
    """Cut out the part of a trace between a step and the nearest earlier step that determines it."""
    (images,) = traced.jaxpr.invars[weights:]
    # No branch is assumed to be longer than 64 steps.
    for source in range(target - 1, max(-1, target - 65), -1):
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


def _list_steps(jaxpr: Any, calls: Sequence[Call], count: int) -> list[tuple[Any, Step]]:
    """List the variables of a trace that are outputs of layers, in order of computation."""
    defined = {out: position for position, eqn in enumerate(jaxpr.eqns) for out in eqn.outvars}
    steps = dict(_functions(jaxpr, calls))
    named: set[str] = set()
    recorded = (call for call in calls if call.output is not None)
    for call, variable in zip(recorded, jaxpr.outvars[1:], strict=True):
        step, whole = steps.get(variable), not call.path and call.method == "__call__"
        if variable not in defined or (step is not None and (call.inner or whole or step.type != "function")):
            continue
        # The first method of a module is listed under the module's path, the others with their names.
        plain = call.path and (call.method == "__call__" or call.path not in named)
        name = call.path if plain else f"{call.path}.{call.method}".strip(".")
        steps[variable] = Step(name, call.type, "", tuple(variable.aval.shape[1:]))
        named.add(call.path)
    listed = [
        (variable, step)
        for variable, step in steps.items()
        if 2 <= len(variable.aval.shape) <= 4
        and variable.aval.shape[0] == count
        and jax.numpy.issubdtype(variable.aval.dtype, jax.numpy.floating)
    ]
    return _number_repeated(sorted(listed, key=lambda item: defined[item[0]]))


def _number_repeated(listed: Sequence[tuple[Any, Step]]) -> list[tuple[Any, Step]]:
    """Make names unique: append " (2)" to the second call of a module, and so on."""
    calls: Counter[str] = Counter()
    numbered = []
    for variable, step in listed:
        calls[step.name] += 1
        suffix = f" ({calls[step.name]})" if calls[step.name] > 1 else ""
        numbered.append((variable, replace(step, name=step.name + suffix)))
    return numbered


def _functions(jaxpr: Any, calls: Sequence[Call]) -> Iterator[tuple[Any, Step]]:
    """Yield the last value of every expression outside the innermost modules."""
    by_label = {call.label: call for call in calls}
    before, listed = None, []
    for eqn in jaxpr.eqns:
        scope = next((part for part in reversed(str(eqn.source_info.name_stack).split("/")) if part in by_label), None)
        call = by_label[scope] if scope else None
        path = call.path if call else ""
        if call is not None and not call.inner and path:
            before = None
            continue
        if eqn.primitive.name in _TRIVIAL or len(eqn.outvars) != 1:
            continue
        location, position, name = source_location(eqn)
        step = Step(f"{path}: {name}" if path else name, "function", location, tuple(eqn.outvars[0].aval.shape[1:]))
        if listed and before == (scope, position):
            # An intermediate value of the same expression.
            listed.pop()
        listed.append((eqn.outvars[0], step))
        before = (scope, position)
    yield from listed
