"""The application: its commands, and what happens to an error on its way out."""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Annotated, Any

import typer

import cnnshift
from cnnshift.cli.renamed import refuse_renamed
from cnnshift.cli.terminal import COLOR, Color, choose_color, color_from_flag, error, note
from cnnshift.errors import CnnshiftError

INTERNAL_ERROR, INTERRUPTED = 3, 130

OUTPUT = "Output"


def main() -> None:
    """Entry point of the `cnnshift` command. Leaves with 0, 1, 2, 3, 4 or 130; never 1 by accident."""
    # Imports make no garbage, and would set the collector off many times. A command that runs long turns it on again.
    gc.disable()
    for stream in (sys.stdout, sys.stderr):
        # Tables and names are not ASCII. A file or pipe gets UTF-8; a terminal what it can show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    # Typer decides about colour when it is imported into a help page; it takes a CI runner's pipe for a terminal.
    if not color_from_flag(sys.argv, os.environ, sys.stdout.isatty()):
        os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
    try:
        refuse_renamed(sys.argv[1:])
        _app()(prog_name="cnnshift")
    except CnnshiftError as problem:
        error(str(problem))
        sys.exit(problem.exit_code)
    except KeyboardInterrupt:
        error("Interrupted.")
        sys.exit(INTERRUPTED)
    except Exception as problem:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        error(f"Internal error: {type(problem).__name__}: {problem}. Please report it with the lines above.")
        sys.exit(INTERNAL_ERROR)


def _app() -> typer.Typer:
    from cnnshift.cli.bench import bench
    from cnnshift.cli.compare import compare
    from cnnshift.cli.explain import explain
    from cnnshift.cli.export import export
    from cnnshift.cli.info import info
    from cnnshift.cli.listing import listing
    from cnnshift.cli.selftest import selftest

    app = typer.Typer(
        name="cnnshift",
        help="Are convolutional networks really invariant to translation? Measure it, for any image classifier.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    app.command("bench")(guarded(bench))
    app.command("compare")(guarded(compare))
    app.command("explain")(guarded(explain))
    app.command("export")(guarded(export))
    app.command("list")(guarded(listing))
    app.command("info")(guarded(info))
    app.command("selftest")(guarded(selftest))
    return app


def _version(wanted: bool | None) -> None:
    if wanted:
        print(f"cnnshift {cnnshift.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = None,
) -> None:
    """What may stand before the command."""


SHARED = {
    "color": (Color, COLOR, typer.Option(help="Colour on stdout and stderr.", rich_help_panel=OUTPUT)),
    "verbose": (bool, False, typer.Option("-v", "--verbose", help="Say more on stderr.", rich_help_panel=OUTPUT)),
}
"""Options of every command: type, default, and what the command line says of them."""


def _with_shared(command: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(command, eval_str=True)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])
        for name, (kind, default, option) in SHARED.items()
    ]
    return signature.replace(parameters=[*signature.parameters.values(), *shared])


class _ToStderr(logging.Handler):
    """Writes to the standard error of the moment, as everything else here does."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        note(f"cnnshift: {record.getMessage()}")


@contextlib.contextmanager
def _log_to_stderr(verbose: bool) -> Iterator[None]:
    """Show this package's warnings, or everything it has to tell, while a command runs."""
    log = logging.getLogger("cnnshift")
    before, handler = log.level, _ToStderr()
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the shared options, whose errors become one message on stderr and the exit code of their class."""

    @wraps(command)
    def run(*args: Any, color: Color, verbose: bool, **options: Any) -> None:
        choose_color(color)
        try:
            with _log_to_stderr(verbose):
                command(*args, **options)
        except CnnshiftError as problem:
            error(str(problem))
            raise typer.Exit(problem.exit_code) from None
        except KeyboardInterrupt:
            error("Interrupted.")
            sys.stdout.flush()
            # Threads of the compiler may still be at work, and the interpreter cannot be taken down under them without
            # a crash. Everything that is kept is on disk already.
            os._exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader has seen enough (`cnnshift list models | head -1`); Python must not flush the rest at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    # What Typer reads to make the options.
    vars(run)["__signature__"] = _with_shared(command)
    return run
