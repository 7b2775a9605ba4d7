"""Streams and colour: stdout is the result, everything else is stderr."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import TextIO

from cnnshift.errors import SaveError
from cnnshift.render.style import Style


class Color(StrEnum):
    """Values of `--color`."""

    auto = "auto"
    always = "always"
    never = "never"


COLOR = Color.auto

_chosen = [COLOR]


def choose_color(color: Color) -> None:
    """Remember what `--color` said."""
    _chosen[:] = [color]


def wants_color(color: Color, environ: Mapping[str, str], is_terminal: bool) -> bool:
    """--color > NO_COLOR > FORCE_COLOR > whether it is a terminal."""
    if color is not Color.auto:
        return color is Color.always
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return is_terminal and environ.get("TERM") != "dumb"


def color_from_flag(arguments: Sequence[str], environ: Mapping[str, str], is_terminal: bool) -> bool:
    """The same before the arguments are parsed, for help pages."""
    flags = [text for text in arguments if text.startswith("--color=")]
    flags += [f"--color={value}" for flag, value in pairwise(arguments) if flag == "--color"]
    value = flags[-1].removeprefix("--color=") if flags else COLOR
    return wants_color(Color(value) if value in tuple(Color) else COLOR, environ, is_terminal)


def style(stream: TextIO) -> Style:
    """Width and colour of a stream; a pipe or file has no width."""
    terminal = stream.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    # What terminals say that can show more than 256 colours.
    truecolor = os.environ.get("COLORTERM") in ("truecolor", "24bit")
    return Style(width, wants_color(_chosen[0], os.environ, terminal), truecolor)


def write(text: str) -> None:
    """The result, on stdout.

    Raises:
        SaveError: it cannot be written there (a full disk behind `>`).
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        # What is left in the buffer would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SaveError(f"Cannot write to stdout: {problem.strerror}.") from None


def note(text: str) -> None:
    """Something worth knowing, on stderr."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def error(text: str) -> None:
    """What went wrong, on stderr."""
    mark = "\x1b[1;31merror:\x1b[0m" if style(sys.stderr).color else "error:"
    note(f"{mark} {text}")
