"""Gates on differences and requirements on values, parsed from text.

A gate is `METRIC:MARGIN`: the metric must not get worse by more than the margin. A requirement is `METRIC>=VALUE`. In
both, METRIC is an id or a pattern with `*`, `?` and `[…]`; the last gate that matches a metric applies.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

from cnnshift.catalog import METRICS
from cnnshift.config import DIAGNOSTIC_METRICS, HEADLINE_METRICS, find_project, project_table
from cnnshift.errors import InputError
from cnnshift.registry import unknown

OnInconclusive = Literal["warn", "fail", "pass"]
Absence = Literal["missing", "incomparable"]

_PATTERN = r"[A-Za-z0-9_*?\[\]!-]+"
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_MARGIN = re.compile(rf"({_PATTERN}):({_NUMBER})(pp|px|%|)")
_REQUIREMENT = re.compile(rf"({_PATTERN})\s*(>=|<=|>|<)\s*({_NUMBER})\s*(px|%|)")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_KEYS = ("fail_if", "require", "on_inconclusive")


@dataclass(frozen=True, slots=True)
class Gate:
    """The margin by which a metric may get worse.

    Its unit is `pp` percentage points of a fraction (metrics that match a pattern and are not fractions keep their
    default margins); `%` of the baseline's value; `px` pixels; or empty for the unit of the metric, in which a fraction
    is a number from 0 to 1.
    """

    pattern: str
    number: float
    unit: Literal["pp", "px", "%", ""]

    def margin(self, id: str, metric_unit: str, base: float) -> float:
        """Return the margin in the unit of a metric whose value in the baseline is `base`.

        Raises:
            InputError: The unit is px and the metric is not a length, or pp and it is not a fraction, or the margin is
                at least 1 and the metric is a fraction.
        """
        if self.unit == "px" and metric_unit != "px":
            raise InputError(f"The gate '{self}' does not apply to {id}, which is not a length in pixels.")
        if self.unit == "pp" and metric_unit != "fraction":
            if is_glob(self.pattern) and id in METRICS:
                return METRICS.load(id).spec.default_margin
            raise InputError(
                f"The gate '{self}' does not apply to {id}, which is not a fraction; write the margin without pp."
            )
        if self.unit == "%":
            return self.number / 100 * abs(base)
        margin = self.number / 100 if self.unit == "pp" else self.number
        if metric_unit == "fraction" and margin >= 1:
            raise InputError(
                f"The gate '{self}' can never fail, because {id} is a fraction; write 1pp for one percentage point."
            )
        return margin

    def applies_to(self, metric_unit: str) -> bool:
        """Return whether the gate applies to metrics of a unit; a pattern in px applies to lengths only."""
        return not is_glob(self.pattern) or self.unit != "px" or metric_unit == "px"

    def __str__(self) -> str:
        return f"{self.pattern}:{self.number:.15g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A limit of the measured value of a metric, whatever its interval.

    Its unit is `%` of a fraction, `px`, or empty for the unit of the metric.
    """

    pattern: str
    comparison: str
    number: float
    unit: Literal["px", "%", ""]

    def is_met(self, id: str, metric_unit: str, value: float) -> bool:
        """Return whether a value meets the requirement.

        Raises:
            InputError: The unit is % and the metric is not a fraction, or px and it is not a length, or the metric is a
                fraction and the limit is not between 0 and 1.
        """
        if not self._fits(metric_unit):
            kind = {"fraction": "a fraction", "px": "a length in pixels", "": "a plain number"}[metric_unit]
            raise InputError(f"The requirement '{self}' does not apply to {id}, which is {kind}.")
        limit = self.number / 100 if self.unit == "%" else self.number
        if metric_unit == "fraction" and not 0 <= limit <= 1:
            raise InputError(
                f"The requirement '{self}' has the limit {limit:g}, but {id} is a fraction from 0 to 1; write 97% or "
                "0.97."
            )
        return _COMPARISONS[self.comparison](value, limit)

    def applies_to(self, metric_unit: str) -> bool:
        """Return whether the requirement applies to metrics of a unit; a pattern skips metrics of other units."""
        return not is_glob(self.pattern) or self._fits(metric_unit)

    def _fits(self, metric_unit: str) -> bool:
        return not self.unit or {"%": "fraction", "px": "px"}[self.unit] == metric_unit

    def __str__(self) -> str:
        return f"{self.pattern}{self.comparison}{self.number:.15g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Policy:
    """The conditions under which a comparison fails or is incomparable.

    Attributes:
        gates: margins; without any, the headline metrics are compared, with their default margins.
        requirements: limits of the values of every candidate.
        on_inconclusive: what happens if a loss exceeds its margin without being significant.
        allowed: verdicts that do not make the comparison incomparable.
        from_arguments: whether gates or `on_inconclusive` were given as arguments. Those of a pyproject.toml apply to
            comparisons with a baseline, not to comparisons between models.
        source: origin of the gates.
    """

    gates: tuple[Gate, ...]
    requirements: tuple[Requirement, ...] = ()
    on_inconclusive: OnInconclusive = "warn"
    allowed: tuple[Absence, ...] = ()
    from_arguments: bool = True
    source: str = "arguments"

    def metrics(self, units: Mapping[str, str]) -> list[str]:
        """Return the ids of the metrics to compare.

        A pattern selects from the metrics of the baseline that its unit fits, so that new metrics do not make old files
        incomparable. An id selects the metric even if the baseline lacks it. Without gates, the headline metrics are
        compared, or all metrics if none of those was measured. `units` holds the metrics of the baseline.
        """
        if not self.gates:
            return [id for id in HEADLINE_METRICS if id in units] or [id for id in units if id in METRICS]
        absent = [gate.pattern for gate in self.gates if not is_glob(gate.pattern) and gate.pattern not in units]
        present = [id for id, unit in units.items() if self.gate(id, unit) is not None]
        return [*present, *dict.fromkeys(absent)]

    def gate(self, id: str, metric_unit: str) -> Gate | None:
        """Return the last gate that matches a metric and applies to its unit."""
        if not self.gates:
            return Gate(id, METRICS.load(id).spec.default_margin, "")
        for gate in reversed(self.gates):
            matches = gate.pattern == id or (id not in DIAGNOSTIC_METRICS and fnmatchcase(id, gate.pattern))
            if matches and gate.applies_to(metric_unit):
                return gate
        return None


