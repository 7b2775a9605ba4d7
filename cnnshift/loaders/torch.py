"""Loader `torch`: a PyTorch module that a Python function returns, or a program that `torch.export` saved."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cnnshift.errors import InputError
from cnnshift.loaded_model import LoadedModel
from cnnshift.loaders.base import check_options, existing_file, file_digest, first_line
from cnnshift.loaders.extras import import_extra
from cnnshift.loaders.host_callback import host_callback, in_batches, run_in_host_thread
from cnnshift.loaders.py import call_factory
from cnnshift.models.arrays import arrays_digest
from cnnshift.preprocess import Preprocess
from cnnshift.spec import ModelSpec


def load_torch(spec: ModelSpec, preprocessing: Mapping[str, Any]) -> LoadedModel:
    """Load a module from a factory, in evaluation mode, or an exported program.

    The model gets 32-bit images, channels first by default, and runs on the CPU in the host thread. The option
    `weights=FILE` fills a module, see `read_state_dict`, unless the factory has a parameter of that name. A program
    needs the option `trusted=true`, because reading it can execute code from the file. Batches below its smallest batch
    size are filled up with copies of the last image; batches above its largest are split.

    Args:
        spec: its argument is `package.module:factory`, `path/to/file.py:factory`, or the path of a .pt2 file.
        preprocessing: its `layout` determines the axes of height and width in a program's input.

    Raises:
        InputError: See `find_factory` and `call_factory`. The factory does not return a module, or the weights do not
            fit it. The program is not trusted, cannot be read, was exported in training mode, or does not have one
            input with four axes and one output.
    """
    torch = import_extra("torch", "torch")
    with _single_thread(torch):
        if spec.argument.rpartition(":")[0]:
            return _load_module(torch, spec)
        return _load_program(torch, spec, preprocessing.get("layout", "nchw"))


def _load_module(torch: Any, spec: ModelSpec) -> LoadedModel:
    module, weights, code = call_factory(spec)
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{spec.argument} returned {type(module).__name__}; allowed: a torch.nn.Module.")
    if weights is not None:
        read_state_dict(torch, module, Path(weights))
    module.eval()
    return LoadedModel(
        host_callback(_on_host(torch, spec.argument, module)),
        Preprocess(layout="nchw"),
        digest=arrays_digest(_arrays(torch, module), code),
        parameters=sum(weight.numel() for weight in module.parameters()),
    )


def read_state_dict(torch: Any, module: Any, path: Path) -> None:
    """Fill a module with a state dict from a .safetensors file, or from a file that `torch.save` wrote.

    The latter is read with `weights_only=True`, which executes no code from the file.

    Raises:
        InputError: The file is missing, has another suffix, is damaged, or belongs to another model.
    """
    if not path.is_file():
        raise InputError(f"weights is '{path}', which does not exist.")
    try:
        if path.suffix == ".safetensors":
            state = import_extra("safetensors.torch", "torch").load_file(path)
        elif path.suffix in (".pt", ".pth", ".bin"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            raise InputError(f"weights is '{path}'; allowed: *.safetensors, *.pt, *.pth or *.bin.")
        module.load_state_dict(state)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"The weights {path} cannot be used: {first_line(error)}.") from error


def _load_program(torch: Any, spec: ModelSpec, layout: str) -> LoadedModel:
    path = existing_file(spec, suffixes=(".pt2",))
    check_options(spec, "trusted")
    if spec.options.get("trusted", "false") != "true":
        raise InputError(
            f"'{path}' is not read, because reading it can execute code from the file; add trusted=true, or export the "
            "model with torch.onnx.export(model, (images,), 'model.onnx') and use onnx:model.onnx."
        )
    try:
        with _silence():
            program = torch.export.load(path)
            module = program.module()
    except Exception as error:
        raise InputError(f"{path} cannot be read as an exported program: {first_line(error)}.") from error
    shape = _input_shape(path, program)
    if any(_is_training(node) for node in program.graph.nodes):
        raise InputError(f"{path} was exported in training mode; call model.eval() before torch.export.export.")
    height, width = shape[2:4] if layout == "nchw" else shape[1:3]
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    smallest, largest = _bounds(program, shape[0])
    function = in_batches(_on_host(torch, spec.argument, _check_state(torch, module)), smallest, largest)
    return LoadedModel(
        host_callback(function, fixed_batch=largest if smallest == largest else None),
        Preprocess(size=size, layout="nchw"),
        digest=file_digest(path),
        parameters=sum(weight.numel() for weight in module.parameters()),
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress warnings, and log messages of torch.export, which logs a traceback before it raises."""
    log = logging.getLogger("torch.export")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disabled, log.disabled = log.disabled, True
        try:
            yield
        finally:
            log.disabled = disabled


def _input_shape(path: Path, program: Any) -> tuple[Any, ...]:
    """Return the axes of the only input: numbers, or symbols for axes of any length."""
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    for kind, values in (("inputs", inputs), ("outputs", outputs)):
        if len(values) != 1:
            raise InputError(f"{path} has {len(values)} {kind}; allowed: one.")
    node = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name == inputs[0])
    shape = tuple(node.meta["val"].shape)
    if len(shape) != 4:
        raise InputError(f"{path} has an input with {len(shape)} axes; allowed: four axes, a batch of images.")
    return shape


def _bounds(program: Any, length: Any) -> tuple[int, int | None]:
    """Return the smallest and the largest length of an axis; None for no limit."""
    if isinstance(length, int):
        return length, length
    bounds = program.range_constraints[length.node.expr]
    return int(bounds.lower), int(bounds.upper) if bounds.upper.is_Integer else None


def _is_training(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return False
    arguments = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    return arguments.get("train") is True or arguments.get("training") is True


def _check_state(torch: Any, module: Any) -> Callable[[Any], Any]:
    """Return the module as a function whose first call checks that the module does not change its tensors."""
    unchecked = True

    def call(images: Any) -> Any:
        nonlocal unchecked
        tensors = dict([*module.named_parameters(), *module.named_buffers()]) if unchecked else {}
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        output = module(images)
        for name, tensor in tensors.items():
            if not torch.equal(tensor, before[name]):
                raise ValueError(f"it changes its tensor '{name}', so that outputs depend on earlier calls")
        unchecked = False
        return output

    return call


@contextlib.contextmanager
def _single_thread(torch: Any) -> Iterator[None]:
    """Limit PyTorch to one thread for calls from the current thread, but not from the host thread."""
    # The host thread takes its number of threads at its first use, which must precede the change.
    before = run_in_host_thread(torch.get_num_threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _on_host(torch: Any, name: str, module: Callable[[Any], Any]) -> Callable[[np.ndarray], Any]:
    def call(images: Float[np.ndarray, "n _ _ _"]) -> Any:
        try:
            with torch.inference_mode():
                # A copy, because torch accepts only writable arrays, and those of a compiled program are not.
                output = module(torch.from_numpy(np.array(images)))
        except Exception as error:
            raise InputError(
                f"{name} cannot be applied to images of shape {images.shape}: {first_line(error)}."
            ) from None
        return output.numpy(force=True) if isinstance(output, torch.Tensor) else output

    return call


def _arrays(torch: Any, module: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over all weights, as bytes: numpy lacks some of their types."""
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            plain = value.detach().cpu().contiguous()
            yield f"{name} {plain.dtype} {tuple(plain.shape)}", plain.reshape(-1).view(torch.uint8).numpy()
