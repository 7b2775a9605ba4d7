"""Verdicts on rows, with Holm's adjustment over all of them, and the status of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from cnnshift.comparison.gates import Policy
from cnnshift.comparison.records import VERDICTS, ChangedPrediction, ComparedRow, RequirementResult, Verdict
from cnnshift.stats.holm import holm
from cnnshift.stats.sample_size import required_images

SIGNIFICANCE = 0.05


def assign_verdicts(rows: Sequence[ComparedRow]) -> Iterator[ComparedRow]:
    """Adjust the p-values for the number of rows that have one, and assign verdicts to the rows with a difference."""
    adjusted = iter(holm(np.array([row.p for row in rows if row.p is not None], dtype=float)))
    for row in rows:
        if row.difference is None:
            yield row
            continue
        p_holm = float(next(adjusted)) if row.p is not None else None
        verdict = _verdict(row, p_holm)
        images, seeds = _sample_size(row, p_holm) if verdict == "inconclusive" else (None, None)
        update = {"p_holm": p_holm, "verdict": verdict, "images_needed": images, "seeds_needed": seeds}
        yield row.model_copy(update=update)


def _sample_size(row: ComparedRow, p_holm: float | None) -> tuple[int | None, int | None]:
    """Return the number of images, or of seeds if there are several, that makes such a difference significant."""
    if not row.p or not p_holm:
        return None, None
    if min(row.seeds) > 1:
        return None, row.seeds_needed
    # Holm's factor p_holm / p divides the level; where p_holm is cut off at 1, this is a lower limit of the factor.
    level = min(SIGNIFICANCE, SIGNIFICANCE * row.p / p_holm)
    return required_images(row.n, row.p, level), None


def _verdict(row: ComparedRow, p_holm: float | None) -> Verdict:
    """Return whether the difference exceeds the margin and is significant by interval and adjusted p-value."""
    assert row.margin is not None
    # The tolerance allows for the rounding error of the subtraction.
    if abs(row.improvement) <= row.margin * (1 + 1e-9) + 1e-12:
        return "unchanged"
    excludes_zero = row.ci95 is not None and not row.ci95[0] <= 0 <= row.ci95[1]
    if p_holm is None or p_holm > SIGNIFICANCE or not excludes_zero:
        return "inconclusive"
    return "regressed" if row.improvement < 0 else "improved"


def worst_first(row: ComparedRow) -> tuple[int, float]:
    """Return the sort key of a row: the worst verdict first, then the largest loss."""
    return VERDICTS.index(row.verdict), row.improvement


def overall_status(
    rows: Sequence[ComparedRow],
    requirements: Sequence[RequirementResult],
    changed: Sequence[ChangedPrediction],
    policy: Policy,
    *,
    gated: bool,
) -> Literal["passed", "failed", "incomparable"]:
    """Return the status of a comparison, whose rows can fail it only if it is `gated`."""
    failing = ("regressed", "inconclusive") if policy.on_inconclusive == "fail" else ("regressed",)
    lost = any(row.verdict in failing and row.improvement < 0 for row in rows)
    unmet = any(not one.met and one.value is not None for one in requirements)
    if unmet or changed or (gated and lost):
        return "failed"
    compared = any(row.difference is not None for row in rows) or any(one.value is not None for one in requirements)
    # Without a single compared row or requirement nothing has passed, whatever is allowed.
    if not compared and (gated or policy.requirements):
        return "incomparable"
    absent = {row.verdict for row in rows if row.verdict in ("missing", "incomparable")}
    if any(one.value is None for one in requirements):
        absent.add("missing")
    return "passed" if absent <= set(policy.allowed) else "incomparable"
