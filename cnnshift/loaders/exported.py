"""Programs that torch.export has saved, run without executing anything that the file says.

torch.export.load trusts its file: parts of it are pickles, sizes are evaluated as Python, a node may name any function
below `torch`, the structure of the inputs may name a module to import, and checks of the inputs are source code. So
that reader is not used. A file is an archive of a graph in JSON and of weights as plain numbers: these are read here,
and the graph's operators, which are listed in `operators`, are called one after another.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnshift.errors import InputError
from cnnshift.loaders.base import first_line
from cnnshift.loaders.extras import import_extra
from cnnshift.loaders.operators import CHECKS, SIZE_OPERATORS, TENSOR_OPERATORS

MAX_PROGRAM_BYTES = 2**28
"""Of the description of a program, without its weights."""
SCHEMA = 8
"""Of torch.export: the major version that is read."""

# By the numbers that stand for them in a file.
_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64"}
_DTYPES |= {10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16"}
_MEMORY_FORMATS = {1: "contiguous_format", 2: "channels_last", 3: "channels_last_3d", 4: "preserve_format"}
_LAYOUTS = {7: "strided"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A program.

    Attributes:
        function: images as a tensor → logits.
        batch: the number of images that it takes, if it takes no other.
        size: (H, W) of the images, channels first, where they are fixed.
        parameters: number of trained values.
    """

    function: Callable[[Any], Any]
    batch: int | None
    size: tuple[int, int] | None
    parameters: int


@dataclass(frozen=True, slots=True)
class _Name:
    """Where an argument of a step is a value of the program, and not a constant."""

    name: str


@dataclass(frozen=True, slots=True)
class _Step:
    """One call of an operator.

    Attributes:
        operator: what is called.
        positional, named: its arguments.
        results: names of its results; a list where it gives several.
        done: names of the values that no later step needs.
    """

    operator: Callable[..., Any]
    positional: Sequence[Any]
    named: Mapping[str, Any]
    results: str | Sequence[str]
    done: Sequence[str]