def matching_ids(pattern: str, ids: Iterable[str]) -> list[str]:
    """Return the ids that match a pattern, in their order."""
    return [id for id in ids if fnmatchcase(id, pattern)]


def is_glob(pattern: str) -> bool:
    """Return whether a pattern can match several ids."""
    return any(mark in pattern for mark in "*?[")


def parse_gate(text: str) -> Gate:
    """Parse a gate such as `pairwise_consistency:0.5pp`, `mac:5%` or `*:1pp`.

    Raises:
        InputError: The text does not have this form, or the margin is negative.
    """
    match = _MARGIN.fullmatch(text.strip())
    if not match or not 0 <= float(match[2]) < math.inf:
        raise InputError(
            f"The gate '{text}' is not METRIC:MARGIN with a margin of at least 0, such as accuracy:0.5pp (percentage "
            "points), mac:5% (of the baseline's value), invariance_radius:1px or *:0.01."
        )
    unit: Any = match[3]
    return Gate(match[1], float(match[2]), unit)


def parse_requirement(text: str) -> Requirement:
    """Parse a requirement such as `accuracy>=97%` or `flip_probability<0.01`.

    Raises:
        InputError: The text does not have this form.
    """
    match = _REQUIREMENT.fullmatch(text.strip())
    if not match or not math.isfinite(float(match[3])):
        raise InputError(
            f"The requirement '{text}' is not METRIC>=VALUE (or <=, >, <), such as accuracy>=97% or kappa>=0.8."
        )
    unit: Any = match[4]
    return Requirement(match[1], match[2], float(match[3]), unit)


def resolve_policy(
    fail_if: Sequence[str] = (),
    require: Sequence[str] = (),
    on_inconclusive: str | None = None,
    *,
    allowed: Sequence[Absence] = (),
    project: Path | None = None,
) -> Policy:
    """Return the policy given by arguments, else by `[tool.cnnshift.gates]` in pyproject.toml, else the default.

    That file (`project`) is by default the one of the working directory or of the nearest parent.

    Raises:
        InputError: A gate, a requirement or a key of the table is invalid.
    """
    project = project or find_project()
    table = project_table(project).get("gates", {})
    if not isinstance(table, Mapping):
        raise InputError(f"{project}: tool.cnnshift.gates is {table!r}; it must be a table.")
    if problems := [f"{project}: {unknown('gate setting', key, _KEYS)}" for key in table if key not in _KEYS]:
        raise InputError("\n".join(problems))
    project_gates = _texts(table, "fail_if", project)
    choice: Any = table.get("on_inconclusive", "warn") if on_inconclusive is None else on_inconclusive
    try:
        requirements = tuple(map(parse_requirement, [*require] or _texts(table, "require", project)))
        gates = tuple(map(parse_gate, [*fail_if] or project_gates))
        if choice not in get_args(OnInconclusive):
            raise InputError(unknown("value of on-inconclusive", str(choice), get_args(OnInconclusive)))
    except InputError as error:
        raise InputError(f"{error} (Gates are also read from {project}.)" if table else f"{error}") from None
    return Policy(
        gates,
        requirements,
        choice,
        tuple(allowed),
        from_arguments=bool(fail_if) or on_inconclusive is not None,
        source="arguments" if fail_if else str(project) if project_gates else "defaults",
    )


def _texts(table: Mapping[str, Any], key: str, project: Path) -> list[str]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{project}: {key} is {values!r}; it must be a list of strings.")
    return values
