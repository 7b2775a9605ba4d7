"""The command line: Typer only, one file per command."""

from cnnshift.cli.app import main

__all__ = ["main"]
