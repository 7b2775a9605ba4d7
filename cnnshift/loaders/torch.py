"""Source `torch`: a PyTorch module that a function of the user's own returns, or an exported program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.base import (
    check_no_options,
    digest_of,
    existing_file,
    file_digest,
    first_line,
    loader_options,
)
from cnnshift.loaders.exported import load_exported
from cnnshift.loaders.extras import import_extra
from cnnshift.loaders.host_callback import host_callback, run_in_host_thread
from cnnshift.loaders.py import call_factory, code_digest, find_factory
from cnnshift.preprocess import Preprocess
from cnnshift.spec import ModelSpec


def load_torch(spec: ModelSpec, preprocessing: Mapping[str, Any]) -> LoadedModel:
    """Load a module from a factory, in evaluation mode, or a program that torch.export has saved.

    Both accept 32-bit images, channels first unless the spec has `layout=nhwc`, and run on the CPU in the host thread.

    Args:
        spec: its argument is `package.module:factory`, `path/to/file.py:factory`, or the path of a .pt2 file.
        preprocessing: its `layout` decides whether the size of a program is known.

    Raises:
        InputError: See `find_factory`, `call_factory` and `load_exported`; or the factory does not return a module.
    """
    torch = import_extra("torch", "torch")
    preprocess = Preprocess(layout="nchw")
    if spec.argument.rpartition(":")[0]:
        with _no_team(torch):
            module, factory = find_factory(spec)
            made = call_factory(spec, factory, loader_options(spec))
            if not isinstance(made, torch.nn.Module):
                raise InputError(f"{spec.argument} returned {type(made).__name__}; allowed: a torch.nn.Module.")
            made.eval()
            return LoadedModel(
                host_callback(_run(spec.argument, made)),
                preprocess,
                digest=digest_of(code_digest(spec, module, factory), _arrays(made)),
                parameters=sum(weight.numel() for weight in made.parameters()),
            )
    check_no_options(spec)
    path = existing_file(spec, suffixes=(".pt2",))
    with _no_team(torch):
        program = load_exported(path)
    size = program.size if preprocessing.get("layout", "nchw") == "nchw" else None
    return LoadedModel(
        host_callback(_run(spec.argument, program.function), fixed_batch=program.batch),
        preprocess.model_copy(update={"size": size}),
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
    torch = import_extra("torch", "torch")

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
    torch = import_extra("torch", "torch")
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous()
            yield f"{name} {plain.dtype} {tuple(plain.shape)}", plain.reshape(-1).view(torch.uint8).numpy()
