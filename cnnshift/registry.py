"""Tables of names whose objects are imported on use, so that listing names is fast."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnshift.errors import InputError


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered name.

    Attributes:
        target: location of the object, `"package.module:Attribute"`.
        summary: one line for `cnnshift list`.
        reference: source in the literature, or an empty string.
        argument: what follows the name in a spec, such as `FILE`, or an empty string.
    """

    target: str
    summary: str
    reference: str = ""
    argument: str = ""


class Registry(Mapping[str, Entry]):
    """A table from names to entries, extended by the entry points of installed packages.

    Args:
        kind: what the entries are, in the singular, for error messages.
        group: name of the entry-point group.
        entries: the built-in names, in the order in which they are listed.
    """

    def __init__(self, kind: str, group: str, entries: Mapping[str, Entry]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(entries)
        self._plugins: dict[str, Entry] | None = None

    def _entries(self) -> dict[str, Entry]:
        if self._plugins is None:
            self._plugins = {
                name: Entry(target, f"from {target.partition(':')[0]}") for name, target in _plugins(self.group)
            }
        return self._plugins | self._builtin

    def __getitem__(self, name: str) -> Entry:
        # The search for entry points reads every installed package: skip it for built-in names.
        if name in self._builtin:
            return self._builtin[name]
        entries = self._entries()
        if name not in entries:
            raise InputError(unknown(self.kind, name, entries))
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter(self._builtin | self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def load(self, name: str) -> Any:
        """Import and return the object of a name.

        Raises:
            InputError: no such name; the message lists the names and suggests the nearest.
        """
        module, _, attribute = self[name].target.partition(":")
        return getattr(importlib.import_module(module), attribute)


def _plugins(group: str) -> list[tuple[str, str]]:
    """Return name and target of the entry points of a group."""
    if not _has_plugins():
        return []
    import importlib.metadata

    return [(found.name, found.value) for found in importlib.metadata.entry_points(group=group)]


@functools.cache
def _has_plugins() -> bool:
    """Search the installed packages for a group of cnnshift, five times as fast as `importlib.metadata`."""
    for folder in dict.fromkeys(sys.path):
        for path in Path(folder).glob("*-info/entry_points.txt"):
            # `importlib.metadata` ignores unreadable files, too.
            with contextlib.suppress(OSError):
                if b"[cnnshift." in path.read_bytes():
                    return True
    return False


def unknown(kind: str, value: str, allowed: Iterable[str]) -> str:
    """Return the message about an unknown name: its value, all allowed names, and the nearest of them."""
    import difflib

    names = list(allowed)
    near = difflib.get_close_matches(value, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    # Model specs contain commas.
    separator = "; " if any("," in name for name in names) else ", "
    return f"Unknown {kind} '{value}'; allowed: {separator.join(names)}.{hint}"
