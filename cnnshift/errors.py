"""Errors that a command reports in one message; each class has the command's exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INTERNAL_ERROR, INTERRUPTED = 3, 130
"""Exit codes of other exceptions, and of Ctrl-C."""


class CnnshiftError(Exception):
    """Base class: the message is one sentence with the argument, its value and what is allowed."""

    exit_code = 3


class InputError(CnnshiftError):
    """An invalid argument or setting, or an unusable input file."""

    exit_code = 2


class ResumeError(InputError):
    """An earlier result that cannot be resumed, because it has other settings."""


class MeasurementError(CnnshiftError):
    """A failed measurement: diverged training, exhausted memory, damaged data."""

    exit_code = 3


class NotFiniteError(MeasurementError):
    """A model returned logits that are not finite."""


class SaveError(CnnshiftError):
    """A file that cannot be written."""

    exit_code = 3


class IncomparableError(CnnshiftError):
    """Two results, or a metric and its baseline, that do not measure the same quantity."""

    exit_code = 4


def validation_message(problem: Mapping[str, Any], *, limit: int = 300) -> str:
    """Return the message of one pydantic error as the end of a sentence, without its full stop.

    Args:
        problem: an item of `pydantic.ValidationError.errors()`.
        limit: characters to keep; a value from a file may make the message arbitrarily long.
    """
    message = problem["msg"].removeprefix("Value error, ").replace("Input should ", "it must ", 1)
    message = message.partition(", unable to parse")[0]
    message = message[0].lower() + message[1:]
    return message if len(message) <= limit else f"{message[:limit]}…"


def renamed_message(owner: str, old: str, new: str) -> str:
    """Return the message about an option of an earlier version."""
    return f"'{owner}' has no option '{old}'; it was renamed to '{new}'."