def load_exported(path: Path) -> Exported:
    """Read a .pt2 file.

    Raises:
        InputError: it is damaged, holds something that would have to be executed to be read, calls an operator that is
            not listed, or takes something else than one tensor of images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(str(path), archive).program()
    except InputError:
        raise
    except Exception as problem:
        # Whatever a damaged file leads to.
        raise InputError(f"{path} cannot be read as an exported program: {first_line(problem)}.") from None


class _Reader:
    """What is in a file.

    Args:
        path: for messages.
        archive: of the file.

    Raises:
        InputError: a part stands in it twice, or is compressed.
    """

    def __init__(self, path: str, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.archive = archive
        self.sizes = {info.filename: info.file_size for info in archive.infolist()}
        if len(self.sizes) < len(archive.infolist()):
            raise InputError(f"{path} holds a part twice; export it again.")
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise InputError(f"{path} is compressed; allowed: what torch.export.save writes.")

    def program(self) -> Exported:
        """The program.

        Raises:
            InputError: see `load_exported`.
        """
        place, said = self._description()
        root, name = place.split("/models/")
        module = said["graph_module"]
        graph, signature = module["graph"], module["signature"]
        weights = self._tensors(f"{root}/data/weights/", f"{name}_weights_config.json")
        weights |= self._tensors(f"{root}/data/constants/", f"{name}_constants_config.json")
        taken: list[str] = []
        values: dict[str, Any] = {}
        parameters = 0
        for each in signature["input_specs"]:
            ((kind, spec),) = each.items()
            if kind == "user_input" and "as_tensor" in spec["arg"]:
                taken.append(spec["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                weight = values[spec["arg"]["name"]] = weights[spec[f"{kind}_name"]]
                parameters += weight.numel() if kind == "parameter" else 0
            else:
                raise InputError(f"{self.path} takes an input that is no tensor; allowed: images, and nothing else.")
        meta = [graph["tensor_values"][each] for each in taken]
        if len(meta) != 1 or len(meta[0]["sizes"]) != 4 or meta[0]["dtype"] != 7:
            raise InputError(
                f"{self.path} takes {len(meta)} inputs; allowed: one, of 32-bit floats and four axes, which are images."
            )
        if [list(each) for each in signature["output_specs"]] != [["user_output"]]:
            raise InputError(
                f"{self.path} has other outputs than logits, or changes its own weights; call eval() first."
            )
        result = _argument(graph["outputs"][0])
        if not isinstance(result, _Name):
            raise InputError(f"{self.path} does not give a tensor; allowed: logits [n k].")
        bounds = [_bounds(side, said["range_constraints"]) for side in meta[0]["sizes"]]
        steps = self._steps(graph["nodes"], result.name)
        fixed = [low if low == high else None for low, high in bounds]
        size = None if fixed[2] is None or fixed[3] is None else (fixed[2], fixed[3])
        return Exported(_function(steps, values, taken[0], result.name, bounds), fixed[0], size, parameters)

    def _description(self) -> tuple[str, dict[str, Any]]:
        """Where the program stands, without its ending, and what is said there."""
        found = [name for name in self.sizes if re.fullmatch(r"[^/]+/models/[^/]+\.json", name)]
        if len(found) != 1 or self.sizes[found[0]] > MAX_PROGRAM_BYTES:
            raise InputError(
                f"{self.path} holds {len(found)} programs of torch.export.save; allowed: one, of at most "
                f"{MAX_PROGRAM_BYTES:,} bytes."
            )
        said = json.loads(self.archive.read(found[0]))
        if (major := said["schema_version"]["major"]) != SCHEMA:
            raise InputError(f"{self.path} has version {major}; allowed: {SCHEMA}. Export it with a newer PyTorch.")
        return found[0].removesuffix(".json"), said

    def _tensors(self, folder: str, listed: str) -> dict[str, Any]:
        """The tensors of a folder of the archive by name."""
        torch = import_extra("torch", "torch")

        if folder + listed not in self.sizes:
            raise InputError(f"{self.path} has no {listed}; export it with PyTorch 2.9 or newer.")
        stored: dict[tuple[str, Any], Any] = {}
        tensors = {}
        for name, entry in json.loads(self.archive.read(folder + listed))["config"].items():
            place, meta = entry["path_name"], entry["tensor_meta"]
            if entry["use_pickle"] or meta is None:
                raise InputError(
                    f"{self.path} holds {name!r:.80} as a pickle, which is not read; allowed: plain tensors."
                )
            dtype = getattr(torch, _DTYPES[meta["dtype"]])
            if (place, dtype) not in stored:
                # Of a copy that may be written to, without which torch warns.
                data = bytearray(self.archive.read(folder + place))
                stored[place, dtype] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            sizes, strides = ([side["as_int"] for side in meta[key]] for key in ("sizes", "strides"))
            tensors[name] = torch.as_strided(stored[place, dtype], sizes, strides, meta["storage_offset"]["as_int"])
        return tensors

    def _steps(self, nodes: Sequence[Any], result: str) -> list[_Step]:
        """The calls in their order."""
        steps: list[_Step] = []
        needed = {result}
        for node in reversed(nodes):
            target = node["target"]
            function = self._operator(target)
            if function is None:
                continue
            if any(
                each["name"] in ("train", "training") and each["arg"] == {"as_bool": True} for each in node["inputs"]
            ):
                raise InputError(f"{self.path} was exported in training mode; call eval() before torch.export.export.")
            arguments = [(each["name"], _argument(each["arg"])) for each in node["inputs"]]
            results = _results([_argument(each) for each in node["outputs"]])
            used = {name for _, argument in arguments for name in _names(argument)}
            done = used.union([results] if isinstance(results, str) else results) - needed
            needed |= used
            numbers = target in SIZE_OPERATORS
            positional = [argument for _, argument in arguments] if numbers else []
            steps.append(_Step(function, positional, {} if numbers else dict(arguments), results, [*done]))
        return steps[::-1]

    def _operator(self, target: str) -> Callable[..., Any] | None:
        """What a node calls; None where it only checks."""
        torch = import_extra("torch", "torch")

        if target in SIZE_OPERATORS:
            return SIZE_OPERATORS[target]
        found = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target, re.ASCII)
        if found is not None and found[1] in CHECKS:
            return None
        known = found is not None and not TENSOR_OPERATORS.isdisjoint((found[1], found[1].removesuffix("_")))
        packet = getattr(torch.ops.aten, found[1], None) if found is not None and known else None
        if found is None or packet is None or found[2] not in packet.overloads():
            raise InputError(
                f"{self.path} calls {target!r:.80}, which is not among the operators that may run; bring the network "
                "as torch:FILE.py:FACTORY, or as ONNX."
            )
        return getattr(packet, found[2])


def _argument(said: Mapping[str, Any]) -> Any:
    """An argument of a node, or one of its results: a constant, a name, or a list of them."""
    torch = import_extra("torch", "torch")

    ((kind, value),) = said.items()
    constants: Mapping[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("as_int", "as_bool", "as_string", "as_ints", "as_bools"), lambda constant: constant),
        # What is not finite is written as text.
        "as_float": float,
        "as_floats": lambda numbers: [float(number) for number in numbers],
        "as_none": lambda _: None,
        "as_scalar_type": lambda number: getattr(torch, _DTYPES[number]),
        "as_memory_format": lambda number: getattr(torch, _MEMORY_FORMATS[number]),
        "as_layout": lambda number: getattr(torch, _LAYOUTS[number]),
        "as_device": lambda _: torch.device("cpu"),
    }
    if kind in constants:
        return constants[kind](value)
    match kind:
        case "as_tensor":
            return _Name(value["name"])
        case "as_name":
            return _Name(value)
        case "as_tensors":
            return [_Name(each["name"]) for each in value]
        case "as_sym_int" | "as_sym_float" | "as_sym_bool" | "as_optional_tensor":
            return _argument(value)
        case "as_sym_ints" | "as_sym_floats" | "as_sym_bools" | "as_optional_tensors":
            return [_argument(each) for each in value]
    raise ValueError(f"an argument is of the kind {kind!r:.40}")


def _names(argument: Any) -> list[str]:
    """The names in an argument."""
    return [each.name for each in (argument if isinstance(argument, list) else [argument]) if isinstance(each, _Name)]


def _results(found: Sequence[Any]) -> str | list[str]:
    """The names of an operator's results; an empty one where a result is nothing."""
    if len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    elif len(found) == 1 and isinstance(found[0], _Name):
        return found[0].name
    if any(isinstance(each, list) for each in found):
        raise ValueError("an operator gives lists of lists")
    return [each.name if isinstance(each, _Name) else "" for each in found]


