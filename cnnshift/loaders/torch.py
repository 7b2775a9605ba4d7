"""Source `torch`: a PyTorch module that a function of the user's own returns, or an exported program."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from cnnshift.errors import InputError
from cnnshift.loaders.base import (
    Network,
    Preprocess,
    digest_of,
    existing_file,
    file_digest,
    first_line,
    no_options,
)
from cnnshift.loaders.exported import load_exported
from cnnshift.loaders.extras import optional
from cnnshift.loaders.host_callback import host_callback, run_in_host_thread
from cnnshift.loaders.py import call_factory, code_digest, find_factory


def open_torch(argument: str, options: Mapping[str, str], said: Mapping[str, Any]) -> Network:
    """A module from a factory, in evaluation mode; or a program that torch.export has saved.

    Both take 32-bit images, channels first unless `layout=nhwc` is said, and run on the processor that they are on, in
    one thread of their own and those that PyTorch keeps for it.

    Args:
        argument: `package.module:factory`, `path/to/file.py:factory`, or the path of a .pt2 file.
        options: of the factory, see `open_python`; an exported program has none.
        said: not needed.

    Raises:
        InputError: see `open_python` and `load_exported`; or the factory returns no module.
    """
    torch = optional("torch", "torch")
    prepared = Preprocess(layout="nchw")
    if argument.rpartition(":")[0]:
        with _no_team(torch):
            module, factory = find_factory("torch", argument)
            made = call_factory("torch", argument, factory, options)
            if not isinstance(made, torch.nn.Module):
                raise InputError(f"{argument} returns {type(made).__name__}; allowed: a torch.nn.Module.")
            made.eval()
            return Network(
                host_callback(_run(argument, made)),
                prepared,
                digest=digest_of(code_digest(module, factory, options), _arrays(made)),
                parameters=sum(weight.numel() for weight in made.parameters()),
                options=tuple(inspect.signature(factory).parameters),
            )
    no_options("torch", options)
    path = existing_file("torch", argument, suffixes=(".pt2",))
    with _no_team(torch):
        program = load_exported(path)
    size = program.size if said.get("layout", "nchw") == "nchw" else None
    return Network(
        host_callback(_run(argument, program.function), batch=program.batch),
        prepared.model_copy(update={"size": size}),
        digest=file_digest(path),
        parameters=program.parameters,
    )


@contextlib.contextmanager
def _no_team(torch: Any) -> Iterator[None]:
    """Have PyTorch use no threads but this one, which is not the one that calls networks: see `run_in_host_thread`."""
    # That one takes the number of its threads from here at its first use, which is to be before it changes.
    before = run_in_host_thread(torch.get_num_threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(name: str, module: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
    torch = optional("torch", "torch")

    def call(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        try:
            with torch.inference_mode():
                # A copy: what comes from a compiled program may not be written to, and torch takes no such array.
                found = module(torch.from_numpy(np.array(images)))
        except Exception as problem:
            raise InputError(
                f"{name} cannot be applied to images of shape {images.shape}: {first_line(problem)}."
            ) from None
        return found.numpy(force=True) if isinstance(found, torch.Tensor) else found

    return call


def _arrays(module: Any) -> Iterator[tuple[str, np.ndarray]]:
    """All weights, as bytes where numpy has no such numbers."""
    torch = optional("torch", "torch")
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous()
            yield f"{name} {plain.dtype} {tuple(plain.shape)}", plain.reshape(-1).view(torch.uint8).numpy()
