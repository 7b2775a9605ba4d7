"""The command-line application: its commands, loaded on use, and the exit codes of errors."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import cnnshift
from cnnshift.cli.coercion import CoercesParameters
from cnnshift.cli.renamed import refuse_renamed
from cnnshift.cli.terminal import print_error
from cnnshift.errors import INTERNAL_ERROR, INTERRUPTED, CnnshiftError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "bench": ("cnnshift.cli.bench:bench", "Measure how the predictions of models change when images are shifted."),
    "compare": (
        "cnnshift.cli.compare:compare",
        "Compare results with a baseline, or the models of one result with a reference.",
    ),
    "explain": ("cnnshift.cli.explain:explain", "Find the layers that break translation equivariance, and why."),
    "export": ("cnnshift.cli.export:export", "Write a model as an ONNX file and check it against the original."),
    "list": ("cnnshift.cli.listing:listing", "List models, data sets, protocols, metrics and other names."),
    "info": ("cnnshift.cli.info:info", "Show versions, device and cache, or the options of a model."),
    "selftest": ("cnnshift.cli.selftest:selftest", "Run known-answer tests on this device, dtype and precision."),
}
"""By name: the function, and the first line of its docstring, which `--help` shows without importing it."""


def main() -> None:
    """Run the `cnnshift` command. It exits with 0, 1, 2, 3, 4 or 130, and with 1 only if a gate fails."""
    # Imports create no garbage, but trigger the collector often. Long commands enable it again.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        # Tables are not ASCII: write UTF-8 to files and pipes, and the encoding of the terminal to a terminal.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    try:
        refuse_renamed(sys.argv[1:])
        _application()(prog_name="cnnshift")
    except CnnshiftError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print_error("Interrupted.")
        sys.exit(INTERRUPTED)
    except Exception as error:
        import contextlib
        import traceback

        with contextlib.suppress(OSError):
            traceback.print_exc()
        print_error(f"Internal error: {type(error).__name__}: {error}. Please report it with the lines above.")
        sys.exit(INTERNAL_ERROR)


def load_command(name: str) -> Callable[..., Any]:
    """Import the function of a command."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    return getattr(import_module(module), attribute)


class _Group(CoercesParameters, TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # For suggestions; `get_command` imports a command when it is used.
        self.commands: Any = COMMANDS

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        from cnnshift.cli.command import build_command

        return build_command(cmd_name, load_command(cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _application() -> typer.Typer:
    application = typer.Typer(
        name="cnnshift",
        cls=_Group,
        help="Measure the translation invariance of image classifiers.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Rich help takes three times as long as the rest of `cnnshift --help`.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    application.callback()(_root)
    return application


def _print_version(value: bool) -> None:
    if value:
        print(f"cnnshift {cnnshift.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...
