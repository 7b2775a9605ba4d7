"""Runs the identities, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cnnshift.selftest.identities import IDENTITIES, Identity


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an identity gave; `deviation` is None where it could not be computed, for the `reason`."""

    name: str
    identity: Identity
    deviation: float | None
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether it passed."""
        return self.deviation is not None and self.identity.holds(self.deviation)


def run_identities(progress: Callable[[str], None] = lambda name: None) -> Iterator[Outcome]:
    """Measure every identity; one that raises has failed, and says what it raised.

    Args:
        progress: is told the name of each before it runs.
    """
    for name, identity in IDENTITIES.items():
        progress(name)
        try:
            yield Outcome(name, identity, identity.measure())
        except Exception as problem:
            # Whatever a broken backend raises, the other answers are worth having.
            yield Outcome(name, identity, None, f"{type(problem).__name__}: {problem}".partition("\n")[0])