def _bounds(side: Mapping[str, Any], ranges: Mapping[str, Any]) -> tuple[int, int | None]:
    """The least and the largest length of an axis of the images."""
    if "as_int" in side:
        return side["as_int"], side["as_int"]
    symbol = re.match(r"(?:Symbol\(')?(\w+)", side["as_expr"]["expr_str"])
    found = ranges.get(symbol[1], {}) if symbol is not None else {}
    return found.get("min_val") or 0, found.get("max_val")


def _function(
    steps: Sequence[_Step],
    weights: Mapping[str, Any],
    taken: str,
    result: str,
    bounds: Sequence[tuple[int, int | None]],
) -> Callable[[Any], Any]:
    """The program as a function of images."""
    most = bounds[0][1]
    # Steps in place are not always said to change a weight: whether they do is seen at the first call.
    changes = True

    def once(images: Any) -> Any:
        values: dict[str, Any] = {**weights, taken: images}
        for step in steps:
            positional = [_value(argument, values) for argument in step.positional]
            named = {name: _value(argument, values) for name, argument in step.named.items()}
            found = step.operator(*positional, **named)
            if isinstance(step.results, str):
                values[step.results] = found
            elif step.results:
                values |= zip(step.results, found, strict=False)
            for name in step.done:
                values.pop(name, None)
        return values[result]

    def call(images: Any) -> Any:
        torch = import_extra("torch", "torch")

        # Of the images, fewer than the least number do no harm.
        for length, (low, high) in zip(images.shape[1:], bounds[1:], strict=True):
            if length < low or (high is not None and length > high):
                limits = [f"{low}" if low == high else f"{low}–{'' if high is None else high}" for low, high in bounds]
                raise ValueError(f"the program takes [{', '.join(['n', *limits[1:]])}]")
        nonlocal changes
        before = {name: value.clone() for name, value in weights.items()} if changes else {}
        found = once(images) if most is None else torch.cat([once(part) for part in images.split(most)])
        for name, value in before.items():
            if not torch.equal(value, weights[name]):
                raise ValueError(f"it changes its own '{name}', but has to answer alike every time")
        changes = False
        return found

    return call


def _value(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, list):
        return [_value(each, values) for each in argument]
    return values[argument.name] if isinstance(argument, _Name) else argument
