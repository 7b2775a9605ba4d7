"""The reference page of the commands, written from the Typer application."""

from __future__ import annotations

import enum
import inspect
import re
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from markdown_text import cell, code, prose, table
from typer.models import ArgumentInfo, ParameterInfo

from cnnshift.cli.app import COMMANDS, load_command
from cnnshift.cli.command import guarded


def commands_page() -> str:
    parts = [
        "# Commands\n\nThis page is generated from the program; `cnnshift COMMAND --help` prints the same text. An "
        "option marked as “repeatable” can be used several times.\n"
    ]
    parts += [command_section(name, guarded(load_command(name))) for name in COMMANDS]
    return "\n".join(parts)


def command_section(name: str, function: Callable[..., Any]) -> str:
    summary, _, rest = (inspect.getdoc(function) or "").partition("\n\n")
    panels: dict[str, list[tuple[str, str, str]]] = {}
    arguments = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        kind, info = split_annotation(parameter.annotation)
        row = option_row(parameter, kind, info)
        if isinstance(info, ArgumentInfo):
            value = info.metavar or parameter.name.upper()
            value = value if parameter.default is inspect.Parameter.empty else f"[{value}]"
            arguments.append(value + "…" * (list in map(typing.get_origin, (kind, *typing.get_args(kind)))))
            panels.setdefault("Arguments", []).append(row)
        else:
            panels.setdefault(info.rich_help_panel or "Options", []).append(row)
    usage = " ".join(["cnnshift", name, *arguments, "[OPTIONS]"])
    parts = [f"## {name}\n", prose(summary) + "\n", f"```text\n{usage}\n```\n"]
    if rest:
        text, _, example = rest.rpartition("Example: ")
        parts += [prose(text) + "\n"] if text else []
        parts.append(f"```console\n$ {example}\n```\n")
    for panel, rows in panels.items():
        head = "argument" if panel == "Arguments" else "option"
        parts += [f"**{panel}**\n", table((head, "default", "meaning"), rows)]
    return "\n".join(parts)


def split_annotation(annotation: Any) -> tuple[Any, ParameterInfo]:
    """Split `Annotated[kind, Option(…)]` into its two parts."""
    kind, *metadata = typing.get_args(annotation)
    return kind, next(info for info in metadata if isinstance(info, ParameterInfo))


def option_row(parameter: inspect.Parameter, kind: Any, info: ParameterInfo) -> tuple[str, str, str]:
    """Return the name, the default and the meaning of a parameter, as cells."""
    kinds = [part for part in (typing.get_args(kind) or (kind,)) if part is not type(None)]
    value = info.metavar or next(
        ("|".join(item.value for item in part) for part in kinds if isinstance(part, enum.EnumType)), ""
    )
    names = list(getattr(info, "param_decls", None) or ())
    if isinstance(info, ArgumentInfo):
        shown = code(value or parameter.name.upper())
    else:
        flag = f"--{parameter.name.replace('_', '-')}"
        names = names or ([flag] if bool not in kinds else [flag, f"--no-{flag[2:]}"])
        value = "" if bool in kinds else value or placeholder(kinds)
        shown = ", ".join(code(f"{option} {value}".strip()) for option in names)
    default = parameter.default
    if isinstance(default, enum.Enum):
        default = default.value
    text, found = re.subn(r"\s*\(default: (.*)\)$", "", info.help or "")
    if found:
        default = re.search(r"\(default: (.*)\)$", info.help or "")[1]  # type: ignore[index]
    bounds = [f"{sign} {limit}" for sign, limit in (("≥", info.min), ("≤", info.max)) if limit is not None]
    if bounds:
        text += f" Allowed: {', '.join(bounds)}."
    empty = default in (None, False, True, inspect.Parameter.empty)
    required = default is inspect.Parameter.empty
    written = cell(str(default)) if " " in str(default) else code(str(default))
    return shown, "required" if required else "" if empty else written, cell(text)


def placeholder(kinds: Iterable[Any]) -> str:
    names = {Path: "FILE", int: "N", float: "X"}
    return next((names[kind] for kind in kinds if kind in names), "TEXT")
