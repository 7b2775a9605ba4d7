"""Shared set-up: shape checks on, no implicit broadcasting of ranks, a cache of the test run's own."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
from jaxtyping import install_import_hook, jaxtyped

# Typer looks at the terminal when it is imported.
os.environ |= {
    "_TYPER_FORCE_DISABLE_TERMINAL": "1",
    "TERMINAL_WIDTH": "100",
    "COLUMNS": "100",
    "TERM": "dumb",
    "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu"),
}
os.environ.pop("CNNSHIFT_CACHE_DIR", None)
# With it, each process that a test starts would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def checked(function: Any = None, *, typechecker: Any) -> Any:
    """Check array annotations at run time; other functions are returned unchanged, because pyright checks their types.

    Nested functions are not checked: every call of the outer function would decorate them again.
    """
    if function is None:
        return partial(checked, typechecker=typechecker)
    if "<locals>" in function.__qualname__:
        return function
    annotations = map(str, getattr(function, "__annotations__", {}).values())
    if not any(name in text for text in annotations for name in ("Array", "ndarray")):
        return function
    return jaxtyped(function, typechecker=typechecker)


# Checking every call of every function took a seventh of the suite.
jaxtyping.jaxtyped = checked
hook = install_import_hook("cnnshift", "beartype.beartype")

import hypothesis  # noqa: E402
import jax  # noqa: E402

from cnnshift.models.layers import initializers  # noqa: E402
from cnnshift.sweep import device  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
# The source locations of operations in compiled programs are not needed.
jax.config.update("jax_traceback_in_locations_limit", 0)
# Draw fewer numbers at once, which is faster in programs that are compiled without optimization; the numbers are equal.
initializers._SMALLEST_DRAW = 1 << 13
hypothesis.settings.register_profile("cnnshift", deadline=None, derandomize=True)
hypothesis.settings.load_profile("cnnshift")


RESETS: list[Callable[[], None]] = []
"""Functions that reset the random generators at module level to their initial states."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the random generators of the tests, and exempt what was imported from garbage collection."""
    modules = {item.module for item in session.items if isinstance(item, pytest.Function)}
    modules |= {module for name, module in sys.modules.items() if name.startswith("tests.")}
    for generator in {id(value): value for module in modules for value in vars(module).values()}.values():
        if isinstance(generator, np.random.Generator):
            RESETS.append(partial(setattr, generator.bit_generator, "state", generator.bit_generator.state))
        elif isinstance(generator, np.random.RandomState):
            RESETS.append(partial(generator.set_state, generator.get_state()))
    gc.collect()
    gc.freeze()
    # Tracing makes many objects that live as long as a trace.
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Reset the generators, so that a test draws the same numbers alone, in any order and on any worker."""
    for reset in RESETS:
        reset()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this test process: empty at first, never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    # Compiled programs and prepared data are shared by all processes of this run; of weights and results each has its
    # own.
    workers = "PYTEST_XDIST_WORKER" in os.environ
    shared = tmp_path_factory.getbasetemp().parent if workers else tmp_path_factory.getbasetemp()
    for name in ("xla", "data"):
        (shared / f"shared-{name}").mkdir(exist_ok=True)
        (folder / name).symlink_to(shared / f"shared-{name}", target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNNSHIFT_CACHE_DIR", str(folder))
        # The same programs are compiled in many tests; compiling each once halves the time of the suite.
        # To keep a small program takes longer than to compile it again.
        patch.setattr(device, "MIN_CACHED_COMPILE_SECONDS", 0.05)
        device.prepare_backend(deterministic=False)
        yield folder
