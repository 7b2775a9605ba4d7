"""Programs that torch.export has saved, read without executing anything that the file says.

torch.export.load trusts its file: some of its parts are pickles, expressions of sizes are evaluated as Python, a node
may name any function below `torch`, and checks of the inputs are source code. The parts are looked at before.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from cnnshift.errors import InputError
from cnnshift.sources.base import first_line

MAX_PROGRAM_BYTES = 2**28
"""Of the description of a program, without its weights."""

_OPERATOR = re.compile(r"torch\.ops\.(aten|prims)\.\w+(\.\w+)?\Z|_operator\.[a-z_]+\Z|torch\.sym_[a-z_]+\Z")
_EXPRESSION = re.compile(
    r"(Symbol\('[su]\d+'(, [a-z]+=(True|False))*\)|Integer\(-?\d+\)|[su]\d+\b|\d"
    r"|\b(Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|True|False)\b"
    r"|[\s+\-*/(),<>=!&|~])*\Z"
)


@dataclass(frozen=True, slots=True)
class Exported:
    """A program.

    Attributes:
        function: images as a tensor → logits.
        batch: the number of images that it takes, if it takes no other.
        size: (H, W) of the images, channels first, where they are fixed.
    """

    function: Callable[..., Any]
    batch: int | None
    size: tuple[int, int] | None


def load_exported(path: Path) -> Exported:
    """Read a .pt2 file.

    Raises:
        InputError: it is damaged, holds something that would be executed, or takes something else than one tensor of
            images.
    """
    import torch

    _check(path)
    load = torch.load
    # Parts that are pickled hold tensors or are refused.
    with mock.patch.object(torch, "load", lambda *args, **kwargs: load(*args, **{**kwargs, "weights_only": True})):
        try:
            program = torch.export.load(path)
        except Exception as problem:
            raise InputError(f"{path} cannot be read as an exported program: {first_line(problem)}.") from None
    taken = [
        node.meta["val"]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in program.graph_signature.user_inputs
    ]
    if len(taken) != 1 or getattr(taken[0], "ndim", 0) != 4 or taken[0].dtype != torch.float32:
        shapes = ", ".join(str(tuple(getattr(value, "shape", ()))) for value in taken)
        raise InputError(f"{path} takes {len(taken)} inputs ({shapes}); allowed: one of 32-bit floats and four axes.")
    n, _, height, width = (side if isinstance(side, int) else None for side in taken[0].shape)
    # Its own checks of the inputs are source code in the file.
    function = program.module(check_guards=False)
    return Exported(function, n, None if height is None or width is None else (height, width))


def _check(path: Path) -> None:
    """Refuse what reading would execute.

    Raises:
        InputError: see above.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            models = [info for info in archive.infolist() if re.search(r"(^|/)models/[^/]+\.json\Z", info.filename)]
            if len(models) != 1 or models[0].file_size > MAX_PROGRAM_BYTES:
                raise InputError(
                    f"{path} holds {len(models)} programs; allowed: one, of at most {MAX_PROGRAM_BYTES:,} bytes."
                )
            with archive.open(models[0]) as file:
                program = json.loads(file.read(MAX_PROGRAM_BYTES + 1))
            if compiled := [name for name in archive.namelist() if re.search(r"\.(so|dll|dylib|py|cpp|pyc)\Z", name)]:
                raise InputError(f"{path} holds code ({compiled[0]}), which is not executed; export it without.")
    except (zipfile.BadZipFile, OSError, ValueError, RecursionError, NotImplementedError) as problem:
        raise InputError(f"{path} cannot be read as an exported program: {first_line(problem)}.") from None
    for key, value in _texts(program):
        if key == "target" and not _OPERATOR.match(value):
            raise InputError(f"{path} calls {value!r:.80}; allowed: operators of torch.ops.aten and torch.ops.prims.")
        if key == "expr_str" and not _EXPRESSION.match(value):
            raise InputError(f"{path} has a size {value!r:.80}; allowed: arithmetic of sizes.")


def _texts(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a JSON document with the key that it stands under."""
    waiting = [(key, node)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
            if key == "range_constraints":
                waiting += (("expr_str", name) for name in value)
        elif isinstance(value, list):
            waiting += [(key, each) for each in value]
        elif isinstance(value, str):
            yield key, value
