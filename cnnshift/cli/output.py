"""A document on its way out: in one format on stdout, and in the format of its name in every `-o` file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnshift.catalog import FORMATS
from cnnshift.cli.terminal import note, style, write
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


def check_outputs(format: str, outputs: Sequence[Path]) -> None:
    """Find out before the work whether all that was asked for can be written.

    Raises:
        InputError: an unknown format, a file whose name says no format, or one that cannot be written.
    """
    FORMATS[format]
    if not outputs:
        return
    from cnnshift.files import check_writable

    for path in outputs:
        if path.suffix not in SUFFIXES:
            known = ", ".join(f"{suffix} ({name})" for suffix, name in SUFFIXES.items())
            raise InputError(f"{path} does not say its format; allowed endings: {known}.")
        check_writable(path)


def emit(document: Document, format: str, outputs: Sequence[Path] = ()) -> None:
    """Write the files, then stdout.

    Raises:
        SaveError: a file or stdout cannot be written.
    """
    for path in outputs:
        from cnnshift.files import write_text
        from cnnshift.render.style import Style

        write_text(path, FORMATS.load(SUFFIXES[path.suffix])(document, Style()))
        note(f"wrote {path}")
    write(FORMATS.load(format)(document, style(sys.stdout)))
