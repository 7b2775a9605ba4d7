"""Write a document: to stdout in one format, and to every `-o` file in the format of its suffix."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnshift.catalog import FORMATS
from cnnshift.cli.terminal import print_line, print_result, style_of
from cnnshift.errors import InputError

if TYPE_CHECKING:
    from cnnshift.render.document import Document

SUFFIXES = {
    ".txt": "table",
    ".json": "json",
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".md": "markdown",
    ".xml": "junit",
}


def check_outputs(format: str, outputs: Sequence[Path] | None = None) -> None:
    """Check that the output can be written, before the command starts its work.

    Raises:
        InputError: an unknown format, a file with another suffix, or a file that cannot be written.
    """
    FORMATS[format]
    for path in outputs or ():
        from cnnshift.files import check_writable

        if path.suffix not in SUFFIXES:
            suffixes = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
            raise InputError(f"The suffix of {path} names no format; allowed: {suffixes}.")
        check_writable(path)


def emit(document: Document, format: str, outputs: Sequence[Path] | None = None) -> None:
    """Write a document to the files, then to stdout.

    Raises:
        SaveError: a file or stdout cannot be written.
    """
    for path in outputs or ():
        from cnnshift.files import write_text
        from cnnshift.render.document import Style

        write_text(path, FORMATS.load(SUFFIXES[path.suffix])(document, Style()))
        print_line(f"Wrote {path}")
    print_result(FORMATS.load(format)(document, style_of(sys.stdout)))
