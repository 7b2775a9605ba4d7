"""Run the known answers one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from cnnshift.results.selftest import KnownAnswerRecord
from cnnshift.selftest.known_answers import KNOWN_ANSWERS


def run_selftest(progress: Callable[[str], None] = lambda name: None) -> Iterator[KnownAnswerRecord]:
    """Measure every known answer. One that raises an exception fails, with the exception as the reason.

    Args:
        progress: receives the name of each known answer before it runs.
    """
    for name, answer in KNOWN_ANSWERS.items():
        progress(name)
        deviation, reason = None, ""
        try:
            measured = answer.measure()
            deviation, reason = (measured, "") if math.isfinite(measured) else (None, f"the deviation is {measured}")
        except Exception as problem:
            # A broken backend may raise anything; the other answers are still worth measuring.
            reason = f"{type(problem).__name__}: {problem}".partition("\n")[0]
        yield KnownAnswerRecord(
            name=name,
            title=answer.title,
            deviation=deviation,
            limit=answer.limit,
            at_least=answer.at_least,
            holds=deviation is not None and answer.holds(deviation),
            reason=reason,
        )
