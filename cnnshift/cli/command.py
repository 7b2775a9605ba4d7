"""What all commands share: help pages with one section per panel, options, error handling and log messages."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from cnnshift.cli.coercion import CoercesParameters
from cnnshift.cli.options import OUTPUT, option
from cnnshift.cli.terminal import print_error, print_line, set_color
from cnnshift.errors import INTERRUPTED, CnnshiftError

SHARED = {
    "color": (
        str,
        "auto",
        option(panel=OUTPUT, metavar="WHEN", default="auto", help="Use colour: auto, always or never."),
    ),
    "verbose": (bool, False, option("-v", "--verbose", panel=OUTPUT, help="Print debug messages.")),
}
"""Options of every command: type, default and declaration."""


class Command(CoercesParameters, TyperCommand):
    """A command whose help page has one section per `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections in the order of their first option."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is None:
                continue
            if parameter.param_type_name == "argument":
                # Without the Python type, as in "MODEL_SPEC <list[str]>".
                sections.setdefault("Arguments", []).append((record[0].partition(" <")[0], record[1]))
            else:
                panel = getattr(parameter, "rich_help_panel", None) or OUTPUT
                sections.setdefault(panel, []).append(record)
        for panel, records in sections.items():
            with formatter.section(panel):
                formatter.write_dl(records)


def build_command(name: str, function: Callable[..., Any]) -> Any:
    """Return the command of a function, with the shared options and with error handling."""
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    application.command(name, cls=Command)(guarded(function))
    return get_command(application)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options, and turn errors into one message on stderr and the exit code of their class."""

    @wraps(function)
    def run(*args: Any, color: str, verbose: bool, **options: Any) -> None:
        try:
            set_color(color)
            with _log_to_stderr(verbose):
                function(*args, **options)
        except CnnshiftError as error:
            print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print_error("Interrupted.")
            sys.stdout.flush()
            # Threads of the compiler may be running; finalizing the interpreter under them can crash. All results are
            # on disk.
            os._exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader closed the pipe (`cnnshift list models | head -1`); Python must not flush the rest at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    # Typer creates the options from the signature.
    vars(run)["__signature__"] = _with_shared(function)
    return run


def _with_shared(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function, eval_str=True)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])
        for name, (kind, default, info) in SHARED.items()
    ]
    return signature.replace(parameters=[*signature.parameters.values(), *shared])


class _StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        print_line(f"{level}{record.getMessage()}")


@contextlib.contextmanager
def _log_to_stderr(verbose: bool) -> Iterator[None]:
    log = logging.getLogger("cnnshift")
    before, handler = log.level, _StderrHandler()
    log.addHandler(handler)
    # Libraries such as absl add a handler to the root logger, which would print every message again.
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True
        log.setLevel(before)
