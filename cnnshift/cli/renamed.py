"""Refuse options of earlier versions with their new names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnshift.errors import InputError, renamed_message

RENAMED: Mapping[str, Mapping[str, str]] = {
    "explain": {"--causes": "--ablation", "--no-causes": "--no-ablation"},
}
"""By command: old option → new option."""


def refuse_renamed(arguments: Sequence[str]) -> None:
    """Check a command line for options of earlier versions.

    Raises:
        InputError: an option was renamed.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    renamed = RENAMED.get(command, {})
    for argument in arguments:
        option = argument.partition("=")[0]
        if option in renamed:
            raise InputError(renamed_message(command, option, renamed[option]))
