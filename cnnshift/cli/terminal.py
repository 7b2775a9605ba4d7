"""Streams and colour: stdout has only the result, stderr everything else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from cnnshift.errors import InputError, SaveError

if TYPE_CHECKING:
    from cnnshift.render.document import Style


COLORS = ("auto", "always", "never")

_color = ["auto"]


def set_color(color: str) -> None:
    """Set the value of `--color` for this process.

    Raises:
        InputError: the value is not in `COLORS`.
    """
    if color not in COLORS:
        raise InputError(f"--color is '{color}'; allowed: {', '.join(COLORS)}.")
    _color[:] = [color]


def uses_color(color: str, environ: Mapping[str, str], is_terminal: bool) -> bool:
    """Decide on colour: --color, then NO_COLOR, then FORCE_COLOR, then whether the stream is a terminal."""
    if color != "auto":
        return color == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_terminal and environ.get("TERM") != "dumb"


def style_of(stream: TextIO) -> Style:
    """Return width and colour of a stream; pipes and files have no width."""
    import shutil

    from cnnshift.render.document import Style

    terminal = stream.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    truecolor = os.environ.get("COLORTERM") in ("truecolor", "24bit")
    return Style(width, uses_color(_color[0], os.environ, terminal), truecolor)


def print_result(text: str) -> None:
    """Write the result to stdout.

    Raises:
        SaveError: stdout cannot be written, such as a full disk behind `>`.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # The rest of the buffer would fail again when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SaveError(f"Cannot write to stdout: {error.strerror}.") from None


def print_line(text: str) -> None:
    """Write a line to stderr; ignore a stderr that cannot be written."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def print_error(text: str) -> None:
    """Write an error message to stderr."""
    mark = "\x1b[1;31merror:\x1b[0m" if style_of(sys.stderr).color else "error:"
    print_line(f"{mark} {text}")
