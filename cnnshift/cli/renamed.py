"""Options that were renamed: refused with the new name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnshift.errors import InputError

RENAMED: Mapping[str, Mapping[str, str]] = {
    "explain": {"--causes": "--ablation", "--no-causes": "--no-ablation"},
}
"""By command: old option → new option."""


def refuse_renamed(arguments: Sequence[str]) -> None:
    """Refuse a command line that uses an option under its old name.

    Raises:
        InputError: with the new name.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    renamed = RENAMED.get(command, {})
    for argument in arguments:
        option = argument.partition("=")[0]
        if option in renamed:
            raise InputError(f"'{command}' has no option {option}; it was renamed to {renamed[option]}.")
