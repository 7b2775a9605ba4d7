"""Tables from names to objects that are imported when they are asked for, so that listing names costs nothing."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cnnshift.errors import InputError


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered name.

    Attributes:
        target: where the object lives, `"package.module:Attribute"`.
        summary: one line for `cnnshift list`.
        reference: the paper it comes from, or an empty string.
        argument: what follows the name in a spec, such as `FILE`, or an empty string.
    """

    target: str
    summary: str
    reference: str = ""
    argument: str = ""


class Registry(Mapping[str, Entry]):
    """A lazy table from names to objects, extended by the installed packages' entry points.

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
            # Imported here: it costs as much as all of this module, and most names are built in.
            import importlib.metadata

            found = importlib.metadata.entry_points(group=self.group)
            self._plugins = {e.name: Entry(e.value, f"from {e.module}") for e in found}
        return self._plugins | self._builtin

    def __getitem__(self, name: str) -> Entry:
        # Entry points are searched only for names that are not built in: the search reads every installed package.
        if name in self._builtin:
            return self._builtin[name]
        entries = self._entries()
        if name not in entries:
            raise InputError(unknown(self.kind, name, entries))
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._entries()

    def __iter__(self) -> Iterator[str]:
        return iter({**self._builtin, **self._entries()})

    def __len__(self) -> int:
        return len({**self._builtin, **self._entries()})

    def load(self, name: str) -> Any:
        """Import and return the object that `name` stands for.

        Raises:
            InputError: no such name; the message lists the names and suggests the nearest.
        """
        module, _, attribute = self[name].target.partition(":")
        return getattr(importlib.import_module(module), attribute)


def unknown(kind: str, value: str, allowed: Iterable[str]) -> str:
    """One sentence for an unknown name: its value, the nearest allowed name, and all allowed names."""
    import difflib

    names = list(allowed)
    near = difflib.get_close_matches(value, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    # Model specs hold commas themselves.
    separator = "; " if any("," in name for name in names) else ", "
    return f"Unknown {kind} '{value}'; allowed: {separator.join(names)}.{hint}"
