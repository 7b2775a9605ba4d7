"""Verdicts on rows, with Holm's adjustment over all of them, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cnnshift.comparison.difference import Difference
from cnnshift.comparison.gates import Policy
from cnnshift.comparison.records import VERDICTS, Change, ComparedRow, RequiredValue, Verdict
from cnnshift.stats.holm import holm
from cnnshift.stats.sample_size import required_images

SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What does not make a comparison incomparable; such rows are shown all the same."""

    missing: bool = False
    incomparable: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A row before its verdict; `delta` is None where the verdict is known already."""

    row: ComparedRow
    delta: Difference | None = None


def with_verdicts(judged: Sequence[Judged]) -> Iterator[ComparedRow]:
    """Rows with p-values adjusted for the number of rows that have one, and the verdicts that follow."""
    with_p = [one.delta.p for one in judged if one.delta is not None and one.delta.p is not None]
    adjusted = iter(holm(np.array(with_p, dtype=float)))
    for one in judged:
        if one.delta is None:
            yield one.row
            continue
        p_holm = float(next(adjusted)) if one.delta.p is not None else None
        verdict = _verdict(one.row, p_holm)
        images, seeds = _needed(one.delta, p_holm) if verdict == "inconclusive" else (None, None)
        update = {"p_holm": p_holm, "verdict": verdict, "images_needed": images, "seeds_needed": seeds}
        yield one.row.model_copy(update=update)


def _needed(delta: Difference, p_holm: float | None) -> tuple[int | None, int | None]:
    """Images, or seeds where there are several, at which a difference like this would be no chance."""
    if not delta.p or not p_holm:
        return None, None
    if min(delta.seeds) > 1:
        # Never fewer than there are; the adjustment for several rows is left out, as seeds are counted in ones.
        return None, delta.seeds_needed
    # What Holm multiplies this p-value with, it divides the level by; of a p-value that is cut off at 1, at least that.
    return required_images(delta.n, delta.p, min(SIGNIFICANCE, SIGNIFICANCE * delta.p / p_holm)), None


def _verdict(row: ComparedRow, p_holm: float | None) -> Verdict:
    """A difference counts where it is larger than the margin and not chance: interval and adjusted p agree on it."""
    assert row.margin is not None
    # A difference that equals its margin but for the rounding of a subtraction is not larger.
    if abs(row.gain) <= row.margin * (1 + 1e-9) + 1e-12:
        return "unchanged"
    certain = p_holm is not None and p_holm <= SIGNIFICANCE and row.ci95 is not None and not _holds_zero(row.ci95)
    if not certain:
        return "inconclusive"
    return "regressed" if row.gain < 0 else "improved"


def _holds_zero(ci95: tuple[float, float]) -> bool:
    return ci95[0] <= 0 <= ci95[1]


def badness(row: ComparedRow) -> tuple[int, float]:
    """Order of rows: the worst verdict first, then the largest loss."""
    return VERDICTS.index(row.verdict), row.gain


def status_of(
    rows: Sequence[ComparedRow],
    required: Sequence[RequiredValue],
    changes: Sequence[Change],
    policy: Policy,
    tolerance: Tolerance,
    *,
    gated: bool,
) -> Literal["passed", "failed", "incomparable"]:
    """What a whole comparison comes to: `failed`, `incomparable` or `passed`.

    Args:
        rows: with their verdicts.
        required: values that were required.
        changes: predictions that had to be equal.
        policy: what fails.
        tolerance: what is no obstacle.
        gated: whether losses fail at all.
    """
    doubtful = any(row.verdict == "inconclusive" and row.gain < 0 for row in rows)
    regressed = any(row.verdict == "regressed" for row in rows)
    unmet = any(not one.met and one.value is not None for one in required)
    if unmet or changes or (gated and (regressed or (doubtful and policy.on_inconclusive == "fail"))):
        return "failed"
    verdicts = {row.verdict for row in rows}
    judged = any(row.difference is not None for row in rows) or any(one.value is not None for one in required)
    # Whatever is tolerated: where nothing at all could be judged, nothing has passed.
    if not judged and (gated or policy.requirements):
        return "incomparable"
    absent = "missing" in verdicts or any(one.value is None for one in required)
    if (absent and not tolerance.missing) or ("incomparable" in verdicts and not tolerance.incomparable):
        return "incomparable"
    return "passed"
